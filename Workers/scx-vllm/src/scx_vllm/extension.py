"""The methods that vLLM adds to its worker class, called in all worker processes together by `collective_rpc`."""

import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import torch

from scx_torch.compute.decoder import Decoder
from scx_torch.link.errors import LinkError
from scx_torch.link.tls import Identity, LinkErrorOfFile
from scx_torch.model.errors import ModelError
from scx_torch.worker.listener import Listener, log
from scx_torch.worker.server import Limits, Server
from scx_torch.worker.state import WorkerState
from scx_vllm.engine import Engine
from scx_vllm.errors import Unsupported
from scx_vllm.settings import Settings

Answer = dict[str, Any]
# Python lets another thread run after so many seconds; its usual 5 ms would delay answers by as much.
_SWITCH_SECONDS: Final = 0.0002
_EXPECTED: Final = (Unsupported, ModelError, LinkErrorOfFile, LinkError)


class Extension:
    """What the endpoint asks of vLLM's worker processes, one step after the other.

    An answer with `error` says in one line why this process cannot serve the link. No step ends a process, so that all
    of them get to the end of each step.
    """

    vllm_config: Any
    rank: int
    device: torch.device
    get_model: Callable[[], torch.nn.Module]

    def scx_prepare(self, values: dict[str, Any]) -> Answer:
        """Finds the engine's modules; answers for each site whether this process holds a part of it."""
        try:
            settings = Settings(**values)
            engine = Engine(self.vllm_config, self.get_model(), self.device, settings)
            self._scx = _Parts(settings, engine)
            return {"held": engine.held(), "stage": engine.stage}
        except _EXPECTED as error:
            return {"error": f"{error}"}

    def scx_load(self, stages: list[int]) -> Answer:
        """Reads what the link needs besides; `stages` says for each site which stage of the pipeline holds it."""
        parts: _Parts = self._scx
        engine = parts.engine
        try:
            with torch.inference_mode():
                loader = engine.loader(stages)
                loader.choose_ring_products()
                parts.decoder = Decoder(engine.checkpoint, engine.form, engine.device, engine.team, loader=loader)
        except _EXPECTED as error:
            return {"error": f"{error}"}
        if loader.differing:
            block, site = loader.differing[0]
            where = engine.checkpoint.directory
            return {
                "error": f"site '{site.name}' of layer {block}, and {len(loader.differing)} sites in all: vLLM's product is not "
                f"that of the weights in {where}: is it the same model?"
            }
        return {}

    def scx_listen(self, control: str) -> Answer:
        """Makes the server; the first process listens, and says at the socket `control` when there is something to do."""
        parts: _Parts = self._scx
        settings, engine = parts.settings, parts.engine
        state = WorkerState(parts.decoder, settings.max_sessions, int(settings.max_memory * 1e9))
        limits = Limits(tensor_bytes=settings.max_tensor << 20, idle=float(settings.idle_timeout))
        if engine.team.rank != 0:
            parts.server = Server(state, engine.digest, limits)
            return {}
        try:
            wake = _wake(control)
        except OSError as error:
            return {
                "error": f"vLLM's first worker process cannot reach its API server ({error}): both must be on one machine"
            }
        try:
            identity = None
            if settings.address.path is None and settings.tls_cert and settings.tls_key and settings.tls_ca:
                identity = Identity(settings.tls_cert, settings.tls_key, settings.tls_ca)
            listener = Listener(settings.address, identity)
        except _EXPECTED as error:
            return {"error": f"{error}"}
        server = parts.server = Server(state, engine.digest, limits, wake=wake)

        def accept() -> None:
            try:
                listener.run(server)
            except LinkError as error:
                log(f"{error}")

        threading.Thread(target=accept, name="scx listener", daemon=True).start()
        log(f"serving {engine.checkpoint.directory} from vLLM's weights in {engine.form} at {settings.address}")
        return {}

    def scx_run(self, seconds: float, patience: float) -> bool:
        """Computes for the link for about so many seconds; whether more waits, as the first process knows."""
        parts: _Parts = self._scx
        if parts.engine.team.rank != 0:
            parts.server.follow()
            return False
        # The threads of the connections get their turn sooner than vLLM's own setting lets them, but only meanwhile.
        usual = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            return parts.server.compute_for(seconds, patience)
        finally:
            sys.setswitchinterval(usual)


class _Parts:
    """What the steps make, in the order in which they make it."""

    decoder: Decoder
    server: Server

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings = settings
        self.engine = engine


def _wake(control: str) -> Callable[[], None]:
    """A function that writes a byte to a socket, and never waits."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(control)
    connection.setblocking(False)

    def wake() -> None:
        try:
            connection.send(b"\1")
        except BlockingIOError:
            pass  # There is a byte that nobody has read yet.
        except OSError as error:
            log(f"the API server is gone: {error}")

    return wake
