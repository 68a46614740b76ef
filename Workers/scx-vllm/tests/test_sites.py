"""A model whose products are another program's: here those of `scx-torch` itself, in the place of an engine's."""

import torch
from conftest import FIXTURES

from scx_torch.compute.decoder import CacheSegment, Decoder
from scx_torch.compute.parallel import Team
from scx_torch.link.requests import Site
from scx_torch.model.checkpoint import Checkpoint
from scx_torch.model.loader import Loader
from scx_vllm.sites import EngineLoader, EngineSite, Multiply

MODEL = str(FIXTURES / "parity/qwen2")
CPU = torch.device("cpu")


def engine(form: str = "f32") -> dict[tuple[int, Site], Multiply]:
    checkpoint = Checkpoint(MODEL)
    loader = Loader(checkpoint, form, CPU, Team(), (0, 1))
    return {(block, site): loader.site(site, block).multiply for block, site in checkpoint.config.sites()}


def load(products: dict[tuple[int, Site], Multiply], keeps_integers: bool = True) -> tuple[Decoder, EngineLoader]:
    checkpoint = Checkpoint(MODEL)
    loader = EngineLoader(checkpoint, "f32", CPU, Team(), products, keeps_integers)
    return Decoder(checkpoint, "f32", CPU, loader=loader), loader


def test_blocks_exact_products_and_integers() -> None:
    calls: list[int] = []

    def counted(product: Multiply) -> Multiply:
        def call(x: torch.Tensor) -> torch.Tensor:
            calls.append(x.shape[0])
            return product(x)

        return call

    (found, loader) = load({name: counted(product) for name, product in engine().items()})
    assert loader.differing == [] and found.is_ring and found.format == "f32"
    calls.clear()
    usual, integers = Decoder(Checkpoint(MODEL), "f32", CPU), Decoder(Checkpoint(MODEL), "int8", CPU)
    hidden = torch.randn(5, found.config.hidden, generator=torch.Generator().manual_seed(1))

    def run(model: Decoder) -> torch.Tensor:
        caches = [model.make_cache() for _ in range(model.config.block_count)]
        return model.logits(model.run(0, model.config.block_count, hidden, [CacheSegment(caches, 0, 5)]))

    assert torch.equal(run(found), run(usual))
    # Four sites of each block and the head: no product was this program's own.
    assert calls == [5] * (4 * found.config.block_count + 1)
    words = torch.randint(-(2**31), 2**31 - 1, (3, found.config.hidden), dtype=torch.int32)
    for name in [(0, Site.queryKeyValue), (1, Site.gateUp), (0, Site.head)]:
        own = found.sites[name]
        assert isinstance(own, EngineSite)
        assert torch.equal(own.ring(words, None), integers.sites[name].ring(words, None))
        assert torch.equal(own.exact(hidden), usual.sites[name].exact(hidden))


def test_integers_are_not_kept_when_they_are_not_wanted() -> None:
    found, loader = load(engine(), keeps_integers=False)
    assert loader.differing == [] and not found.is_ring
    assert all(site.matrices == [] for site in found.sites.values())


def test_rounded_weights_are_the_same_model() -> None:
    for form in ("bf16", "int8", "int4"):
        assert load(engine(form))[1].differing == [], form


def test_other_weights_are_noticed() -> None:
    products = engine()
    for name in list(products):
        block, site = name
        if site == Site.head:
            continue
        usual = products[name]
        # Two groups of 16 columns change places; nothing else does.
        swapped = {**products, name: lambda x, usual=usual: _swapped(usual(x))}
        assert load(swapped)[1].differing == [(block, site)]


def test_a_bias_that_the_engine_forgets_is_noticed() -> None:
    checkpoint = Checkpoint(MODEL)
    bias = Loader(checkpoint, "f32", CPU, Team(), (0, 1)).site(Site.queryKeyValue, 0).bias
    assert bias is not None and float(bias.norm()) > 0
    products = engine()
    usual = products[0, Site.queryKeyValue]
    found = {**products, (0, Site.queryKeyValue): lambda x: usual(x) - 100 * bias}
    assert load(found)[1].differing == [(0, Site.queryKeyValue)]


def _swapped(rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([rows[:, 16:32], rows[:, :16], rows[:, 32:]], dim=1)
