"""Collects the requests of several connections into batches, so that one product serves them all."""

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from scx_torch.link.errors import full
from scx_torch.link.frame import Kind
from scx_torch.link.requests import Request
from scx_torch.worker.connection import Result


@dataclass
class Job:
    """A request of a connection."""

    connection: int
    request: Request


@dataclass
class _Pending:
    job: Job
    done: Callable[[Result], None]
    # How many batches of shorter requests were computed while it waited.
    passed: int = 0


# The most batches of short requests that are computed before a pass through the blocks that waits.
_PASSING_LIMIT = 8


class Batcher:
    """Computes all requests on one thread.

    Sessions that generate stay in step: after a batch those that were in it ask again within a short time of each other.
    So before it takes a batch, the thread waits a moment for the connections that asked lately: at most a tenth of the
    time of a batch.
    """

    def __init__(self, compute: Callable[[list[Job]], list[Result]], wake: Callable[[], None] | None = None) -> None:
        """`wake` is called when something came after `run_for` said that nothing waits."""
        self._compute = compute
        self._wake = wake
        self._is_idle = True
        self._condition = threading.Condition()
        self._waiting: list[_Pending] = []
        self._last_asked: dict[int, float] = {}
        self._removed: list[Callable[[], None]] = []
        self._batch_time = 0.0
        self._stopped = False
        self.requests = 0
        self.batches = 0

    def submit(self, connection: int, request: Request, done: Callable[[Result], None]) -> None:
        """Queues a request; `done` is called on the computing thread."""
        with self._condition:
            self._last_asked[connection] = time.monotonic()
            self._waiting.append(_Pending(Job(connection, request), done))
            self._came()

    def remove(self, connection: int, release: Callable[[], None]) -> None:
        """Forgets a connection that has ended; `release` is called on the computing thread."""
        with self._condition:
            self._last_asked.pop(connection, None)
            self._waiting = [pending for pending in self._waiting if pending.job.connection != connection]
            self._removed.append(release)
            self._came()

    def stop(self) -> None:
        """Makes `run` return after the batch that it computes."""
        with self._condition:
            self._stopped = True
            self._condition.notify()

    def run(self) -> None:
        """Computes batch after batch until `stop` is called."""
        while self._turn(None):
            pass

    def run_for(self, seconds: float, patience: float) -> bool:
        """Computes batch after batch for about so many seconds, or until nothing has come for `patience` seconds.

        Returns whether something waits. For a program that computes other things on the same thread: it is woken when
        something comes later.
        """
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end and self._turn(min(end, now + patience)):
            pass
        with self._condition:
            self._is_idle = not (self._waiting or self._removed)
            return not self._is_idle

    def _came(self) -> None:
        self._condition.notify()
        if self._is_idle and self._wake is not None:
            self._is_idle = False
            self._wake()

    def _turn(self, limit: float | None) -> bool:
        """Computes the next batch; false when nothing came until `limit`, or `stop` was called."""
        with self._condition:
            while not self._waiting and not self._removed and not self._stopped:
                left = None if limit is None else limit - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._condition.wait(left)
            if self._stopped:
                return False
            removed, self._removed = self._removed, []
            batch = self._take() if self._waiting else []
        for release in removed:
            release()
        if batch:
            self._answer(batch)
        return True

    def _answer(self, batch: list[_Pending]) -> None:
        start = time.monotonic()
        try:
            results = self._compute([pending.job for pending in batch])
        except Exception as error:
            # PyTorch reports a lack of memory as a RuntimeError. Anything else is a fault of this program, which must not
            # end the other sessions.
            if not isinstance(error, MemoryError) and "memory" not in str(error):
                traceback.print_exc()
                error = RuntimeError("a fault of this worker, which its log has")
            reason = str(error).splitlines()[0][:200] if str(error) else "no memory"
            results = [full(reason)] * len(batch)
        seconds = time.monotonic() - start
        with self._condition:
            self._batch_time = max(seconds, 0.9 * self._batch_time)
            self.batches += 1
            self.requests += len(batch)
        for pending, result in zip(batch, results, strict=True):
            pending.done(result)

    def _take(self) -> list[_Pending]:
        """Chooses the requests of the next batch.

        A pass through the blocks (`middle`) takes long and all other requests are short. A connection that waits for a
        short answer will soon ask for its next pass, so short requests come first and all passes become one. Of a
        connection's requests that use slots a batch takes only one; products of integers keep nothing.
        """
        self._gather()
        short = [pending for pending in self._waiting if pending.job.request.kind != Kind.middle]
        is_short = bool(short) and all(pending.passed < _PASSING_LIMIT for pending in self._waiting)
        taken: list[_Pending] = []
        connections: set[int] = set()
        for pending in short if is_short else self._waiting:
            if pending.job.request.kind != Kind.linearRing:
                if pending.job.connection in connections:
                    continue
                connections.add(pending.job.connection)
            taken.append(pending)
        chosen = {id(pending) for pending in taken}
        self._waiting = [pending for pending in self._waiting if id(pending) not in chosen]
        if is_short:
            for pending in self._waiting:
                pending.passed += pending.job.request.kind == Kind.middle
        return taken

    def _gather(self) -> None:
        """Waits for the connections that asked lately and have not asked again yet."""
        now = time.monotonic()
        limit = now + min(self._batch_time / 10, 0.005)
        lately = now - max(3 * self._batch_time, 0.05)
        expected = sum(asked > lately for asked in self._last_asked.values())
        while len({pending.job.connection for pending in self._waiting}) < expected:
            left = limit - time.monotonic()
            if left <= 0 or not self._condition.wait(left):
                return
