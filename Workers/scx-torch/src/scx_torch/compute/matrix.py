"""The weights of a site in the format in which they are held."""

from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional

from scx_torch.compute import rounding

FORMATS: Final = ("f32", "bf16", "int8", "int4")
# Whether products of bfloat16 can be had in float32 (PyTorch 2.8).
_HAS_FLOAT_SUMS: Final = hasattr(torch.ops.aten.mm, "dtype")
# Inputs of a row that share a scale when it is rounded for integer weights.
_ROW_GROUPS: Final = {"int8": 128, "int4": 32}
# Bytes of float32 weights that are made at a time for a product.
_BLOCK_BYTES: Final = 64 << 20


@dataclass
class Matrix:
    """Weights `[outputs, inputs]`: float32, bfloat16, int8, or two codes of 4 bits in a byte."""

    format: str
    values: torch.Tensor
    # int8: `[outputs, 1]` float32; int4: `[outputs, groups]` bfloat16.
    scales: torch.Tensor | None
    inputs: int

    @staticmethod
    def round(w: torch.Tensor, form: str) -> "Matrix":
        """Rounds float32 weights to a format."""
        inputs = w.shape[1]
        if form == "f32":
            return Matrix(form, w.contiguous(), None, inputs)
        if form == "bf16":
            return Matrix(form, w.to(torch.bfloat16), None, inputs)
        if form == "int8":
            codes, scales = rounding.round_int8(w)
            return Matrix(form, codes, scales, inputs)
        codes, scales = rounding.round_int4(w)
        nibbles = functional.pad(codes, (0, inputs % 2)).view(torch.uint8) & 15
        return Matrix(form, nibbles[:, 0::2] | nibbles[:, 1::2] << 4, scales, inputs)

    @property
    def outputs(self) -> int:
        """How many outputs there are."""
        return self.values.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        scales = self.scales.nbytes if self.scales is not None else 0
        return self.values.nbytes + scales

    def to(self, device: torch.device) -> "Matrix":
        """The matrix on a device."""
        scales = self.scales.to(device) if self.scales is not None else None
        return Matrix(self.format, self.values.to(device), scales, self.inputs)

    def dequantized(self, first: int = 0, end: int | None = None) -> torch.Tensor:
        """The values of some outputs in float32, as products see them."""
        values = self.values[first:end]
        if self.format == "f32":
            return values
        if self.scales is None:
            return values.to(torch.float32)
        scales = self.scales[first:end].to(torch.float32)
        if self.format == "int8":
            return values.to(torch.float32) * scales
        codes = torch.stack([values & 15, values >> 4], dim=-1).reshape(values.shape[0], -1)
        signed = (codes[:, : self.inputs] ^ 8).to(torch.float32) - 8
        return signed * scales.repeat_interleave(32, dim=1)[:, : self.inputs]

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        """`x [rows, inputs] @ wᵀ` in float32; for integer weights rows are rounded to int8 as well."""
        if self.format == "f32":
            return x @ self.values.T
        if self.format == "bf16":
            # As `scx-worker` does where the processor multiplies bfloat16: products are exact, sums in float32.
            rounded = x.to(torch.bfloat16)
            if x.is_cuda and _HAS_FLOAT_SUMS:
                return torch.mm(rounded, self.values.T, out_dtype=torch.float32)
            x = rounded.to(torch.float32)
        if self.format in _ROW_GROUPS:
            x = rounding.rounded_rows(x, _ROW_GROUPS[self.format])
        step = max(16, _BLOCK_BYTES // (4 * self.inputs))
        if step >= self.outputs:
            return self._part(x, 0, self.outputs)
        starts = range(0, self.outputs, step)
        return torch.cat([self._part(x, first, first + step) for first in starts], dim=1)

    def _part(self, x: torch.Tensor, first: int, end: int) -> torch.Tensor:
        if self.format == "int8" and self.scales is not None:
            # One product of integers' values, scaled afterwards.
            weights = self.values[first:end].to(torch.float32)
            return (x @ weights.T) * self.scales[first:end].T
        return x @ self.dequantized(first, end).T
