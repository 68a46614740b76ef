#!/usr/bin/env python3
"""Makes the tokenizer and the token rows that train.py reads.

    python3 prepare.py --shakespeare shakespeare.txt --out build --documents 150000
"""

import argparse
import collections
import json
import pathlib
import random

import numpy
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import corpus
from corpus import rendered

SPECIAL = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
VOCABULARY = 4096
# The pre-tokeniser of the Llama-3 files: words take one leading space, digits go in groups of up to three.
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")


def make_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B",
        special_tokens=[("<|begin|>", tokenizer.token_to_id("<|begin|>"))])
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shakespeare", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--documents", type=int, default=150_000)
    parser.add_argument("--seed", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(arguments.seed)
    plays = corpus.passages(arguments.shakespeare)
    # The last passages are never trained on; the validation text is half drama of them, half new documents.
    held_out, plays = plays[-40:], plays[:-40]

    kinds, texts = zip(*((kind, rendered(turns)) for kind, turns in
                         (corpus.document(rng, plays) for _ in range(arguments.documents))))
    path = arguments.out / "tokenizer.json"
    if not path.exists():
        # The tokenizer learns from a part of the documents and from all of the plays once.
        make_tokenizer(list(texts[:12_000]) + plays).save(str(path))
    tokenizer = Tokenizer.from_file(str(path))

    def encode(documents):
        return [e.ids for e in tokenizer.encode_batch(documents, add_special_tokens=False)]

    ids = encode(list(texts))
    counts = collections.Counter()
    for kind, document in zip(kinds, ids):
        counts[kind] += len(document)
    total = sum(counts.values())
    other = random.Random(arguments.seed + 1_000_000)
    validation = encode([rendered(corpus.document(other, [], 0)[1]) for _ in range(300)])
    drama = encode([rendered([(None, text)]) for text in held_out])
    for name, documents in (("train", ids), ("validation", validation), ("drama", drama)):
        numpy.save(arguments.out / f"{name}.npy", numpy.concatenate([numpy.array(d, numpy.uint16) for d in documents]))
        numpy.save(arguments.out / f"{name}-lengths.npy", numpy.array([len(d) for d in documents], numpy.int32))
    shares = {kind: round(count / total, 3) for kind, count in counts.most_common()}
    characters = sum(len(text) for text in texts)
    facts = {"documents": len(ids), "tokens": total, "characters": characters, "seed": arguments.seed,
             "shares": shares}
    (arguments.out / "corpus.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
