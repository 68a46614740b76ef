"""A byte stream through memory that two processes of one machine share; docs/protocol.md, section Shared memory."""

import ctypes
import fcntl
import mmap
import os
import platform
import select
import socket
import struct
import threading
import time
from typing import Final

from scx_torch.link.errors import disconnected, malformed, timed_out
from scx_torch.link.stream import Buffer, ByteStream, SocketStream, after

_MAGIC: Final = b"SCXSHM01"
_PREAMBLE: Final = struct.Struct("<8sII")
_HEAD_BYTES: Final = 4096
_RING_LIMITS: Final = (1 << 12, 1 << 24)
# Bytes that are copied before the counter is published, so that both ends can copy at the same time.
_CHUNK: Final = 1 << 18
_SLEEP_SECONDS: Final = 0.1
_FUTEX: Final = {"x86_64": 202, "aarch64": 98}.get(platform.machine())
_FUTEX_WAIT, _FUTEX_WAKE = 0, 1
_COUNTER_LIMIT: Final = 1 << 64


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_libc = ctypes.CDLL(None, use_errno=True)
_fence_lock = threading.Lock()


def _fence() -> None:
    """Orders what this thread wrote before what it reads next.

    Taking a lock is an atomic operation with the order that the protocol asks for. Should a machine reorder all the same,
    a wake is missed, and the sleep ends by itself after a tenth of a second.
    """
    with _fence_lock:
        pass


class _Ring:
    """The bytes and the four words of a ring, in memory that the peer can change at any moment."""

    def __init__(self, memory: mmap.mmap, index: int, capacity: int) -> None:
        base = 512 * index
        start = _HEAD_BYTES + index * capacity
        self.capacity = capacity
        self.bytes = memoryview(memory)[start : start + capacity]
        self.written = ctypes.c_uint64.from_buffer(memory, base)
        self.taken = ctypes.c_uint64.from_buffer(memory, base + 128)
        self.reader_sleeps = ctypes.c_uint32.from_buffer(memory, base + 256)
        self.writer_sleeps = ctypes.c_uint32.from_buffer(memory, base + 384)


class _End:
    """One end of a ring: its true counter is in this process's own memory and only published in the shared one."""

    def __init__(self, ring: _Ring, is_reader: bool) -> None:
        self._ring = ring
        self._is_reader = is_reader
        self._own = 0
        self._available = 0 if is_reader else ring.capacity
        self._own_word, self._peer_word = (ring.taken, ring.written) if is_reader else (ring.written, ring.taken)
        self._own_flag, self._peer_flag = (
            (ring.reader_sleeps, ring.writer_sleeps) if is_reader else (ring.writer_sleeps, ring.reader_sleeps)
        )

    def _expected(self) -> int:
        """The peer's counter as of the last look."""
        own = self._own + self._available
        return (own if self._is_reader else own - self._ring.capacity) % _COUNTER_LIMIT

    def has_news(self) -> bool:
        """Whether the peer's counter has changed since the last look."""
        return int(self._peer_word.value) != self._expected()

    def step(self, buffer: Buffer) -> int:
        """Moves as many bytes as can be moved now, at most a chunk; returns how many."""
        if self._available < min(len(buffer), _CHUNK):
            grown = (int(self._peer_word.value) - self._expected()) % _COUNTER_LIMIT
            if grown > self._ring.capacity - self._available:
                raise malformed("an impossible counter in the shared memory")
            self._available += grown
        part = min(len(buffer), self._available, _CHUNK)
        if part == 0:
            return 0
        start = self._own % self._ring.capacity
        first = min(part, self._ring.capacity - start)
        ring = self._ring.bytes
        if self._is_reader:
            buffer[:first] = ring[start : start + first]
            buffer[first:part] = ring[: part - first]
        else:
            ring[start : start + first] = buffer[:first]
            ring[: part - first] = buffer[first:part]
        self._own = (self._own + part) % _COUNTER_LIMIT
        self._available -= part
        self._own_word.value = self._own
        _fence()
        if self._peer_flag.value:
            self.wake_peer()
        return part

    def wake_peer(self) -> None:
        """Wakes the other side if it sleeps."""
        self._peer_flag.value = 0
        _futex(self._peer_flag, _FUTEX_WAKE, 1, None)

    def wake_own(self) -> None:
        """Wakes the thread of this process that sleeps at this end."""
        self._own_flag.value = 0
        _futex(self._own_flag, _FUTEX_WAKE, 1, None)

    def wait(self, seconds: float) -> None:
        """Sleeps until the peer's counter changes; may return early."""
        self._own_flag.value = 1
        _fence()
        if not self.has_news():
            _futex(self._own_flag, _FUTEX_WAIT, 1, seconds)
        self._own_flag.value = 0


