"""Loads the weights of a checkpoint, rounded to the chosen format."""

from collections.abc import Callable

import torch

from scx_torch.compute.matrix import Matrix
from scx_torch.compute.parallel import Team, part
from scx_torch.compute.rounding import rests, round_int8
from scx_torch.compute.site import LinearSite
from scx_torch.link.requests import Site
from scx_torch.model.errors import ModelError
from scx_torch.model.opening import Model
from scx_torch.model.tensors import Place, expert_biases, place_of, site_places, site_tensors

# Rows that are read and rounded at a time.
_ROWS = 4_096


class Loader:
    """Reads the sites and vectors of a model."""

    def __init__(self, checkpoint: Model, form: str, device: torch.device, team: Team, shard: tuple[int, int]) -> None:
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.format = form
        self.device = device
        self.team = team
        self.shard = shard
        self.is_ring = form == "int8"

    def site(self, site: Site, block: int) -> LinearSite:
        """The part of a site that this process holds."""
        config = self.config
        outputs, inputs = config.shape(site, block)
        groups = config.groups(site)
        planes = config.planes if self.format == "int8" else 1
        first, end = part(planes * outputs, *self.shard)
        if first == end:
            name = site_places(config, site, block, 0)[0].name
            index, count = self.shard
            raise ModelError(
                f"{self.checkpoint.directory}: tensor '{name}': part {index + 1} of {count} would hold none of its "
                f"{outputs} outputs; use fewer shards"
            )
        columns = end - first
        if groups == 1:
            own = self.team.part(columns)
            if own[0] == own[1]:
                raise ModelError(
                    f"{self.checkpoint.directory}: a site of {columns} outputs for {self.team.size} processes"
                )
            range_of = (first + own[0], first + own[1])
            matrices = [self._matrix(site_places(config, site, block, 0), outputs, range_of)]
            first_group = 0
        else:
            first_group, last = self.team.part(groups)
            matrices = [
                self._matrix(site_places(config, site, block, group), outputs, (first, end))
                for group in range(first_group, last)
            ]
        bias = self._bias(site, block)
        return LinearSite(matrices, first_group, groups, columns, outputs, inputs, planes, bias, self.team)

    def _matrix(self, places: list[Place], outputs: int, own: tuple[int, int]) -> Matrix:
        """Rows `own` of the matrices one above the other, and of what their rounding leaves below them."""
        pieces: list[Matrix] = []
        row = 0
        for is_rest in (False, True):
            for place in places:
                start, end = max(own[0], row), min(own[1], row + place.rows)
                for first in range(start, end, _ROWS):
                    count = min(_ROWS, end - first)
                    w = self.checkpoint.rows(place, first - row, count)
                    if is_rest:
                        w = rests(w, *round_int8(w))
                    pieces.append(Matrix.round(w, self.format))
                row += place.rows
        return _joined(pieces).to(self.device)

    def _bias(self, site: Site, block: int) -> torch.Tensor | None:
        config = self.config
        if site in (Site.expertGateUp, Site.expertDown):
            stored = [self.checkpoint.vector(*each) for each in expert_biases(config, site, block)]
            return torch.cat(stored, dim=1).reshape(-1).to(self.device) if stored else None
        if site in (Site.head, Site.queryUp, Site.queryLatent, Site.valueUp):
            return None
        parts = [self.vector(tensor, block, bias=True) for tensor in site_tensors(config, site, block)]
        found = [values for values in parts if values is not None]
        return torch.cat(found) if found else None

    def vector(self, tensor: str, block: int, bias: bool = False) -> torch.Tensor | None:
        """A vector of a block in float32; None where this model has none."""
        place = place_of(self.config, tensor, block, bias)
        if place is None:
            return None
        values = self.checkpoint.vector(place.name, place.shape)[place.first : place.first + place.rows]
        return values.to(self.device)

    def matrix(self, tensor: str, block: int) -> torch.Tensor | None:
        """A small matrix of a block in float32; None where this model has none."""
        place = place_of(self.config, tensor, block)
        return None if place is None else self.checkpoint.rows(place, 0, place.rows).to(self.device)


def _joined(pieces: list[Matrix]) -> Matrix:
    if len(pieces) == 1:
        return pieces[0]
    scales = [piece.scales for piece in pieces if piece.scales is not None]
    values = torch.cat([piece.values for piece in pieces])
    first = pieces[0]
    return Matrix(first.format, values, torch.cat(scales) if scales else None, first.inputs)


Progress = Callable[[float], None]
