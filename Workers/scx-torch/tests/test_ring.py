"""Ring products, pads and rounding against integers of numpy and Python."""

import os

import numpy as np
import pytest
import torch
from conftest import FIXTURES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from scx_torch.compute import ring, rounding
from scx_torch.compute.matrix import FORMATS, Matrix
from scx_torch.compute.pads import expand
from scx_torch.compute.parallel import Team
from scx_torch.compute.site import LinearSite

SHAPES = [(1, 7, 5), (3, 64, 33), (16, 192, 512), (17, 8, 8), (40, 100, 30), (2, 132_500, 3)]
PRODUCTS = ["product_of_doubles", "product_of_bytes", "ring_product"]
# Libraries of processors without products of signed bytes add pairs of products in 16 bits, which saturate.
HAS_BYTE_PRODUCTS = ring._has_byte_products() and "ONEDNN_MAX_CPU_ISA" not in os.environ


@pytest.fixture
def product(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ring.Product:
    """A product by its name; that of bytes with plain sums of integers where this processor has none."""
    if request.param == "product_of_bytes" and not HAS_BYTE_PRODUCTS:
        exact = lambda a, w: (a.double() @ w.double()).to(torch.int32)  # noqa: E731
        monkeypatch.setattr(torch, "_int_mm", exact)
    found: ring.Product = getattr(ring, request.param)
    return found


def words(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randint(-(2**31), 2**31, shape, generator=generator).to(torch.int32)


def expected(x: torch.Tensor, w: torch.Tensor) -> np.ndarray:
    """By Python's integers, which have no limit."""
    sums = x.numpy().astype(object) @ w.numpy().T.astype(object)
    return (sums % 2**32).astype(np.uint32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("product", PRODUCTS, indirect=True)
def test_products(product, shape) -> None:  # type: ignore[no-untyped-def]
    rows, inputs, outputs = shape
    generator = torch.Generator().manual_seed(rows)
    x, w = words(generator, rows, inputs), torch.randint(-127, 128, (outputs, inputs), generator=generator)
    x[0, :5] = torch.tensor([-(2**31), 2**31 - 1, -1, 127, 128], dtype=torch.int32)
    w = w.to(torch.int8)
    assert (product(x, w).numpy().view(np.uint32) == expected(x, w)).all()


@pytest.mark.parametrize("product", PRODUCTS, indirect=True)
@pytest.mark.parametrize("word", [0x80808080, 0x7F7F7F7F, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0])
def test_the_largest_sums(product, word: int) -> None:  # type: ignore[no-untyped-def]
    """All words and weights at their edges, with as many inputs as sums of int32 can hold, and more."""
    inputs = ring.INT8_LIMIT + 8
    x = torch.from_numpy(np.full((2, inputs), word, np.uint32).view(np.int32))
    w = torch.stack([torch.full((inputs,), value, dtype=torch.int8) for value in (127, -127)])
    signs = np.array([127, -127], object)
    exact = (signs * word * inputs) % 2**32
    assert (product(x, w).numpy().view(np.uint32) == exact.astype(np.uint32)[None]).all()


def test_a_product_that_is_not_exact_is_not_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def saturates(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return ring.product_of_doubles(x, w).clamp(-(2**30), 2**30)

    def raises(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no compiler\nhere")

    assert ring.is_exact(ring.product_of_doubles, "cpu")
    if HAS_BYTE_PRODUCTS:
        assert ring.product_for("cpu", False) is ring.product_of_bytes
    for product, reason in [(saturates, "not exact"), (raises, "no compiler")]:
        monkeypatch.setattr(ring, "product_of_bytes", product)
        monkeypatch.setattr(ring, "_has_byte_products", lambda: True)
        ring.product_for.cache_clear()
        assert ring.product_for("cpu", False) is ring.product_of_doubles
        assert reason in capsys.readouterr().err
    ring.product_for.cache_clear()


def test_limbs_are_the_words() -> None:
    x = words(torch.Generator().manual_seed(1), 9, 50)
    limbs = ring.byte_limbs(x)
    assert limbs.dtype == torch.int8 and limbs.shape == (4, 9, 50)
    assert torch.equal(ring.combine_limbs(limbs.to(torch.int32)), x)


def test_groups_and_chosen_groups() -> None:
    generator = torch.Generator().manual_seed(2)
    w = torch.randint(-127, 128, (4, 6, 10), generator=generator).to(torch.int8)
    matrices = [Matrix("int8", part, torch.ones(6, 1), 10) for part in w]
    site = LinearSite(matrices, 0, 4, 6, 6, 10, 1, None, Team())
    x = words(generator, 3, 40)
    own = [expected(x[:, 10 * g : 10 * g + 10], w[g]) for g in range(4)]
    assert (site.ring(x, None).numpy().view(np.uint32) == np.concatenate(own, axis=1)).all()
    found = site.ring(torch.cat([x[:, 10:20], x[:, 30:]], dim=1), (1, 3))
    assert (found.numpy().view(np.uint32) == np.concatenate([own[1], own[3]], axis=1)).all()


def test_pads() -> None:
    """The known answers of docs/protocol.md and PadSeedTests."""
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    known = [0xA0E19B57, 0x882392D8, 0x10B8FE05, 0xAA0AA1A4, 0x08B5FF51]
    assert expand(key, 1, 1, 5).tolist() == [known]
    pads = expand(bytes(range(32)), 2, 3, 5)
    assert pads[1].tolist() == [0x893EBD6C, 0x5FA26437, 0x18B64E6F, 0x9B2B5898, 0x1E93FD22]
    # Rows beyond 2³² - 1 do not wrap.
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    own = np.frombuffer(encryptor.update((2**32).to_bytes(8, "big") + bytes(8)), "<u4")
    assert expand(key, 2**32 - 1, 2, 4)[1].tolist() == own.tolist()


def test_pads_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = expand(bytes(32), 7, 50, 9)
    monkeypatch.setattr("scx_torch.compute.pads._BLOCKS", 10)
    assert (expand(bytes(32), 7, 50, 9) == whole).all()


def test_rounding_to_int8() -> None:
    """Step by step in numpy's float32, with halves to the even integer."""
    generator = np.random.default_rng(3)
    w = generator.standard_normal((20, 50)).astype(np.float32)
    w[0], w[1] = 0, 2.0**-101
    w[2, 0] = np.inf
    w[3] = np.array([127, 0.5, 1.5, 2.5, -0.5, -1.5] + [0] * 44, np.float32)
    codes, scales = rounding.round_int8(torch.from_numpy(w))
    assert codes[:3].eq(0).all() and scales[:2].eq(0).all() and scales[2].isnan()
    assert codes[3, :6].tolist() == [127, 0, 2, 2, 0, -2]
    for row in range(3, 20):
        largest = np.abs(w[row]).max()
        inverse = np.float32(127) / largest
        assert codes[row].tolist() == np.rint(w[row] * inverse).astype(int).tolist()
        assert scales[row].item() == largest / np.float32(127)


def test_rests() -> None:
    w = torch.randn(8, 40, generator=torch.Generator().manual_seed(4))
    codes, scale = rounding.round_int8(w)
    rest = rounding.rests(w, codes, scale)
    # Rounding leaves at most half of a step of each row, and with what it left the weights are there again.
    assert (rest.abs() <= scale * 0.5001).all()
    assert (codes.double() * scale.double() + rest.double() - w.double()).abs().max() < 1e-7 * w.abs().max()


@pytest.mark.parametrize("form", FORMATS)
def test_formats(form: str) -> None:
    generator = torch.Generator().manual_seed(5)
    w, x = torch.randn(40, 70, generator=generator), torch.randn(6, 70, generator=generator)
    matrix = Matrix.round(w, form)
    error = (matrix.dequantized() - w).abs().max() / w.abs().max()
    assert error < {"f32": 1e-9, "bf16": 2**-8, "int8": 1 / 250, "int4": 1 / 12}[form]
    assert torch.equal(matrix.dequantized(10, 20), matrix.dequantized()[10:20])
    exact = x.double() @ matrix.dequantized().double().T
    limit = {"f32": 1e-6, "bf16": 1e-2, "int8": 2e-2, "int4": 2e-2}[form]
    assert (matrix.multiply(x) - exact).abs().max() / exact.abs().max() < limit


def test_int4_takes_the_scale_with_the_least_error() -> None:
    """Against a plain loop in float64 over the candidates."""
    generator = np.random.default_rng(6)
    w = generator.standard_normal((4, 64)).astype(np.float32)
    codes, scales = rounding.round_int4(torch.from_numpy(w))
    for row in range(4):
        for group in range(2):
            x = w[row, 32 * group : 32 * group + 32].astype(np.float64)
            largest = max(x, key=abs)
            errors = []
            for divisor in (-8.5, -8, -7.5, -7, 7, 7.5):
                scale = torch.tensor(largest / divisor).to(torch.bfloat16).double().item()
                errors.append(((x - scale * np.clip(np.rint(x / scale), -8, 7)) ** 2).sum())
            own = codes[row, 32 * group : 32 * group + 32].double() * scales[row, group].double()
            assert ((own.numpy() - x) ** 2).sum() <= min(errors) * 1.001


def test_exact_sums_do_not_depend_on_order() -> None:
    generator = torch.Generator().manual_seed(7)
    w = rounding.rounded_for_exact_sums(torch.randn(5, 300, generator=generator))
    x = torch.randint(-(2**23), 2**23, (4, 300), generator=generator).double() * 2.0**-10
    order = torch.randperm(300, generator=generator)
    assert torch.equal(x @ w.double().T, x[:, order] @ w[:, order].double().T)
    noise = torch.randint(-(2**20), 2**20, (4, 300), generator=generator).double() * 2.0**-10
    assert torch.equal((x + noise) @ w.double().T - noise @ w.double().T, x @ w.double().T)


def test_exact_products_of_some_outputs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(8)
    w = torch.randn(50, 60, generator=generator)
    x = torch.randint(-(2**23), 2**23, (4, 60), generator=generator).float()
    monkeypatch.setattr("scx_torch.compute.site._EXACT_OUTPUTS", 16)
    site = LinearSite([Matrix.round(w, "f32")], 0, 1, 50, 50, 60, 1, None, Team())
    assert torch.equal(site.exact(x), x.double() @ rounding.rounded_for_exact_sums(w).double().T)


def test_integers_of_stored_weights_have_their_range() -> None:
    from scx_torch.compute.decoder import Decoder
    from scx_torch.model.checkpoint import Checkpoint

    decoder = Decoder(Checkpoint(str(FIXTURES / "encoders/bert")), "int8", torch.device("cpu"))
    for site in decoder.sites.values():
        assert site.planes == 2 and site.matrices[0].outputs == 2 * site.outputs
        assert site.matrices[0].values.min() >= -127
