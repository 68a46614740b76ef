"""A server that computes now and then on a thread that has other things to do, as inside another engine."""

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator

import numpy as np
import torch
from client import Client
from conftest import WARD, wait_for

from scx_torch.compute.decoder import Decoder
from scx_torch.link.errors import LinkError
from scx_torch.link.frame import Kind
from scx_torch.model.checkpoint import Checkpoint
from scx_torch.worker.address import Address
from scx_torch.worker.listener import Listener
from scx_torch.worker.server import Limits, Server
from scx_torch.worker.state import WorkerState

# Layer 0, site 1.
FIELDS = b"\0\0\1\0"


@contextlib.contextmanager
def server(woken: list[float]) -> Iterator[tuple[str, str, Server]]:
    checkpoint = Checkpoint(str(WARD))
    with torch.inference_mode():
        decoder = Decoder(checkpoint, "int8", torch.device("cpu"))
    found = Server(
        WorkerState(decoder, 4, 1 << 20), checkpoint.digest(), Limits(), wake=lambda: woken.append(time.time())
    )
    with tempfile.TemporaryDirectory(prefix="scx-torch-") as folder:
        address = Address(path=f"{folder}/w")
        listener = Listener(address, None)

        def accept() -> None:
            with contextlib.suppress(LinkError):
                listener.run(found)

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield str(address), checkpoint.digest(), found
        finally:
            listener.close()


def test_requests_wait_for_the_next_slice_and_wake_once() -> None:
    woken: list[float] = []
    x = np.ones((1, 192), np.uint32)
    with server(woken) as (address, digest, found), Client(address, digest) as client:
        assert not found.compute_for(0.05, 0.001) and woken == []
        for _ in range(2):
            numbers = {client.send(Kind.linearRing, FIELDS, x) for _ in range(3)}
            wait_for(lambda: len(found._batcher._waiting) == 3)
            # Of several requests only the first says that something waits, since nobody has looked since.
            assert len(woken) == 1
            assert found._batcher.requests % 3 == 0
            assert not found.compute_for(60, 0.05)
            assert {client.receive().head.number for _ in range(3)} == numbers
            woken.clear()
        assert found._batcher.requests == 6


def test_a_slice_ends_though_more_waits() -> None:
    woken: list[float] = []
    x = np.ones((1, 192), np.uint32)
    with server(woken) as (address, digest, found), Client(address, digest) as client:
        client.send(Kind.linearRing, FIELDS, x)
        wait_for(lambda: len(found._batcher._waiting) == 1)
        assert found.compute_for(0, 1)
        # Who is told that more waits is not woken as well.
        client.send(Kind.linearRing, FIELDS, x)
        wait_for(lambda: len(found._batcher._waiting) == 2)
        assert len(woken) == 1
        assert not found.compute_for(60, 0.05)
        assert found._batcher.requests == 2
        # The end of a connection has its slots to be freed.
        woken.clear()
        client.bytes.close()
        wait_for(lambda: len(woken) == 1)
        assert not found.compute_for(60, 0.05)
