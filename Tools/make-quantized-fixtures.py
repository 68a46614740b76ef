#!/usr/bin/env python3
"""Writes small GGUF files and quantised checkpoints, with what transformers computes from the numbers that they stand for.

    python3 -m venv .venv
    .venv/bin/pip install torch==2.13.0 numpy safetensors transformers==5.* gguf compressed-tensors
    .venv/bin/python Tools/make-quantized-fixtures.py --out Tests/Fixtures/quantized

`gguf/NAME.gguf` holds the checkpoint `../parity/NAME`, written as llama.cpp's converter writes it, with the same numbers; what
transformers computes is in that directory. `gguf-blocks/NAME` and `hf/NAME` are models whose numbers are codes: their
`expected.safetensors` holds what transformers computes from the numbers, and `values` a hash of each tensor's numbers
(FNV-1a with 64 bits over little-endian float32). The numbers come from the `gguf` package; in Hugging Face's formats from
numpy by the formats' definitions, from `compressed-tensors` and from transformers itself where these can.
`gguf-tokenizers/NAME.gguf` holds the tokenizer `../tokenizers/NAME.json`.
"""

import argparse
import importlib.util
import json
import pathlib
import tempfile

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("parity", HERE / "make-parity-fixtures.py")
parity = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parity)
PARITY = HERE.parent / "Tests/Fixtures/parity"

# MARK: GGUF files of the parity checkpoints

CASES = [
    "llama-gqa2", "llama-biases", "llama-tied", "llama-head-dim", "rope-llama3", "rope-linear", "rope-yarn", "mistral-window",
    "qwen2", "qwen3", "qwen3-yarn", "gemma2", "gemma3", "gemma3-linear", "phi3", "phi3-longrope", "phi3-partial", "smollm3", "olmo2",
    "granite", "granite-biases", "gpt2", "starcoder2", "mixtral", "mixtral-window", "qwen2-moe-everywhere", "qwen3-moe",
    "deepseek-v2", "deepseek-v3-plain", "deepseek-v3-yarn", "gpt-oss",
]
ARCHITECTURES = {"mistral": "llama", "mixtral": "llama", "gemma3_text": "gemma3", "qwen2_moe": "qwen2moe",
                 "qwen3_moe": "qwen3moe", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "gpt_oss": "gpt-oss"}
# The families whose queries and keys llama.cpp rotates in pairs of neighbours.
PAIRED = {"llama", "mistral", "mixtral", "smollm3", "granite"}
NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.qkv_proj": "attn_qkv", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.gate_up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down", "ln_1": "attn_norm", "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
    "block_sparse_moe.gate": "ffn_gate_inp", "mlp.gate": "ffn_gate_inp", "mlp.router": "ffn_gate_inp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp", "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "self_attn.kv_b_proj": "attn_kv_b",
    **{f"mlp.{shared}.{part}_proj": f"ffn_{part}_shexp" for shared in ("shared_expert", "shared_experts")
       for part in ("gate", "up", "down")},
}
PARTS = {"w1": "gate", "w2": "down", "w3": "up", "gate_proj": "gate", "up_proj": "up", "down_proj": "down"}
AROUND = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
          "post_feedforward_layernorm": "post_ffw_norm"}
