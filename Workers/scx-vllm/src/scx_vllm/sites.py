"""The sites of a model whose float products are the engine's, and whose integers are copies of this plug-in."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Final

import torch

from scx_torch.compute import ring
from scx_torch.compute.matrix import Matrix
from scx_torch.compute.parallel import Team
from scx_torch.compute.site import LinearSite
from scx_torch.link.requests import Site
from scx_torch.model.checkpoint import Checkpoint
from scx_torch.model.loader import Loader

# Multiplies whole rows `[rows, inputs]` float32 and adds the bias; all processes of the engine call it together.
Multiply = Callable[[torch.Tensor], torch.Tensor]

# A product of the engine is compared with the integers of the checkpoint in so many rows, and columns at a time.
_ROWS: Final = 8
_COLUMNS: Final = 16
_OUTPUTS: Final = 2_048
# Weights of 4 bits differ by about a tenth from what they stand for; other weights, or the same in another order, by 1.4.
_TOLERANCE: Final = 0.5


@dataclass
class EngineSite(LinearSite):
    """A site with the engine's product in place of this program's."""

    engine: Multiply | None = None
    # Reads this process's columns in float32, for exact products.
    read: Callable[[], Matrix] | None = field(default=None, repr=False)

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        """Multiplies rows by the engine's module, which adds its bias."""
        assert self.engine is not None
        return self.engine(x)

    def matrix_for_exact(self) -> Matrix:
        """The checkpoint's weights: the engine may keep its own rounded, packed or quantised."""
        assert self.read is not None
        return self.read()


class EngineLoader(Loader):
    """Loads a model whose products are those of an engine in the same process.

    The integers of products modulo 2³² are made from the checkpoint, since both sides must get the same ones, and the
    engine's weights may be rounded, packed or quantised. The processes of the engine divide them among each other as
    those of `scx-torch-worker` do, whatever the engine's own division is.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        form: str,
        device: torch.device,
        team: Team,
        products: dict[tuple[int, Site], Multiply],
        keeps_integers: bool,
    ) -> None:
        super().__init__(checkpoint, form, device, team, (0, 1))
        self._products = products
        self.is_ring = keeps_integers
        # Sites whose product is not that of the checkpoint's weights.
        self.differing: list[tuple[int, Site]] = []

    def site(self, site: Site, block: int) -> LinearSite:
        """A site; checks that the engine's product is that of the checkpoint's weights."""
        held = self._of_checkpoint("int8").site(site, block)
        product = self._products[block, site]
        if not _is_product_of(product, held, site, block):
            self.differing.append((block, site))
        own = {each.name: getattr(held, each.name) for each in fields(LinearSite)}
        if not self.is_ring:
            own["matrices"] = []
        return EngineSite(**own, engine=product, read=lambda: self._of_checkpoint("f32").site(site, block).matrices[0])

    def choose_ring_products(self) -> None:
        """Tries the ways to multiply integers on this device, which takes seconds, before anybody waits for it."""
        if self.is_ring:
            for is_few in (True, False):
                ring.product_for(self.device.type, is_few)

    def _of_checkpoint(self, form: str) -> Loader:
        return Loader(self.checkpoint, form, self.device, self.team, self.shard)


def _is_product_of(product: Multiply, held: LinearSite, site: Site, block: int) -> bool:
    """Whether a product is one by these integers, but for what rounding can change.

    All processes must call this together, since the product needs all of them; each compares its own columns.
    """
    generator = torch.Generator().manual_seed(1_000 * block + site)
    weights = held.matrices[0]
    x = torch.randn(_ROWS, held.inputs, generator=generator).to(weights.values.device)
    first, end = held.team.part(held.outputs)
    found = product(x)
    if held.bias is not None:
        found = found - held.bias
    # Few weights at a time, since a copy of all of a head in float32 would need gigabytes.
    steps = range(0, end - first, _OUTPUTS)
    expected = torch.cat([x @ weights.dequantized(row, row + _OUTPUTS).T for row in steps], dim=1)
    difference = _blocks(found[:, first:end] - expected)
    # A block of columns without weights has nothing but the rounding of a result of any size.
    magnitude = _blocks(expected).clamp(min=1e-3 * float(expected.norm()) + 1e-12)
    return bool((difference <= _TOLERANCE * magnitude).all())


def _blocks(x: torch.Tensor) -> torch.Tensor:
    """The norms of blocks of columns."""
    return torch.stack([part.norm() for part in torch.split(x, _COLUMNS, dim=1)])
