"""Checkpoints whose tensors are stored as codes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch

from scx_torch.model.reader import Reader

if TYPE_CHECKING:
    from scx_torch.model.checkpoint import Checkpoint
    from scx_torch.model.tensors import Place

# Gives rows `first ..< first + count` of a stored tensor in float32.
Rows: TypeAlias = Callable[[int, int], torch.Tensor]


class Quantized:
    """How the tensors of a checkpoint are stored."""

    def rows(self, checkpoint: "Checkpoint", place: "Place") -> Rows | None:
        """How the rows of a quantised tensor are read; None where this one is stored as it is."""
        raise NotImplementedError


def read_quantization(reader: Reader) -> Quantized | None:
    """Refuses what is not read here."""
    value = reader.value("quantization_config")
    if value is None:
        return None
    method = value.get("quant_method") if isinstance(value, dict) else None
    raise reader.unsupported(f"quantization by '{method}' (quant_method)", "F32, F16 and BF16 weights")
