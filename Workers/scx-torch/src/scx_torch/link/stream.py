"""Bytes in both directions, and messages over them."""

import errno
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeAlias

import numpy as np

from scx_torch.link.errors import Code, LinkError, disconnected, malformed, timed_out
from scx_torch.link.frame import HEAD_BYTES, PAYLOAD_LIMIT, Array, Elements, Head, Kind, Message

Buffer: TypeAlias = memoryview

NEVER = float("inf")


def after(seconds: float) -> float:
    """A deadline, on the clock of `time.monotonic`."""
    return time.monotonic() + seconds


class ByteStream(Protocol):
    """A connection to one peer; at most one thread reads and one writes at a time."""

    def read_into(self, buffer: Buffer, deadline: float) -> None:
        """Fills the buffer, or raises that the stream has ended or that nothing came in time."""

    def write(self, data: Buffer, deadline: float) -> None:
        """Sends all of the data, or raises as `read_into` does."""

    def close(self) -> None:
        """Ends the stream; calls that wait on it raise. Any thread may call it, and twice."""


class SocketStream:
    """A stream over a socket, plain or TLS."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self._socket = connection
        self._name = name
        self._closed = threading.Event()
        # OpenSSL's connection may be used by one thread at a time.
        self._lock = threading.Lock() if isinstance(connection, ssl.SSLSocket) else None
        connection.setblocking(False)

    @property
    def socket(self) -> socket.socket:
        """The socket itself."""
        return self._socket

    @property
    def name(self) -> str:
        """Who the peer is, for errors."""
        return self._name

    def read_into(self, buffer: Buffer, deadline: float) -> None:
        done = 0
        while done < len(buffer):
            count = self._call(lambda: self._socket.recv_into(buffer[done:]), False, deadline)  # noqa: B023
            if count == 0:
                raise disconnected(f"{self._name}: the other end closed it")
            done += count

    def write(self, data: Buffer, deadline: float) -> None:
        done = 0
        while done < len(data):
            done += self._call(lambda: self._socket.send(data[done:]), True, deadline)  # noqa: B023

    def _call(self, operation: Callable[[], int], sending: bool, deadline: float) -> int:
        while True:
            if self._closed.is_set():
                raise disconnected(f"{self._name}: this end closed it")
            wants_write = sending
            try:
                if self._lock is None:
                    return operation()
                with self._lock:
                    return operation()
            except (BlockingIOError, InterruptedError):
                pass
            except ssl.SSLWantReadError:
                wants_write = False
            except ssl.SSLWantWriteError:
                wants_write = True
            except (OSError, ValueError) as error:
                raise disconnected(f"{self._name}: {error}") from None
            self._wait(wants_write, sending, deadline)

    def _wait(self, wants_write: bool, sending: bool, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise timed_out(f"{self._name}: it {'took' if sending else 'sent'} nothing in time")
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLOUT if wants_write else select.POLLIN)
            # With TLS the bytes that one thread waits for may be taken by the other, so it waits in short pieces.
            poll.poll(1000 * min(left, 0.05 if self._lock else 1.0))
        except (OSError, ValueError) as error:
            raise disconnected(f"{self._name}: {error}") from None

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EBADF):
                return
        finally:
            self._socket.close()


class MessageStream:
    """Sends and receives messages; a message may take `patience` seconds and one more for each MiB."""

    def __init__(self, data: ByteStream, patience: float = 10.0) -> None:
        self.bytes = data
        self._patience = patience

    def _deadline(self, count: int) -> float:
        return after(self._patience + (count >> 20))

    def send(self, message: Message) -> None:
        """Sends a message, as one frame or several."""
        tensor = bytes_of(message.tensor)
        deadline = self._deadline(len(tensor))
        head, fields, sent = message.head, message.fields, 0
        while True:
            part = min(len(tensor) - sent, PAYLOAD_LIMIT - len(fields))
            head = replace(head, payload_bytes=len(fields) + part)
            start = head.pack() + fields
            if part <= 1 << 14:
                start += tensor[sent : sent + part]
            self.bytes.write(memoryview(start), deadline)
            if part > 1 << 14:
                self.bytes.write(tensor[sent : sent + part], deadline)
            sent += part
            head, fields = replace(head, kind=Kind.more, field_bytes=0), b""
            if sent == len(tensor):
                return

    def receive(self, deadline: float, later: Callable[[], float | None], begin: Callable[[Head], None]) -> Message:
        """Waits for the next message.

        `later` is called when no byte has come by the deadline: it gives a new one, or None to give up. `begin` checks by
        the head whether the message may come, before memory is allocated for the rest of it.
        """
        first = self._first_byte(deadline, later)
        head = Head.parse(first + self._read(HEAD_BYTES - 1, self._deadline(0)))
        if head.kind == Kind.more:
            raise malformed("the rest of a message that did not begin")
        begin(head)
        rest = self._deadline(head.tensor_bytes)
        fields = self._read(head.field_bytes, rest)
        if head.elements == Elements.none:
            return Message(head, fields)
        shape = (head.rows, head.channels)
        is_float = head.elements == Elements.float32
        tensor: Array = np.empty(shape, np.float32) if is_float else np.empty(shape, np.uint32)
        self._read_tensor(head, bytes_of(tensor), rest)
        return Message(head, fields, tensor)

    def _read_tensor(self, first: Head, buffer: Buffer, deadline: float) -> None:
        part, done = first.payload_bytes - first.field_bytes, 0
        while True:
            if part:
                self.bytes.read_into(buffer[done : done + part], deadline)
            done += part
            if done == len(buffer):
                return
            following = Head.parse(self._read(HEAD_BYTES, deadline))
            part = following.payload_bytes
            if not following.continues(first) or part > len(buffer) - done:
                raise malformed("a frame that does not go on with the message before it")

    def _first_byte(self, deadline: float, later: Callable[[], float | None]) -> bytes:
        while True:
            try:
                return self._read(1, deadline)
            except LinkError as error:
                # A time-out before the single byte has lost no bytes, so the stream can be read on.
                following = later() if error.code == Code.TIMED_OUT else None
                if following is None:
                    raise
                deadline = following

    def _read(self, count: int, deadline: float) -> bytes:
        data = bytearray(count)
        if count:
            self.bytes.read_into(memoryview(data), deadline)
        return bytes(data)


def bytes_of(tensor: Array | None) -> Buffer:
    """The bytes of a tensor; they are the array's own where it is contiguous."""
    if tensor is None or tensor.size == 0:
        return memoryview(b"")
    return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data
