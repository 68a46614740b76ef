"""One connection that is being served: a thread reads, one thread computes for all connections, another sends."""

import queue
import threading
import traceback
from collections.abc import Callable
from typing import TypeAlias

from scx_torch.link.errors import Code, LinkError, disconnected, full
from scx_torch.link.frame import Head, Message
from scx_torch.link.protocol import WorkerProtocol, failure
from scx_torch.link.requests import Request
from scx_torch.link.stream import MessageStream, after

Result: TypeAlias = Callable[[int], Message] | LinkError
Submit: TypeAlias = Callable[[Request, Callable[[Result], None]], None]
Record: TypeAlias = Callable[[Message, bool], None]


class Connection:
    """Serves until the connection ends.

    The reader goes on while requests are computed and answers sent. A request counts as on its way until its answer begins
    to be sent, so that at most as many answers as the window, and one that is being sent, wait in memory.
    """

    def __init__(
        self, stream: MessageStream, link: WorkerProtocol, idle: float, record: Record, submit: Submit
    ) -> None:
        self._stream = stream
        self._link = link
        self._idle = idle
        self._record = record
        self._submit = submit
        self._lock = threading.Lock()
        self._end: LinkError | None = None
        self._unsent = 0
        self._answers: queue.SimpleQueue[tuple[int, Result] | Message | None] = queue.SimpleQueue()

    def serve(self) -> LinkError | None:
        """Blocks the calling thread; returns why it ended, None when the peer closed it between two requests."""
        sender = threading.Thread(target=self._send_all, name="scx sender", daemon=True)
        sender.start()
        try:
            while self._end is None:
                self._receive()
        except LinkError as error:
            self._fail(error)
        except MemoryError:
            self._fail(full("no memory for the message"))
        except Exception:
            traceback.print_exc()
            self._fail(disconnected("a fault of this worker"))
        finally:
            self._answers.put(None)
            sender.join()
        assert self._end is not None
        return None if self._end.code == Code.DISCONNECTED else self._end

    def _receive(self) -> None:
        message = self._stream.receive(after(self._idle), self._patience, self._begin)
        self._record(message, True)
        with self._lock:
            action = self._link.receive(message)
            self._unsent += 1
        if isinstance(action, Message):
            self._answers.put(action)
        else:
            request, number = action
            self._submit(request, lambda result: self._answers.put((number, result)))

    def _begin(self, head: Head) -> None:
        with self._lock:
            self._link.begin(head)

    def _patience(self) -> float | None:
        """A new deadline for a client that is silent because it waits for an answer itself."""
        with self._lock:
            return after(self._idle) if self._unsent else None

    def _send_all(self) -> None:
        while (item := self._answers.get()) is not None:
            try:
                message = item if isinstance(item, Message) else self._answer(*item)
                if self._end is None:
                    self._record(message, False)
                    self._stream.send(message)
                with self._lock:
                    self._unsent -= 1
            except Exception as error:
                if not isinstance(error, LinkError):
                    # The result could not be brought from the device.
                    traceback.print_exc()
                    error = disconnected("a fault of this worker")
                self._fail(error)
                # The reader waits on the stream and must see that it has ended.
                self._stream.bytes.close()
        self._say_why()
        self._stream.bytes.close()

    def _answer(self, number: int, result: Result) -> Message:
        with self._lock:
            self._link.answered(number)
        return failure(result, number) if isinstance(result, LinkError) else result(number)

    def _fail(self, error: LinkError) -> None:
        with self._lock:
            if self._end is None:
                self._end = error

    def _say_why(self) -> None:
        """Tells the peer why the connection ends, if it may still be there."""
        if self._end is None or self._end.code == Code.DISCONNECTED:
            return
        try:
            self._stream.send(self._link.failure(self._end))
        except LinkError:
            pass