OUTER = {"embed_tokens": "token_embd", "norm": "output_norm", "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}


def gguf_name(name, family):
    """llama.cpp's name of a tensor."""
    if name == "lm_head.weight":
        return "output.weight"
    parts = name.split(".")[1:]
    stem, kind = ".".join(parts[:-1]), parts[-1]
    if kind == "e_score_correction_bias":
        return f"blk.{parts[1]}.exp_probs_b.bias"
    if kind == "sinks":
        return f"blk.{parts[1]}.attn_sinks.weight"
    if parts[0] not in ("layers", "h"):
        return f"{OUTER[stem]}.{kind}"
    if "experts" in parts:  # of all experts of a block, one tensor
        return f"blk.{parts[1]}.ffn_{PARTS[parts[-2]]}_exps.{kind}"
    if family == "gpt_oss" and parts[2] == "post_attention_layernorm":
        return f"blk.{parts[1]}.post_attention_norm.{kind}"
    names = {**NAMES, **AROUND} if family in ("gemma2", "gemma3_text", "olmo2") else NAMES
    return f"blk.{parts[1]}.{names['.'.join(parts[2:-1])]}.{kind}"


def paired(rows, heads):
    """Rows of queries or keys as llama.cpp has them: channel i of a head beside channel i + size / 2."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def stored(name, value, config):
    """A tensor as the converter stores it."""
    family = config["model_type"]
    if family == "gpt2" and value.ndim == 2 and "c_" in name:
        value = value.T
    if family.startswith("gemma") and name.endswith("norm.weight"):
        value = value + 1
    if family in PAIRED and "q_proj" in name:
        value = paired(value, config["num_attention_heads"])
    if family in PAIRED and "k_proj" in name:
        value = paired(value, config["num_key_value_heads"])
    return np.ascontiguousarray(value)


def separated(weights, config):
    """The weights with what llama.cpp's converter takes apart: gates from ups, keys' latents from values'."""
    heads, keys = config.get("num_attention_heads"), config.get("qk_nope_head_dim")
    for name, value in weights.items():
        prefix, _, last = name.rpartition(".")
        if last.startswith("gate_up_proj"):
            kind = "bias" if last.endswith("bias") else "weight"
            for part, first in (("gate", 0), ("up", 1)):
                rows = value[..., first::2]
                yield f"{prefix}.{part}_proj.{kind}", rows if kind == "bias" else rows.transpose(1, 2)
        elif last.startswith("down_proj") and last != "weight":
            kind = "bias" if last.endswith("bias") else "weight"
            yield f"{prefix}.down_proj.{kind}", value if kind == "bias" else value.transpose(1, 2)
        elif "kv_b_proj" in name and config["model_type"] == "deepseek_v3":  # as newer converters do
            both = value.reshape(heads, -1, value.shape[1])
            stem = "blk." + name.split(".")[2]
            yield f"{stem}.attn_k_b.weight", both[:, :keys].transpose(1, 2)
            yield f"{stem}.attn_v_b.weight", both[:, keys:]
        elif name.endswith("shared_expert_gate.weight"):
            yield name, value[0]
        else:
            yield name, value


def tensors(weights, config):
    """llama.cpp's names and numbers of the tensors, and the types in which they were stored."""
    stacks = {}
    for name, value in separated(weights, config):
        array = stored(name, value.float().numpy(), config)
        new = name if name.startswith("blk.") else gguf_name(name, config["model_type"])
        if "_exps." in new and ".experts." in name and name.split(".experts.")[1][0].isdigit():
            expert = int(name.split(".experts.")[1].split(".")[0])
            stacks.setdefault(new, (value.dtype, {}))[1][expert] = array
        else:
            yield new, array, value.dtype
    for new, (dtype, arrays) in stacks.items():
        yield new, np.stack([arrays[expert] for expert in sorted(arrays)]), dtype


def llama3_factors(config):
    """By what the frequencies are divided, as the converter writes it."""
    scaling = config["rope_scaling"]
    size = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    factors = []
    for i in range(0, size, 2):
        length = 2 * np.pi * config["rope_theta"] ** (i / size)
        original = scaling["original_max_position_embeddings"]
        low, high = original / scaling["low_freq_factor"], original / scaling["high_freq_factor"]
        smooth = (original / length - scaling["low_freq_factor"]) / (
            scaling["high_freq_factor"] - scaling["low_freq_factor"])
        if length < high:
            factors.append(1)
        elif length > low:
            factors.append(scaling["factor"])
        else:
            factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def metadata(writer, config, arch):
    """Writes what llama.cpp's converter writes of a config.json."""
    gpt2 = config["model_type"] == "gpt2"
    hidden = config["n_embd" if gpt2 else "hidden_size"]
    heads = config["n_head" if gpt2 else "num_attention_heads"]
    size = config.get("head_dim", hidden // heads)
    writer.add_block_count(config["n_layer" if gpt2 else "num_hidden_layers"])
    writer.add_context_length(config["n_positions" if gpt2 else "max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(config.get("intermediate_size", 4 * hidden))
    writer.add_head_count(heads)
    if not gpt2:
        writer.add_head_count_kv(1 if config["model_type"] == "deepseek_v3" else config["num_key_value_heads"])
        writer.add_rope_freq_base(config["rope_theta"])
        if arch == "deepseek2":
            latents(writer, config)
            size = config["qk_rope_head_dim"]
        elif "head_dim" in config:
            writer.add_key_length(size)
            writer.add_value_length(size)
        writer.add_rope_dimension_count(int(size * config.get("partial_rotary_factor", 1)))
    experts(writer, config)
    if config["model_type"] in ("gpt2", "starcoder2"):
        writer.add_layer_norm_eps(config.get("norm_epsilon", config.get("layer_norm_epsilon")))
    else:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(scaling["factor"])
        if "mscale_all_dim" in scaling:
            writer.add_rope_scaling_yarn_log_mul(0.1 * scaling["mscale_all_dim"])
    if "original_max_position_embeddings" in {**config, **scaling} and kind != "llama3":
        writer.add_rope_scaling_orig_ctx_len({**config, **scaling}["original_max_position_embeddings"])
    if kind == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config))
    if kind == "longrope":
        longer = config["max_position_embeddings"] / config["original_max_position_embeddings"]
        writer.add_rope_scaling_attn_factors(
            float(np.sqrt(1 + np.log(longer) / np.log(config["original_max_position_embeddings"]))))
        for name in ("long", "short"):
            writer.add_tensor(f"rope_factors_{name}.weight", np.array(scaling[name + "_factor"], dtype=np.float32))
    if arch.startswith("gemma"):
        # llama.cpp derives it from the size of heads, which differs in these small models.
        writer.add_float32(f"{arch}.attention.scale", config["query_pre_attn_scalar"] ** -0.5)
        for name in ("attn_logit_softcapping", "final_logit_softcapping"):
            if config.get(name):
                writer.add_float32(f"{arch}.{name}", config[name])
        if "sliding_window_pattern" in config:
            writer.add_uint32(f"{arch}.attention.sliding_window_pattern", config["sliding_window_pattern"])
        if "rope_local_base_freq" in config:
            writer.add_float32(f"{arch}.rope.freq_base_swa", config["rope_local_base_freq"])
    if arch == "granite":
        writer.add_embedding_scale(config["embedding_multiplier"])
        writer.add_residual_scale(config["residual_multiplier"])
        writer.add_attention_scale(config["attention_multiplier"])
        writer.add_logit_scale(config["logits_scaling"])


def latents(writer, config):
    """Writes the sizes of latent attention, in V3 as newer converters do."""
    keys = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
    if config["q_lora_rank"]:
        writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_kv_lora_rank(config["kv_lora_rank"])
    if config["model_type"] == "deepseek_v2":
        writer.add_key_length(keys)
        writer.add_value_length(config["v_head_dim"])
    else:
        writer.add_key_length(config["kv_lora_rank"] + config["qk_rope_head_dim"])
        writer.add_value_length(config["kv_lora_rank"])
        writer.add_key_length_mla(keys)
        writer.add_value_length_mla(config["v_head_dim"])


def experts(writer, config):
    """Writes how many experts there are, and how they are chosen."""
    count = config.get("num_local_experts", config.get("num_experts", config.get("n_routed_experts")))
    if not count:
        return
    writer.add_expert_count(count)
    writer.add_expert_used_count(config["num_experts_per_tok"])
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if "shared_expert_intermediate_size" in config:
        writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])
    if "n_routed_experts" in config:
        writer.add_leading_dense_block_count(config["first_k_dense_replace"])
        writer.add_expert_shared_count(config["n_shared_experts"])
        writer.add_expert_weights_scale(config["routed_scaling_factor"])
        writer.add_expert_weights_norm(config["norm_topk_prob"])
        sigmoid = config["scoring_func"] == "sigmoid"
        if sigmoid:
            writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        if config.get("n_group", 1) > 1:
            writer.add_expert_group_count(config["n_group"])
            writer.add_expert_group_used_count(config["topk_group"])


