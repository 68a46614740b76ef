"""Small random checkpoints whose heads have a size that vLLM's attention takes on a CPU."""

import json
import pathlib
import shutil
from typing import Any

import torch
from conftest import WARD
from safetensors.torch import save_file

_GROUP = 32
_ROPE = {"rope_theta": 10_000.0, "rope_type": "default"}


def make(folder: pathlib.Path, **fields: Any) -> pathlib.Path:
    """Writes a checkpoint in float32 with the bundled model's tokenizer; `fields` are those of `config.json`."""
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 4_096, "hidden_size": 96,
        "intermediate_size": 160, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 32, "hidden_act": "silu", "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        "rope_parameters": _ROPE, "rope_theta": 10_000.0, "tie_word_embeddings": False, "bos_token_id": 0,
        "eos_token_id": 1, "dtype": "float32",
    }  # fmt: skip
    config |= fields
    quantization = config.get("quantization_config")
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(WARD / name, folder / name)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = _tensors(config)
    if quantization is not None:
        tensors = _quantized(tensors, bits=quantization["config_groups"]["group_0"]["weights"]["num_bits"])
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def quantization(bits: int) -> dict[str, Any]:
    """The configuration of compressed-tensors: 8 bits with a scale for each output, or 4 for each 32 inputs of one.

    With 8 bits vLLM rounds rows to as many.
    """
    weights = {"num_bits": bits, "type": "int", "symmetric": True, "dynamic": False}
    weights |= {"strategy": "channel"} if bits == 8 else {"strategy": "group", "group_size": _GROUP}
    rows = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    group = {"targets": ["Linear"], "weights": weights, "input_activations": rows if bits == 8 else None}
    return {
        "quant_method": "compressed-tensors", "format": "int-quantized" if bits == 8 else "pack-quantized",
        "quantization_status": "compressed", "config_groups": {"group_0": group}, "ignore": ["lm_head"],
    }  # fmt: skip


def _quantized(tensors: dict[str, torch.Tensor], bits: int) -> dict[str, torch.Tensor]:
    """The tensors with the matrices of blocks rounded to so many bits."""
    result: dict[str, torch.Tensor] = {}
    largest = 2 ** (bits - 1) - 1
    for name, tensor in tensors.items():
        if "_proj.weight" not in name:
            result[name] = tensor.to(torch.bfloat16)
            continue
        groups = tensor.reshape(tensor.shape[0], -1, tensor.shape[1] if bits == 8 else _GROUP)
        scales = (groups.abs().amax(dim=-1, keepdim=True) / largest).to(torch.bfloat16).to(torch.float32)
        codes = torch.round(groups / scales).clamp(-largest - 1, largest).reshape(tensor.shape)
        result[f"{name}_scale"] = scales[..., 0].to(torch.bfloat16)
        if bits == 8:
            result[name] = codes.to(torch.int8)
            continue
        # Eight codes in a word, from the lowest bits on, each 8 more than its number.
        nibbles = (codes.to(torch.int64) + 8).reshape(tensor.shape[0], -1, 8)
        words = (nibbles << (4 * torch.arange(8))).sum(dim=-1)
        result[name.replace(".weight", ".weight_packed")] = (words - ((words >> 31) << 32)).to(torch.int32)
        result[name.replace(".weight", ".weight_shape")] = torch.tensor(tensor.shape)
    return result


def _tensors(config: dict[str, Any]) -> dict[str, torch.Tensor]:
    hidden, wide, size = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    has_bias, is_qwen3 = config["model_type"] == "qwen2", config["model_type"] == "qwen3"
    generator = torch.Generator().manual_seed(7)
    tensors: dict[str, torch.Tensor] = {}

    def matrix(name: str, outputs: int, inputs: int) -> None:
        tensors[f"{name}.weight"] = torch.randn(outputs, inputs, generator=generator) * inputs**-0.5

    def vector(name: str, count: int, offset: float) -> None:
        tensors[name] = offset + 0.1 * torch.randn(count, generator=generator)

    matrix("model.embed_tokens", config["vocab_size"], hidden)
    if not config["tie_word_embeddings"]:
        matrix("lm_head", config["vocab_size"], hidden)
    vector("model.norm.weight", hidden, 1)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        for name, outputs in (("q", queries), ("k", keys), ("v", keys)):
            matrix(f"{block}.self_attn.{name}_proj", outputs, hidden)
            if has_bias:
                vector(f"{block}.self_attn.{name}_proj.bias", outputs, 0.3)
            if is_qwen3 and name != "v":
                vector(f"{block}.self_attn.{name}_norm.weight", size, 1)
        matrix(f"{block}.self_attn.o_proj", hidden, queries)
        matrix(f"{block}.mlp.gate_proj", wide, hidden)
        matrix(f"{block}.mlp.up_proj", wide, hidden)
        matrix(f"{block}.mlp.down_proj", hidden, wide)
        vector(f"{block}.input_layernorm.weight", hidden, 1)
        vector(f"{block}.post_attention_layernorm.weight", hidden, 1)
    return tensors
