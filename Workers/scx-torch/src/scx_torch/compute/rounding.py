"""How weights and rows are rounded; every step in float32 in the order in which `scx-worker` does it.

The integers of `round_int8` are those of docs/protocol.md, section Integer weights. The client verifies products with its
own, so they must be the same to the last bit.
"""

import numpy as np
import torch

# Below this largest magnitude a row or a group has no inverse, and all of its integers are 0.
TINY = 2.0**-100
_INT4_GROUP = 32
_DIVISORS = (-8.5, -8.0, -7.5, -7.0, 7.0, 7.5)


def byte_scales(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For the last dimension of `x`: the scale, and its inverse, by which the largest magnitude becomes 127."""
    largest = x.abs().amax(dim=-1, keepdim=True)
    seven = torch.full((), 127.0, dtype=torch.float32, device=x.device)
    usable = (largest >= TINY) & torch.isfinite(largest)
    inverse = torch.where(usable, seven / largest, 0.0)
    scale = torch.where(usable, largest / seven, 0.0)
    return torch.where(torch.isfinite(largest), scale, torch.nan), inverse


def round_int8(w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rounds rows `[..., inputs]` of float32 to int8 with one scale for each row, `[..., 1]`."""
    scale, inverse = byte_scales(w)
    codes = torch.round(w * inverse)
    # A row with something that is not finite has no integers.
    return torch.where(torch.isfinite(codes), codes, 0.0).to(torch.int8), scale


def rests(w: torch.Tensor, codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """What the rounding of rows left, for the second plane of an encoder's weights."""
    return w - codes.to(torch.float32) * scale


def round_int4(w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rounds rows `[rows, inputs]` to codes from -8 to 7, and bfloat16 scales `[rows, groups]` of 32 inputs.

    Of a few scales a group takes the one with the least squared error.
    """
    rows, columns = w.shape
    groups = -(-columns // _INT4_GROUP)
    x = torch.nn.functional.pad(w, (0, groups * _INT4_GROUP - columns)).reshape(rows, groups, _INT4_GROUP)
    largest = x.abs().amax(dim=-1, keepdim=True)
    sign = torch.where((x == largest).any(dim=-1, keepdim=True), 1.0, -1.0)
    best = torch.zeros_like(largest)
    best_error = torch.full_like(largest, torch.inf)
    for divisor in _DIVISORS:
        scale = (sign * largest / divisor).to(torch.bfloat16).to(torch.float32)
        scaled = x * (1 / scale)
        error = scaled - torch.round(scaled).clamp(-8, 7)
        squares = (error * error).reshape(rows, groups, 4, 8)
        lanes = ((squares[:, :, 0] + squares[:, :, 1]) + squares[:, :, 2]) + squares[:, :, 3]
        total = lanes[..., 0]
        for lane in range(1, 8):
            total = total + lanes[..., lane]
        ratio = scale / largest
        total = total[..., None] * (ratio * ratio)
        better = total < best_error
        best_error = torch.where(better, total, best_error)
        best = torch.where(better, scale, best)
    codes = torch.round((x * (1 / best)).clamp(-8, 7))
    usable = torch.isfinite(largest) & (largest >= TINY)
    codes = torch.where(usable, codes, 0.0).to(torch.int8)
    scales = torch.where(usable, best, 0.0)
    scales = torch.where(torch.isfinite(largest), scales, torch.nan)
    return codes.reshape(rows, -1)[:, :columns].contiguous(), scales[..., 0].to(torch.bfloat16)


def rounded_rows(x: torch.Tensor, group: int) -> torch.Tensor:
    """Rows as products with integer weights see them: groups of inputs rounded to int8, times their scales."""
    rows, columns = x.shape
    groups = -(-columns // group)
    padded = torch.nn.functional.pad(x, (0, groups * group - columns)).reshape(rows, groups, group)
    codes, scale = round_int8(padded)
    return (codes.to(torch.float32) * scale).reshape(rows, -1)[:, :columns]


def rounded_for_exact_sums(w: torch.Tensor) -> torch.Tensor:
    """Weights `[outputs, inputs]` rounded so that sums of products in float64 are exact.

    Each output's weights become multiples of 2^(e - 28), where 2^e is the smallest power of two above the sum of their
    magnitudes, added up in float64 in the order of the inputs. Returns float32.
    """
    double = w.cpu().numpy().astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.cumsum(np.abs(double), axis=1)[:, -1:]
        usable = np.isfinite(sums) & (sums >= 2.0**-1022) & (sums < 2.0**128)
        _, exponents = np.frexp(np.where(usable, sums, 1.0))
        shift = np.ldexp(1.5 * 2.0**52, exponents - 28)
        rounded = np.where(usable, (double + shift) - shift, double)
    return torch.from_numpy(rounded.astype(np.float32)).to(w.device)
