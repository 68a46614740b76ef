"""Quantised checkpoints: every number against its hash, logits against transformers, answers against the Swift programs."""

import json
import math

import numpy as np
import pytest
import torch
from conftest import FIXTURES, torch_worker
from safetensors.torch import load_file
from test_end_to_end import generate
from test_parity import Embedding

from scx_torch.compute.decoder import CacheSegment, Decoder
from scx_torch.model.checkpoint import Checkpoint
from scx_torch.model.codes import Codes
from scx_torch.model.tensors import site_places

FOLDER = FIXTURES / "quantized/hf"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/config.json") if path.parent.name != "mxfp4")


def fnv(data: bytes) -> str:
    """FNV-1a with 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


# The numbers of gpt-oss are those of `test_mxfp4`.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "gpt-oss"])
def test_numbers(name: str) -> None:
    checkpoint = Checkpoint(str(FOLDER / name))
    hashes = json.loads((FOLDER / name / "values.json").read_text())
    config, found = checkpoint.config, {}
    assert checkpoint.quantized is not None
    for block, site in config.sites():
        for group in range(config.groups(site)):
            for place in site_places(config, site, block, group):
                if place.name in found:
                    continue
                rows = Codes(checkpoint, place.name, place.shape, checkpoint.quantized).rows()
                if rows is not None:
                    count = math.prod(place.shape[:-1])
                    # In two parts, of which the second begins in the middle of a word.
                    values = torch.cat([rows(0, count // 2 + 1), rows(count // 2 + 1, count - count // 2 - 1)])
                    found[place.name] = fnv(values.numpy().astype("<f4").tobytes())
    assert found and found == hashes


def test_mxfp4() -> None:
    folder = FOLDER / "mxfp4"
    checkpoint, hashes = Checkpoint(str(folder)), json.loads((folder / "values.json").read_text())
    assert checkpoint.quantized is not None and hashes
    for name, expected in hashes.items():
        _, entry = checkpoint.raw(name + "_blocks")
        shape = (*entry.shape[:-2], 32 * entry.shape[-2])
        rows = Codes(checkpoint, name, shape, checkpoint.quantized).rows()
        assert rows is not None
        assert fnv(rows(0, math.prod(shape[:-1])).numpy().astype("<f4").tobytes()) == expected


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_logits(name: str) -> None:
    checkpoint = Checkpoint(str(FOLDER / name))
    model, embed = Decoder(checkpoint, "f32", torch.device("cpu")), Embedding(checkpoint)
    expected, blocks = load_file(FOLDER / name / "expected.safetensors"), checkpoint.config.block_count
    tokens = expected["prompt"].tolist()
    layers = [model.make_cache() for _ in range(blocks)]
    logits = model.logits(model.run(0, blocks, embed(tokens, 0), [CacheSegment(layers, 0, len(tokens))]))
    assert (logits - expected["logits"]).abs().max() / expected["logits"].abs().max() < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_sealed(name: str) -> None:
    model = FOLDER / name
    ids = np.asarray(load_file(model / "expected.safetensors")["prompt"]).tolist()
    prompt = ["--prompt-ids", ",".join(str(token) for token in ids)]
    with torch_worker(model) as (address, server):
        assert generate(model, "sealed", address, *prompt) == generate(model, "fixed-point", [], *prompt)
        assert server._batcher.requests > 16
