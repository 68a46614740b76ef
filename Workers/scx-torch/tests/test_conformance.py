"""`scx-lab conformance`, which checks all that docs/protocol.md demands, on this worker."""

import json
import os
import pathlib
import shlex
import subprocess
import sys

import pytest
from conftest import FIXTURES, PATIENCE, swift, torch_worker

from scx_torch.worker.server import Limits

SOURCES = pathlib.Path(__file__).resolve().parents[1] / "src"


def failures(*arguments: str) -> list[str]:
    """The checks that failed, each with what was seen."""
    command = [swift("scx-lab"), "conformance", "--json", "--threads", "1", *arguments]
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=4 * PATIENCE
    )  # fmt: skip
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["passed"] >= 10
    failed = [check for check in report["checks"] if check["result"] == "failed"]
    assert done.returncode == (1 if failed else 0)
    return [f"{check['number']} {check['check']}: {check['detail']}" for check in failed]


def failures_of(model: pathlib.Path, weights: str, shard: tuple[int, int]) -> list[str]:
    """The checks that a worker in this process fails, of those that depend on the model and its weights."""
    with torch_worker(model, weights, shard, Limits(tensor_bytes=1 << 20), slots=20) as (address, _):
        groups = "101,ring,floats,sessions,refusals,802,804,809,901"
        return failures("--model", str(model), "--worker", address, "--only", groups)


def test_everything_and_a_restart() -> None:
    model = str(FIXTURES / "parity/llama-gqa2")
    worker = [sys.executable, "-m", "scx_torch.worker.cli", "--model", model, "--threads", "1", "--max-tensor", "1"]
    start = f"{shlex.join(worker)} --listen unix:{{}}"
    assert failures("--model", model, "--start", start, "--patience", str(int(PATIENCE))) == []


@pytest.mark.parametrize(
    ("name", "weights", "shard"),
    [
        ("parity/qwen2-moe", "f32", (0, 1)),
        ("parity/deepseek-v2", "int8", (0, 1)),
        ("parity/gpt2", "bf16", (0, 1)),
        ("encoders/bert", "int8", (0, 1)),
        ("parity/qwen3", "int4", (0, 1)),
        ("parity/mixtral", "int8", (2, 3)),
        ("vision/vit", "int8", (0, 1)),
        ("vision/gemma3-pictures", "int4", (0, 1)),
        ("vision/llava-published-names", "f32", (0, 1)),
        ("vision/llava-siglip", "int8", (1, 2)),
    ],
)
def test_other_models_and_formats(name: str, weights: str, shard: tuple[int, int]) -> None:
    assert failures_of(FIXTURES / name, weights, shard) == []
