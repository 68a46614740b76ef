"""Loads a model and serves it."""

import os
import sys
import threading

import torch

from scx_torch.compute.decoder import Decoder
from scx_torch.compute.parallel import Team
from scx_torch.link.errors import LinkError
from scx_torch.link.tls import Identity, LinkErrorOfFile
from scx_torch.model.errors import ModelError
from scx_torch.model.loader import Progress
from scx_torch.model.opening import open_model
from scx_torch.worker.cli import Arguments
from scx_torch.worker.listener import Listener, log
from scx_torch.worker.recorder import Recorder, RecorderError
from scx_torch.worker.server import Limits, Server
from scx_torch.worker.state import WorkerState

# Python lets another thread run after so many seconds. Its usual 5 ms would delay answers by as much.
_SWITCH_SECONDS = 0.0002


class StartError(Exception):
    """Why the worker cannot begin to serve, in one line."""


def start(options: Arguments) -> None:
    """Serves until the listener fails. Of a team's processes the first speaks the link."""
    try:
        _start(options)
    except (ModelError, RecorderError, LinkErrorOfFile, LinkError) as error:
        raise StartError(f"{error}") from None


def _start(options: Arguments) -> None:
    sys.setswitchinterval(_SWITCH_SECONDS)
    device = _device(options)
    team = Team.join(options.device)
    checkpoint = open_model(options.model)
    identity = None
    if options.tls_cert and options.tls_key and options.tls_ca and options.listen.path is None:
        identity = Identity(options.tls_cert, options.tls_key, options.tls_ca)
    recorder = Recorder(options.record) if options.record and team.rank == 0 else None
    try:
        with torch.inference_mode():
            model = Decoder(checkpoint, options.weights, device, team, options.shard, _progress(options, team))
    except (MemoryError, RuntimeError) as error:
        # On a CPU PyTorch reports a lack of memory as a RuntimeError.
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "memory" not in str(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else "none is left"
        raise StartError(f"{options.model}: no memory for its weights in {options.weights}: {reason}") from None
    state = WorkerState(model, options.max_sessions, _shared(team, _slot_bytes(options, device)))
    limits = Limits(tensor_bytes=options.max_tensor << 20, idle=float(options.idle_timeout))
    server = Server(state, checkpoint.digest(), limits, recorder)
    if team.rank != 0:
        server.follow()
        return
    # Listen only now, so that a client that can connect can be served at once.
    listener = Listener(options.listen, identity)
    log(f"serving {options.model} in {options.weights} on {device.type} at {options.listen}")

    def accept() -> None:
        try:
            listener.run(server)
        except LinkError as error:
            log(f"{error}")
            os._exit(1)

    threading.Thread(target=accept, name="scx listener", daemon=True).start()
    # All products are computed on this thread, so that PyTorch has one set of threads.
    server.compute()


def _device(options: Arguments) -> torch.device:
    if options.device == "cpu":
        torch.set_num_threads(options.threads or os.cpu_count() or 1)
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise StartError("'--device cuda' needs a GPU that PyTorch can use; there is none")
    # Float32 products are float32.
    torch.backends.cuda.matmul.allow_tf32 = False
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def _shared(team: Team, number: int) -> int:
    """The first process's number, so that all processes of a team refuse the same requests."""
    return int.from_bytes(team.share(bytearray(number.to_bytes(8, "little"))), "little")


def _slot_bytes(options: Arguments, device: torch.device) -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if device.type == "cuda":
        physical = torch.cuda.get_device_properties(device).total_memory
    wanted = physical / 2 if options.max_memory is None else options.max_memory * 1e9
    return int(min(wanted, physical))


def _progress(options: Arguments, team: Team) -> Progress:
    """Shows how much is loaded, on a terminal."""
    shows = sys.stderr.isatty() and team.rank == 0

    def show(fraction: float) -> None:
        if shows:
            end = "\n" if fraction >= 1 else ""
            sys.stderr.write(f"\rloading {options.model} {fraction:4.0%}{end}")

    return show
