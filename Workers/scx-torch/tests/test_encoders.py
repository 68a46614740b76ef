"""Encoders: hidden states against transformers, vectors against `scx` alone."""

import json
import pathlib

import pytest
import torch
from conftest import FIXTURES, run, swift, torch_worker
from safetensors.torch import load_file

from scx_torch.compute.decoder import CacheSegment, Decoder
from scx_torch.compute.norm import Norm
from scx_torch.model.checkpoint import Checkpoint

FOLDER = FIXTURES / "encoders"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/expected.safetensors"))
SENTENCES = sorted(path.name for path in FOLDER.glob("sentence-*"))


def embed(checkpoint: Checkpoint, tokens: torch.Tensor, kinds: torch.Tensor | None) -> torch.Tensor:
    """What the trusted side computes before the first block."""
    config, layout = checkpoint.config, checkpoint.config.layout

    def table(name: str, rows: int) -> torch.Tensor:
        return checkpoint.vector(layout.prefix + name, (rows, config.hidden))

    hidden = table(layout.embedding, config.vocabulary)[tokens]
    if config.family.startswith("gemma"):
        hidden = hidden * config.hidden**0.5
    if config.learned_positions:
        positions = torch.arange(len(tokens)) + config.position_offset
        if config.position_offset:
            # As in RoBERTa, padding tokens have the position before the first and are not counted.
            counted = tokens != config.position_offset - 1
            positions = torch.where(counted, counted.cumsum(0), 0) + config.position_offset - 1
        hidden = hidden + table(layout.positions, config.longest + config.position_offset)[positions]
    if config.token_types:
        hidden = (
            hidden + table(layout.token_types, config.token_types)[torch.zeros_like(tokens) if kinds is None else kinds]
        )
    if config.norms_embedding:
        name = layout.prefix + layout.embedding_norm
        bias = checkpoint.vector(name + layout.bias, (config.hidden,)) if config.norm == "layer-bias" else None
        weight = checkpoint.vector(name + layout.weight, (config.hidden,))
        hidden = Norm(weight, bias, config.norm, config.epsilon)(hidden)
    return hidden


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_hidden_states(name: str) -> None:
    checkpoint = Checkpoint(str(FOLDER / name))
    model, expected = Decoder(checkpoint, "f32", torch.device("cpu")), load_file(FOLDER / name / "expected.safetensors")
    for number in (0, 1):
        tokens = expected[f"tokens.{number}"]
        hidden = embed(checkpoint, tokens, expected.get(f"kinds.{number}"))
        layers = [model.make_cache() for _ in range(checkpoint.config.block_count)]
        hidden = model.run(0, checkpoint.config.block_count, hidden, [CacheSegment(layers, 0, len(tokens))])
        found, wanted = model.final_norm(hidden), expected[f"hidden.{number}"]
        assert (found - wanted).abs().max() / wanted.abs().max() < 1e-5


def vectors(model: pathlib.Path, profile: str, *workers: str, weights: str = "int8") -> list[dict[str, object]]:
    """The lines of `scx embed`."""
    texts = ["the old ship", "a garden"]
    flags = [flag for worker in workers for flag in ("--worker", worker)]
    command = [swift("scx"), "embed", "--model", str(model), "--profile", profile, *flags, *texts]
    if profile == "plain":
        command += ["--weights", weights]
    return [json.loads(line) for line in run(command).splitlines()]


@pytest.mark.parametrize("name", SENTENCES)
def test_sealed_vectors_are_those_of_the_trusted_side_alone(name: str) -> None:
    with torch_worker(FOLDER / name) as (address, server):
        assert vectors(FOLDER / name, "sealed", address) == vectors(FOLDER / name, "fixed-point")
        assert server._batcher.requests > 0
