"""The order of columns that several processes computed, against a division as the engine makes it."""

import pytest
import torch

from scx_vllm.columns import ColumnPart, in_order


@pytest.mark.parametrize(("processes", "sizes"), [(1, [6]), (2, [8]), (2, [8, 4, 4]), (4, [8, 12]), (3, [9, 3, 6])])
def test_matrices_divided_by_columns(processes: int, sizes: list[int]) -> None:
    matrices = [torch.randn(5, size) for size in sizes]
    own = [
        torch.cat([torch.chunk(matrix, processes, dim=1)[i] for matrix in matrices], dim=1) for i in range(processes)
    ]
    parts = [ColumnPart(size // processes) for size in sizes]
    assert torch.equal(in_order(torch.cat(own, dim=1), parts, processes), torch.cat(matrices, dim=1))


@pytest.mark.parametrize(("processes", "heads"), [(4, 2), (4, 1), (8, 2)])
def test_keys_of_which_processes_share_copies(processes: int, heads: int) -> None:
    queries, keys, values = torch.randn(3, 2 * processes), torch.randn(3, 3 * heads), torch.randn(3, 3 * heads)
    copies = processes // heads
    own = []
    for i in range(processes):
        head = slice(3 * (i // copies), 3 * (i // copies) + 3)
        own.append(torch.cat([queries[:, 2 * i : 2 * i + 2], keys[:, head], values[:, head]], dim=1))
    parts = [ColumnPart(2), ColumnPart(3, copies), ColumnPart(3, copies)]
    assert torch.equal(in_order(torch.cat(own, dim=1), parts, processes), torch.cat([queries, keys, values], dim=1))
