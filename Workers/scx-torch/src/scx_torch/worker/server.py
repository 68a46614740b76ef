"""Serves connections, each with its own protocol and slots, and all with one model."""

import os
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import torch

from scx_torch.link.errors import LinkError, full
from scx_torch.link.frame import Head, Message
from scx_torch.link.protocol import USUAL_LARGEST_TENSOR, Hello, WorkerProtocol, failure
from scx_torch.link.requests import Request, Stats
from scx_torch.link.stream import ByteStream, MessageStream, after
from scx_torch.worker.batcher import Batcher, Job
from scx_torch.worker.commands import Command, pack, parse
from scx_torch.worker.connection import Connection, Result
from scx_torch.worker.recorder import Recorder
from scx_torch.worker.state import WorkerState, statistics

_REFUSAL_SECONDS = 5.0


@dataclass(frozen=True)
class Limits:
    """Limits that a worker sets for its clients."""

    connections: int = 64
    tensor_bytes: int = USUAL_LARGEST_TENSOR
    # A connection on which no request comes for this long is closed, and its slots are freed.
    idle: float = 600.0
    # How long a message may take from its first byte on, in addition to one second for each MiB.
    patience: float = 10.0
    window: int = 4


class Server:
    """A fault of one connection ends that connection with an error that tells the peer why; others go on."""

    def __init__(
        self,
        state: WorkerState,
        digest: str,
        limits: Limits,
        recorder: Recorder | None = None,
        wake: Callable[[], None] | None = None,
    ) -> None:
        """`wake` is called when a request came after `compute_for` said that none waits."""
        model = state.model
        self._state = state
        self._limits = limits
        self._recorder = recorder
        self._hello = Hello(digest, model.format, model.is_ring, limits.window, model.shard, limits.tensor_bytes)
        self._lock = threading.Lock()
        self._next = 1
        self._open = 0
        self._team = state.model.team
        self._batcher = Batcher(self._compute, wake)

    def compute(self) -> None:
        """Computes all requests on the calling thread until `stop` is called."""
        with torch.inference_mode():
            self._batcher.run()
        self._share(None)

    def compute_for(self, seconds: float, patience: float) -> bool:
        """Computes on the calling thread for about so many seconds, or until nothing has come for `patience` seconds.

        Meanwhile the team's other processes `follow`. Returns whether requests wait.
        """
        with torch.inference_mode():
            more = self._batcher.run_for(seconds, patience)
        self._share(None)
        return more

    def stop(self) -> None:
        """Makes `compute` return, and `follow` in the team's other processes."""
        self._batcher.stop()

    def follow(self) -> None:
        """Computes what the team's first process was asked, until that one's `compute` or `compute_for` returns."""
        with torch.inference_mode():
            while (command := parse(self._team.share(bytearray()), self._limits.tensor_bytes)) is not None:
                if isinstance(command, int):
                    self._state.memory.remove_connection(command)
                else:
                    self._answer(command)

    def _compute(self, jobs: list[Job]) -> list[Result]:
        self._share(jobs)
        return self._answer(jobs)

    def _share(self, command: Command) -> None:
        """Tells the team's other processes what to do."""
        if self._team.size > 1:
            self._team.share(pack(command))

    def _answer(self, jobs: list[Job]) -> list[Result]:
        try:
            return self._state.answer(jobs)
        except Exception:
            # The others wait for this process in the middle of a product, and cannot go on without it.
            if self._team.size > 1:
                traceback.print_exc()
                os._exit(1)
            raise

    def _release(self, connection: int) -> Callable[[], None]:
        def release() -> None:
            self._share(connection)
            self._state.memory.remove_connection(connection)

        return release

    def serve(self, data: ByteStream) -> LinkError | None:
        """Serves one connection until it ends; blocks the calling thread.

        Returns why it ended, None when the peer closed it between two requests.
        """
        stream = MessageStream(data, self._limits.patience)
        link = WorkerProtocol(self._hello, self._limits.tensor_bytes)
        number = self._take_place()
        if number is None:
            error = full(f"it serves {self._limits.connections} connections already")
            self._refuse(stream, link, error)
            return error
        try:
            return Connection(
                stream, link, self._limits.idle,
                lambda message, received: self._record(message, received, number),
                lambda request, done: self._submit(number, request, done),
            ).serve()  # fmt: skip
        finally:
            data.close()
            with self._lock:
                self._open -= 1
            self._batcher.remove(number, self._release(number))

    def _take_place(self) -> int | None:
        with self._lock:
            if self._open >= self._limits.connections:
                return None
            self._open += 1
            self._next += 1
            return self._next - 1

    def _refuse(self, stream: MessageStream, link: WorkerProtocol, error: LinkError) -> None:
        """Reads the peer's hello, so that the peer waits for an answer, and says that there is no place for it."""

        def begin(head: Head) -> None:
            link.begin(head)

        try:
            message = stream.receive(after(_REFUSAL_SECONDS), lambda: None, begin)
            link.receive(message)
            stream.send(failure(error, 1))
        except LinkError:
            pass  # There is nobody to tell.
        finally:
            stream.bytes.close()

    def _record(self, message: Message, received: bool, connection: int) -> None:
        if self._recorder is not None:
            self._recorder.record(message, received, connection)

    def _submit(self, connection: int, request: Request, done: Callable[[Result], None]) -> None:
        if not isinstance(request.operation, Stats):
            self._batcher.submit(connection, request, done)
            return
        memory, batcher = self._state.memory, self._batcher
        with self._lock:
            numbers = [self._open, len(memory), memory.nbytes, batcher.requests, batcher.batches]
        numbers.append(self._state.counts.rows)
        done(lambda number: statistics(number, numbers))
