"""Products of integers modulo 2³² by int8 weights; docs/protocol.md, kind `linearRing`.

Every function gives the same words: `y[r, o] = Σ_i x[r, i] · w[o, i] mod 2³²`. Tensors of words are int32, since PyTorch
computes little with uint32; the bits are the same.
"""

import functools
import sys
from collections.abc import Callable
from typing import Final, TypeAlias

import torch

from scx_torch.compute import triton_ring

Product: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Up to these inputs the int32 sums of products of two signed bytes are exact: K · 128 · 127 < 2³¹.
INT8_LIMIT: Final = 131_072
# `torch._int_mm` takes more than 16 rows on a GPU, and multiples of 8.
INT_MM_ROWS: Final = 17
_INT_MM_MULTIPLE: Final = 8
# 128 in each byte of a word.
_SIGNS: Final = 0x80808080 - (1 << 32)
# Rows of words that are multiplied at once, so that limbs and sums take little memory.
_ROW_BLOCK: Final = 4_096


def ring_product(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Multiplies words `[rows, inputs]` int32 by weights `[outputs, inputs]` int8."""
    if x.shape[0] > _ROW_BLOCK:
        return torch.cat([ring_product(part, w) for part in torch.split(x, _ROW_BLOCK)])
    return product_for(x.device.type, x.shape[0] < INT_MM_ROWS)(x, w)


@functools.cache
def product_for(kind: str, is_few: bool) -> Product:
    """The product for a kind of device and for few or many rows: the first of the fast ones that is exact there."""
    candidates: list[Product] = []
    if kind == "cuda":
        candidates = [triton_ring.product] if is_few and triton_ring.is_available() else []
    if kind == "cuda" or _has_byte_products():
        candidates.append(product_of_bytes)
    for candidate in candidates:
        if is_exact(candidate, kind):
            return candidate
    return product_of_doubles


def _has_byte_products() -> bool:
    """Whether this processor has products of signed bytes (VNNI).

    Without such instructions a library may add pairs of products in 16 bits, which saturate.
    """
    supports = getattr(torch.cpu, "_is_vnni_supported", None) or getattr(torch.cpu, "_is_avx512_vnni_supported", None)
    return supports is not None and bool(supports())


def is_exact(product: Product, kind: str) -> bool:
    """Whether a product gives the integers of float64 at the edges of words and weights, on a kind of device."""
    edges = [-(2**31), 2**31 - 1, 0x7F7F7F7F, -0x7F7F7F80, 0x00808080, -1, 0]
    for inputs in (8, 70, 1_024):
        x = torch.tensor(edges, dtype=torch.int32).repeat(inputs)[: 3 * inputs].reshape(3, inputs)
        w = torch.stack([torch.full((inputs,), value, dtype=torch.int8) for value in (127, -127, 1)])
        try:
            found = product(x.to(kind), w.to(kind)).cpu()
        except Exception as error:
            # A kernel that cannot be compiled or run here: there is another way.
            name, reason = getattr(product, "__module__", ""), str(error).splitlines()[:1]
            sys.stderr.write(f"scx-torch-worker: {name} is not used here: {type(error).__name__} {reason}\n")
            return False
        if not torch.equal(found, product_of_doubles(x, w)):
            sys.stderr.write(f"scx-torch-worker: {product.__module__} is not used here: its products are not exact\n")
            return False
    return True


def words_of(sums: torch.Tensor) -> torch.Tensor:
    """The low 32 bits of int64 numbers, as int32."""
    return ((sums & 0xFFFFFFFF) ^ 0x80000000).sub_(0x80000000).to(torch.int32)


# Outputs of float64 weights that are made at a time, and inputs up to which their sums are exact:
# 2¹⁶ · 127 · K < 2⁵³.
_DOUBLE_BYTES: Final = 64 << 20
_DOUBLE_LIMIT: Final = 1 << 30


def product_of_doubles(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """The product by two exact products in float64, of the words' halves of 16 bits."""
    rows, inputs = x.shape
    if inputs > _DOUBLE_LIMIT:
        raise ValueError(f"a site of {inputs} inputs, at most {_DOUBLE_LIMIT}")
    low = (x & 0xFFFF).to(torch.float64)
    high = (x >> 16).to(torch.float64)
    halves = torch.cat([low, high])
    result = torch.empty(rows, w.shape[0], dtype=torch.int32, device=x.device)
    step = max(16, _DOUBLE_BYTES // (8 * inputs))
    for first in range(0, w.shape[0], step):
        part = w[first : first + step].to(torch.float64)
        sums = (halves @ part.T).to(torch.int64)
        result[:, first : first + step] = words_of(sums[:rows] + (sums[rows:] << 16))
    return result


def byte_limbs(x: torch.Tensor) -> torch.Tensor:
    """Splits words `[rows, inputs]` into four signed bytes each, `[4, rows, inputs]` int8, the lowest first.

    A word is Σ limb_k · 2^(8k) mod 2³². A byte of 128 or more is 256 less, and carries into the next; the carry of the
    highest falls out.
    """
    # Adding 128 to each byte with its carries, and changing each byte's highest bit, makes the bytes signed. int32 sums
    # wrap, on every device.
    signed = (x.contiguous() + _SIGNS) ^ _SIGNS
    return signed.view(torch.int8).reshape(*x.shape, 4).permute(2, 0, 1).contiguous()


def combine_limbs(sums: torch.Tensor) -> torch.Tensor:
    """Adds the sums of the limbs `[4, rows, outputs]` int32 with their weights, modulo 2³²."""
    # The sums are this function's to change, since they are as large as four results.
    total = sums[3]
    for limb in (sums[2], sums[1], sums[0]):
        total = total.bitwise_left_shift_(8).add_(limb)
    return total


def product_of_bytes(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """The product by int8 products of the words' bytes, stacked as `[4 · rows, inputs]`."""
    rows, inputs = x.shape
    stacked = byte_limbs(x).reshape(4 * rows, inputs)
    total: torch.Tensor | None = None
    for first in range(0, inputs, INT8_LIMIT):
        part = slice(first, first + INT8_LIMIT)
        sums = _int_mm(stacked[:, part], w[:, part]).reshape(4, rows, w.shape[0])
        combined = combine_limbs(sums)
        total = combined if total is None else total + combined
    assert total is not None
    return total


def _int_mm(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """`a @ w.T` of int8 in int32; pads what `torch._int_mm` does not take."""
    rows, inputs = a.shape
    outputs = w.shape[0]
    more_rows = max(0, INT_MM_ROWS - rows)
    more_inputs, more_outputs = -inputs % _INT_MM_MULTIPLE, -outputs % _INT_MM_MULTIPLE
    if more_rows or more_inputs:
        a = torch.nn.functional.pad(a, (0, more_inputs, 0, more_rows))
    if more_inputs or more_outputs:
        w = torch.nn.functional.pad(w, (0, more_inputs, 0, more_outputs))
    result: torch.Tensor = torch._int_mm(a.contiguous(), w.contiguous().T)
    return result[:rows, :outputs]
