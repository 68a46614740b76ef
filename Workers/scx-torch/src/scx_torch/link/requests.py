"""Requests with typed fields, read from messages; docs/protocol.md, section Kinds."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from scx_torch.link.errors import malformed
from scx_torch.link.fields import FieldReader
from scx_torch.link.frame import Array, Elements, Head, Kind, Message
from scx_torch.link.groups import Layout, read_parts

NO_SLOT = 0xFFFFFFFF
PART_LIMIT = 1 << 14
PAD_ROW_LIMIT = 1 << 16
SEED_BYTES = 32


class Site(IntEnum):
    """A place in the model where rows are multiplied by weights."""

    queryKeyValue = 1
    output = 2
    gateUp = 3
    down = 4
    head = 5
    expertGateUp = 6
    expertDown = 7
    queryUp = 8
    queryLatent = 9
    valueUp = 10


@dataclass(frozen=True)
class Segment:
    """Consecutive rows of a request that belong to one session."""

    slot: int
    position: int
    rows: int
    # Whether each row attends to all of them, as the tokens of a picture do.
    mutual: bool = False


@dataclass(frozen=True)
class Part:
    """The queries, keys and values of one session in an attention; `slot` is None where nothing is kept."""

    slot: int | None
    position: int
    queries: int
    keys: int


@dataclass(frozen=True)
class Linear:
    layer: int
    site: Site
    slot: int | None
    exact: bool


@dataclass(frozen=True)
class Attention:
    layer: int
    parts: tuple[Part, ...]
    layouts: tuple[Layout, ...]


@dataclass(frozen=True)
class FeedForward:
    layer: int


@dataclass(frozen=True)
class HeadTopK:
    count: int


@dataclass(frozen=True)
class Unlock:
    slot: int
    layer: int
    position: int
    source: int | None


@dataclass(frozen=True)
class LockTail:
    slot: int
    layer: int


@dataclass(frozen=True)
class Middle:
    first: int
    end: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class TailScores:
    layer: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class LinearRing:
    layer: int
    site: Site
    groups: tuple[int, ...] | None


@dataclass(frozen=True)
class PadProducts:
    layer: int
    site: Site
    seed: bytes
    first: int
    count: int


@dataclass(frozen=True)
class Release:
    slot: int


@dataclass(frozen=True)
class Stats:
    pass


Operation: TypeAlias = (
    Linear
    | Attention
    | FeedForward
    | HeadTopK
    | Unlock
    | LockTail
    | Middle
    | TailScores
    | LinearRing
    | PadProducts
    | Release
    | Stats
)


@dataclass(frozen=True)
class Request:
    """An operation and its tensor: float32 rows, or uint32 for ring products and permutations."""

    kind: Kind
    operation: Operation
    tensor: Array | None
    # The message that it was read from.
    message: Message

    def floats(self) -> npt.NDArray[np.float32]:
        """The rows of a request that has float32 ones; `read_request` has checked that."""
        assert self.tensor is not None and self.tensor.dtype == np.float32
        return self.tensor  # type: ignore[return-value]

    def words(self) -> npt.NDArray[np.uint32]:
        """The words of a request that has uint32 ones."""
        assert self.tensor is not None and self.tensor.dtype == np.uint32
        return self.tensor  # type: ignore[return-value]


def read_request(message: Message, largest_tensor: int) -> Request:
    """Reads a request; whether its numbers fit the model is not checked here.

    Raises a malformed frame, also for a tensor in groups with more than `largest_tensor` bytes in float32.
    """
    kind, operation, tensor = message.head.kind, read_operation(message), message.tensor
    if isinstance(operation, Attention):
        tensor = _attention_values(message, operation, largest_tensor)
    elif message.head.elements != _ELEMENTS.get(kind, Elements.float32):
        raise malformed(f"'{kind.name}' with a payload of another kind")
    return Request(kind, operation, tensor, message)


def read_operation(message: Message) -> Operation:
    """Reads a request's fields, whatever its tensor is; raises a malformed frame."""
    kind, fields = message.head.kind, FieldReader(message.fields)
    if kind not in _READERS:
        raise malformed(f"'{kind.name}' is no request that can be served here")
    operation = _READERS[kind](fields)
    fields.finish()
    return operation


_ELEMENTS = {
    Kind.linearRing: Elements.uint32,
    Kind.unlock: Elements.uint32,
    Kind.release: Elements.none,
    Kind.stats: Elements.none,
    Kind.padProducts: Elements.none,
}


