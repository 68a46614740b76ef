"""The paths of a GPU, against those of a CPU; skipped where there is none."""

import pytest
import torch
from conftest import FIXTURES

from scx_torch.compute import ring, triton_ring
from scx_torch.compute.decoder import CacheSegment, Decoder
from scx_torch.compute.matrix import FORMATS, Matrix
from scx_torch.model.checkpoint import Checkpoint
from scx_torch.worker.transfer import Transfer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that PyTorch can use")


@pytest.mark.parametrize("shape", [(1, 64, 48), (1, 4_096, 4_100), (16, 2_050, 100), (17, 96, 40), (300, 1_000, 72)])
def test_ring_products(shape: tuple[int, int, int]) -> None:
    rows, inputs, outputs = shape
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(-(2**31), 2**31, (rows, inputs), generator=generator).to(torch.int32)
    w = torch.randint(-127, 128, (outputs, inputs), generator=generator).to(torch.int8)
    expected = ring.product_of_doubles(x, w)
    assert torch.equal(ring.ring_product(x.cuda(), w.cuda()).cpu(), expected)
    assert torch.equal(ring.product_of_bytes(x.cuda(), w.cuda()).cpu(), expected)
    if rows <= triton_ring.MOST_ROWS and triton_ring.is_available():
        assert torch.equal(triton_ring.product(x.cuda(), w.cuda()).cpu(), expected)


def test_the_largest_sums() -> None:
    inputs = ring.INT8_LIMIT + 8
    x = torch.full((2, inputs), -(2**31) + 0x7F7F7F, dtype=torch.int32)
    w = torch.stack([torch.full((inputs,), value, dtype=torch.int8) for value in (127, -127)])
    assert torch.equal(ring.ring_product(x.cuda(), w.cuda()).cpu(), ring.product_of_doubles(x, w))


@pytest.mark.parametrize("form", FORMATS)
def test_weights(form: str) -> None:
    generator = torch.Generator().manual_seed(2)
    w, x = torch.randn(96, 160, generator=generator), torch.randn(20, 160, generator=generator)
    matrix, device = Matrix.round(w, form), torch.device("cuda")
    expected = matrix.multiply(x)
    found = matrix.to(device).multiply(x.cuda()).cpu()
    assert (found - expected).abs().max() / expected.abs().max() < 1e-5


def test_transfer_there_and_back() -> None:
    transfer = Transfer(torch.device("cuda"))
    x = torch.randint(0, 2**31, (50, 30)).to(torch.int32).numpy().view("uint32")
    fetched = [transfer.fetch(transfer.put([x[:20], x[20:]]) + i)() for i in range(5)]
    assert all((array == x + i).all() for i, array in enumerate(fetched))


@pytest.mark.parametrize("name", ["llama-gqa2", "gemma2", "gpt-oss", "deepseek-v2"])
@torch.inference_mode()
def test_blocks(name: str) -> None:
    checkpoint = Checkpoint(str(FIXTURES / "parity" / name))
    results = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        model = Decoder(checkpoint, "f32", device)
        layers = [model.make_cache() for _ in range(checkpoint.config.block_count)]
        hidden = torch.randn(24, checkpoint.config.hidden, generator=torch.Generator().manual_seed(3)).to(device)
        segments = [CacheSegment(layers, 0, 24)]
        results.append(model.logits(model.run(0, checkpoint.config.block_count, hidden, segments)).cpu())
    assert (results[0] - results[1]).abs().max() / results[0].abs().max() < 1e-4
