"""The trusted side in Swift gets the same answers from this worker as from `scx-worker`."""

import json
import pathlib
import tempfile
from typing import Any

import pytest
from conftest import FIXTURES, WARD, run, swift, swift_worker, torch_worker
from safetensors.numpy import load_file

from scx_torch.model.checkpoint import Checkpoint

QUESTION = ["--prompt", "What are the symptoms of asthma?", "--chat"]
PARITY = sorted(path.parent.name for path in FIXTURES.glob("parity/*/config.json"))
# One or two of each kind of block, norm, rotation and experts. The others differ in how a configuration says what it says,
# which `test_parity` and `test_sealed` read of all of them.
KINDS = [
    "deepseek-v2", "deepseek-v3-groups", "gemma2", "gemma3", "gpt-oss", "gpt2", "granite", "llama-odd-10", "mixtral-window",
    "olmo2", "phi3-partial", "qwen2-moe", "qwen3", "rope-yarn", "starcoder2",
]  # fmt: skip


def ask(model: pathlib.Path, profile: str, address: str | list[str], *flags: str, tokens: int = 16) -> Any:
    """What `scx generate` says of an answer."""
    addresses = [address] if isinstance(address, str) else address
    workers = [flag for name in addresses for flag in ("--worker", name)]
    command = [
        swift("scx"), "generate", "--model", str(model), "--profile", profile, *workers, "--threads", "1", "--json",
        "--max-tokens", str(tokens), "--ignore-eos", *flags,
    ]  # fmt: skip
    return json.loads(run(command))


def generate(model: pathlib.Path, profile: str, address: str | list[str], *flags: str, tokens: int = 16) -> list[int]:
    """The tokens of an answer of `scx generate`."""
    found: list[int] = ask(model, profile, address, *flags, tokens=tokens)["tokens"]
    return found


# How far the logits and logarithms of probabilities of two workers may be apart. Both add in float32, in orders of their
# own and of the processor. Rows that integer weights multiply are rounded to int8, those that bf16 weights multiply to
# bfloat16, and a value at the border is rounded one way or the other. The largest that was found over all fixtures, with
# AVX2 and AVX-512, was 0.00001 in f32, 0.03 in bf16, 0.04 in int8 and 0.06 in int4.
TOLERANCE = {"f32": 1e-3, "bf16": 0.25, "int8": 0.25, "int4": 0.25}


def compare(
    model: pathlib.Path, profile: str, own: str, other: str, *flags: str, weights: str = "int8", tokens: int = 16
) -> None:
    """One answer of two workers: the same tokens with the same probabilities, until two tokens are nearly as likely.

    There either may come, and what follows cannot be compared any more.
    """
    one, two = (ask(model, profile, address, *flags, "--weights", weights, tokens=tokens) for address in (own, other))
    assert len(one["tokens"]) == len(two["tokens"]) > 0
    pairs = list(zip(one["tokens"], two["tokens"], strict=True))
    equal = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
    for a, b in zip(one["logprobs"][:equal], two["logprobs"][:equal], strict=True):
        assert abs(a - b) < TOLERANCE[weights]
    if equal == len(pairs):
        return
    ids = ",".join(str(token) for token in one["prompt_tokens"] + one["tokens"][:equal])
    with tempfile.TemporaryDirectory() as folder:
        command = [swift("scx"), "logits", "--model", str(model), "--profile", "plain", "--worker", other]
        run([*command, "--weights", weights, "--prompt-ids", ids, "--out", f"{folder}/logits"])
        logits = load_file(f"{folder}/logits")["logits"][-1]
    # What each worker chose is at most twice the tolerance less likely than the best of one of them.
    assert logits.max() - logits[list(pairs[equal])].min() < 2 * TOLERANCE[weights], (equal, pairs[equal])


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
    with torch_worker(WARD, weights) as (own, _), swift_worker(WARD, weights) as (other, _):
        compare(WARD, profile, own, other, *QUESTION, weights=weights, tokens=48)


@pytest.mark.parametrize("name", KINDS)
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
@pytest.mark.parametrize("name", KINDS)
def test_plain_as_the_swift_worker(name: str, weights: str) -> None:
    if weights == "bf16" and "avx512_bf16" not in pathlib.Path("/proc/cpuinfo").read_text():
        pytest.skip("where the processor has no products of bfloat16, scx-worker does not round rows to it")
    model = FIXTURES / "parity" / name
    with torch_worker(model, weights) as (own, _), swift_worker(model, weights) as (other, _):
        compare(model, "plain", own, other, *prompt(name), weights=weights, tokens=12)


LLAMA_LIKE = ["llama-gqa2", "llama-biases", "llama-odd-10", "mistral-window", "qwen2", "qwen3", "rope-yarn"]


@pytest.mark.parametrize("weights", ["f32", "int8"])
@pytest.mark.parametrize("name", LLAMA_LIKE)
def test_scx(name: str, weights: str) -> None:
    model, flags = FIXTURES / "parity" / name, [*prompt(name), "--scx-noise", "0.5"]
    with torch_worker(model, weights) as (own, _), swift_worker(model, weights) as (other, _):
        compare(model, "scx", own, other, *flags, weights=weights)


@pytest.mark.parametrize("compress", ["int8", "int4"])
def test_scx_in_groups(compress: str) -> None:
    flags = [*QUESTION, "--scx-compress", compress]
    with torch_worker(WARD, "f32") as (own, _), swift_worker(WARD, "f32") as (other, _):
        compare(WARD, "scx", own, other, *flags, weights="f32")
