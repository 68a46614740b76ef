#!/usr/bin/env python3
"""Writes the model directory from a checkpoint of train.py, and ten samples made with transformers.

    python3 export.py --data build --run build/run --out ../../Models/ward-3m
"""

import argparse
import json
import pathlib
import re
import shutil

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

# What a reader should see it do: general questions, reading a note, writing, small talk, plain continuation.
NOTE = ("Maria Kowalski is a 67-year-old teacher who came in with palpitations and dizziness for two weeks. She lives "
        "alone. The heart tracing showed an irregular heartbeat. This is atrial fibrillation. She is allergic to "
        "codeine. We started apixaban 5 mg twice a day. Review in the heart clinic in six weeks.")
SAMPLES = [
    [{"role": "user", "content": "What is metformin for?"}],
    [{"role": "user", "content": "What are the symptoms of asthma?"}],
    [{"role": "user", "content": "How do I prepare for a blood test?"}],
    [{"role": "user", "content": NOTE + "\n\nWhat is the patient's name?"}],
    [{"role": "user", "content": NOTE + "\n\nWhat medicine is she on?"},
     {"role": "assistant", "content": "She takes apixaban 5 mg twice a day."},
     {"role": "user", "content": "How old is the patient?"},
     {"role": "assistant", "content": "She is 67 years old."},
     {"role": "user", "content": "Is the patient allergic to anything?"}],
    [{"role": "user", "content": "Patient Tomas Belford, age 43, gout, on allopurinol 300 mg once a day. No allergies. "
                                 "Summarise this note."}],
    [{"role": "user", "content": "Write a short discharge letter for a patient with pneumonia."}],
    [{"role": "system", "content": "You are Ward, a small assistant for clinic notes."},
     {"role": "user", "content": "Hello! Who are you?"}],
    "CLINIC NOTE\nPatient: Peter Novak, 71 years\n",
    "ROMEO:\n",
]


def sample(model, tokenizer, prompt):
    chat = not isinstance(prompt, str)
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True) if chat else prompt
    ids = tokenizer(text, add_special_tokens=not chat)["input_ids"]
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=False,
                             max_new_tokens=160 if chat else 80, eos_token_id=1, pad_token_id=1,
                             return_dict_in_generate=True, output_logits=True)
    greedy = out.sequences[0, len(ids):].tolist()
    best = torch.stack(out.logits).topk(2).values
    return {"messages" if chat else "prompt": prompt, "text": text, "prompt_ids": ids, "greedy_ids": greedy,
            "greedy_text": tokenizer.decode(greedy, skip_special_tokens=True),
            "margin": round(float((best[..., 0] - best[..., 1]).min()), 5),
            "finish_reason": "stop" if greedy[-1] == 1 else "length"}


def write_json(path, value):
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # Lists of ids on one line.
    text = re.sub(r"\[[\s\d,]+\]", lambda found: re.sub(r"\s+", " ", found.group()), text)
    path.write_text(text + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--run", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)

    weights = load_file(arguments.run / "checkpoint" / "model.safetensors")
    weights.pop("lm_head.weight", None)
    weights = {name: value.to(torch.bfloat16).contiguous() for name, value in weights.items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)

    trained = json.loads((arguments.run / "checkpoint" / "config.json").read_text())
    kept = ["architectures", "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
            "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings",
            "rms_norm_eps", "rope_parameters", "tie_word_embeddings", "attention_bias", "mlp_bias", "bos_token_id",
            "eos_token_id"]
    config = {key: trained[key] for key in kept} | {"dtype": "bfloat16"}
    # Both spellings of the base frequency, since older readers know only the second.
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]
    write_json(out / "config.json", config)
    write_json(out / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 1, "do_sample": True,
                                                "temperature": 0.3, "top_p": 0.9})
    shutil.copyfile(arguments.data / "tokenizer.json", out / "tokenizer.json")
    special = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    write_json(out / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": config["max_position_embeddings"],
        "bos_token": "<|begin|>", "eos_token": "<|end|>", "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {str(i): {"content": token, "lstrip": False, "normalized": False, "rstrip": False,
                                          "single_word": False, "special": True}
                                 for i, token in enumerate(special)}})
    shutil.copyfile(pathlib.Path(__file__).with_name("chat_template.jinja"), out / "chat_template.jinja")

    torch.set_num_threads(1)  # the model is too small for more
    transformers.logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    samples = [sample(model, tokenizer, prompt) for prompt in SAMPLES]
    write_json(out / "samples.json", {
        "made_with": f"transformers {transformers.__version__}, float32, eager attention, greedy",
        "samples": samples})
    for s in samples:
        print(f"--- {s['text'][-90:]!r}\n{s['greedy_text']}\n[{s['finish_reason']}]")
    total = sum(file.stat().st_size for file in out.iterdir())
    print(f"{total} bytes in {out}")
    assert total <= 12 * 1024 * 1024


if __name__ == "__main__":
    main()
