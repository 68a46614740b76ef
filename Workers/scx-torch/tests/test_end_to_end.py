"""The trusted side in Swift gets the same answers from this worker as from `scx-worker`."""

import json
import pathlib
import subprocess

import pytest
from conftest import FIXTURES, WARD, swift, swift_worker, torch_worker
from safetensors.numpy import load_file

from scx_torch.model.checkpoint import Checkpoint

QUESTION = ["--prompt", "What are the symptoms of asthma?", "--chat"]
PARITY = sorted(path.parent.name for path in FIXTURES.glob("parity/*/config.json"))


def generate(model: pathlib.Path, profile: str, address: str | list[str], *flags: str, tokens: int = 16) -> list[int]:
    """The tokens of an answer of `scx generate`."""
    addresses = [address] if isinstance(address, str) else address
    workers = [flag for name in addresses for flag in ("--worker", name)]
    command = [
        swift("scx"), "generate", "--model", str(model), "--profile", profile, *workers, "--threads", "1", "--json",
        "--max-tokens", str(tokens), "--ignore-eos", *flags,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[int] = json.loads(done.stdout)["tokens"]
    return found


def prompt(name: str) -> list[str]:
    """A fixture's prompt as flags; skips the test where the context has no room for it."""
    ids = load_file(FIXTURES / "parity" / name / "expected.safetensors")["prompt"].tolist()
    longest = Checkpoint(str(FIXTURES / "parity" / name)).config.longest
    if len(ids) >= longest:
        pytest.skip(f"the prompt has {len(ids)} tokens, the context {longest}")
    return ["--prompt-ids", ",".join(str(token) for token in ids)]


@pytest.mark.parametrize("weights", ["f32", "bf16", "int8", "int4"])
@pytest.mark.parametrize("profile", ["plain", "scx", "sealed"])
def test_bundled_model(profile: str, weights: str) -> None:
    if profile == "sealed" and weights != "int8":
        pytest.skip("profile sealed has int8 weights")
    flags = [*QUESTION, "--weights", weights]
    with torch_worker(WARD, weights) as (own, _), swift_worker(WARD, weights) as (other, _):
        assert generate(WARD, profile, own, *flags, tokens=48) == generate(WARD, profile, other, *flags, tokens=48)


@pytest.mark.parametrize("name", PARITY)
def test_plain_in_float32_is_transformers(name: str) -> None:
    model = FIXTURES / "parity" / name
    expected = load_file(model / "expected.safetensors")["greedy"].tolist()
    with torch_worker(model, "f32") as (address, _):
        found = generate(model, "plain", address, *prompt(name), "--weights", "f32", tokens=48)
    # A short context may end the answer.
    assert found and found == expected[: len(found)]


@pytest.mark.parametrize("name", PARITY)
def test_sealed(name: str) -> None:
    model = FIXTURES / "parity" / name
    with torch_worker(model) as (address, server):
        assert generate(model, "sealed", address, *prompt(name)) == generate(model, "fixed-point", [], *prompt(name))
        # An answer that does not pass the check would be computed by the trusted side itself.
        assert server._batcher.requests > 16


@pytest.mark.parametrize("weights", ["bf16", "int8", "int4"])
@pytest.mark.parametrize("name", PARITY)
def test_plain_as_the_swift_worker(name: str, weights: str) -> None:
    if weights == "bf16" and "avx512_bf16" not in pathlib.Path("/proc/cpuinfo").read_text():
        pytest.skip("where the processor has no products of bfloat16, scx-worker does not round rows to it")
    model, flags = FIXTURES / "parity" / name, [*prompt(name), "--weights", weights]
    # The models are random, so that some tokens are nearly equally likely. Rows that integer weights multiply are rounded
    # to int8, and a value at the border is rounded one way or the other as the sums before it were added.
    with torch_worker(model, weights) as (own, _), swift_worker(model, weights) as (other, _):
        own_tokens = generate(model, "plain", own, *flags, tokens=12)
        assert own_tokens == generate(model, "plain", other, *flags, tokens=12)


LLAMA_LIKE = ["llama-gqa2", "llama-biases", "llama-odd-10", "mistral-window", "qwen2", "qwen3", "rope-yarn"]


@pytest.mark.parametrize("weights", ["f32", "int8"])
@pytest.mark.parametrize("name", LLAMA_LIKE)
def test_scx(name: str, weights: str) -> None:
    model, flags = FIXTURES / "parity" / name, [*prompt(name), "--weights", weights, "--scx-noise", "0.5"]
    with torch_worker(model, weights) as (own, _), swift_worker(model, weights) as (other, _):
        assert generate(model, "scx", own, *flags) == generate(model, "scx", other, *flags)


@pytest.mark.parametrize("compress", ["int8", "int4"])
def test_scx_in_groups(compress: str) -> None:
    flags = [*QUESTION, "--weights", "f32", "--scx-compress", compress]
    with torch_worker(WARD, "f32") as (own, _), swift_worker(WARD, "f32") as (other, _):
        assert generate(WARD, "scx", own, *flags) == generate(WARD, "scx", other, *flags)
