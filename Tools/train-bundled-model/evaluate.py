#!/usr/bin/env python3
"""Counts how often the exported model reads a new note right and knows the facts it was taught (greedy, float32).

    python3 evaluate.py --model ../../Models/ward-3m --notes 60
"""

import argparse
import random

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import corpus
from facts import ADVICE, CONDITIONS, DRUGS, TESTS


def answer(model, tokenizer, question):
    ids = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True,
                                        return_tensors="pt", return_dict=False)
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=60,
                         eos_token_id=1, pad_token_id=1)
    return tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--notes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    torch.set_num_threads(1)  # the model is too small for more
    rng = random.Random(arguments.seed)
    right, asked = {}, {}

    def check(kind, question, expected):
        got = answer(model, tokenizer, question)
        asked[kind] = asked.get(kind, 0) + 1
        right[kind] = right.get(kind, 0) + (got == expected)
        if arguments.verbose and got != expected:
            print(f"{kind}: expected {expected!r}, got {got!r}")

    for _ in range(arguments.notes):
        record = corpus.Record(rng)
        note, known = rng.choice(corpus.NOTES)(rng, record)
        for fact in ("name", "age", "drug", "allergy", "condition"):
            if fact in known:
                spellings, expected = corpus.ASK[fact]
                check("note: " + fact, f"{note}\n\n{spellings[0]}", expected(record))
    for drug, (what, purpose, *_) in DRUGS.items():
        check("general: what a medicine is for", f"What is {drug} for?",
              f"{corpus.upper(drug)} is {what}. It is used to {purpose}.")
    for condition, (_, symptoms, *_) in CONDITIONS.items():
        check("general: symptoms", f"What are the symptoms of {condition}?",
              f"The usual symptoms are {corpus.listed(symptoms)}.")
    for test, (_, prepare, _) in TESTS.items():
        check("general: preparing for a test", f"How do I prepare for {corpus.a(test)}?", f"{prepare}.")
    for spellings, expected in ADVICE:
        check("general: advice", spellings[0], expected)
    for kind in asked:
        print(f"{kind:32} {right[kind]:3} of {asked[kind]}")


if __name__ == "__main__":
    main()
