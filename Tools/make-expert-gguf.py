#!/usr/bin/env python3
"""Writes a random GGUF file in Q8_0 with blocks of the shape of Qwen3-30B-A3B, to compare speeds on the same weights.

    python3 -m venv .venv
    .venv/bin/pip install gguf numpy
    .venv/bin/python Tools/make-expert-gguf.py --blocks 4 --out experts.gguf

Four blocks take 2.8 GB. The file has no tokenizer: programs are given ids of tokens.
"""

import argparse

import gguf
import numpy as np

HIDDEN, HEADS, KEY_HEADS, HEAD, EXPERTS, PER_TOKEN, SIZE, VOCABULARY = 2048, 32, 4, 128, 128, 8, 768, 32_000
Q8_0 = gguf.GGMLQuantizationType.Q8_0
# The standard deviation of a uniform signed byte.
DEVIATION = 73.9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(arguments.out, "qwen3moe")
    writer.add_block_count(arguments.blocks)
    writer.add_context_length(8192)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(6144)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_freq_base(1e6)
    writer.add_rope_dimension_count(HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_expert_count(EXPERTS)
    writer.add_expert_used_count(PER_TOKEN)
    writer.add_expert_feed_forward_length(SIZE)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")

    def matrix(name, rows, columns, deviation, lead=()):
        blocks = np.empty((int(np.prod(lead)) * rows, columns // 32, 34), dtype=np.uint8)
        blocks[..., 2:] = random.integers(0, 256, (*blocks.shape[:2], 32), dtype=np.uint8)
        blocks[..., :2] = np.frombuffer(np.float16(deviation / DEVIATION).tobytes(), dtype=np.uint8)
        writer.add_tensor(name, blocks.reshape(*lead, rows, -1), raw_dtype=Q8_0)

    def norm(name, size):
        writer.add_tensor(name, np.ones(size, dtype=np.float32))

    matrix("token_embd.weight", VOCABULARY, HIDDEN, 1)
    matrix("output.weight", VOCABULARY, HIDDEN, 0.05)
    norm("output_norm.weight", HIDDEN)
    for block in range(arguments.blocks):
        name = f"blk.{block}."
        for part, size in (("attn_norm", HIDDEN), ("ffn_norm", HIDDEN), ("attn_q_norm", HEAD), ("attn_k_norm", HEAD)):
            norm(f"{name}{part}.weight", size)
        matrix(name + "attn_q.weight", HEADS * HEAD, HIDDEN, 0.03)
        matrix(name + "attn_k.weight", KEY_HEADS * HEAD, HIDDEN, 0.03)
        matrix(name + "attn_v.weight", KEY_HEADS * HEAD, HIDDEN, 0.03)
        matrix(name + "attn_output.weight", HIDDEN, HEADS * HEAD, 0.02)
        writer.add_tensor(name + "ffn_gate_inp.weight", (0.05 * random.standard_normal((EXPERTS, HIDDEN))).astype(np.float32))
        matrix(name + "ffn_gate_exps.weight", SIZE, HIDDEN, 0.03, (EXPERTS,))
        matrix(name + "ffn_up_exps.weight", SIZE, HIDDEN, 0.03, (EXPERTS,))
        matrix(name + "ffn_down_exps.weight", HIDDEN, SIZE, 0.03, (EXPERTS,))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
