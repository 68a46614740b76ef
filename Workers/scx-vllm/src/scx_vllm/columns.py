"""The order of columns that several processes computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ColumnPart:
    """A matrix of a fused product: the columns that each process has of it.

    Where there are more processes than heads of keys, `copies` processes after each other have the same columns.
    """

    width: int
    copies: int = 1


def in_order(gathered: torch.Tensor, parts: Sequence[ColumnPart], processes: int) -> torch.Tensor:
    """Puts `[rows, processes · own]`, the results of processes side by side, in the order of the matrices.

    Each process's own columns are those of its parts one after the other. The result has the first matrix's columns of
    all processes, then the second's, and of copies only the first.
    """
    rows = gathered.reshape(gathered.shape[0], processes, -1)
    result: list[torch.Tensor] = []
    first = 0
    for part in parts:
        own = rows[:, :: part.copies, first : first + part.width]
        result.append(own.reshape(gathered.shape[0], -1))
        first += part.width
    return torch.cat(result, dim=1) if len(result) > 1 else result[0]
