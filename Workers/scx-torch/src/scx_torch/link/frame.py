"""Frames: a head of 32 bytes and a payload; docs/protocol.md, section Frames."""

import struct
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from scx_torch.link.errors import malformed

FRAME_LIMIT = 1 << 20
HEAD_BYTES = 32
PAYLOAD_LIMIT = FRAME_LIMIT - HEAD_BYTES
ELEMENT_LIMIT = 1 << 29
_MAGIC = b"SCX1"
_HEAD = struct.Struct("<4sIHBBIQII")

Array: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.uint32]


class Kind(IntEnum):
    """What a message asks for, or to which kind of request it is the answer."""

    hello = 1
    linear = 2
    attention = 3
    feedForward = 4
    headTopK = 5
    unlock = 6
    lockTail = 7
    middle = 8
    tailScores = 9
    linearRing = 10
    release = 11
    stats = 12
    padProducts = 13
    failure = 0x40
    more = 0x41


class Elements(IntEnum):
    """The type of a tensor's elements."""

    none = 0
    float32 = 1
    uint32 = 2


@dataclass(frozen=True)
class Head:
    """The head of a frame; one that was parsed is well-formed and within the limits."""

    kind: Kind
    is_answer: bool
    number: int
    elements: Elements = Elements.none
    rows: int = 0
    channels: int = 0
    field_bytes: int = 0
    payload_bytes: int = 0

    @property
    def tensor_bytes(self) -> int:
        """The size of the message's whole tensor."""
        return 4 * self.rows * self.channels if self.elements else 0

    def pack(self) -> bytes:
        """The 32 bytes as they travel."""
        return _HEAD.pack(
            _MAGIC, self.payload_bytes, self.kind, self.is_answer, self.elements, self.field_bytes, self.number,
            self.rows, self.channels,
        )  # fmt: skip

    @staticmethod
    def parse(data: bytes) -> "Head":
        """Reads and checks 32 bytes, before anything is allocated for the frame."""
        magic, payload, kind, flags, elements, fields, number, rows, channels = _HEAD.unpack(data)
        if magic != _MAGIC:
            raise malformed("it does not begin with SCX1: is the peer an SCX worker or client?")
        if payload > PAYLOAD_LIMIT:
            raise malformed(f"a payload of {payload} bytes, the limit is {PAYLOAD_LIMIT}")
        try:
            known, dtype = Kind(kind), Elements(elements)
        except ValueError:
            raise malformed(f"unknown kind {kind} or elements {elements}") from None
        if flags > 1:
            raise malformed(f"unknown flags {flags}")
        if fields > payload:
            raise malformed("its fields are longer than the frame")
        count = rows * channels
        if count > ELEMENT_LIMIT or (dtype == Elements.none) != (count == 0):
            raise malformed(f"a tensor of {rows} x {channels} elements")
        head = Head(known, flags == 1, number, dtype, rows, channels, fields, payload)
        if payload - fields > head.tensor_bytes:
            raise malformed("more bytes than its tensor has")
        return head

    def continues(self, first: "Head") -> bool:
        """Whether this head may follow within the message that began with `first`."""
        expected = replace(first, kind=Kind.more, field_bytes=0, payload_bytes=self.payload_bytes)
        return self == expected and self.payload_bytes > 0


@dataclass(frozen=True)
class Message:
    """A request or an answer: a head, the bytes of its kind's fields, and a tensor of `rows x channels`."""

    head: Head
    fields: bytes = b""
    tensor: Array | None = field(default=None, compare=False)


def message(kind: Kind, number: int, fields: bytes = b"", tensor: Array | None = None) -> Message:
    """Makes an answer; the tensor has two dimensions."""
    head = Head(kind, True, number, field_bytes=len(fields))
    if tensor is not None:
        elements = Elements.uint32 if tensor.dtype == np.uint32 else Elements.float32
        head = replace(head, elements=elements, rows=tensor.shape[0], channels=tensor.shape[1])
        if head.tensor_bytes == 0:
            head = replace(head, elements=Elements.none, rows=0, channels=0)
    return Message(head, fields, tensor)
