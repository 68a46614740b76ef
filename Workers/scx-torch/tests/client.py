"""A small client of the link for tests, over a socket or shared memory."""

import ctypes
import fcntl
import mmap
import os
import socket
import struct
import time
from types import TracebackType

import numpy as np

from scx_torch.link.errors import disconnected
from scx_torch.link.fields import FieldReader, text_bytes
from scx_torch.link.frame import Array, Elements, Head, Kind, Message
from scx_torch.link.stream import ByteStream, MessageStream, SocketStream, after

NO_SLOT = 0xFFFFFFFF


class Client:
    """Numbers requests and sends them as they are asked for, right or wrong."""

    def __init__(self, address: str, digest: str | None = None, stream: ByteStream | None = None) -> None:
        self.bytes = stream or connect(address)
        self.stream = MessageStream(self.bytes)
        self.number = 0
        if digest is not None:
            answer = self.ask(Kind.hello, hello(digest))
            assert answer.head.kind == Kind.hello, failure(answer)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bytes.close()

    def send(self, kind: Kind, fields: bytes = b"", tensor: Array | None = None, number: int | None = None) -> int:
        """Sends a request and returns its number."""
        self.number += 1
        elements, shape = Elements.none, (0, 0)
        if tensor is not None:
            elements = Elements.uint32 if tensor.dtype == np.uint32 else Elements.float32
            shape = (tensor.shape[0], tensor.shape[1])
        head = Head(kind, False, number or self.number, elements, *shape, len(fields))
        self.stream.send(Message(head, fields, tensor))
        return self.number

    def receive(self) -> Message:
        """The next answer."""
        return self.stream.receive(after(120), lambda: None, lambda head: None)

    def ask(self, kind: Kind, fields: bytes = b"", tensor: Array | None = None) -> Message:
        """Sends a request and waits for its answer."""
        number = self.send(kind, fields, tensor)
        answer = self.receive()
        assert answer.head.number == number and answer.head.is_answer
        return answer

    def statistics(self) -> dict[str, int]:
        """What the worker has counted."""
        names = ["connections", "slots", "bytes", "requests", "batches", "rows"]
        return dict(zip(names, FieldReader(self.ask(Kind.stats).fields).take("6Q"), strict=True))

    def is_closed(self) -> bool:
        """Whether the worker has ended the connection; what it still says is read."""
        try:
            while True:
                self.receive()
        except Exception as error:
            return "other end closed" in str(error) or "reset" in str(error)


def hello(digest: str, version: int = 4) -> bytes:
    """The fields of a client's hello."""
    return struct.pack("<H", version) + text_bytes(digest) + text_bytes("") + struct.pack("<BHHH", 0, 0, 0, 1)


def failure(message: Message) -> tuple[int, str]:
    """The code and the reason of a failure."""
    assert message.head.kind == Kind.failure
    fields = FieldReader(message.fields)
    return fields.u16(), fields.text()


def connect(address: str) -> SocketStream:
    """A fresh connection to `unix:PATH`."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address.removeprefix("unix:"))
    return SocketStream(connection, address)


def memory(ring_bytes: int, seals: int | None = None, size: int | None = None) -> int:
    """The descriptor of memory for two rings."""
    descriptor = os.memfd_create("ring", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(descriptor, 4_096 + 2 * ring_bytes if size is None else size)
    wanted = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL if seals is None else seals
    if wanted:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, wanted)
    return descriptor


def upgrade(connection: SocketStream, descriptors: list[int], preamble: bytes) -> bytes:
    """Asks for shared memory; gives the answer, empty when the worker closes."""
    socket.send_fds(connection.socket, [preamble], descriptors)
    answer = bytearray(1)
    try:
        connection.read_into(memoryview(answer), after(60))
    except Exception:
        return b""
    return bytes(answer)


class RingClient:
    """The client's side of shared memory; it looks at the counters now and then instead of sleeping."""

    def __init__(self, address: str, ring_bytes: int = 1 << 12) -> None:
        self.connection = connect(address)
        descriptor = memory(ring_bytes)
        preamble = b"SCXSHM01" + struct.pack("<II", ring_bytes, 0)
        assert upgrade(self.connection, [descriptor], preamble) == b"\1"
        self.size = ring_bytes
        self.memory = mmap.mmap(descriptor, 4_096 + 2 * ring_bytes)
        os.close(descriptor)
        self.libc = ctypes.CDLL(None)

    def counter(self, offset: int) -> ctypes.c_uint64:
        """A counter in the memory's head."""
        return ctypes.c_uint64.from_buffer(self.memory, offset)

    def _wake(self, offset: int) -> None:
        word = ctypes.c_uint32.from_buffer(self.memory, offset)
        word.value = 0
        # futex(word, FUTEX_WAKE, 1), on x86-64; elsewhere the sleep ends by itself.
        self.libc.syscall(ctypes.c_long(202), ctypes.byref(word), 1, 1, None, None, 0)

    def write(self, data: memoryview, deadline: float) -> None:
        written, taken = self.counter(0), self.counter(128)
        for byte_at in range(0, len(data), 512):
            part = bytes(data[byte_at : byte_at + 512])
            while written.value + len(part) - taken.value > self.size:
                self._pause(deadline)
            for i, byte in enumerate(part):
                self.memory[4_096 + (written.value + i) % self.size] = byte
            written.value += len(part)
            self._wake(256)

    def read_into(self, buffer: memoryview, deadline: float) -> None:
        written, taken = self.counter(512), self.counter(640)
        done = 0
        while done < len(buffer):
            if written.value == taken.value:
                self._pause(deadline)
                continue
            buffer[done] = self.memory[4_096 + self.size + taken.value % self.size]
            done += 1
            taken.value += 1
            if taken.value % 512 == 0 or written.value == taken.value:
                self._wake(896)

    def _pause(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise TimeoutError
        try:
            if self.connection.socket.recv(1, socket.MSG_PEEK) == b"":
                raise disconnected("the other end closed it")
        except BlockingIOError:
            pass
        time.sleep(0.001)

    def close(self) -> None:
        self.connection.close()
