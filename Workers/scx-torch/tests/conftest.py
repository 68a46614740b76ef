"""What the tests share: the repository's models, a worker in this process, and the Swift programs if they are there."""

import contextlib
import os
import pathlib
import shutil
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
from scx_torch.model.checkpoint import Checkpoint
from scx_torch.worker.address import Address
from scx_torch.worker.listener import Listener
from scx_torch.worker.recorder import Recorder
from scx_torch.worker.server import Limits, Server
from scx_torch.worker.state import WorkerState

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = REPOSITORY / "Tests/Fixtures"
WARD = REPOSITORY / "Models/ward-3m"

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
    checkpoint = Checkpoint(str(model))
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

        threads = [threading.Thread(target=accept, daemon=True), threading.Thread(target=server.compute)]
        for thread in threads:
            thread.start()
        try:
            yield str(address), server
        finally:
            listener.close()
            server.stop()
            threads[1].join()
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
            wait_for(pathlib.Path(folder, "w").exists, process)
            yield f"unix:{folder}/w", process
        finally:
            process.kill()
            process.communicate()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Waits until a program is ready; fails when it ends before."""
    while not condition():
        if process.poll() is not None:
            error = process.stderr.read().decode() if process.stderr else ""
            pytest.fail(f"{process.args} ended: {error}")
        time.sleep(0.02)


def has(program: str) -> bool:
    """Whether a program is installed."""
    return shutil.which(program) is not None
