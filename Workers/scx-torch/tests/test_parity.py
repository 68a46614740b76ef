"""The forward pass in float32 against logits and greedy tokens that transformers computed (Tests/Fixtures/parity)."""

import json
import math

import pytest
import torch
from conftest import FIXTURES
from safetensors.torch import load_file

from scx_torch.compute.decoder import CacheSegment, Decoder
from scx_torch.model.checkpoint import Checkpoint
from scx_torch.model.opening import Model

NAMES = sorted(path.parent.name for path in FIXTURES.glob("parity/*/config.json"))


class Embedding:
    """What the trusted side computes before the first block."""

    def __init__(self, checkpoint: Model, scale: float | None = None) -> None:
        config, layout = checkpoint.config, checkpoint.config.layout
        shape = (config.vocabulary, config.hidden)
        self.table = checkpoint.vector(layout.prefix + layout.embedding, shape)
        if scale is None:
            with open(f"{checkpoint.directory}/config.json", encoding="utf-8") as file:
                scale = json.load(file).get("embedding_multiplier", 1)
        self.scale = scale
        if config.family.startswith("gemma"):
            self.scale = math.sqrt(config.hidden)
        self.positions = None
        if config.learned_positions:
            self.positions = checkpoint.vector(layout.prefix + layout.positions, (config.longest, config.hidden))

    def __call__(self, tokens: list[int], position: int) -> torch.Tensor:
        rows = self.table[tokens] * self.scale
        return rows if self.positions is None else rows + self.positions[position : position + len(tokens)]


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_logits_and_greedy_tokens(name: str) -> None:
    folder = FIXTURES / "parity" / name
    checkpoint = Checkpoint(str(folder))
    model, embed = Decoder(checkpoint, "f32", torch.device("cpu")), Embedding(checkpoint)
    expected = load_file(folder / "expected.safetensors")
    tokens, blocks = expected["prompt"].tolist(), checkpoint.config.block_count
    layers = [model.make_cache() for _ in range(blocks)]
    logits = model.logits(model.run(0, blocks, embed(tokens, 0), [CacheSegment(layers, 0, len(tokens))]))
    error = (logits - expected["logits"]).abs().max() / expected["logits"].abs().max()
    assert error < 1e-5
    answer = [int(logits[-1].argmax())]
    while len(answer) < 24:
        position = len(tokens) + len(answer) - 1
        hidden = model.run(0, blocks, embed(answer[-1:], position), [CacheSegment(layers, position, 1)])
        answer.append(int(model.logits(hidden)[-1].argmax()))
    assert answer == expected["greedy"].tolist()[:24]


@pytest.mark.parametrize("name", ["qwen2-window", "llama-gqa2"])
@torch.inference_mode()
def test_attention_over_some_rows_at_a_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(str(FIXTURES / "parity" / name))
    model, embed = Decoder(checkpoint, "f32", torch.device("cpu")), Embedding(checkpoint)
    blocks, tokens = checkpoint.config.block_count, [token % 50 for token in range(3, 53)]
    results = []
    for scores in (1 << 24, 1_500):
        monkeypatch.setattr("scx_torch.compute.attention._SCORES", scores)
        layers = [model.make_cache() for _ in range(blocks)]
        for first, end in [(0, 20), (20, 50)]:
            rows = model.run(0, blocks, embed(tokens[first:end], first), [CacheSegment(layers, first, end - first)])
        results.append(rows)
    assert (results[0] - results[1]).abs().max() / results[0].abs().max() < 1e-5


@torch.inference_mode()
def test_several_sessions_in_one_pass() -> None:
    """Two sessions of different lengths, and one prompt in chunks."""
    checkpoint = Checkpoint(str(FIXTURES / "parity/qwen2-window"))
    model, embed = Decoder(checkpoint, "f32", torch.device("cpu")), Embedding(checkpoint)
    blocks, a, b = checkpoint.config.block_count, list(range(3, 33)), list(range(40, 51))

    def alone(tokens: list[int]) -> torch.Tensor:
        layers = [model.make_cache() for _ in range(blocks)]
        return model.run(0, blocks, embed(tokens, 0), [CacheSegment(layers, 0, len(tokens))])

    first, second = ([model.make_cache() for _ in range(blocks)] for _ in range(2))
    model.run(0, blocks, embed(a[:20], 0), [CacheSegment(first, 0, 20)])
    rows = torch.cat([embed(a[20:], 20), embed(b, 0)])
    both = model.run(0, blocks, rows, [CacheSegment(first, 20, 10), CacheSegment(second, 0, 11)])
    for found, expected in [(both[:10], alone(a)[20:]), (both[10:], alone(b))]:
        assert (found - expected).abs().max() / expected.abs().max() < 1e-5
