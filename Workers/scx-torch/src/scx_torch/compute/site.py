"""A site: its matrices, its bias, and which of its columns or groups this process holds."""

from dataclasses import dataclass, field

import torch

from scx_torch.compute import ring, rounding
from scx_torch.compute.matrix import Matrix
from scx_torch.compute.parallel import Team

# Outputs of an exact product that are made at a time, since a copy of all weights in float64 would take much memory.
_EXACT_OUTPUTS = 4_096


@dataclass
class LinearSite:
    """Weights of one fused product.

    A site of one matrix is divided by columns among the processes of a team, a site of several by its groups.
    """

    # This process's matrices `[outputs, inputs]`; the number of the first among all groups of the site.
    matrices: list[Matrix]
    first_group: int
    groups: int
    # Columns that this worker holds, in each group and in all planes.
    columns: int
    # Columns of the whole site's result, in each group.
    outputs: int
    inputs: int
    planes: int
    # `[groups · outputs]`, or None.
    bias: torch.Tensor | None
    team: Team
    _exact: torch.Tensor | None = field(default=None, repr=False)

    @property
    def ring_outputs(self) -> int:
        """Channels of a ring product of all groups."""
        return self.groups * self.columns

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        """Multiplies rows `[rows, groups · inputs]` and adds the bias."""
        if self.groups > 1:
            rows = x.reshape(x.shape[0], self.groups, self.inputs)
            own = [
                self._added(matrix.multiply(rows[:, self.first_group + i])) for i, matrix in enumerate(self.matrices)
            ]
            return self._together(own, x)
        return self._added(self.team.gather(self.matrices[0].multiply(x), self.columns), self.bias)

    def _added(self, wide: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """The products of a group with the bias; those of both planes of a site of two are added."""
        first = wide[:, : self.outputs]
        if bias is not None:
            first = first + bias
        return first if self.planes == 1 else first + wide[:, self.outputs :]

    def _together(self, own: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Results of this process's groups with those of the others', group by group."""
        joined = torch.stack(own, dim=-1) if own else x.new_empty(x.shape[0], self.outputs, 0)
        gathered = self.team.gather(joined, self.groups)
        return gathered.transpose(1, 2).reshape(x.shape[0], self.groups * self.outputs)

    def multiply_group(self, x: torch.Tensor, group: int) -> torch.Tensor:
        """Multiplies rows by one group that this process holds, and adds its bias."""
        bias = None if self.bias is None else self.bias[group * self.outputs : (group + 1) * self.outputs]
        return self._added(self.matrices[group - self.first_group].multiply(x), bias)

    def holds(self, group: int) -> bool:
        """Whether this process holds a group."""
        return 0 <= group - self.first_group < len(self.matrices)

    def ring(self, x: torch.Tensor, groups: tuple[int, ...] | None) -> torch.Tensor:
        """Multiplies words `[rows, chosen groups · inputs]` int32, modulo 2³²."""
        if self.groups == 1:
            return self.team.gather(ring.ring_product(x, self.matrices[0].values), self.columns)
        chosen = range(self.groups) if groups is None else groups
        rows = x.reshape(x.shape[0], len(chosen), self.inputs)
        result = x.new_zeros(x.shape[0], len(chosen), self.columns)
        for i, group in enumerate(chosen):
            if self.holds(group):
                weights = self.matrices[group - self.first_group].values
                result[:, i] = ring.ring_product(rows[:, i].contiguous(), weights)
        # Each group is one process's, the others have zeros for it: their sum puts them together.
        return self.team.sum(result).reshape(x.shape[0], -1)

    def exact(self, x: torch.Tensor) -> torch.Tensor:
        """Multiplies rows in float64 by weights that are rounded so that sums are exact; without the bias."""
        if self._exact is None:
            matrix = self.matrix_for_exact()
            self._exact = torch.cat(
                [
                    rounding.rounded_for_exact_sums(matrix.dequantized(first, first + _EXACT_OUTPUTS))
                    for first in range(0, matrix.outputs, _EXACT_OUTPUTS)
                ]
            )
        weights, double = self._exact, x.to(torch.float64)
        parts = [double @ part.to(torch.float64).T for part in torch.split(weights, _EXACT_OUTPUTS)]
        return self.team.gather(torch.cat(parts, dim=1), self.columns)

    def matrix_for_exact(self) -> Matrix:
        """The weights by whose values exact products multiply, this process's columns."""
        return self.matrices[0]
