"""Shapes of models, and checkpoints of random weights in them."""

import json
import math
import pathlib
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Shape:
    """The sizes of a model of Llama's kind."""

    name: str
    vocabulary: int
    hidden: int
    blocks: int
    heads: int
    kv_heads: int
    feed_forward: int
    theta: float = 10_000.0
    # Longer than in the published models, so that 10,000 tokens fit.
    longest: int = 16_384

    @property
    def head_size(self):
        """Channels of a head."""
        return self.hidden // self.heads

    @property
    def sites(self):
        """The products of a token, each as `(name, outputs, inputs, how many)`."""
        keys = self.kv_heads * self.head_size
        return [
            ("q,k,v", self.hidden + 2 * keys, self.hidden, self.blocks),
            ("o", self.hidden, self.hidden, self.blocks),
            ("gate,up", 2 * self.feed_forward, self.hidden, self.blocks),
            ("down", self.hidden, self.feed_forward, self.blocks),
            ("head", self.vocabulary, self.hidden, 1),
        ]

    @property
    def products(self):
        """Multiply-adds of a token, which are the weights of all sites."""
        return sum(outputs * inputs * count for _, outputs, inputs, count in self.sites)

    @property
    def parameters(self):
        """All weights."""
        return self.products + self.vocabulary * self.hidden

    @property
    def pad_bytes(self):
        """Bytes of a token's products of pads: a word for each output."""
        return 4 * sum(outputs * count for _, outputs, _, count in self.sites)

    def tensors(self):
        """Names and shapes of a checkpoint's tensors."""
        keys = self.kv_heads * self.head_size
        yield "model.embed_tokens.weight", (self.vocabulary, self.hidden)
        for block in range(self.blocks):
            prefix = f"model.layers.{block}."
            yield prefix + "input_layernorm.weight", (self.hidden,)
            yield prefix + "self_attn.q_proj.weight", (self.hidden, self.hidden)
            yield prefix + "self_attn.k_proj.weight", (keys, self.hidden)
            yield prefix + "self_attn.v_proj.weight", (keys, self.hidden)
            yield prefix + "self_attn.o_proj.weight", (self.hidden, self.hidden)
            yield prefix + "post_attention_layernorm.weight", (self.hidden,)
            yield prefix + "mlp.gate_proj.weight", (self.feed_forward, self.hidden)
            yield prefix + "mlp.up_proj.weight", (self.feed_forward, self.hidden)
            yield prefix + "mlp.down_proj.weight", (self.hidden, self.feed_forward)
        yield "model.norm.weight", (self.hidden,)
        yield "lm_head.weight", (self.vocabulary, self.hidden)

    def config(self):
        """The members of `config.json`."""
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
            "hidden_size": self.hidden, "intermediate_size": self.feed_forward, "num_hidden_layers": self.blocks,
            "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads, "vocab_size": self.vocabulary,
            "max_position_embeddings": self.longest, "rms_norm_eps": 1e-5, "rope_theta": self.theta,
            "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
        }  # fmt: skip


# The sizes of TinyLlama 1.1B, Llama 2 7B and Llama 3.1 8B, and small ones of the same three kinds of attention.
SHAPES = {
    "1.1B": Shape("1.1B", 32_000, 2_048, 22, 32, 4, 5_632),
    "8B": Shape("8B", 128_256, 4_096, 32, 32, 8, 14_336, 500_000.0),
    "7B": Shape("7B", 32_000, 4_096, 32, 32, 32, 11_008),
}
SMALL = {
    "1.1B": Shape("1.1B", 1_024, 128, 2, 4, 1, 352),
    "8B": Shape("8B", 2_048, 256, 2, 8, 2, 896, 500_000.0),
    "7B": Shape("7B", 1_024, 256, 2, 8, 8, 688),
}


def write_checkpoint(shape, folder, device, seed=1):
    """Writes a directory in Hugging Face's layout, with random bf16 weights and no tokenizer."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=1))
    entries, end = {}, 0
    for name, size in shape.tensors():
        start, end = end, end + 2 * math.prod(size)
        entries[name] = {"dtype": "BF16", "shape": list(size), "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    generator = torch.Generator(device).manual_seed(seed)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _name, size in shape.tensors():
            if len(size) == 1:
                values = torch.ones(size, device=device)
            else:
                # Of a variance that keeps activations of about one length from block to block.
                values = torch.randn(size, generator=generator, device=device) * (size[1] ** -0.5)
            values.to(torch.bfloat16).view(torch.int16).cpu().numpy().tofile(file)
