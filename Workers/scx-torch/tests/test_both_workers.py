"""The same requests to both workers: the same integers, and float32 that differs in its last bits alone."""

import json
import pathlib
import shutil
import struct

import numpy as np
import pytest
from client import Client
from conftest import FIXTURES, swift_worker, torch_worker

from scx_torch.link.frame import Kind
from scx_torch.link.requests import Site
from scx_torch.model.opening import open_model

DECODERS = sorted(path.parent.name for path in FIXTURES.glob("parity/*/config.json"))
ENCODERS = ["bert", "roberta", "modernbert", "modernbert-biases", "gemma3-bidirectional", "qwen2-not-causal"]
ALL = [f"parity/{name}" for name in DECODERS] + [f"encoders/{name}" for name in ENCODERS]


def words(generator: np.random.Generator, rows: int, channels: int) -> np.ndarray:
    return generator.integers(0, 2**32, (rows, channels), np.uint32)


def test_integers_of_experts_whose_tokens_attend_to_later_ones(tmp_path: pathlib.Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(FIXTURES / "parity/qwen2-moe", model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"is_causal": False, "use_sliding_window": False}))
    compare_integers(model)


@pytest.mark.parametrize("name", ALL)
def test_integers(name: str) -> None:
    compare_integers(FIXTURES / name)


def compare_integers(model: pathlib.Path) -> None:
    generator = np.random.default_rng(1)
    checkpoint = open_model(str(model))
    config, digest = checkpoint.config, checkpoint.digest()
    with (
        torch_worker(model) as (own, _), swift_worker(model) as (other, _),
        Client(own, digest) as a, Client(other, digest) as b,
    ):  # fmt: skip
        for block, site in config.sites():
            groups, (_, inputs) = config.groups(site), config.shape(site, block)
            fields = struct.pack("<HH", block, site)
            # One row, and rows enough for the product of many.
            for rows in (1, 20):
                x = words(generator, rows, groups * inputs)
                one, two = (client.ask(Kind.linearRing, fields, x).tensor for client in (a, b))
                assert one is not None and two is not None and np.array_equal(one, two), (block, site, rows)
            if groups > 1:
                chosen = struct.pack("<HHH", 2, 0, groups - 1)
                x = words(generator, 3, 2 * inputs)
                one, two = (client.ask(Kind.linearRing, fields + chosen, x).tensor for client in (a, b))
                assert one is not None and two is not None and np.array_equal(one, two), (block, site)
            pads = fields + bytes(range(32)) + struct.pack("<II", 0xFFFFFFFF, 2)
            one, two = (client.ask(Kind.padProducts, pads).tensor for client in (a, b))
            assert one is not None and two is not None and np.array_equal(one, two), (block, site)


@pytest.mark.parametrize("name", ALL)
def test_float32(name: str) -> None:
    compare_float32(FIXTURES / name)


def compare_float32(model: pathlib.Path) -> None:
    generator = np.random.default_rng(2)
    checkpoint = open_model(str(model))
    config, digest = checkpoint.config, checkpoint.digest()
    rows = generator.standard_normal((11, config.hidden)).astype(np.float32)
    with (
        torch_worker(model, "f32") as (own, _), swift_worker(model, "f32") as (other, _),
        Client(own, digest) as a, Client(other, digest) as b,
    ):  # fmt: skip

        def compare(kind: Kind, fields: bytes, tensor: np.ndarray, exact: bool = False) -> np.ndarray:
            one, two = (client.ask(kind, fields, tensor).tensor for client in (a, b))
            assert one is not None and two is not None and one.shape == two.shape
            if exact:
                # Noise is subtracted from such products, so they must be the same to the last bit.
                assert np.array_equal(one, two), (kind, fields)
            else:
                assert np.abs(one - two).max() <= 1e-5 * np.abs(two).max(), (kind, fields)
            return one

        def segments(*parts: tuple[int, int, int]) -> bytes:
            body = b"".join(struct.pack("<III", *part) for part in parts)
            return struct.pack("<HHI", 0, config.block_count, len(parts)) + body

        hidden = compare(Kind.middle, segments((1, 0, 4), (2, 0, 7)), rows)
        if config.is_causal:
            hidden = compare(Kind.middle, segments((2, 5, 2), (1, 4, 1)), rows[:3])
        if config.has_head:
            compare(Kind.headTopK, struct.pack("<I", config.vocabulary), hidden)
        compare(Kind.feedForward, struct.pack("<H", config.block_count - 1), rows)
        for block, site in config.sites():
            if config.groups(site) == 1:
                x = generator.integers(-(2**23), 2**23, (3, config.shape(site, block)[1])).astype(np.float32)
                compare(Kind.linear, struct.pack("<HHIB", block, site, 0xFFFFFFFF, 0), x)
                compare(Kind.linear, struct.pack("<HHIB", block, site, 0xFFFFFFFF, 1), x, exact=True)
        # Two parts: one that is kept and goes on, one that is not.
        query, key = config.heads * config.head_size, 2 * config.kv_heads * config.head_size
        for position in (0, 5) if config.is_causal else (0,):
            part = struct.pack("<IIIIBII", 7, position, 3, 5, 0, 0, 3 * query + 5 * key)
            part += struct.pack("<IIIIBII", 0xFFFFFFFF, 0, 2, 2, 0, 0, 2 * (query + key))
            values = generator.standard_normal((1, 5 * query + 7 * key)).astype(np.float32)
            compare(Kind.attention, struct.pack("<HI", config.block_count - 1, 2) + part, values)
        if config.is_causal:
            # Queries alone, over what was kept.
            part = struct.pack("<IIIIBII", 7, 10, 2, 0, 0, 0, 2 * query)
            values = generator.standard_normal((1, 2 * query)).astype(np.float32)
            compare(Kind.attention, struct.pack("<HI", config.block_count - 1, 1) + part, values)
        if config.latent is None and config.is_causal:
            # Sums in float64 are exact where rows are multiples of one power of two, as those that a client sends.
            multiples = np.rint(rows * 2**16).astype(np.float32) / 2**16
            compare(Kind.linear, struct.pack("<HHIB", 0, Site.queryKeyValue, 9, 1), multiples, exact=True)
            order = np.array([[3, 0, 10, 5]], np.uint32)
            for client in (a, b):
                assert client.ask(Kind.unlock, struct.pack("<IHI", 9, 0, 0), order).head.kind == Kind.unlock
                keys = np.random.default_rng(3).standard_normal((6, key // 2)).astype(np.float32)
                assert client.ask(Kind.lockTail, struct.pack("<IH", 9, 0), keys).head.kind == Kind.lockTail
            scores = struct.pack("<HIIII", 0, 1, 9, 4, 1)
            compare(Kind.tailScores, scores, rows[:1])
            block = struct.pack("<HHIIII", 0, 1, 1, 9, 4, 1)
            compare(Kind.middle, block, rows[:1])
