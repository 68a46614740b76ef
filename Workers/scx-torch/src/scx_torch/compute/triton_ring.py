"""Ring products of few rows on a GPU: one kernel that splits words into bytes itself and reads the weights once.

A program takes a block of outputs and all rows. For each block of inputs it loads the int8 weights once, splits the words
into four signed bytes and multiplies each of the four. The int32 sums are exact, since the inputs are divided where they could
exceed 31 bits: products of bytes on a GPU saturate. They are added with the bytes' weights at the end, and that wraps.
"""

from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    triton: Any
    tl: Any
else:
    try:
        import triton
        import triton.language as tl
    except ImportError:
        triton = None

MOST_ROWS: Final = 16
# Outputs of a program, and inputs that it loads at a time.
BLOCK_OUTPUTS: Final = 32
BLOCK_INPUTS: Final = 256
# Up to these inputs the sums are exact: K · 128 · 127 < 2³¹.
INPUT_LIMIT: Final = 131_072


def is_available() -> bool:
    """Whether Triton and a GPU are there."""
    return triton is not None and torch.cuda.is_available()


if triton is not None:

    @triton.jit
    def _ring_kernel(  # type: ignore[no-untyped-def]
        x, w, y, rows, outputs, inputs, x_stride, w_stride,
        BLOCK_O: tl.constexpr, BLOCK_I: tl.constexpr, ROWS: tl.constexpr,
    ):  # fmt: skip
        o = tl.program_id(0) * BLOCK_O + tl.arange(0, BLOCK_O)
        r = tl.arange(0, ROWS)
        sum0 = tl.zeros((ROWS, BLOCK_O), tl.int32)
        sum1 = tl.zeros((ROWS, BLOCK_O), tl.int32)
        sum2 = tl.zeros((ROWS, BLOCK_O), tl.int32)
        sum3 = tl.zeros((ROWS, BLOCK_O), tl.int32)
        for first in range(0, inputs, BLOCK_I):
            i = first + tl.arange(0, BLOCK_I)
            weights = tl.load(
                w + o[None, :].to(tl.int64) * w_stride + i[:, None],
                mask=(o[None, :] < outputs) & (i[:, None] < inputs),
                other=0,
            )
            words = (
                tl.load(
                    x + r[:, None] * x_stride + i[None, :],
                    mask=(r[:, None] < rows) & (i[None, :] < inputs),
                    other=0,
                ).to(tl.int64)
                + 0x80808080
            )
            # The bytes of a word that has 128 added to each of them are the signed bytes plus 128.
            limb0 = ((words & 0xFF) - 128).to(tl.int8)
            limb1 = (((words >> 8) & 0xFF) - 128).to(tl.int8)
            limb2 = (((words >> 16) & 0xFF) - 128).to(tl.int8)
            limb3 = (((words >> 24) & 0xFF) - 128).to(tl.int8)
            sum0 = tl.dot(limb0, weights, acc=sum0, out_dtype=tl.int32)
            sum1 = tl.dot(limb1, weights, acc=sum1, out_dtype=tl.int32)
            sum2 = tl.dot(limb2, weights, acc=sum2, out_dtype=tl.int32)
            sum3 = tl.dot(limb3, weights, acc=sum3, out_dtype=tl.int32)
        result = sum0 + (sum1 << 8) + (sum2 << 16) + (sum3 << 24)
        tl.store(
            y + r[:, None] * outputs + o[None, :], result,
            mask=(r[:, None] < rows) & (o[None, :] < outputs),
        )  # fmt: skip


def product(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Multiplies up to 16 rows of words `[rows, inputs]` int32 by weights `[outputs, inputs]` int8 on a GPU."""
    total = _part(x[:, :INPUT_LIMIT], w[:, :INPUT_LIMIT])
    for first in range(INPUT_LIMIT, x.shape[1], INPUT_LIMIT):
        part = slice(first, first + INPUT_LIMIT)
        total += _part(x[:, part], w[:, part])
    return total


def _part(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    rows, inputs = x.shape
    outputs = w.shape[0]
    y = torch.empty(rows, outputs, dtype=torch.int32, device=x.device)
    _ring_kernel[(-(-outputs // BLOCK_OUTPUTS),)](
        x, w, y, rows, outputs, inputs, x.stride(0), w.stride(0),
        BLOCK_O=BLOCK_OUTPUTS, BLOCK_I=BLOCK_INPUTS, ROWS=MOST_ROWS,
    )  # fmt: skip
    return y
