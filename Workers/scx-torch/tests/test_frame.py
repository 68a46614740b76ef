"""Frames and messages against the fixtures that the other implementations of the link wrote, and what must be refused."""

import random
import struct

import pytest
from conftest import FIXTURES

from scx_torch.link.errors import Code, LinkError, disconnected
from scx_torch.link.frame import HEAD_BYTES, PAYLOAD_LIMIT, Elements, Head, Kind, Message
from scx_torch.link.protocol import Hello
from scx_torch.link.requests import Attention, LinearRing, Unlock, read_request
from scx_torch.link.stream import MessageStream, after

HUGE = 1 << 40


class Bytes:
    """A stream of bytes in memory."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.written = b""

    def read_into(self, buffer: memoryview, deadline: float) -> None:
        if len(buffer) > len(self.data):
            raise disconnected("the end")
        buffer[:] = self.data[: len(buffer)]
        self.data = self.data[len(buffer) :]

    def write(self, data: memoryview, deadline: float) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.data = b""


def receive(stream: Bytes) -> Message:
    return MessageStream(stream).receive(after(1), lambda: None, lambda head: None)


@pytest.mark.parametrize("writer", ["swift", "python"])
def test_messages_of_other_implementations(writer: str) -> None:
    data = (FIXTURES / "link" / writer / "messages.bin").read_bytes()
    stream, copy, kinds, requests = Bytes(data), Bytes(), set(), 0
    while stream.data:
        message = receive(stream)
        kinds.add(message.head.kind)
        if message.head.kind == Kind.hello:
            Hello.read(message.fields)
        elif not message.head.is_answer and message.head.kind != Kind.failure:
            requests += read_request(message, HUGE).kind == message.head.kind
        MessageStream(copy).send(message)
    assert copy.written == data
    assert kinds == set(Kind) - {Kind.more}
    assert requests > 20


def test_a_tensor_over_several_frames() -> None:
    import numpy as np

    tensor = np.arange(600_000, dtype=np.float32).reshape(2, 300_000)
    head = Head(Kind.linear, False, 9, Elements.float32, 2, 300_000, 9)
    stream = Bytes()
    MessageStream(stream).send(Message(head, bytes(9), tensor))
    assert stream.written.count(b"SCX1") == 3
    assert len(stream.written) == 3 * HEAD_BYTES + 9 + tensor.nbytes
    found = receive(Bytes(stream.written))
    assert found.tensor is not None and (found.tensor == tensor).all()

    # A further frame with another number, and one with more bytes than the tensor has.
    second = HEAD_BYTES + PAYLOAD_LIMIT
    changed = bytearray(stream.written)
    changed[second + 16] ^= 1
    with pytest.raises(LinkError, match="does not go on"):
        receive(Bytes(bytes(changed)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({0: b"SCX2"}, "does not begin"),
        ({4: struct.pack("<I", PAYLOAD_LIMIT + 1)}, "a payload of"),
        ({8: b"\x0e\x00"}, "unknown kind"),
        ({10: b"\x02"}, "unknown flags"),
        ({11: b"\x03"}, "unknown kind 2 or elements 3"),
        ({12: struct.pack("<I", 99)}, "fields are longer"),
        ({24: struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF)}, "a tensor of"),
        ({24: struct.pack("<II", 0, 0)}, "a tensor of"),
        ({11: b"\x00"}, "a tensor of"),
        ({24: struct.pack("<II", 1, 1)}, "more bytes than"),
    ],
)
def test_malformed_heads(change: dict[int, bytes], reason: str) -> None:
    head = bytearray(Head(Kind.linear, False, 1, Elements.float32, 1, 2, 0, 8).pack())
    assert Head.parse(bytes(head)).tensor_bytes == 8
    for at, data in change.items():
        head[at : at + len(data)] = data
    with pytest.raises(LinkError, match=reason) as error:
        Head.parse(bytes(head))
    assert error.value.code == Code.MALFORMED_FRAME


def test_random_changes_raise_nothing_else() -> None:
    data = (FIXTURES / "link/python/messages.bin").read_bytes()
    generator = random.Random(1)
    for _ in range(3_000):
        changed = bytearray(data)
        for _ in range(generator.randrange(1, 4)):
            changed[generator.randrange(min(len(changed), 6_000))] = generator.randrange(256)
        stream = Bytes(bytes(changed[: generator.choice([len(data), generator.randrange(1, len(data))])]))
        try:
            while stream.data:
                # No more memory than the tensors of this file have.
                message = MessageStream(stream).receive(after(1), lambda: None, _no_large_tensor)
                if message.head.kind not in (Kind.hello, Kind.failure) and not message.head.is_answer:
                    read_request(message, 1 << 20)
        except LinkError:
            pass


def _no_large_tensor(head: Head) -> None:
    if head.tensor_bytes > 1 << 20:
        raise disconnected("large")


def request(kind: Kind, fields: bytes, elements: Elements = Elements.none, rows: int = 0, channels: int = 0) -> Message:
    import numpy as np

    dtype = np.float32 if elements == Elements.float32 else np.uint32
    tensor = np.zeros((rows, channels), dtype) if elements else None
    return Message(Head(kind, False, 2, elements, rows, channels, len(fields)), fields, tensor)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (request(Kind.linear, bytes(8), Elements.float32, 1, 1), "end early"),
        (request(Kind.linear, bytes(10), Elements.float32, 1, 1), "unknown site 0"),
        (request(Kind.linear, struct.pack("<HHIB", 0, 1, 0, 2), Elements.float32, 1, 1), "exactness"),
        (request(Kind.linear, struct.pack("<HHIB", 0, 1, 0, 0)), "another kind"),
        (request(Kind.linear, struct.pack("<HHIBB", 0, 1, 0, 0, 0), Elements.float32, 1, 1), "1 bytes after"),
        (request(Kind.linearRing, struct.pack("<HH", 0, 1), Elements.float32, 1, 1), "another kind"),
        (request(Kind.linearRing, struct.pack("<HHH", 0, 6, 0), Elements.uint32, 1, 1), "no groups"),
        (request(Kind.linearRing, struct.pack("<HHHHH", 0, 6, 2, 3, 3), Elements.uint32, 1, 1), "do not rise"),
        (request(Kind.linearRing, struct.pack("<HHH", 0, 6, 65_535), Elements.uint32, 1, 1), "end early"),
        (request(Kind.padProducts, struct.pack("<HH32sII", 0, 1, bytes(32), 0, 65_537)), "pads of 65537"),
        (request(Kind.padProducts, struct.pack("<HH32sII", 0, 1, bytes(32), 0, 0)), "pads of 0"),
        (request(Kind.middle, struct.pack("<HHI", 3, 3, 0), Elements.float32, 1, 1), "blocks 3 to 3"),
        (request(Kind.middle, struct.pack("<HHI", 0, 3, 1 << 31), Elements.float32, 1, 1), "end early"),
        (request(Kind.middle, struct.pack("<HHIIIIB", 0, 3, 1, 1, 0, 1, 2), Elements.float32, 1, 1), "direction"),
        (request(Kind.middle, struct.pack("<HHIIIIH", 0, 3, 1, 1, 0, 1, 0), Elements.float32, 1, 1), "1 bytes after"),
        (request(Kind.attention, struct.pack("<HI", 0, 0), Elements.float32, 1, 1), "0 parts"),
        (request(Kind.attention, struct.pack("<HI", 0, 16_385), Elements.float32, 1, 1), "16385 parts"),
        (
            request(Kind.attention, struct.pack("<HIIIIIBII", 0, 1, 0, 0, 1, 1, 5, 0, 1), Elements.float32, 1, 1),
            "precision 5",
        ),
        (
            request(Kind.attention, struct.pack("<HIIIIIBII", 0, 1, 0, 0, 1, 1, 8, 2, 1), Elements.uint32, 1, 1),
            "2 of 1 values",
        ),
        (
            request(Kind.attention, struct.pack("<HIIIIIBII", 0, 1, 0, 0, 1, 1, 8, 0, 1 << 31), Elements.uint32, 1, 1),
            "the limit is",
        ),
        (request(Kind.stats, b"", Elements.float32, 1, 1), "another kind"),
    ],
)
def test_malformed_requests(message: Message, reason: str) -> None:
    with pytest.raises(LinkError, match=reason) as error:
        read_request(message, 256 << 20)
    assert error.value.code == Code.MALFORMED_FRAME


def test_fields_that_were_added_later() -> None:
    fields = struct.pack("<IHI", 1, 2, 3)
    for more, source in [(b"", None), (struct.pack("<I", 9), 9)]:
        found = read_request(request(Kind.unlock, fields + more, Elements.uint32, 1, 2), HUGE).operation
        assert found == Unlock(1, 2, 3, source)
    fields = struct.pack("<HHHHH", 4, 7, 2, 0, 65_535)
    found = read_request(request(Kind.linearRing, fields, Elements.uint32, 1, 2), HUGE).operation
    assert isinstance(found, LinearRing) and found.groups == (0, 65_535)


def test_parts_in_groups() -> None:
    """The numbers that Tools/check-link.py expects of the same bytes."""
    import numpy as np

    for bits in (4, 8):
        tensor = struct.pack("<3f", 0.1, -2, 3.4e38)
        for minimum, step in [(-1.5, 0.25), (8, 2)]:
            codes = [37 * i % 2**bits for i in range(64)]
            if bits == 4:
                codes = [low | high << 4 for low, high in zip(codes[::2], codes[1::2], strict=True)]
            tensor += struct.pack("<2e", minimum, step) + bytes(codes)
        words = np.frombuffer(tensor, np.uint32).reshape(1, -1)
        fields = struct.pack("<HIIIIIBII", 1, 1, 0xFFFFFFFF, 0, 1, 2, bits, 3, 73)
        head = Head(Kind.attention, False, 2, Elements.uint32, 1, words.size, len(fields))
        found = read_request(Message(head, fields, words), HUGE)
        assert isinstance(found.operation, Attention)
        values = found.floats()[0]
        assert values[:3].tolist() == np.array([0.1, -2, 3.4e38], np.float32).tolist()
        assert values[3:67].tolist() == [-1.5 + 0.25 * (37 * i % 2**bits) for i in range(64)]
        assert values[67:].tolist() == [8 + 2 * (37 * i % 2**bits) for i in range(6)]
