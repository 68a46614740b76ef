"""GGUF files: every number against its hash, logits against transformers, integers and answers against the Swift programs."""

import json
import math
import pathlib

import numpy as np
import pytest
import torch
from conftest import FIXTURES, swift_worker, torch_worker
from safetensors.torch import load_file
from test_both_workers import compare_float32, compare_integers
from test_conformance import failures_of
from test_end_to_end import generate, prompt
from test_parity import Embedding
from test_quantized import fnv

from scx_torch.compute.decoder import CacheSegment, Decoder
from scx_torch.model.gguf.blocks import FORMATS
from scx_torch.model.gguf.model import GGUFModel
from scx_torch.model.gguf.names import expected_tensors
from scx_torch.model.opening import open_model
from scx_torch.model.tensors import Place

FOLDER = FIXTURES / "quantized"
NAMES = sorted(path.stem for path in FOLDER.glob("gguf/*.gguf"))
BLOCKS = sorted(path.parent.name for path in FOLDER.glob("gguf-blocks/*/model.gguf"))
# One of each way in which the reading of a file differs from that of a directory.
KINDS = [
    "deepseek-v2", "deepseek-v3-plain", "gemma3", "gpt-oss", "gpt2", "llama-biases", "phi3", "qwen2-moe-everywhere",
]  # fmt: skip


def file_of(name: str) -> pathlib.Path:
    return FOLDER / "gguf" / f"{name}.gguf"


def blocks_of(name: str) -> pathlib.Path:
    return FOLDER / "gguf-blocks" / name / "model.gguf"


@pytest.mark.parametrize("name", BLOCKS)
def test_numbers(name: str) -> None:
    model, hashes = GGUFModel(str(blocks_of(name))), json.loads((blocks_of(name).parent / "values.json").read_text())
    found = {}
    for tensor, shape in expected_tensors(model.config).items():
        if tensor in hashes:
            count = math.prod(shape[:-1])
            place = Place(tensor, shape, 0, count)
            values = torch.cat(
                [model.rows(place, 0, count // 2 + 1), model.rows(place, count // 2 + 1, count - count // 2 - 1)]
            )
            found[tensor] = fnv(values.numpy().astype("<f4").tobytes())
    assert found and found == hashes


def test_all_formats_are_in_the_files() -> None:
    paths = [*map(blocks_of, BLOCKS), *map(file_of, NAMES)]
    names = {entry.format.name for path in paths for _, entry in GGUFModel(str(path))._tensors.values()}
    assert names == {form.name for form in FORMATS.values()}


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 127, 253, 254, 255])
def test_exponents_of_mxfp4(exponent: int) -> None:
    (form,) = [form for form in FORMATS.values() if form.name == "MXFP4"]
    block = np.array([[exponent, *(code | code << 4 for code in range(16))]], np.uint8)
    with np.errstate(over="ignore"):
        power = np.float32(2.0 ** (exponent - 128))
        expected = power * np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12] * 2, np.float32)
        assert form.read(block).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", [f"gguf/{name}" for name in NAMES] + [f"gguf-blocks/{name}" for name in BLOCKS])
@torch.inference_mode()
def test_logits(name: str) -> None:
    kind, stem = name.split("/")
    folder = FIXTURES / "parity" / stem if kind == "gguf" else blocks_of(stem).parent
    checkpoint = open_model(str(file_of(stem) if kind == "gguf" else blocks_of(stem)))
    scale = json.loads((folder / "config.json").read_text()).get("embedding_multiplier", 1) if kind == "gguf" else 1
    model, embed = Decoder(checkpoint, "f32", torch.device("cpu")), Embedding(checkpoint, scale)
    expected, blocks = load_file(folder / "expected.safetensors"), checkpoint.config.block_count
    tokens = expected["prompt"].tolist()
    layers = [model.make_cache() for _ in range(blocks)]
    logits = model.logits(model.run(0, blocks, embed(tokens, 0), [CacheSegment(layers, 0, len(tokens))]))
    assert (logits - expected["logits"]).abs().max() / expected["logits"].abs().max() < 1e-5


@pytest.mark.parametrize("path", [*map(file_of, KINDS), *map(blocks_of, BLOCKS)], ids=[*KINDS, *BLOCKS])
def test_as_the_swift_worker(path: pathlib.Path) -> None:
    compare_integers(path)
    compare_float32(path)


@pytest.mark.parametrize(
    ("name", "weights", "shard"),
    [
        ("deepseek-v2", "f32", (0, 1)),
        ("gpt-oss", "int8", (0, 1)),
        ("gpt2", "bf16", (0, 1)),
        ("smollm3", "int4", (0, 1)),
        ("mixtral", "int8", (2, 3)),
    ],
)
def test_conformance(name: str, weights: str, shard: tuple[int, int]) -> None:
    assert failures_of(file_of(name), weights, shard) == []


@pytest.mark.parametrize("name", KINDS)
def test_answers(name: str) -> None:
    model, flags = file_of(name), prompt(name)
    with torch_worker(model) as (address, server):
        assert generate(model, "sealed", address, *flags) == generate(model, "fixed-point", [], *flags)
        # An answer that does not pass the check would be computed by the trusted side itself.
        assert server._batcher.requests > 16
    profiles = ["plain", "scx"] if name.startswith("llama") else ["plain"]
    with torch_worker(model, "f32") as (own, _), swift_worker(model, "f32") as (other, _):
        for profile in profiles:
            one, two = (generate(model, profile, address, *flags, "--weights", "f32") for address in (own, other))
            assert one == two and len(one) == 16
