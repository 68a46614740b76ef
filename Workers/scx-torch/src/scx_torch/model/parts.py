"""What the readers of several families share."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from scx_torch.model.config import Config
from scx_torch.model.reader import Reader
from scx_torch.model.rope import read_rope

_ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh",
    "quick_gelu": "quick_gelu", "relu": "relu",
}  # fmt: skip


@dataclass(frozen=True)
class Defaults:
    """The reference implementation's values for fields that a configuration lacks."""

    vocabulary: int
    hidden: int = 4_096
    blocks: int = 32
    heads: int = 32
    # None means four times the hidden size.
    feed_forward: int | None = None
    # None means as many as heads.
    kv_heads: int | None = None
    # None means hidden / heads.
    head_size: int | None = None
    longest: int = 2_048
    epsilon: float = 1e-6
    activation: str = "silu"
    tied: bool = False
    rope_base: float = 10_000
    rope_type: str | None = None
    is_partly_rotated: bool = False

    def but(self, **changes: Any) -> "Defaults":
        """A copy with some other values."""
        return replace(self, **changes)


def base(family: str, reader: Reader, defaults: Defaults) -> Config:
    """Reads what all families have; the rest stays as in Llama without biases and windows."""
    hidden = reader.size("hidden_size", 1 << 17) or defaults.hidden
    heads = reader.size("num_attention_heads", 1 << 12) or defaults.heads
    blocks = reader.size("num_hidden_layers", 1 << 10) or defaults.blocks
    absent = reader.if_absent("num_key_value_heads", defaults.kv_heads)
    kv_heads = reader.size("num_key_value_heads", 1 << 12) or absent or heads
    if heads % kv_heads:
        raise reader.fault("num_attention_heads", f"is {heads}, no multiple of {kv_heads} key heads")
    head_size = reader.size("head_dim", 1 << 12) or defaults.head_size
    if head_size is None:
        if hidden % heads:
            raise reader.fault("hidden_size", f"is {hidden}, no multiple of {heads} heads")
        head_size = hidden // heads
    if head_size % 2:
        raise reader.fault("head_dim", f"is {head_size}, but the rotation needs an even number")
    longest = reader.size("max_position_embeddings", 1 << 30) or defaults.longest
    tied = reader.flag("tie_word_embeddings")
    return Config(
        family,
        vocabulary=reader.size("vocab_size", 1 << 24) or defaults.vocabulary,
        hidden=hidden,
        block_count=blocks,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        feed_forward=reader.size("intermediate_size", 1 << 20) or defaults.feed_forward or 4 * hidden,
        epsilon=reader.number("rms_norm_eps", 1e-30) or defaults.epsilon,
        activation=read_activation(reader) or defaults.activation,
        rope=read_rope(reader, head_size, longest, defaults.rope_base, defaults.is_partly_rotated, defaults.rope_type),
        longest=longest,
        tied=defaults.tied if tied is None else tied,
        windows=[None] * blocks,
    )


def read_activation(reader: Reader) -> str | None:
    """The activation by its name in configurations."""
    name = reader.text("hidden_act")
    if name is None:
        return None
    if name not in _ACTIVATIONS:
        raise reader.unsupported(f"activation '{name}' ({reader.name('hidden_act')})", ", ".join(sorted(_ACTIVATIONS)))
    return _ACTIVATIONS[name]


def set_attention_bias(config: Config, reader: Reader) -> None:
    """Gives all projections of the attention a bias if `attention_bias` says so."""
    config.qkv_bias = config.output_bias = reader.flag("attention_bias") or False


def set_qwen_windows(config: Config, reader: Reader) -> None:
    """Windows by `layer_types`, or from `max_window_layers` on, and only with `use_sliding_window`."""
    used = reader.flag("use_sliding_window") or False
    absent = reader.if_absent("sliding_window", 4_096)
    window = reader.size("sliding_window", 1 << 30) or absent
    if reader.value("layer_types") is not None:
        set_windows(config, reader, window if used else None, lambda _: False)
        return
    if not used or window is None:
        return
    first = reader.blocks("max_window_layers")
    first = 28 if first is None else first
    config.windows = [window if block >= first else None for block in range(config.block_count)]


def set_windows(config: Config, reader: Reader, window: int | None, slides: Callable[[int], bool]) -> None:
    """Sets the windows of the blocks that `layer_types` lists as sliding, or that `slides` names without it."""
    types = reader.texts("layer_types")
    if types is None:
        types = ["sliding_attention" if slides(block) else "full_attention" for block in range(config.block_count)]
    if len(types) != config.block_count:
        raise reader.fault("layer_types", f"lists {len(types)} blocks of {config.block_count}")
    for block, kind in enumerate(types):
        if kind == "sliding_attention":
            if window is None:
                raise reader.fault("layer_types", "has sliding_attention, but no sliding window is in use")
            config.windows[block] = window
        elif kind not in ("full_attention", "attention"):
            raise reader.unsupported(f"attention of type '{kind}' (layer_types)", "full_attention, sliding_attention")