def _attention_values(message: Message, operation: Attention, largest_tensor: int) -> Array:
    head, tensor = message.head, message.tensor
    channels = sum(layout.channels for layout in operation.layouts)
    if tensor is None:
        raise malformed("'attention' with a payload of another kind")
    if tensor.dtype == np.float32:
        if channels != head.channels or any(layout.precision for layout in operation.layouts):
            raise malformed(f"parts that do not fit {head.channels} values in float32")
        return tensor
    if head.rows != 1:
        raise malformed(f"groups in {head.rows} rows")
    if channels > largest_tensor // 4:
        raise malformed(f"{channels} values, the limit is {largest_tensor} bytes")
    return read_parts(tensor.reshape(-1).view(np.uint32), list(operation.layouts))


def _slot(number: int) -> int | None:
    return None if number == NO_SLOT else number


def _site(code: int) -> Site:
    try:
        return Site(code)
    except ValueError:
        raise malformed(f"unknown site {code}") from None


def _segments(fields: FieldReader) -> tuple[Segment, ...]:
    count = fields.u32()
    if 12 * count > fields.left:
        raise malformed("its fields end early")
    numbers = [fields.take("III") for _ in range(count)]
    return tuple(Segment(slot, position, rows) for slot, position, rows in numbers)


def _linear(fields: FieldReader) -> Operation:
    layer, site, slot, exact = fields.take("HHIB")
    if exact > 1:
        raise malformed(f"an exactness of {exact}")
    return Linear(layer, _site(site), _slot(slot), exact == 1)


def _attention(fields: FieldReader) -> Operation:
    layer, count = fields.take("HI")
    if not 1 <= count <= PART_LIMIT:
        raise malformed(f"an attention of {count} parts")
    parts: list[Part] = []
    layouts: list[Layout] = []
    for _ in range(count):
        slot, position, queries, keys, precision, prefix, channels = fields.take("IIIIBII")
        parts.append(Part(_slot(slot), position, queries, keys))
        layouts.append(Layout(precision, prefix, channels))
    return Attention(layer, tuple(parts), tuple(layouts))


def _unlock(fields: FieldReader) -> Operation:
    slot, layer, position = fields.take("IHI")
    return Unlock(slot, layer, position, fields.u32() if fields.left else None)


def _middle(fields: FieldReader) -> Operation:
    first, end = fields.take("HH")
    if first >= end:
        raise malformed(f"blocks {first} to {end}")
    segments = _segments(fields)
    if fields.left:
        # These fields were added within version 3; programs that do not know them end before them.
        mutual = fields.take(f"{len(segments)}B")
        if any(value > 1 for value in mutual):
            raise malformed(f"a direction of attention {max(mutual)}")
        segments = tuple(replace(segment, mutual=value == 1) for segment, value in zip(segments, mutual, strict=True))
    return Middle(first, end, segments)


def _linear_ring(fields: FieldReader) -> Operation:
    layer, site = fields.take("HH")
    groups: tuple[int, ...] | None = None
    if fields.left:
        count = fields.u16()
        groups = fields.take(f"{count}H")
        if not groups:
            raise malformed("no groups")
        if any(a >= b for a, b in itertools.pairwise(groups)):
            raise malformed("groups that do not rise")
    return LinearRing(layer, _site(site), groups)


def _pad_products(fields: FieldReader) -> Operation:
    layer, site = fields.take("HH")
    seed = fields.take_bytes(SEED_BYTES)
    first, count = fields.take("II")
    if not 1 <= count <= PAD_ROW_LIMIT:
        raise malformed(f"pads of {count} rows")
    return PadProducts(layer, _site(site), seed, first, count)


def _lock_tail(fields: FieldReader) -> Operation:
    slot, layer = fields.take("IH")
    return LockTail(slot, layer)


_READERS: dict[Kind, Callable[[FieldReader], Operation]] = {
    Kind.linear: _linear,
    Kind.attention: _attention,
    Kind.feedForward: lambda fields: FeedForward(fields.u16()),
    Kind.headTopK: lambda fields: HeadTopK(fields.u32()),
    Kind.unlock: _unlock,
    Kind.lockTail: _lock_tail,
    Kind.middle: _middle,
    Kind.tailScores: lambda fields: TailScores(fields.u16(), _segments(fields)),
    Kind.linearRing: _linear_ring,
    Kind.padProducts: _pad_products,
    Kind.release: lambda fields: Release(fields.u32()),
    Kind.stats: lambda fields: Stats(),
}


def request_rows(head: Head) -> int:
    """Rows of a request as `stats` counts them: those of tensors of rows, not of permutations."""
    return 0 if head.kind == Kind.unlock else head.rows