def _futex(word: ctypes.c_uint32, operation: int, value: int, seconds: float | None) -> None:
    limit = None
    if seconds is not None:
        limit = ctypes.byref(_Time(int(seconds), int(seconds % 1 * 1e9)))
    _libc.syscall(
        ctypes.c_long(_FUTEX or 0), ctypes.byref(word), ctypes.c_int(operation), ctypes.c_uint32(value), limit,
        None, ctypes.c_int(0),
    )  # fmt: skip


class SharedMemoryStream:
    """The worker's side of the two rings; the socket stays open and tells when the peer has gone."""

    def __init__(self, connection: SocketStream, memory: mmap.mmap, ring_bytes: int) -> None:
        self._connection = connection
        self._memory = memory
        self._reader = _End(_Ring(memory, 0, ring_bytes), is_reader=True)
        self._writer = _End(_Ring(memory, 1, ring_bytes), is_reader=False)
        self._closed = threading.Event()

    def read_into(self, buffer: Buffer, deadline: float) -> None:
        self._pass(self._reader, buffer, deadline, "sent")

    def write(self, data: Buffer, deadline: float) -> None:
        self._pass(self._writer, data, deadline, "took")

    def _pass(self, end: _End, buffer: Buffer, deadline: float, did: str) -> None:
        done, peer_is_gone = 0, False
        name = self._connection.name
        while done < len(buffer):
            if self._closed.is_set():
                raise disconnected(f"{name}: this end closed it")
            moved = end.step(buffer[done:])
            done += moved
            if moved:
                continue
            # Reported one step after it was seen, since the peer may have written directly before it closed.
            if peer_is_gone:
                raise disconnected(f"{name}: the other end closed it")
            left = deadline - time.monotonic()
            if left <= 0:
                raise timed_out(f"{name}: it {did} nothing in time")
            # For short times only, since a peer that is killed wakes nobody.
            end.wait(min(left, _SLEEP_SECONDS))
            if not end.has_news():
                peer_is_gone = self._has_ended()

    def _has_ended(self) -> bool:
        try:
            return self._connection.socket.recv(1, socket.MSG_PEEK) == b""
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def close(self) -> None:
        self._closed.set()
        self._reader.wake_own()
        self._writer.wake_own()
        self._connection.close()


def accept(connection: SocketStream) -> ByteStream:
    """Moves a new connection to shared memory if the client asks for that first; otherwise leaves it as it is.

    Raises a malformed frame when the memory is not as it must be.
    """
    deadline = after(10)
    if _peek(connection, 4, deadline) != _MAGIC[:4] or _FUTEX is None:
        return connection
    _peek(connection, _PREAMBLE.size, deadline)
    descriptors: list[int] = []
    try:
        data, descriptors, _, _ = socket.recv_fds(connection.socket, _PREAMBLE.size, 2)
        memory, ring_bytes = _map(data, descriptors)
    except OSError as error:
        raise malformed(f"shared memory that cannot be taken: {error}") from None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    connection.write(memoryview(b"\1"), deadline)
    return SharedMemoryStream(connection, memory, ring_bytes)


def _map(data: bytes, descriptors: list[int]) -> tuple[mmap.mmap, int]:
    if len(data) != _PREAMBLE.size:
        raise malformed("neither a frame nor shared memory")
    magic, ring_bytes, flags = _PREAMBLE.unpack(data)
    if magic != _MAGIC:
        raise malformed("neither a frame nor shared memory")
    if flags != 0:
        raise malformed("unknown flags of shared memory")
    if not _RING_LIMITS[0] <= ring_bytes <= _RING_LIMITS[1] or ring_bytes & (ring_bytes - 1):
        raise malformed(f"a shared ring of {ring_bytes} bytes")
    if len(descriptors) != 1:
        raise malformed("shared memory without exactly one descriptor")
    size = _HEAD_BYTES + 2 * ring_bytes
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    if fcntl.fcntl(descriptors[0], fcntl.F_GET_SEALS) & seals != seals:
        raise malformed("shared memory whose size is not sealed")
    if os.fstat(descriptors[0]).st_size != size:
        raise malformed("shared memory of another size than announced")
    return mmap.mmap(descriptors[0], size, mmap.MAP_SHARED), ring_bytes


def _peek(connection: SocketStream, count: int, deadline: float) -> bytes:
    """The first bytes of a connection, which stay in it."""
    while True:
        try:
            data = connection.socket.recv(count, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            data = None
        except OSError as error:
            raise disconnected(f"{connection.name}: {error}") from None
        if data == b"":
            raise disconnected(f"{connection.name}: the other end closed it")
        if data is not None and len(data) == count:
            return data
        left = deadline - time.monotonic()
        if left <= 0:
            raise timed_out(f"{connection.name}: it sent nothing in time")
        poll = select.poll()
        poll.register(connection.socket, select.POLLIN)
        poll.poll(1000 * left)
        if data:  # Some bytes are there and keep the socket readable.
            time.sleep(0.002)
