#!/usr/bin/env python3
"""Writes two small models that talk about pictures, whole as they are published, and what transformers makes of a question.

    python3 -m venv .venv
    .venv/bin/pip install torch==2.13.0 numpy safetensors transformers==5.* tokenizers pillow
    .venv/bin/python Tools/make-picture-chat-fixtures.py --out Tests/Fixtures/picture-chats

Each case is a directory with random weights, a tokenizer of bytes, a chat template and an image processor; two pictures
(`one.png`, `two.png`) of other sizes than the model's; and `expected.json`: the conversation, the prompt's tokens and the
greedy continuation, from transformers' own processor with PIL and its model in float32 with eager attention.
"""

import argparse
import importlib.util
import json
import pathlib
import shutil

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

HERE = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("vision", HERE / "make-vision-fixtures.py")
vision = importlib.util.module_from_spec(spec)
spec.loader.exec_module(vision)

SPECIAL = ["<s>", "</s>", "<image>", "<image_soft_token>", "<start_of_image>", "<end_of_image>"]
FIRST_SPECIAL = 256
VOCABULARY = FIRST_SPECIAL + len(SPECIAL)
IDS = {token: FIRST_SPECIAL + i for i, token in enumerate(SPECIAL)}
STEPS = 24
LLAVA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}")
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '[' + message['role'] + ']' }}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<start_of_image>' }}"
    "{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[model]' }}{% endif %}")
CONVERSATION = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}, {"type": "image"}]}]


def tokenizer(extra):
    """Each byte is a token."""
    alphabet = {character: i for i, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    raw = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    assert raw.token_to_id("<image>") == IDS["<image>"]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", extra_special_tokens=extra)


def picture(height, width, seed):
    """Colours that change slowly, with noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 5 + seed), np.cos(y / 7), np.sin((x + y) / 9)], axis=-1)
    values = 127 + 90 * waves + random.integers(-30, 31, (height, width, 3))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def llava():
    settings = vision.llava(
        vision.vision("clip"), vision.text("llama", vocab_size=VOCABULARY), image_token_index=IDS["<image>"])
    words = tokenizer({"image_token": "<image>"})
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    return settings, transformers.LlavaProcessor(
        image_processor=images, tokenizer=words, patch_size=4, vision_feature_select_strategy="default",
        chat_template=LLAVA_TEMPLATE, num_additional_image_tokens=1)


def gemma3():
    settings = vision.gemma3(
        decoder=vision.text("gemma3_text", vocab_size=VOCABULARY), image_token_index=IDS["<image_soft_token>"],
        boi_token_index=IDS["<start_of_image>"], eoi_token_index=IDS["<end_of_image>"])
    words = tokenizer({"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"})
    images = transformers.Gemma3ImageProcessor(size={"height": 16, "width": 16})
    return settings, transformers.Gemma3Processor(
        image_processor=images, tokenizer=words, chat_template=GEMMA_TEMPLATE, image_seq_length=4)


def make(folder, settings, processor):
    architecture = settings["architectures"][0]
    pictures = [picture(23, 37, 1), picture(40, 18, 2)]
    for seed in range(400):
        shutil.rmtree(folder, ignore_errors=True)
        kind = getattr(transformers, architecture)
        generator = torch.Generator().manual_seed(seed)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(settings))
        weights = vision.random_weights(kind(kind.config_class.from_pretrained(folder)), settings, generator)
        shutil.rmtree(folder)
        vision.write_checkpoint(folder, settings, weights)
        processor.save_pretrained(folder)
        for name, image in zip(("one", "two"), pictures):
            image.save(folder / f"{name}.png", optimize=True)
        # As somebody would read the directory.
        read = transformers.AutoProcessor.from_pretrained(folder)
        text = read.apply_chat_template(CONVERSATION, add_generation_prompt=True)
        given = [Image.open(folder / f"{name}.png") for name in ("one", "two")]
        inputs = read(images=[given] if settings["model_type"] == "gemma3" else given, text=text,
                      add_special_tokens=False, return_tensors="pt")
        model = vision.load(folder, architecture)
        run = model.generate(**inputs, do_sample=False, max_new_tokens=STEPS, pad_token_id=0, eos_token_id=[],
                             output_scores=True, return_dict_in_generate=True)
        prompt = inputs["input_ids"][0]
        greedy = run.sequences[0, len(prompt):]
        largest = max(float(score.abs().max()) for score in run.scores)
        margin = min(float(best[0, 0] - best[0, 1]) for best in (score.topk(2).values for score in run.scores))
        if margin < 1e-3 * largest or len(set(greedy.tolist())) < 8:
            continue
        expected = {"messages": CONVERSATION, "prompt": text, "tokens": prompt.tolist(), "greedy": greedy.tolist(),
                    "transformers": transformers.__version__}
        (folder / "expected.json").write_text(json.dumps(expected) + "\n")
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{folder.name:8} seed {seed} margin {margin / largest:.4f} {len(prompt)} tokens {size} bytes", flush=True)
        return
    raise SystemExit(f"{folder.name}: no seed gave a fair test")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with torch.no_grad():
        make(arguments.out / "llava", *llava())
        make(arguments.out / "gemma3", *gemma3())


if __name__ == "__main__":
    main()
