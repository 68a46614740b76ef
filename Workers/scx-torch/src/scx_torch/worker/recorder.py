"""Records everything that a worker receives and sends; docs/transcript.md."""

import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from scx_torch.link.errors import LinkError
from scx_torch.link.fields import FieldReader
from scx_torch.link.frame import Elements, Kind, Message
from scx_torch.link.protocol import VERSION, Hello
from scx_torch.link.requests import (
    Attention,
    FeedForward,
    HeadTopK,
    Linear,
    LinearRing,
    LockTail,
    Middle,
    Operation,
    PadProducts,
    Release,
    Stats,
    TailScores,
    Unlock,
    read_operation,
)  # fmt: skip
from scx_torch.link.stream import bytes_of

STATISTICS = ("connections", "slots", "slotBytes", "requests", "batches", "rows")
_PRECISIONS = {0: "float32", 4: "int4", 8: "int8"}


class RecorderError(Exception):
    """A directory that cannot be recorded into."""


class Recorder:
    """Appends tensors to `transcript.bin`, then the lines that name them to `transcript.jsonl`.

    A tensor is written before its line, and a line by one system call, so that what is there after a crash is right.
    When writing fails, recording ends with one clear warning, and the worker goes on.
    """

    def __init__(self, directory: str) -> None:
        self._lock = threading.Lock()
        self._failed = False
        self._start = time.monotonic()
        try:
            os.makedirs(directory, 0o700, exist_ok=True)
            self._lines = _open(f"{directory}/transcript.jsonl")
            try:
                fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RecorderError(f"{directory}: cannot record: another worker is recording there") from None
            self._tensors = _open(f"{directory}/transcript.bin")
            self._size = os.fstat(self._tensors).st_size
            # The line that an earlier worker was writing when it died.
            self._line_bytes = _whole_lines(self._lines)
            os.ftruncate(self._lines, self._line_bytes)
            now = time.time_ns() // 1000
            self._append({"kind": "start", "version": 2, "unixMicroseconds": now, "offset": self._size})
        except OSError as error:
            raise RecorderError(f"{directory}: cannot record: {error.strerror}") from None

    def close(self) -> None:
        """Lets another worker record into the directory."""
        os.close(self._lines)
        os.close(self._tensors)

    def record(self, message: Message, received: bool, connection: int) -> None:
        """Records one message of a connection."""
        with self._lock:
            if self._failed:
                return
            line: dict[str, Any] = {
                "microseconds": int((time.monotonic() - self._start) * 1e6),
                "direction": "received" if received else "sent", "connection": connection,
                "number": message.head.number, "kind": message.head.kind.name,
            }  # fmt: skip
            line |= _members(message)
            try:
                if message.tensor is not None and message.head.elements != Elements.none:
                    shape = [message.head.rows, message.head.channels]
                    line |= {"dtype": message.head.elements.name, "shape": shape}
                    line |= {"offset": self._size, "bytes": message.head.tensor_bytes}
                    _write(self._tensors, bytes_of(message.tensor))
                    self._size += message.head.tensor_bytes
                self._append(line)
            except OSError as error:
                self._failed = True
                with_reason = f"warning: RECORDING HAS ENDED, the transcript is incomplete: {error.strerror}\n"
                sys.stderr.write(with_reason)
                try:
                    os.ftruncate(self._lines, self._line_bytes)
                except OSError:
                    pass

    def _append(self, line: dict[str, Any]) -> None:
        data = (json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
        _write(self._lines, memoryview(data))
        self._line_bytes += len(data)


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _write(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _whole_lines(descriptor: int) -> int:
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 65_536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _members(message: Message) -> dict[str, Any]:
    """The kind's own fields by their names in a transcript."""
    head = message.head
    try:
        if head.kind == Kind.hello:
            hello = Hello.read(message.fields)
            members: dict[str, Any] = {"version": hello.version, "digest": hello.digest, "weights": hello.weights}
            if hello.version == VERSION:
                members |= {"ring": hello.ring, "window": hello.window, "shard": list(hello.shard)}
            return members
        if head.kind == Kind.failure:
            fields = FieldReader(message.fields)
            return {"code": fields.u16(), "reason": fields.text()}
        if head.is_answer:
            if head.kind == Kind.stats:
                return dict(zip(STATISTICS, FieldReader(message.fields).take("6Q"), strict=True))
            return {}
        operation = read_operation(message)
        return _DESCRIPTIONS[type(operation)](operation)
    except LinkError:
        return {"fields": message.fields.hex()}


def _slot(slot: int | None) -> dict[str, Any]:
    return {} if slot is None else {"slot": slot}


def _attention(operation: Attention) -> dict[str, Any]:
    parts = [
        {
            **_slot(part.slot), "position": part.position, "queries": part.queries, "keys": part.keys,
            "precision": _PRECISIONS[layout.precision], "exactPrefix": layout.prefix, "channels": layout.channels,
        }
        for part, layout in zip(operation.parts, operation.layouts, strict=True)
    ]  # fmt: skip
    return {"layer": operation.layer, "parts": parts}


def _segments(operation: Middle | TailScores) -> list[list[int]]:
    return [[each.slot, each.position, each.rows] + [1] * each.mutual for each in operation.segments]


_DESCRIPTIONS: dict[type[Operation], Callable[[Any], dict[str, Any]]] = {
    Linear: lambda o: {"layer": o.layer, "site": o.site.name, **_slot(o.slot), "exact": o.exact},
    Attention: _attention,
    FeedForward: lambda o: {"layer": o.layer},
    HeadTopK: lambda o: {"count": o.count},
    Unlock: lambda o: {
        "slot": o.slot, "layer": o.layer, "position": o.position,
        **({} if o.source is None else {"from": o.source}),
    },
    LockTail: lambda o: {"slot": o.slot, "layer": o.layer},
    Middle: lambda o: {"blocks": [o.first, o.end], "segments": _segments(o)},
    TailScores: lambda o: {"layer": o.layer, "segments": _segments(o)},
    LinearRing: lambda o: {
        "layer": o.layer, "site": o.site.name, **({} if o.groups is None else {"groups": list(o.groups)}),
    },
    PadProducts: lambda o: {
        "layer": o.layer, "site": o.site.name, "seed": o.seed.hex(), "first": o.first, "count": o.count,
    },
    Release: lambda o: {"slot": o.slot},
    Stats: lambda o: {},
}  # fmt: skip
