"""The formats in which GGUF files store numbers, a few of a row together; the layouts are those of ggml-common.h.

Every operation is rounded to float32, in the order of the formats' definition, so that all processors get the same bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# The numbers that the codes 0 … 15 of IQ4_NL and IQ4_XS stand for.
_UNEVEN: Final = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
# Twice the numbers of E2M1; unlike that of other checkpoints its second zero has no sign.
_DOUBLED: Final = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)


@dataclass(frozen=True)
class Format:
    """A format: how many numbers and bytes a block has, and the numbers `[blocks, values]` of `[blocks, bytes]`."""

    name: str
    values: int
    bytes: int
    read: Callable[[Bytes], Floats]


def format_name(number: int) -> str:
    """ggml's name of a format, as far as it is known."""
    return FORMATS[number].name if number in FORMATS else _OTHERS.get(number, f"number {number}")


def _float(values: npt.NDArray[Any]) -> Floats:
    return values.astype(np.float32)


def _half(b: Bytes, at: int) -> Floats:
    """The number in two bytes of each block, `[blocks, 1]`."""
    return _float(np.ascontiguousarray(b[:, at : at + 2]).view("<f2"))


def _nibbles(b: Bytes) -> Bytes:
    """The low halves of bytes, then their high halves."""
    return np.concatenate([b & 15, b >> 4], axis=1)


def _bits(b: Bytes, width: int) -> Bytes:
    """The fields of some bits of bytes `[blocks, n]`, first the lowest of all bytes: `[blocks, fields, n]`."""
    shifts = np.arange(0, 8, width, dtype=np.uint8)
    fields: Bytes = b[:, None, :] >> shifts[None, :, None] & np.uint8((1 << width) - 1)
    return fields


# Numbers stored one by one


def _f32(b: Bytes) -> Floats:
    return np.ascontiguousarray(b).view("<f4").astype(np.float32)


def _f16(b: Bytes) -> Floats:
    return _half(b, 0)