TYPES = {torch.float32: gguf.GGMLQuantizationType.F32, torch.float16: gguf.GGMLQuantizationType.F16,
         torch.bfloat16: gguf.GGMLQuantizationType.BF16}


def write_gguf(path, config, weights, raw=None, tensors_per_file=0):
    """Writes a model; `raw` has tensors in formats of blocks: name to (bytes, format)."""
    arch = ARCHITECTURES.get(config["model_type"], config["model_type"])
    writer = gguf.GGUFWriter(path, arch, split_max_tensors=tensors_per_file)
    metadata(writer, config, arch)
    for new, array, dtype in tensors(weights, config):
        if raw and new in raw:
            codes, kind = raw[new]
            writer.add_tensor(new, codes, raw_dtype=kind)
        elif array.ndim == 1 or dtype == torch.float32 or "gate_inp" in new or new.endswith("bias"):
            writer.add_tensor(new, array)
        else:
            kind = TYPES[dtype]
            writer.add_tensor(new, gguf.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_gguf(out):
    for name in CASES:
        config = json.loads((PARITY / name / "config.json").read_text())
        write_gguf(out / f"{name}.gguf", config, load_file(PARITY / name / "model.safetensors"))
        print(f"{name:24} {(out / f'{name}.gguf').stat().st_size:7} bytes", flush=True)


def make_parts(out):
    """The same model in three files."""
    name = "llama-gqa2"
    config = json.loads((PARITY / name / "config.json").read_text())
    write_gguf(out / f"{name}.gguf", config, load_file(PARITY / name / "model.safetensors"), tensors_per_file=8)


# MARK: What transformers computes from numbers

def fnv(values):
    """FNV-1a with 64 bits of little-endian float32."""
    hash = 0xCBF29CE484222325
    for byte in np.ascontiguousarray(values, dtype="<f4").tobytes():
        hash = ((hash ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{hash:016x}"


def reference(folder, config, numbers, hashed, generator):
    """Writes expected.safetensors for the plain checkpoint of these numbers; false where the run is no fair test."""
    with tempfile.TemporaryDirectory() as scratch:
        plain = {key: value for key, value in config.items() if key != "quantization_config"}
        parity.write_checkpoint(pathlib.Path(scratch) / "plain", plain, numbers, 1)
        prompt = torch.randint(0, config["vocab_size"], (24,), generator=generator)
        logits = parity.prompt_logits(pathlib.Path(scratch) / "plain", prompt)
        greedy, margin = parity.greedy_run(pathlib.Path(scratch) / "plain", prompt)
    if margin < parity.SMALLEST_MARGIN * float(logits.abs().max()) or len(set(greedy.tolist())) < 12:
        return False
    save_file({"prompt": prompt, "logits": logits.contiguous(), "greedy": greedy, "margin": torch.tensor([margin])},
              folder / "expected.safetensors", metadata={"transformers": transformers.__version__})
    hashes = {name: fnv(value) for name, value in hashed.items()}
    (folder / "values.json").write_text(json.dumps(hashes, indent=1, sort_keys=True) + "\n")
    return True


def drawn(config, generator):
    """Random weights of a model, as the parity checkpoints have them."""
    with tempfile.TemporaryDirectory() as scratch:
        pathlib.Path(scratch, "config.json").write_text(json.dumps(config))
        shape = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(scratch))
    return parity.random_weights(shape, torch.float32, generator)


def tries(name, make):
    """Tries seeds until a run is a fair test."""
    for seed in range(100):
        if make(torch.Generator().manual_seed(seed), np.random.default_rng(seed)):
            print(f"{name:24} seed {seed}", flush=True)
            return
    raise SystemExit(f"{name}: no seed gave a fair test")


# MARK: GGUF files with blocks

def codes(kind, shape, random, scale):
    """Random codes of a format, whose numbers have about a standard deviation: bytes of rows."""
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (shape[0], shape[1] // values, size), dtype=np.uint8)
    half = np.frombuffer(np.float16(1).tobytes(), dtype=np.uint8)
    places = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
              "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": []}[kind.name]
    if kind.name == "MXFP4":
        blocks[..., 0] = random.integers(124, 127, blocks.shape[:-1])
        return blocks.reshape(shape[0], -1)
    for place in places:
        blocks[..., place:place + 2] = half
    flat = blocks.reshape(shape[0], -1)
    deviation = gguf.dequantize(flat, kind).std()
    for i, place in enumerate(places):
        # Offsets take away the mean of the codes, so that numbers of both signs appear.
        d = random.uniform(0.5, 1.5, blocks.shape[:-1]) * scale / deviation
        if kind.name in ("Q4_1", "Q5_1") and i == 1:
            d = -d * (7.5 if kind.name == "Q4_1" else 15.5)
        bits = d.astype(np.float16).view(np.uint16)
        blocks[..., place], blocks[..., place + 1] = bits & 255, bits >> 8
    return blocks.reshape(shape[0], -1)


def make_blocks(out, name, hidden, kinds, family="llama", **options):
    """A model of which each stored matrix has another format."""
    folder = out / name
    folder.mkdir(parents=True)
    config = parity.config(family, hidden_size=hidden, intermediate_size=hidden, num_attention_heads=4,
                           num_key_value_heads=1, num_hidden_layers=2 if hidden < 256 else 1, vocab_size=64, **options)

    def make(generator, random):
        weights = parity.stored_names(drawn(config, generator), family, False)
        parts, numbers_of, formats, following = {}, {}, {}, iter(kinds * 8)
        for key, value in weights.items():
            if value.ndim == 1 or "mlp.gate." in key:
                continue
            new = gguf_name(key, config["model_type"])
            kind = formats.get(new) or formats.setdefault(new, gguf.GGMLQuantizationType[next(following)])
            scale = 0.5 if "embed" in key or "lm_head" in key else 1.6 / np.sqrt(hidden)
            if kind.name in ("F32", "F16", "BF16"):
                rows = gguf.quantize((value * scale / value.std()).numpy(), kind)
            else:
                rows = codes(kind, value.shape, random, scale)
            numbers = gguf.dequantize(rows, kind).astype(np.float32).reshape(value.shape)
            heads = {"q_proj": 4, "k_proj": 1}.get(key.split(".")[-2])
            parts.setdefault(new, []).append(rows)
            if heads and family in PAIRED:  # back to the order of Hugging Face
                numbers = numbers.reshape(heads, numbers.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(numbers.shape)
            weights[key] = torch.from_numpy(numbers.copy())
            numbers_of.setdefault(new, []).append(numbers)
        # Experts' matrices are stored as one.
        raw = {new: (np.stack(rows) if "_exps" in new else rows[0], formats[new]) for new, rows in parts.items()}
        hashed = {new: np.concatenate(numbers) for new, numbers in numbers_of.items()}
        if not reference(folder, config, weights, hashed, generator):
            return False
        write_gguf(folder / "model.gguf", config, weights, raw)
        return True

    tries(name, make)


# MARK: Hugging Face's formats

def words(codes, bits):
    """Packs codes along the first axis, the bits one after the other, into words of 32 bits."""
    flat = codes.T.astype(np.uint8)
    stream = ((flat[..., None] >> np.arange(bits)) & 1).reshape(flat.shape[0], -1)
    stream = stream.reshape(stream.shape[0], -1, 32).astype(np.uint64)
    return (stream << np.arange(32, dtype=np.uint64)).sum(-1).astype(np.uint32).view(np.int32).T.copy()


def grouped(value, bits, size, symmetric):
    """Rounds rows to codes with a scale and a zero point for each group of inputs."""
    rows, columns = value.shape
    parts = value.reshape(rows, columns // size, size)
    top = 2 ** bits - 1
    if symmetric:
        scales = np.abs(parts).max(-1) * 2 / top
        zeros = np.full(scales.shape, 2 ** (bits - 1))
    else:
        low, high = np.minimum(parts.min(-1), 0), np.maximum(parts.max(-1), 0)
        scales = (high - low) / top
        zeros = np.clip(np.round(-low / scales), 0, top).astype(np.int64)
    scales = scales.astype(np.float16).astype(np.float32)
    codes = np.clip(np.round(parts / scales[..., None]) + zeros[..., None], 0, top).astype(np.int64)
    numbers = (codes - zeros[..., None]).astype(np.float32) * scales[..., None]
    return codes.reshape(rows, columns), scales, zeros, numbers.reshape(rows, columns)


def gptq(bits, size, version, order=False):
    def quantize(stem, value, random):
        columns = value.shape[1]
        size_ = columns if size == -1 else size
        places = random.permutation(columns) if order else np.arange(columns)
        sorted_codes, scales, zeros, sorted_numbers = grouped(value[:, places], bits, size_, version == 2)
        codes, numbers = np.empty_like(sorted_codes), np.empty_like(sorted_numbers)
        index = np.empty(columns, dtype=np.int32)
        codes[:, places], numbers[:, places], index[places] = sorted_codes, sorted_numbers, np.arange(columns) // size_
        stored_zeros = (zeros - (1 if version == 1 else 0)) % 2 ** bits
        return numbers, {
            stem + "qweight": words(codes.T, bits), stem + "qzeros": words(stored_zeros, bits).T,
            stem + "scales": scales.T.astype(np.float16), stem + "g_idx": index}

    settings = {"quant_method": "gptq", "bits": bits, "group_size": size, "desc_act": order, "sym": version == 2,
                "checkpoint_format": "gptq" if version == 1 else "gptq_v2", "damp_percent": 0.01, "true_sequential": True}
    return settings, quantize


def awq(size):
    order = [0, 2, 4, 6, 1, 3, 5, 7]

    def pack(codes):  # [rows of words, outputs]
        parts = codes.reshape(codes.shape[0], -1, 8)[..., order].astype(np.uint64)
        return (parts << (4 * np.arange(8, dtype=np.uint64))).sum(-1).astype(np.uint32).view(np.int32)

    def quantize(stem, value, random):
        codes, scales, zeros, numbers = grouped(value, 4, size, False)
        return numbers, {stem + "qweight": pack(codes.T), stem + "qzeros": pack(zeros.T),
                         stem + "scales": scales.T.astype(np.float16)}

    return {"quant_method": "awq", "bits": 4, "group_size": size, "version": "gemm", "zero_point": True}, quantize


def packed(bits, size, symmetric, order=False):
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    def quantize(stem, value, random):
        columns = value.shape[1]
        size_ = size or columns
        places = random.permutation(columns) if order else np.arange(columns)
        sorted_codes, scales, zeros, sorted_numbers = grouped(value[:, places], bits, size_, symmetric)
        codes, numbers = np.empty_like(sorted_codes), np.empty_like(sorted_numbers)
        index = np.empty(columns, dtype=np.int32)
        codes[:, places], numbers[:, places], index[places] = sorted_codes, sorted_numbers, np.arange(columns) // size_
        middle = 2 ** (bits - 1)
        parts = {stem + "weight_packed": pack_to_int32(torch.from_numpy(codes - middle).to(torch.int8), bits).numpy(),
                 stem + "weight_scale": scales, stem + "weight_shape": np.array(value.shape, dtype=np.int64)}
        if not symmetric:
            parts[stem + "weight_zero_point"] = pack_to_int32(
                torch.from_numpy(zeros - middle).to(torch.int8), bits, packed_dim=0).numpy().copy()
        if order:
            parts[stem + "weight_g_idx"] = index
        return numbers, parts

    weights = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group" if size else "channel",
               "group_size": size, "dynamic": False, "actorder": "group" if order else None, "observer": "minmax"}
    return compressed("pack-quantized", weights), quantize


def compressed(format, weights):
    return {"quant_method": "compressed-tensors", "format": format, "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None,
                                          "output_activations": None}},
            "ignore": ["lm_head"], "kv_cache_scheme": None, "global_compression_ratio": None}


def scaled(type, strategy, block=None):
    def quantize(stem, value, random):
        rows, columns = value.shape
        height, width = {"tensor": (rows, columns), "channel": (1, columns), "block": block}[strategy]
        scales = np.array([[np.abs(value[r:r + height, c:c + width]).max() for c in range(0, columns, width)]
                           for r in range(0, rows, height)], dtype=np.float32)
        scales /= 127 if type == "int" else 448
        each = np.kron(scales, np.ones((height, width), dtype=np.float32))[:rows, :columns]
        codes = value / each
        if type == "int":
            codes = torch.from_numpy(np.clip(np.round(codes), -127, 127).astype(np.int8))
        else:
            codes = torch.from_numpy(codes).to(torch.float8_e4m3fn)
        numbers = codes.float().numpy() * each
        return numbers, {stem + "weight": codes, stem + "weight_scale": scales[0] if strategy == "tensor" else scales}

    weights = {"num_bits": 8, "type": type, "symmetric": True, "strategy": strategy, "dynamic": False,
               "block_structure": block}
    return compressed("int-quantized" if type == "int" else "float-quantized", weights), quantize


def fp8(block):
    _, inner = scaled("float", "block", block)

    def quantize(stem, value, random):
        numbers, parts = inner(stem, value, random)
        parts[stem + "weight_scale_inv"] = parts.pop(stem + "weight_scale")
        return numbers, parts

    return {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": list(block)}, quantize


def bitsandbytes():
    def quantize(stem, value, random):
        scb = np.abs(value).max(1).astype(np.float32)
        codes = np.round(value * (127 / scb[:, None])).astype(np.int8)
        # The package multiplies by the nearest float32 to 1 / 127.
        numbers = codes.astype(np.float32) * scb[:, None] * np.float32(1 / 127)
        return numbers, {stem + "weight": codes, stem + "SCB": scb, stem + "weight_format": np.array(0, dtype=np.uint8)}

    return {"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False, "llm_int8_threshold": 6.0}, quantize


def make_hf(out, name, settings, quantize, family="llama"):
    folder = out / name
    folder.mkdir(parents=True)
    blocks = 2 if family == "deepseek_v3" else 1  # one of them dense
    config = parity.config(family, hidden_size=64, intermediate_size=96, num_hidden_layers=blocks, vocab_size=64)
    config["quantization_config"] = settings

    def make(generator, random):
        plain = {key: value for key, value in config.items() if key != "quantization_config"}
        numbers, written, hashed = parity.stored_names(drawn(plain, generator), family, False), {}, {}
        for key, value in list(numbers.items()):
            if "_proj" not in key or not key.endswith(".weight"):
                numbers[key] = value.to(torch.float16).float()
                written[key] = value.to(torch.float16)
                continue
            result, parts = quantize(key.removesuffix("weight"), value.numpy(), random)
            numbers[key] = torch.from_numpy(np.ascontiguousarray(result, dtype=np.float32))
            hashed[key] = result
            for part, array in parts.items():
                written[part] = array if torch.is_tensor(array) else torch.from_numpy(np.ascontiguousarray(array))
        if not reference(folder, config, numbers, hashed, generator):
            return False
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file(written, folder / "model.safetensors", metadata={"format": "pt"})
        if settings["quant_method"] == "fp8" and family == "llama":
            check_fp8(folder, numbers)
        return True

    tries(name, make)


def check_fp8(folder, numbers):
    """transformers itself gives the same numbers."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, quantization_config=transformers.FineGrainedFP8Config(dequantize=True))
    for name, value in model.state_dict().items():
        if name in numbers:
            assert torch.equal(value.float(), numbers[name]), name


def make_mxfp4(out):
    """Tensors of experts and their numbers, which transformers' own decoder gives."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    random = np.random.default_rng(7)
    blocks = torch.from_numpy(random.integers(0, 256, (2, 6, 3, 16), dtype=np.uint8))
    scales = torch.from_numpy(random.integers(100, 140, (2, 6, 3), dtype=np.uint8))
    numbers = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
    if numbers.shape[1] == 96:  # transformers turns the last two axes
        numbers = numbers.transpose(1, 2)
    folder = out / "mxfp4"
    folder.mkdir(parents=True)
    save_file({"experts.up_blocks": blocks, "experts.up_scales": scales}, folder / "model.safetensors")
    settings = parity.config("llama")
    settings["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (folder / "values.json").write_text(json.dumps({"experts.up": fnv(numbers.numpy())}) + "\n")


def make_gpt_oss(out):
    """A model whose experts have codes of MXFP4, which transformers' own decoder turns into numbers."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    folder = out / "gpt-oss"
    folder.mkdir(parents=True)
    config = parity.config("gpt_oss", hidden_size=64, intermediate_size=32, num_hidden_layers=2, vocab_size=64,
                           rope_scaling={"rope_type": "yarn", "factor": 4.0, "beta_fast": 32.0, "beta_slow": 1.0,
                                         "truncate": False, "original_max_position_embeddings": 32})
    config["quantization_config"] = {
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens",
                                   "lm_head"]}

    def make(generator, random):
        plain = {key: value for key, value in config.items() if key != "quantization_config"}
        numbers, written = drawn(plain, generator), {}
        for key, value in list(numbers.items()):
            if not key.endswith(("experts.gate_up_proj", "experts.down_proj")):
                numbers[key] = value.to(torch.bfloat16).float()
                written[key] = value.to(torch.bfloat16)
                continue
            experts, inputs, outputs = value.shape
            blocks = torch.from_numpy(random.integers(0, 256, (experts, outputs, inputs // 32, 16), dtype=np.uint8))
            scales = torch.from_numpy(random.integers(122, 125, (experts, outputs, inputs // 32), dtype=np.uint8))
            decoded = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)
            numbers[key] = (decoded if decoded.shape == value.shape else decoded.transpose(1, 2)).contiguous()
            written[key + "_blocks"], written[key + "_scales"] = blocks, scales
        if not reference(folder, config, numbers, {}, generator):
            return False
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file(written, folder / "model.safetensors", metadata={"format": "pt"})
        return True

    tries("gpt-oss", make)


# MARK: Tokenizers

def make_tokenizers(out):
    """Each tokenizer of the tests' own that a GGUF file can hold."""
    folder = HERE.parent / "Tests/Fixtures/tokenizers"
    words = {"gpt2": "gpt-2", "llama3": "llama-bpe", "qwen2": "qwen2", "tekken": "tekken", "o200k": "gpt-4o"}
    for name, pre in words.items():
        file = json.loads((folder / f"{name}.json").read_text())
        vocabulary = dict(file["model"]["vocab"])
        types = {}
        for token in file["added_tokens"]:
            vocabulary[token["content"]] = token["id"]
            types[token["id"]] = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
        texts = {number: text for text, number in vocabulary.items()}
        writer = gguf.GGUFWriter(out / f"{name}.gguf", "llama")
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list([texts[i] for i in range(len(texts))])
        writer.add_token_types([types.get(i, gguf.TokenType.NORMAL) for i in range(len(texts))])
        writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in file["model"]["merges"]])
        if name == "llama3":
            writer.add_bos_token_id(vocabulary["<|begin_of_text|>"])
        if name == "tekken":
            writer.add_add_bos_token(False)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def make_pieces(out):
    """A tokenizer of SentencePiece with scores, and what transformers' merges and the `tokenizers` package make of texts."""
    import tokenizers
    from tokenizers import decoders, models, normalizers
    from transformers.tokenization_utils_base import generate_merges
    folder = HERE.parent / "Tests/Fixtures/tokenizers"
    texts = json.loads((folder / "hard-cases.json").read_text())["texts"]
    file = json.loads((folder / "llama2.json").read_text())
    vocabulary = file["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    special = {token["content"] for token in file["added_tokens"]}
    scores = [0.0 if token in special or token.startswith("<0x") else float(-i // 2) for i, token in enumerate(tokens)]
    merges = generate_merges(vocabulary, dict(zip(tokens, scores)))
    whole = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    whole.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    whole.add_special_tokens([tokenizers.AddedToken(token, normalized=False, special=True) for token in tokens if token in special])
    writer = gguf.GGUFWriter(out / "pieces.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL if token in special else kinds.BYTE if token.startswith("<0x") else kinds.NORMAL
                            for token in tokens])
    writer.add_bos_token_id(vocabulary["<s>"])
    writer.add_eos_token_id(vocabulary["</s>"])
    writer.add_unk_token_id(vocabulary["<unk>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(
        "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    rows = [whole.encode(text).ids for text in texts]
    (out / "pieces.json").write_text(json.dumps(rows, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="a folder that is not there yet")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    out = arguments.out
    for name in ("gguf", "gguf-blocks", "gguf-parts", "gguf-tokenizers", "hf"):
        (out / name).mkdir(parents=True)
    with torch.no_grad():
        make_gguf(out / "gguf")
        make_parts(out / "gguf-parts")
        make_tokenizers(out / "gguf-tokenizers")
        make_pieces(out / "gguf-tokenizers")
        make_blocks(out / "gguf-blocks", "small", 32, ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "MXFP4", "F16", "BF16", "F32"])
        make_blocks(out / "gguf-blocks", "large", 256, ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"])
        make_blocks(out / "gguf-blocks", "experts", 32, ["Q4_0", "Q8_0", "MXFP4", "Q5_1", "IQ4_NL"], family="qwen3_moe",
                    num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, head_dim=8)
        make_mxfp4(out / "hf")
        hf = {
            "gptq-4": gptq(4, 32, 1), "gptq-4-order": gptq(4, 32, 1, order=True), "gptq-8-v2": gptq(8, 32, 2),
            "gptq-3": gptq(3, 32, 1), "gptq-2-whole": gptq(2, 32, 1), "awq": awq(32),
            "pack-4": packed(4, 32, True), "pack-4-zero-order": packed(4, 32, False, order=True),
            "pack-8-channel": packed(8, None, False), "int8-channel": scaled("int", "channel"),
            "float8-tensor": scaled("float", "tensor"), "float8-block": scaled("float", "block", [32, 48]),
            "fp8": fp8([32, 32]), "bitsandbytes": bitsandbytes(),
        }
        for name, (settings, quantize) in hf.items():
            make_hf(out / "hf", name, settings, quantize)
        make_hf(out / "hf", "deepseek-v3-fp8", *fp8([32, 32]), family="deepseek_v3")
        make_gpt_oss(out / "hf")
    print(sum(file.stat().st_size for file in out.rglob("*") if file.is_file()), "bytes in all")


if __name__ == "__main__":
    main()
