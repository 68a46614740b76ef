#!/usr/bin/env python3
"""Measures how far channels of a Llama model outweigh others, and what moving them into the weights would do.

    scx tokenize --model DIR --prompt-file TEXT --json > tokens.json
    python3 Tools/measure-channels.py DIR tokens.json

Runs the first 512 tokens through a bfloat16 checkpoint of one file in float32. For each kind of product it prints over all
blocks: the strongest channel's root mean square over the median one's; how many steps of profile `sealed`'s fixed point the
median channel spans; and the relative error of products with weights rounded to int8 by output, as they are and with channels
moved into the weights by a factor: from the public weights (the norm's weight over the channel's largest weight), and from
this very text. Needs `numpy`.
"""
import json
import pathlib
import struct
import sys

import numpy as np


def open_checkpoint(directory):
    path = directory / "model.safetensors"
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
    data = np.memmap(path, mode="r")

    def tensor(name):
        start, end = (8 + size + offset for offset in header[name]["data_offsets"])
        bits = np.frombuffer(data[start:end], dtype=np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).reshape(header[name]["shape"])
    return tensor


def rounded(weights):
    """The integers of weights `[outputs, inputs]`, and the scale of each output."""
    largest = np.abs(weights).max(1, keepdims=True)
    return np.round(weights / largest * 127), largest / 127


class Figures:
    def __init__(self):
        self.rows = {}

    def add(self, kind, inputs, weights, norm=None):
        strength = np.sqrt((inputs ** 2).mean(0)) + 1e-9
        integers, _ = rounded(weights)
        step = np.sqrt((inputs ** 2).sum(1)) * np.sqrt((integers ** 2).sum(1).max()) / 2 ** 31
        largest = np.abs(weights).max(0) + 1e-9
        public = np.sqrt((1 if norm is None else np.abs(norm)) / largest)
        products = inputs @ weights.T

        def error(factors):
            integers, scales = rounded(weights * factors)
            return (((inputs @ (integers * scales / factors).T - products) ** 2).sum() / (products ** 2).sum())
        self.rows.setdefault(kind, []).append((
            strength.max() / np.median(strength), np.median(strength) / np.median(step),
            error(np.float32(1)), error(public), error(np.sqrt(strength / largest))))

    def show(self):
        print("kind           strongest / median    median in steps   error: as it is  public  from the text")
        for kind, rows in self.rows.items():
            ratio, steps, *errors = np.array(rows).T
            as_it_is, public, text = (100 * np.sqrt(e.mean()) for e in errors)
            print(f"{kind:14} {ratio.min():8.1f} to {ratio.max():5.1f} {steps.min():9.0f} to {steps.max():6.0f} "
                  f"{as_it_is:12.2f} % {public:7.2f} % {text:7.2f} %")


def main():
    directory = pathlib.Path(sys.argv[1])
    config = json.loads((directory / "config.json").read_text())
    tokens = json.loads(pathlib.Path(sys.argv[2]).read_text())["tokens"][:512]
    tensor = open_checkpoint(directory)
    heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
    size, count = config["hidden_size"] // heads, len(tokens)
    wavelengths = config["rope_theta"] ** (-np.arange(0, size, 2) / size)
    angles = np.concatenate([np.outer(np.arange(count), wavelengths)] * 2, -1)[:, None]
    cosines, sines = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    mask = np.triu(np.full((count, count), -1e30, np.float32), 1)

    def normed(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weight

    def rotated(x):
        return x * cosines + np.concatenate([-x[..., size // 2:], x[..., :size // 2]], -1) * sines

    figures = Figures()
    hidden = tensor("model.embed_tokens.weight")[tokens]
    for block in range(config["num_hidden_layers"]):
        def of_block(name):
            return tensor(f"model.layers.{block}.{name}.weight")
        norm = of_block("input_layernorm")
        x = normed(hidden, norm)
        query, key, value = (of_block(f"self_attn.{name}_proj") for name in "qkv")
        figures.add("{q,k,v}", x, np.concatenate([query, key, value]), norm)
        q = rotated((x @ query.T).reshape(count, heads, size))
        k = rotated((x @ key.T).reshape(count, shared, size)).repeat(heads // shared, 1)
        v = (x @ value.T).reshape(count, shared, size).repeat(heads // shared, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / size ** 0.5 + mask
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        x = np.einsum("hqk,khd->qhd", scores, v).reshape(count, -1)
        figures.add("{o}", x, of_block("self_attn.o_proj"))
        hidden = hidden + x @ of_block("self_attn.o_proj").T
        norm = of_block("post_attention_layernorm")
        x = normed(hidden, norm)
        gate, up = of_block("mlp.gate_proj"), of_block("mlp.up_proj")
        figures.add("{gate,up}", x, np.concatenate([gate, up]), norm)
        gated = x @ gate.T
        x = gated / (1 + np.exp(-gated)) * (x @ up.T)
        figures.add("{down}", x, of_block("mlp.down_proj"))
        hidden = hidden + x @ of_block("mlp.down_proj").T
    norm = tensor("model.norm.weight")
    x = normed(hidden, norm)
    head = tensor("model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight")
    figures.add("{head}", x, head, norm)
    figures.show()
    logits = x @ head.T
    logits -= logits.max(-1, keepdims=True)
    likelihood = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    print(f"perplexity {np.exp(-likelihood[np.arange(count - 1), tokens[1:]].mean()):.2f}")


if __name__ == "__main__":
    main()