def _bf16(b: Bytes) -> Floats:
    return (np.ascontiguousarray(b).view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


# Blocks of 32. The first sixteen are in the low halves of the bytes, the others in the high halves.


def _q4_0(b: Bytes) -> Floats:
    return _half(b, 0) * (_float(_nibbles(b[:, 2:])) - np.float32(8))


def _q4_1(b: Bytes) -> Floats:
    return _half(b, 0) * _float(_nibbles(b[:, 4:])) + _half(b, 2)


def _five_bits(b: Bytes, at: int) -> Bytes:
    """32 codes of five bits: the fifth in bit i of four bytes, the others in the sixteen bytes after these."""
    fifth = _bits(b[:, at : at + 4], 1).transpose(0, 2, 1).reshape(-1, 32)
    return _nibbles(b[:, at + 4 :]) | fifth << np.uint8(4)


def _q5_0(b: Bytes) -> Floats:
    return _half(b, 0) * (_float(_five_bits(b, 2)) - np.float32(16))


def _q5_1(b: Bytes) -> Floats:
    return _half(b, 0) * _float(_five_bits(b, 4)) + _half(b, 2)


def _q8_0(b: Bytes) -> Floats:
    return _float(b[:, 2:].view(np.int8)) * _half(b, 0)


def _iq4_nl(b: Bytes) -> Floats:
    return _half(b, 0) * _UNEVEN[_nibbles(b[:, 2:])]


def _mxfp4(b: Bytes) -> Floats:
    # 2^(exponent - 128), subnormal where it must be.
    exponents = b[:, :1].astype(np.uint32)
    small = np.uint32(0x200000) << np.minimum(exponents, np.uint32(1))
    powers = np.where(exponents < 2, small, (exponents - np.uint32(1)) << np.uint32(23)).astype(np.uint32)
    return powers.view(np.float32) * _DOUBLED[_nibbles(b[:, 1:])]


# Blocks of 256, of which 16 or 32 share a scale that is itself an integer times that of the block.


def _scaled(scales: Floats, codes: npt.NDArray[Any], offsets: Floats | None = None) -> Floats:
    """`scale · code - offset`, with a scale and an offset `[blocks, groups]` for each group of the codes of a block."""
    blocks, groups = scales.shape
    values = scales[:, :, None] * _float(codes.reshape(blocks, groups, -1))
    if offsets is not None:
        values = values - offsets[:, :, None]
    return values.reshape(blocks, -1)


def _two_bits(b: Bytes) -> Bytes:
    """256 codes of two bits: each 32 bytes hold four times 32."""
    return _bits(b.reshape(-1, 32), 2).reshape(-1, 256)


def _q2_k(b: Bytes) -> Floats:
    scales = _half(b, 80) * _float(b[:, :16] & 15)
    return _scaled(scales, _two_bits(b[:, 16:80]), _half(b, 82) * _float(b[:, :16] >> 4))


def _q3_k(b: Bytes) -> Floats:
    four, two = _nibbles(b[:, 96:104]), _bits(b[:, 104:108], 2).reshape(-1, 16)
    scales = _half(b, 108) * (_float(four | two << 4) - np.float32(32))
    third = _bits(b[:, :32], 1).reshape(-1, 256)
    return _scaled(scales, _two_bits(b[:, 32:96]).astype(np.int8) - 4 * (1 - third.astype(np.int8)))


def _groups(b: Bytes) -> tuple[Floats, Floats]:
    """The scales and the offsets of the eight groups of Q4_K and Q5_K, six bits each."""
    x, y, z = b[:, 4:8], b[:, 8:12], b[:, 12:16]
    scales = np.concatenate([x & 63, z & 15 | x >> 2 & 48], axis=1)
    offsets = np.concatenate([y & 63, z >> 4 | y >> 2 & 48], axis=1)
    return _half(b, 0) * _float(scales), _half(b, 2) * _float(offsets)


def _four_bits(b: Bytes, size: int) -> Bytes:
    """256 codes of four bits: each `size` bytes hold twice `size`, first those in the low halves."""
    return _nibbles(b.reshape(-1, size)).reshape(-1, 256)


def _q4_k(b: Bytes) -> Floats:
    scales, offsets = _groups(b)
    return _scaled(scales, _four_bits(b[:, 16:], 32), offsets)


def _q5_k(b: Bytes) -> Floats:
    scales, offsets = _groups(b)
    fifth = _bits(b[:, 16:48], 1).reshape(-1, 256)
    return _scaled(scales, _four_bits(b[:, 48:], 32) | fifth << 4, offsets)


def _q6_k(b: Bytes) -> Floats:
    codes = _four_bits(b[:, :128], 64) | _two_bits(b[:, 128:192]) << 4
    return _scaled(_half(b, 208) * _float(b[:, 192:208].view(np.int8)), codes.astype(np.int16) - 32)


def _iq4_xs(b: Bytes) -> Floats:
    # Bits 2g and 2g + 1 of two bytes belong to group g.
    four, two = _bits(b[:, 4:8], 4).transpose(0, 2, 1).reshape(-1, 8), _bits(b[:, 2:4], 2).transpose(0, 2, 1)
    scales = _half(b, 0) * (_float(four | two.reshape(-1, 8) << 4) - np.float32(32))
    return _scaled(scales, _UNEVEN[_four_bits(b[:, 8:], 16)])


# By the numbers of the enumeration `ggml_type`.
FORMATS: Final = {
    0: Format("F32", 1, 4, _f32),
    1: Format("F16", 1, 2, _f16),
    2: Format("Q4_0", 32, 18, _q4_0),
    3: Format("Q4_1", 32, 20, _q4_1),
    6: Format("Q5_0", 32, 22, _q5_0),
    7: Format("Q5_1", 32, 24, _q5_1),
    8: Format("Q8_0", 32, 34, _q8_0),
    10: Format("Q2_K", 256, 84, _q2_k),
    11: Format("Q3_K", 256, 110, _q3_k),
    12: Format("Q4_K", 256, 144, _q4_k),
    13: Format("Q5_K", 256, 176, _q5_k),
    14: Format("Q6_K", 256, 210, _q6_k),
    20: Format("IQ4_NL", 32, 18, _iq4_nl),
    23: Format("IQ4_XS", 256, 136, _iq4_xs),
    30: Format("BF16", 1, 2, _bf16),
    39: Format("MXFP4", 32, 17, _mxfp4),
}
_OTHERS: Final = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S",
    24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 40: "NVFP4",
}  # fmt: skip
