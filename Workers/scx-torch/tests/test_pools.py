"""This worker beside others in a pool, over TLS, as a shard, as a peer, and as several processes."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest
from conftest import FIXTURES, PATIENCE, WARD, run, swift, swift_worker, torch_worker, wait_for, wait_for_socket
from test_end_to_end import QUESTION, compare, generate, prompt

from scx_torch.link.tls import Identity

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "src"


def start(address: str, *flags: str, processes: int = 1, model: pathlib.Path = WARD) -> subprocess.Popen[bytes]:
    """Starts this worker as a program, or as several processes by torchrun."""
    command = [sys.executable]
    if processes > 1:
        # A free port is chosen by torchrun itself.
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["-m", "scx_torch.worker.cli", "--model", str(model), "--listen", address, "--threads", "1", *flags]
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def stop(process: subprocess.Popen[bytes]) -> str:
    """Ends a program; gives what it wrote."""
    process.terminate()
    try:
        _, error = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return error.decode()


@pytest.fixture
def path() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="scx-torch-") as folder:
        yield pathlib.Path(folder, "w")


def test_one_answer_of_both_workers() -> None:
    expected = generate(WARD, "fixed-point", [], *QUESTION, tokens=40)
    with torch_worker(WARD) as (own, server), swift_worker(WARD) as (other, _):
        assert generate(WARD, "sealed", [own, other], *QUESTION, tokens=40) == expected
        # The pool asks the faster worker more often, so this one may be asked only now and then.
        assert server._batcher.requests > 0


def test_the_other_worker_goes_on_when_this_one_is_killed(path: pathlib.Path) -> None:
    expected = generate(WARD, "fixed-point", [], *QUESTION, tokens=400)
    process = start(f"unix:{path}", "--weights", "int8", "--record", str(path.parent / "record"))
    lines = path.parent / "record/transcript.jsonl"
    try:
        wait_for_socket(path, process)
        with swift_worker(WARD) as (other, _):
            scx = subprocess.Popen(
                [
                    swift("scx"), "generate", "--model", str(WARD), "--profile", "sealed", "--worker", f"unix:{path}",
                    "--worker", other, "--max-tokens", "400", "--ignore-eos", "--json", *QUESTION,
                ],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            try:
                # In the middle of the answer: it has said hello to this worker and asked it something.
                wait_for(lambda: lines.read_bytes().count(b"linearRing") > 0, scx)
                assert scx.poll() is None, "the answer ended before this worker could be killed"
                process.kill()
                out, error = scx.communicate(timeout=PATIENCE)
            finally:
                scx.kill()
        assert scx.returncode == 0, error.decode()
        assert json.loads(out)["tokens"] == expected
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("name", ["llama-odd-10", "deepseek-v2", "gpt-oss", "qwen2-moe"])
def test_shards(name: str) -> None:
    model = FIXTURES / "parity" / name
    expected = generate(model, "fixed-point", [], *prompt(name))
    with (
        torch_worker(model, shard=(0, 2)) as (own, server),
        swift_worker(model, "int8", "--shard", "2/2") as (other, _),
    ):
        found = generate(model, "sealed", [own, other], *prompt(name), "--shard", "columns")
        assert found == expected
        assert server._batcher.requests > 16


def test_peer_of_pads() -> None:
    expected = generate(WARD, "fixed-point", [], *QUESTION)
    with swift_worker(WARD) as (main, _), torch_worker(WARD) as (peer, server):
        assert generate(WARD, "sealed", main, *QUESTION, "--pads", f"peer:{peer}") == expected
        assert server._batcher.requests > 0


def keys(folder: pathlib.Path) -> list[pathlib.Path]:
    """Two directories of keys that trust each other."""
    scx = swift("scx")
    sides = [folder / "client", folder / "worker"]
    for side in sides:
        run([scx, "keys", "new", "--out", str(side)])
    for side, other in zip(sides, reversed(sides), strict=True):
        run([scx, "keys", "trust", str(other / "cert.pem"), "--in", str(side)])
    return sides


def test_tls(tmp_path: pathlib.Path) -> None:
    client, worker = keys(tmp_path)
    identity = Identity(*(str(worker / name) for name in ("cert.pem", "key.pem", "trusted.pem")))
    flags = [
        "--tls-cert", str(client / "cert.pem"), "--tls-key", str(client / "key.pem"),
        "--tls-ca", str(client / "trusted.pem"),
    ]  # fmt: skip
    with torch_worker(WARD, identity=identity) as (address, _):
        expected = generate(WARD, "fixed-point", [], *QUESTION)
        assert generate(WARD, "sealed", address, *QUESTION, *flags) == expected
        assert generate(WARD, "plain", address, *QUESTION, *flags, "--weights", "int8")


@pytest.mark.parametrize("name", ["llama-mqa8", "gpt-oss", "deepseek-v2", "qwen2-moe"])
def test_two_processes(name: str, path: pathlib.Path) -> None:
    model = FIXTURES / "parity" / name
    process = start(f"unix:{path}", "--weights", "int8", processes=2, model=model)
    try:
        wait_for_socket(path, process)
        expected = generate(model, "fixed-point", [], *prompt(name))
        assert generate(model, "sealed", f"unix:{path}", *prompt(name)) == expected
        with torch_worker(model) as (alone, _):
            compare(model, "plain", f"unix:{path}", alone, *prompt(name))
    finally:
        stop(process)
