"""The rotary position embedding, and how it is stretched beyond the trained context.

Frequencies are computed in float32 in the order of operations of `modeling_rope_utils.py` of transformers 5.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from scx_torch.model.reader import Reader

Floats = npt.NDArray[np.float32]
f32 = np.float32
_ORIGINAL: Final = "original_max_position_embeddings"
_OTHER: Final = frozenset(
    [
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "factor",
        "finetuned",
        "high_freq_factor",
        "long_factor",
        "long_mscale",
        "low_freq_factor",
        "mscale",
        "mscale_all_dim",
        "original_max_position_embeddings",
        "short_factor",
        "short_mscale",
        "truncate",
    ]
)


@dataclass(frozen=True)
class Yarn:
    """The parameters of YaRN (Peng et al. 2023, section 3)."""

    factor: float
    original: int
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all: float | None = None
    beta_fast: float = 32
    beta_slow: float = 1
    truncate: bool = True

    def magnitude(self, mscale: float) -> float:
        """The factor of queries and keys that belongs to a longer context."""
        return 1 if self.factor <= 1 else 0.1 * mscale * math.log(self.factor) + 1


@dataclass(frozen=True)
class Rope:
    """What a configuration says of a rotary embedding."""

    base: float
    dimension: int
    kind: str = "default"
    factor: float = 1
    original: int = 0
    low: float = 1
    high: float = 1
    short_factors: tuple[float, ...] = ()
    long_factors: tuple[float, ...] = ()
    attention_factor: float | None = None
    yarn: Yarn | None = None

    @property
    def magnitude(self) -> np.float32:
        """The factor of cosines and sines."""
        if self.kind == "longrope":
            if self.attention_factor is not None:
                return f32(self.attention_factor)
            return f32(1 if self.factor <= 1 else math.sqrt(1 + math.log(self.factor) / math.log(self.original)))
        if self.yarn is None:
            return f32(1)
        y = self.yarn
        if y.attention_factor is not None:
            return f32(y.attention_factor)
        if y.mscale and y.mscale_all:
            return f32(y.magnitude(y.mscale) / y.magnitude(y.mscale_all))
        return f32(y.magnitude(1))

    def frequencies(self, length: int) -> Floats:
        """The angle per position of each pair of channels, in a sequence of `length` tokens."""
        powers = self._powers(f32(self.base))
        plain = f32(1) / powers
        match self.kind:
            case "linear":
                return plain / f32(self.factor)
            case "dynamic" if length > self.original:
                stretch = f32(self.factor) * f32(length) / f32(self.original) - f32(self.factor - 1)
                power = f32(float(stretch) ** float(f32(self.dimension / (self.dimension - 2))))
                return f32(1) / self._powers(f32(self.base) * power)
            case "llama3":
                return self._llama3(plain)
            case "longrope":
                factors = self.long_factors if length > self.original else self.short_factors
                return f32(1) / (np.array(factors, f32) * powers)
            case "yarn":
                return self._yarn(powers)
        return plain

    def _powers(self, base: np.float32) -> Floats:
        """`base^(2i / dimension)` for each pair i."""
        exponents = np.arange(0, self.dimension, 2).astype(f32) / f32(self.dimension)
        return np.power(np.float64(base), exponents.astype(np.float64)).astype(f32)

    def _llama3(self, plain: Floats) -> Floats:
        waves = f32(2 * math.pi) / plain
        smooth = (f32(self.original) / waves - f32(self.low)) / f32(self.high - self.low)
        mixed = (f32(1) - smooth) * plain / f32(self.factor) + smooth * plain
        result = np.where(waves > f32(self.original / self.low), plain / f32(self.factor), mixed)
        short = waves < f32(self.original / self.high)
        return np.asarray(np.where(short, plain, result), f32)

    def _yarn(self, powers: Floats) -> Floats:
        y = self.yarn
        assert y is not None

        def channel(rotations: float) -> float:
            turns = math.log(y.original / (rotations * 2 * math.pi))
            return self.dimension * turns / (2 * math.log(self.base))

        low, high = channel(y.beta_fast), channel(y.beta_slow)
        if y.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, self.dimension - 1)
        if low == high:
            high += 0.001
        steps = np.arange(self.dimension // 2).astype(f32)
        ramp = np.clip((steps - f32(low)) / f32(high - low), f32(0), f32(1))
        kept = f32(1) - ramp
        stretched = f32(1) / (f32(y.factor) * powers) * (f32(1) - kept)
        return np.asarray(stretched + f32(1) / powers * kept, f32)

    def angles(self, positions: range) -> tuple[Floats, Floats]:
        """Cosines and sines `[positions, dimension / 2]` of positions of one sequence."""
        frequencies = self.frequencies(positions.stop)
        angles = np.array(positions, f32)[:, None] * frequencies[None, :]
        double = angles.astype(np.float64)
        magnitude = self.magnitude
        return np.cos(double).astype(f32) * magnitude, np.sin(double).astype(f32) * magnitude


def read_rope(
    reader: Reader, head_size: int, longest: int, base: float, is_partial: bool = False, kind_of: str | None = None
) -> Rope:
    """Reads the old spelling (`rope_theta`, `rope_scaling`) and the new one (`rope_parameters`).

    `kind_of` is the kind of block for families whose `rope_parameters` have an object for each.
    """
    name = "rope_scaling"
    if reader.value(name) in (None, {}):
        name = "rope_parameters"
    members = reader.value(name) if reader.value(name) is not None else {}
    if kind_of and isinstance(members, dict) and isinstance(members.get(kind_of), dict):
        members, name = members[kind_of], f"{name}.{kind_of}"
    if not isinstance(members, dict):
        raise reader.fault(name, "is not an object")
    if any(isinstance(value, dict) for value in members.values()):
        raise reader.unsupported(f"a rotation that differs between blocks ({name})", "one for all blocks")
    own = Reader(reader.path, members, name + ".")
    own_base, outer_base = own.number("rope_theta", 1.0001), reader.number("rope_theta", 1.0001)
    own_part = own.number("partial_rotary_factor", 0)
    dimension = head_size
    if is_partial:
        outer_part = reader.number("partial_rotary_factor", 0)
        part = outer_part if outer_part is not None else own_part if own_part is not None else 1
        dimension = int(head_size * min(part, 1))
        if dimension < 2 or dimension % 2:
            raise reader.fault("partial_rotary_factor", f"rotates {dimension} of {head_size} channels")
    old = own.text("type")
    kind = own.text("rope_type") or old or "default"
    if not is_partial and kind != "default" and own_part not in (None, 1):
        raise reader.unsupported(f"partial_rotary_factor {own_part} with {kind} scaling", "1")
    rope_base = own_base or outer_base or base
    rope = _scaled(kind, reader, own, Rope(rope_base, dimension), longest)
    own.finish(_OTHER)
    return rope


def _scaled(kind: str, reader: Reader, own: Reader, plain: Rope, longest: int) -> Rope:
    def required(name: str) -> float:
        value = own.number(name, 1e-6)
        if value is None:
            raise own.fault(name, "is missing")
        return value

    # A length beside the parameters takes precedence, as in the reference implementation.
    outer, inner = reader.size(_ORIGINAL, 1 << 30), own.size(_ORIGINAL, 1 << 30)
    original = outer or inner or longest
    base, dimension = plain.base, plain.dimension
    match kind:
        case "default":
            return plain
        case "linear":
            return Rope(base, dimension, "linear", required("factor"))
        case "dynamic":
            if dimension <= 2:
                raise reader.fault("head_dim", "is too small for dynamic scaling")
            return Rope(base, dimension, "dynamic", required("factor"), longest)
        case "llama3":
            low, high = required("low_freq_factor"), required("high_freq_factor")
            if high <= low:
                raise own.fault("high_freq_factor", "is not above low_freq_factor")
            return Rope(base, dimension, "llama3", required("factor"), original, low, high)
        case "longrope" | "su":
            factor = own.number("factor", 1e-6)
            if outer is None and inner is None:
                raise own.fault(_ORIGINAL, "is missing")
            return Rope(
                base, dimension, "longrope", longest / original if factor is None else factor, original,
                short_factors=_factors(own, "short_factor", dimension),
                long_factors=_factors(own, "long_factor", dimension),
                attention_factor=own.number("attention_factor", 0),
            )  # fmt: skip
        case "yarn":
            factor = own.number("factor", 1e-6)
            truncate = own.flag("truncate")
            yarn = Yarn(
                longest / original if factor is None else factor, original, own.number("attention_factor", 0),
                own.number("mscale", 0) or None, own.number("mscale_all_dim", 0) or None,
                own.number("beta_fast", 0) or 32, own.number("beta_slow", 0) or 1,
                True if truncate is None else truncate,
            )  # fmt: skip
            return Rope(base, dimension, "yarn", yarn=yarn)
    raise reader.unsupported(
        f"rotation of type '{kind}' ({own.prefix[:-1]})", "default, linear, dynamic, llama3, longrope, yarn"
    )


def _factors(own: Reader, name: str, dimension: int) -> tuple[float, ...]:
    values = own.value(name)
    is_list = isinstance(values, list) and len(values) == dimension // 2
    if not is_list or not all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 3e38 for value in values
    ):
        raise own.fault(name, f"is not a list of {dimension // 2} positive numbers")
    return tuple(float(value) for value in values)
