"""What the tests share: the repository's models, a worker in this process, and the Swift programs if they are there."""

import contextlib
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch

from scx_torch.compute.decoder import Decoder
from scx_torch.link.errors import LinkError
from scx_torch.link.tls import Identity
from scx_torch.model.opening import open_model
from scx_torch.worker.address import Address
from scx_torch.worker.listener import Listener
from scx_torch.worker.recorder import Recorder
from scx_torch.worker.server import Limits, Server
from scx_torch.worker.state import WorkerState

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = REPOSITORY / "Tests/Fixtures"
WARD = REPOSITORY / "Models/ward-3m"
# Seconds after which something that should come in a moment is taken to have failed, so that a fault ends a test instead of
# making it wait for ever. No right run comes near it.
PATIENCE = 300.0

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


@contextlib.contextmanager
def torch_worker(
    model: pathlib.Path,
    weights: str = "int8",
    shard: tuple[int, int] = (0, 1),
    limits: Limits | None = None,
    record: str | None = None,
    slots: int = 64,
    slot_bytes: int = 1 << 30,
    identity: Identity | None = None,
) -> Iterator[tuple[str, Server]]:
    """Serves a model in this process; gives the address and the server."""
    checkpoint = open_model(str(model))
    with torch.inference_mode():
        decoder = Decoder(checkpoint, weights, torch.device("cpu"), shard=shard)
    state = WorkerState(decoder, slots, slot_bytes)
    recorder = Recorder(record) if record else None
    server = Server(state, checkpoint.digest(), limits or Limits(), recorder)
    with tempfile.TemporaryDirectory(prefix="scx-torch-") as folder:
        address = Address(path=f"{folder}/w") if identity is None else Address(host="127.0.0.1")
        listener = Listener(address, identity)
        if identity is not None:
            address = Address(host="127.0.0.1", port=listener.socket.getsockname()[1])

        def accept() -> None:
            with contextlib.suppress(LinkError):
                listener.run(server)

        # A test that fails while it holds the computing thread must not keep the whole run from ending.
        threads = [threading.Thread(target=target, daemon=True) for target in (accept, server.compute)]
        for thread in threads:
            thread.start()
        try:
            yield str(address), server
        finally:
            listener.close()
            server.stop()
            threads[1].join(60)
            if recorder is not None:
                recorder.close()


def swift(name: str) -> str:
    """The path of a Swift program; skips the test where it is not there. SCX_BIN is that of `scx`."""
    scx = os.environ.get("SCX_BIN") or str(REPOSITORY / ".build/release/scx")
    path = pathlib.Path(scx).parent / name
    if not path.is_file():
        pytest.skip(f"there is no {name}: set SCX_BIN to the path of scx, with the other programs beside it")
    return str(path)


@contextlib.contextmanager
def swift_worker(
    model: pathlib.Path, weights: str = "int8", *flags: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Starts `scx-worker`; gives its address and process."""
    program = swift("scx-worker")
    with tempfile.TemporaryDirectory(prefix="scx-swift-") as folder:
        command = [program, "--model", str(model), "--listen", f"unix:{folder}/w", "--weights", weights]
        process = subprocess.Popen([*command, "--threads", "1", *flags], stderr=subprocess.PIPE)
        try:
            wait_for_socket(pathlib.Path(folder, "w"), process)
            yield f"unix:{folder}/w", process
        finally:
            process.kill()
            process.communicate()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Waits for something that happens in a moment; fails when it does not, or when the program ends before."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if process is not None and process.poll() is not None:
            error = process.stderr.read().decode() if process.stderr else ""
            pytest.fail(f"{process.args} ended: {error}")
        if time.monotonic() > deadline:
            pytest.fail(f"nothing came in {PATIENCE} seconds")
        time.sleep(0.005)


def wait_for_socket(path: pathlib.Path, process: subprocess.Popen[bytes]) -> None:
    """Waits until a program listens; its path is there a moment before that."""

    def listens() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path)) == 0

    wait_for(listens, process)


def run(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Runs a program to its end; gives what it wrote, and fails with its errors when it fails."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=2 * PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout
