"""How a checkpoint's matrices are quantised, as `quantization_config` says; docs/quantized.md names what is read.

Which matrices are quantised, the tensors themselves say: one that is stored as plain numbers is read as such. The numbers
that the codes stand for take part in all that follows as if they had been stored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch

from scx_torch.model.reader import Reader

if TYPE_CHECKING:
    from scx_torch.model.checkpoint import Checkpoint
    from scx_torch.model.tensors import Place

# Gives rows `first ..< first + count` of a stored tensor in float32.
Rows: TypeAlias = Callable[[int, int], torch.Tensor]

_METHODS: Final = "awq, bitsandbytes (8 bits), compressed-tensors, fp8, gptq, mxfp4"
_SIZE_LIMIT: Final = 1 << 20
# Fields of the way to the codes, of kernels, and of which tensors are quantised, which the tensors say themselves.
_HARMLESS: Final = frozenset(
    [
        "backend",
        "batch_size",
        "block_name_to_quantize",
        "bnb_4bit_compute_dtype",
        "bnb_4bit_quant_storage",
        "bnb_4bit_quant_type",
        "bnb_4bit_use_double_quant",
        "cache_block_outputs",
        "damp_auto_increment",
        "damp_percent",
        "dataset",
        "do_fuse",
        "exllama_config",
        "fuse_max_seq_len",
        "global_compression_ratio",
        "ignore",
        "ignored_layers",
        "llm_int8_enable_fp32_cpu_offload",
        "llm_int8_skip_modules",
        "llm_int8_threshold",
        "lm_head",
        "max_input_length",
        "meta",
        "mse",
        "model_file_base_name",
        "model_name_or_path",
        "model_seqlen",
        "module_name_preceding_first_block",
        "modules_in_block_to_quantize",
        "modules_to_convert",
        "modules_to_fuse",
        "modules_to_not_convert",
        "pad_token_id",
        "provider",
        "quant_method",
        "quantizer",
        "run_compressed",
        "static_groups",
        "tokenizer",
        "true_sequential",
        "uri",
        "use_cuda_fp16",
        "use_exllama",
        "version",
        "weights_path",
    ]
)


@dataclass(frozen=True)
class Quantized:
    """A scheme: gptq, awq, packed, scaled, bytes or mxfp4."""

    scheme: str
    bits: int = 8
    # Inputs that share a scale; None for all of a row.
    group: int | None = None
    # What GPTQ's first format takes from zero points before it stores them.
    zero_offset: int = 0
    # The name of the scales of `scaled`, and the rows and columns that share one; None for all.
    suffix: str = ""
    block: tuple[int | None, int | None] = (None, None)

    def rows(self, checkpoint: "Checkpoint", place: "Place") -> Rows | None:
        """How the rows of a quantised tensor are read; None where this one is stored as it is."""
        from scx_torch.model.codes import Codes

        return Codes(checkpoint, place.name, place.shape, self).rows()


def read_quantization(outer: Reader) -> Quantized | None:
    """Reads `quantization_config`; a method or an option that is not known is refused by name."""
    value = outer.value("quantization_config")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise outer.fault("quantization_config", "is not an object")
    reader = Reader(outer.path, value, "quantization_config.")
    implied = "bitsandbytes" if True in (reader.flag("load_in_8bit"), reader.flag("load_in_4bit")) else None
    method = reader.text("quant_method") or implied
    if method is None:
        raise reader.fault("quant_method", "is missing")
    if method not in _METHOD_READERS:
        raise reader.unsupported(f"quantization by '{method}' (quant_method)", _METHODS)
    found = _METHOD_READERS[method](reader)
    reader.finish(_HARMLESS)
    return found


def _group(reader: Reader) -> int | None:
    value = reader.value("group_size")
    if value is None or value == -1:
        return None
    return reader.size("group_size", _SIZE_LIMIT)


def _gptq(reader: Reader) -> Quantized:
    bits = reader.size("bits", 32)
    if bits is None:
        raise reader.fault("bits", "is missing")
    if bits not in (2, 3, 4, 8):
        raise reader.unsupported(f"GPTQ with {bits} bits", "2, 3, 4, 8")
    form = reader.text("checkpoint_format") or "gptq"
    newer = reader.text("format") or form
    if form not in ("gptq", "gptq_v2") or newer != form:
        raise reader.unsupported(f"GPTQ in the format '{newer}' (checkpoint_format)", "gptq, gptq_v2")
    if reader.flag("is_marlin_format"):
        raise reader.unsupported("is_marlin_format", "gptq, gptq_v2")
    reader.expect("pack_dtype", ["int32"])
    # Zero points and the order of the inputs are stored beside the codes, whatever these two say.
    reader.flag("sym")
    reader.flag("desc_act")
    return Quantized("gptq", bits, _group(reader), zero_offset=1 if form == "gptq" else 0)


def _awq(reader: Reader) -> Quantized:
    if (bits := reader.size("bits", 32) or 4) != 4:
        raise reader.unsupported(f"AWQ with {bits} bits", "4")
    form = reader.text("format")
    version = reader.text("version") or form or "gemm"
    if version.lower() != "gemm":
        raise reader.unsupported(f"AWQ version '{version}'", "gemm")
    if reader.flag("zero_point") is False:
        raise reader.unsupported("AWQ without zero points (zero_point)", "true")
    return Quantized("awq", 4, _group(reader))


def _fp8(reader: Reader) -> Quantized:
    reader.expect("fmt", ["e4m3"])
    reader.expect("scale_fmt", ["float", "ue8m0"])
    reader.expect("expert_dtype", ["fp8"])
    reader.expect("activation_scheme", ["dynamic", "static"])
    reader.flag("dequantize")
    block = _block(reader, "weight_block_size") or reader.if_absent("weight_block_size", (128, 128))
    return Quantized("scaled", suffix="weight_scale_inv", block=block or (None, None))


def _block(reader: Reader, name: str) -> tuple[int, int] | None:
    """Two sizes: rows and columns."""
    reason = "is not a list of two sizes"
    sizes = reader.integers(name, reason)
    if sizes is None:
        return None
    if len(sizes) != 2 or not all(1 <= size <= _SIZE_LIMIT for size in sizes):
        raise reader.fault(name, reason)
    return sizes[0], sizes[1]


def _bitsandbytes(reader: Reader) -> Quantized:
    for name in ("load_in_4bit", "_load_in_4bit", "llm_int8_has_fp16_weight"):
        if reader.flag(name):
            raise reader.unsupported(f"quantization_config.{name}", "load_in_8bit")
    old = reader.flag("_load_in_8bit")
    if not (reader.flag("load_in_8bit") or old):
        raise reader.fault("load_in_8bit", "is not true")
    return Quantized("bytes")


def _mxfp4(reader: Reader) -> Quantized:
    reader.flag("dequantize")
    return Quantized("mxfp4", 4)


def _compressed(reader: Reader) -> Quantized:
    for name in ("kv_cache_scheme", "sparsity_config", "transform_config"):
        value = reader.value(name)
        is_dense = name == "sparsity_config" and isinstance(value, dict) and value.get("format") == "dense"
        if value not in (None, {}) and not is_dense:
            raise reader.unsupported(f"quantization_config.{name}", "checkpoints without it")
    reader.expect("quantization_status", ["compressed", "frozen"])
    groups = reader.value("config_groups")
    if not isinstance(groups, dict) or len(groups) != 1:
        raise reader.unsupported("config_groups with other than one group", "one")
    name, members = next(iter(groups.items()))
    group = Reader(reader.path, members if isinstance(members, dict) else {}, f"{reader.prefix}config_groups.{name}.")
    if (group.texts("targets") or ["Linear"]) != ["Linear"]:
        raise reader.unsupported("targets other than Linear (config_groups)", "Linear")
    weights = group.value("weights")
    if not isinstance(weights, dict):
        raise group.fault("weights", "is missing")
    own = group.text("format")
    form = reader.text("format") or own or ""
    found = _compressed_weights(Reader(reader.path, weights, group.prefix + "weights."), own or form)
    # What is done to activations is left out.
    group.finish(frozenset({"input_activations"}))
    return found


def _compressed_weights(reader: Reader, form: str) -> Quantized:
    bits, kind = reader.size("num_bits", 32) or 8, reader.text("type") or "int"
    strategy, size = reader.text("strategy") or "tensor", _group(reader)
    block = _block(reader, "block_structure")
    reader.flag("symmetric")
    if reader.value("dynamic") not in (None, False):
        raise reader.unsupported("dynamic weights", "false")
    reader.expect("actorder", ["weight", "group", "static"])
    reader.finish(frozenset({"observer", "observer_kwargs", "scale_dtype", "zp_dtype"}))
    known: dict[str, Any] = {
        "pack-quantized": kind == "int" and bits in (4, 8),
        "int-quantized": kind == "int" and bits == 8,
        "float-quantized": kind == "float" and bits == 8,
        "naive-quantized": bits == 8,
    }
    if not known.get(form):
        raise reader.unsupported(
            f"compressed-tensors '{form}' of type {kind} with {bits} bits",
            "pack-quantized (int, 4 or 8), int-quantized, float-quantized, naive-quantized (8)",
        )
    if strategy == "group" and size is None:
        raise reader.fault("group_size", "is missing")
    if strategy == "block" and block is None:
        raise reader.fault("block_structure", "is missing")
    if form == "pack-quantized" and strategy in ("group", "channel", "tensor"):
        return Quantized("packed", bits, size if strategy == "group" else None)
    blocks: dict[str, tuple[int | None, int | None]] = {
        "tensor": (None, None), "channel": (1, None), "group": (1, size), "block": block or (None, None),
    }  # fmt: skip
    if form == "pack-quantized" or strategy not in blocks:
        raise reader.unsupported(f"strategy '{strategy}'", "tensor, channel, group, block")
    return Quantized("scaled", suffix="weight_scale", block=blocks[strategy])


_METHOD_READERS: Final[dict[str, Callable[[Reader], Quantized]]] = {
    "gptq": _gptq,
    "awq": _awq,
    "compressed-tensors": _compressed,
    "fp8": _fp8,
    "bitsandbytes": _bitsandbytes,
    "mxfp4": _mxfp4,
}
