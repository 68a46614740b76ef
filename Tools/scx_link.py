#!/usr/bin/env python3
"""Frames, messages and transcripts of the link, as docs/protocol.md and docs/transcript.md lay them out.

    python3 Tools/scx_link.py show DIR      what a worker recorded with --record DIR
    python3 Tools/scx_link.py frames FILE   the frames in a file of bytes that crossed the link

As a module it builds and reads the same; it needs Python 3.11 or later and nothing else. Tensors are bytes,
little-endian: message.floats() gives its numbers, numpy.frombuffer(message.tensor, "<f4") those of float32 faster.
"""

import argparse
import dataclasses
import json
import math
import os
import struct
import sys

MAGIC = b"SCX1"
HEAD = struct.Struct("<4sIHBBIQII")
PAYLOAD_LIMIT = (1 << 20) - HEAD.size
ELEMENT_LIMIT = 1 << 29
LINE_LIMIT = 4 << 20
NO_SLOT = 0xFFFFFFFF

KINDS = {
    "hello": 1, "linear": 2, "attention": 3, "feedForward": 4, "headTopK": 5, "unlock": 6, "lockTail": 7,
    "middle": 8, "tailScores": 9, "linearRing": 10, "release": 11, "stats": 12, "padProducts": 13, "failure": 0x40,
    "more": 0x41,
}
KIND_NAMES = {code: name for name, code in KINDS.items()}
DTYPES = {None: 0, "float32": 1, "uint32": 2}
DTYPE_NAMES = {code: name for name, code in DTYPES.items()}
SITES = {"queryKeyValue": 1, "output": 2, "gateUp": 3, "down": 4, "head": 5, "expertGateUp": 6,
         "expertDown": 7, "queryUp": 8, "queryLatent": 9, "valueUp": 10}
SITE_NAMES = {code: name for name, code in SITES.items()}
PRECISIONS = {"float32": 0, "int4": 4, "int8": 8}
PRECISION_NAMES = {code: name for name, code in PRECISIONS.items()}
GROUP = 64
STATISTICS = ["connections", "slots", "slotBytes", "requests", "batches", "rows"]

PART_LIMIT = 1 << 14
PAD_ROW_LIMIT = 1 << 16
VERSION = 4

# The fields of each kind: names, and how struct packs them. Slots named "slot?" may be none, seeds are hexadecimal; a
# list follows the others.
REQUESTS = {
    "linear": (["layer", "site", "slot?", "exact"], "<HHIB"),
    "attention": (["layer"], "<H"),
    "feedForward": (["layer"], "<H"),
    "headTopK": (["count"], "<I"),
    "unlock": (["slot", "layer", "position"], "<IHI"),
    "lockTail": (["slot", "layer"], "<IH"),
    "middle": (["first", "end"], "<HH"),
    "tailScores": (["layer"], "<H"),
    "linearRing": (["layer", "site"], "<HH"),
    "padProducts": (["layer", "site", "seed", "first", "count"], "<HH32sII"),
    "release": (["slot"], "<I"),
    "stats": ([], "<"),
}


# The parts of an attention, one after the other in its tensor's one row.
PART = (["slot?", "position", "queries", "keys", "precision", "exactPrefix", "channels"], "<IIIIBII")


class LinkError(Exception):
    """Bytes that are no frame, message or transcript."""


@dataclasses.dataclass
class Message:
    """A request or an answer: its kind's fields by name, and a tensor of rows x channels elements."""

    kind: str
    is_answer: bool
    number: int
    fields: dict = dataclasses.field(default_factory=dict)
    dtype: str | None = None
    rows: int = 0
    channels: int = 0
    tensor: bytes = b""

    def field_bytes(self):
        """The kind's own fields as they travel."""
        fields = self.fields
        if self.kind == "hello":
            result = struct.pack("<H", fields["version"]) + text_bytes(fields["digest"]) + text_bytes(fields["weights"])
            if fields["version"] != VERSION:
                return result
            return result + struct.pack("<BHHH", fields["ring"], fields["window"], *fields["shard"])
        if self.kind == "failure":
            return struct.pack("<H", fields["code"]) + text_bytes(fields["reason"])
        if self.is_answer:
            return struct.pack("<6Q", *(fields[name] for name in STATISTICS)) if self.kind == "stats" else b""
        if self.kind == "middle":
            fields = fields | dict(zip(["first", "end"], fields["blocks"]))
        result = pack_fields(fields, *REQUESTS[self.kind])
        if self.kind == "attention":
            parts = [pack_fields(part, *PART) for part in fields["parts"]]
            result += struct.pack("<I", len(parts)) + b"".join(parts)
        if self.kind == "linearRing" and "groups" in fields:
            groups = fields["groups"]
            result += struct.pack(f"<H{len(groups)}H", len(groups), *groups)
        if self.kind in ("middle", "tailScores"):
            segments = [struct.pack("<III", *segment) for segment in fields["segments"]]
            result += struct.pack("<I", len(segments)) + b"".join(segments)
        return result

    def floats(self):
        """The tensor's numbers, those that travelled in groups as the worker has them."""
        if not self.is_in_groups():
            if self.dtype != "float32":
                raise LinkError("a tensor without numbers")
            return list(struct.unpack(f"<{len(self.tensor) // 4}f", self.tensor))
        values, at = [], 0
        for part in self.fields["parts"]:
            layout = part["precision"], part["exactPrefix"], part["channels"]
            end = at + 4 * word_count(*layout)
            values += read_groups(self.tensor[at:end], *layout)
            at = end
        return values

    def is_in_groups(self):
        """Whether some of its numbers have few bits each."""
        return any(part["precision"] != "float32" for part in self.fields.get("parts", []))

    def words(self):
        """The integers of a ring request, or of its answer."""
        if self.dtype != "uint32":
            raise LinkError("a tensor without integers")
        return list(struct.unpack(f"<{len(self.tensor) // 4}I", self.tensor))

    def doubles(self):
        """The numbers of an answer to an exact product."""
        if not (self.is_answer and self.kind == "linear" and self.dtype == "uint32" and self.channels % 2 == 0):
            raise LinkError("a tensor without numbers in float64")
        return list(struct.unpack(f"<{len(self.tensor) // 8}d", self.tensor))

    def check(self):
        """Refuses a hello or a request whose numbers cannot be, and a tensor that does not fit them."""
        if self.kind == "hello":
            index, count = self.fields.get("shard", [0, 1])
            if not 0 <= index < count:
                raise LinkError(f"a hello of part {index} of {count}")
        if self.is_answer:
            return
        if self.kind == "linearRing" and self.dtype != "uint32":
            raise LinkError("products of integers of something else")
        if self.kind == "padProducts":
            if not 1 <= self.fields["count"] <= PAD_ROW_LIMIT or self.dtype is not None:
                raise LinkError(f"pads of {self.fields['count']} rows, or with a tensor")
            if len(bytes.fromhex(self.fields["seed"])) != 32:
                raise LinkError("a seed that is not 32 bytes")
        if self.kind != "attention":
            return
        parts, words = self.fields["parts"], 0
        if not 1 <= len(parts) <= PART_LIMIT:
            raise LinkError(f"an attention of {len(parts)} parts")
        for part in parts:
            precision, prefix, channels = part["precision"], part["exactPrefix"], part["channels"]
            if prefix > channels or (precision == "float32" and prefix != 0):
                raise LinkError(f"{prefix} of {channels} values before precision {precision}")
            words += word_count(precision, prefix, channels)
        expected = ("uint32", 1, words) if self.is_in_groups() else ("float32", self.rows, words)
        if (self.dtype, self.rows, self.channels) != expected:
            raise LinkError(f"the parts do not make a tensor of {self.rows} x {self.channels}")

    def frames(self):
        """The message as it travels: one frame, or as many as its tensor needs."""
        if len(self.tensor) != self.rows * self.channels * (4 if self.dtype else 0):
            raise LinkError("the tensor does not have its shape")
        fields, kind, rest, result = self.field_bytes(), self.kind, self.tensor, b""
        while True:
            part, rest = rest[:PAYLOAD_LIMIT - len(fields)], rest[PAYLOAD_LIMIT - len(fields):]
            result += HEAD.pack(
                MAGIC, len(fields) + len(part), KINDS[kind], self.is_answer, DTYPES[self.dtype], len(fields),
                self.number, self.rows, self.channels) + fields + part
            if not rest:
                return result
            fields, kind = b"", "more"


def pack_fields(fields, names, layout):
    """Fields as they travel, of those that all have one size."""
    values = []
    for name in names:
        if name == "slot?":
            slot = fields.get("slot")
            values.append(NO_SLOT if slot is None else slot)
        else:
            codes = {"site": SITES, "precision": PRECISIONS}.get(name)
            value = bytes.fromhex(fields[name]) if name == "seed" else fields[name]
            values.append(codes[value] if codes else value)
    return struct.pack(layout, *values)


def unpack_fields(values, names):
    """Fields by name, from their numbers."""
    fields = dict(zip(names, values))
    if "slot?" in fields:
        slot = fields.pop("slot?")
        if slot != NO_SLOT:
            fields["slot"] = slot
    for name, known in ("site", SITE_NAMES), ("precision", PRECISION_NAMES):
        if name in fields:
            if fields[name] not in known:
                raise LinkError(f"unknown {name} {fields[name]}")
            fields[name] = known[fields[name]]
    if "seed" in fields:
        fields["seed"] = fields["seed"].hex()
    if "exact" in fields:
        if fields["exact"] > 1:
            raise LinkError(f"an exactness of {fields['exact']}")
        fields["exact"] = fields["exact"] == 1
    return fields


def pad_words(seed, row, count):
    """The pad of one row; needs the package `cryptography`. One block at a time, so that the counter is plain to see."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    aes = Cipher(algorithms.AES(seed), modes.ECB()).encryptor()
    blocks = (row.to_bytes(8, "big") + bytes(4) + block.to_bytes(4, "big") for block in range(-(-count // 4)))
    stream = b"".join(aes.update(block) for block in blocks)
    return list(struct.unpack(f"<{count}I", stream[:4 * count]))


def text_bytes(text):
    utf8 = text.encode()
    return struct.pack("<H", len(utf8)) + utf8


def word_count(precision, exact_prefix, channels):
    """32-bit words of a part."""
    if precision == "float32":
        return channels
    return exact_prefix + -(-(channels - exact_prefix) // GROUP) * (1 + 2 * PRECISIONS[precision])


def read_groups(tensor, precision, exact_prefix, channels):
    """The numbers of a part: the first in float32, the others in groups of a minimum, a step and codes."""
    if precision == "float32":
        exact_prefix = channels
    bits = PRECISIONS[precision]
    if len(tensor) != 4 * word_count(precision, exact_prefix, channels):
        raise LinkError(f"{len(tensor)} bytes for {channels} values in {precision}")
    values = list(struct.unpack_from(f"<{exact_prefix}f", tensor))
    for at in range(4 * exact_prefix, len(tensor), 4 + GROUP * bits // 8):
        minimum, step = struct.unpack_from("<2e", tensor, at)
        if not (math.isfinite(minimum) and math.isfinite(step)):
            raise LinkError("a group without numbers")
        codes = tensor[at + 4:at + 4 + GROUP * bits // 8]
        if bits == 4:
            codes = [code for pair in codes for code in (pair & 15, pair >> 4)]
        group = [minimum + step * code for code in codes]  # Exact: to be rounded once.
        values += struct.unpack(f"<{GROUP}f", struct.pack(f"<{GROUP}f", *group))
    return values[:channels]


@dataclasses.dataclass
class Head:
    """The head of a frame."""

    payload_bytes: int
    kind: str
    is_answer: bool
    dtype: str | None
    field_bytes: int
    number: int
    rows: int
    channels: int

    @classmethod
    def parse(cls, data):
        if len(data) < HEAD.size:
            raise LinkError("a head that ends early")
        magic, payload, kind, flags, dtype, fields, number, rows, channels = HEAD.unpack(data[:HEAD.size])
        if magic != MAGIC:
            raise LinkError("it does not begin with SCX1")
        if payload > PAYLOAD_LIMIT:
            raise LinkError(f"a payload of {payload} bytes")
        if kind not in KIND_NAMES or flags > 1 or dtype not in DTYPE_NAMES:
            raise LinkError(f"unknown kind {kind}, flags {flags} or elements {dtype}")
        count = rows * channels
        if fields > payload or count > ELEMENT_LIMIT or (dtype == 0) != (count == 0):
            raise LinkError(f"fields of {fields} bytes and a tensor of {rows} x {channels} elements")
        if payload - fields > 4 * count:
            raise LinkError("more bytes than its tensor has")
        return cls(payload, KIND_NAMES[kind], flags == 1, DTYPE_NAMES[dtype], fields, number, rows, channels)


def parse_fields(kind, is_answer, data):
    """The fields of a message by name."""
    at = 0

    def take(layout):
        nonlocal at
        size = struct.calcsize(layout)
        if at + size > len(data):
            raise LinkError("its fields end early")
        at += size
        return struct.unpack(layout, data[at - size:at])

    def take_text():
        (count,) = take("<H")
        (utf8,) = take(f"<{count}s")
        try:
            return utf8.decode()
        except UnicodeDecodeError:
            raise LinkError("a text is not UTF-8") from None

    if kind == "hello":
        (version,) = take("<H")
        fields = {"version": version, "digest": take_text(), "weights": take_text()}
        if version != VERSION:
            return fields  # Another version says other things from here on.
        ring, fields["window"], *fields["shard"] = take("<BHHH")  # More may follow.
        if ring > 1:
            raise LinkError(f"a ring of {ring}")
        return fields | {"ring": ring == 1}
    if kind == "failure":
        (code,) = take("<H")
        return {"code": code, "reason": take_text()}
    if is_answer:
        fields = dict(zip(STATISTICS, take("<6Q"))) if kind == "stats" else {}
    elif kind in REQUESTS:
        names, layout = REQUESTS[kind]
        fields = unpack_fields(take(layout), names)
        if kind == "middle":
            fields = {"blocks": [fields["first"], fields["end"]]}
        if kind == "attention":
            (count,) = take("<I")
            fields["parts"] = [unpack_fields(take(PART[1]), PART[0]) for _ in range(count)]
        if kind == "linearRing" and at < len(data):
            (count,) = take("<H")
            fields["groups"] = list(take(f"<{count}H"))
            if not count or fields["groups"] != sorted(set(fields["groups"])):
                raise LinkError("groups that are none, or do not rise")
        if kind in ("middle", "tailScores"):
            (count,) = take("<I")
            fields["segments"] = [list(take("<III")) for _ in range(count)]
    else:
        raise LinkError(f"'{kind}' is no request")
    if at != len(data):
        raise LinkError(f"{len(data) - at} bytes after its fields")
    return fields


def parse_frames(data):
    """Yields each frame's place, head and payload."""
    at = 0
    while at < len(data):
        head = Head.parse(data[at:at + HEAD.size])
        payload = data[at + HEAD.size:at + HEAD.size + head.payload_bytes]
        if len(payload) < head.payload_bytes:
            raise LinkError("a frame that ends early")
        yield at, head, payload
        at += HEAD.size + head.payload_bytes


def parse_messages(data):
    """Yields the messages in the bytes that went one way over a connection."""
    message = None
    for _, head, payload in parse_frames(data):
        if message is None:
            if head.kind == "more":
                raise LinkError("the rest of a message that did not begin")
            fields = parse_fields(head.kind, head.is_answer, payload[:head.field_bytes])
            message = Message(
                head.kind, head.is_answer, head.number, fields, head.dtype, head.rows, head.channels,
                payload[head.field_bytes:])
            message.check()
        else:
            whole = (message.is_answer, message.dtype, message.number, message.rows, message.channels)
            if head.kind != "more" or head.field_bytes != 0 or head.payload_bytes == 0 \
                    or (head.is_answer, head.dtype, head.number, head.rows, head.channels) != whole:
                raise LinkError("a frame that does not go on with the message before it")
            message.tensor += payload
        missing = message.rows * message.channels * (4 if message.dtype else 0) - len(message.tensor)
        if missing < 0:
            raise LinkError("a frame that does not go on with the message before it")
        if missing == 0:
            yield message
            message = None
    if message is not None:
        raise LinkError("the bytes end in a message")


@dataclasses.dataclass
class Entry:
    """A line of a transcript; message.tensor is empty until Transcript.read."""

    run: int
    microseconds: int
    connection: int
    message: Message
    offset: int
    byte_count: int


class Transcript:
    """What a worker saw, read from its directory."""

    def __init__(self, directory):
        self.starts, self.entries, self.ends_early, end = [], [], False, 0
        with open(os.path.join(directory, "transcript.jsonl"), "rb") as file:
            number = 0
            while line := file.readline(LINE_LIMIT + 1):
                number += 1
                if not line.endswith(b"\n"):
                    if len(line) > LINE_LIMIT:
                        raise LinkError(f"line {number}: too long")
                    self.ends_early = True  # The worker was writing it, or died.
                    break
                try:
                    end = self._take(json.loads(line), end)
                except (KeyError, TypeError, ValueError, LinkError) as error:
                    raise LinkError(f"line {number}: {type(error).__name__} {error}") from None
        self._tensors = open(os.path.join(directory, "transcript.bin"), "rb")
        if end > os.fstat(self._tensors.fileno()).st_size:
            raise LinkError("a tensor lies behind the end of transcript.bin")

    def _take(self, line, end):
        if line["kind"] == "start":
            if line["version"] != 2 or line["offset"] < end:
                raise LinkError("a start of another version, or out of place")
            self.starts.append(line)
            return line["offset"]
        if not self.starts or line["kind"] not in KINDS or line["direction"] not in ("received", "sent"):
            raise LinkError("no message")
        common = {"microseconds", "direction", "connection", "number", "kind", "dtype", "shape", "offset", "bytes"}
        message = Message(
            line["kind"], line["direction"] == "sent", line["number"],
            {name: value for name, value in line.items() if name not in common and value is not None})
        offset, count = 0, 0
        if line.get("dtype") is not None:
            message.dtype, (message.rows, message.channels) = line["dtype"], line["shape"]
            offset, count = line["offset"], 4 * message.rows * message.channels
            if message.dtype not in ("float32", "uint32") or min(message.rows, message.channels) <= 0 \
                    or count > 4 * ELEMENT_LIMIT or line["bytes"] != count or offset < end:
                raise LinkError("a tensor out of range")
            end = offset + count
        if "fields" not in line:
            message.check()
        self.entries.append(
            Entry(len(self.starts) - 1, line["microseconds"], line["connection"], message, offset, count))
        return end

    def read(self, entry):
        """The entry's message with its tensor."""
        tensor = os.pread(self._tensors.fileno(), entry.byte_count, entry.offset)
        if len(tensor) != entry.byte_count:
            raise LinkError("the file ends in a tensor")
        return dataclasses.replace(entry.message, tensor=tensor)


def write_transcript(directory, messages, unix_microseconds=0):
    """Writes messages as a worker would have recorded them on one connection, 10 microseconds apart."""
    os.makedirs(directory, exist_ok=True)
    offset = 0
    with open(os.path.join(directory, "transcript.jsonl"), "w", encoding="utf-8") as lines, \
            open(os.path.join(directory, "transcript.bin"), "wb") as tensors:
        start = {"kind": "start", "version": 2, "unixMicroseconds": unix_microseconds, "offset": 0}
        lines.write(json.dumps(start) + "\n")
        for i, message in enumerate(messages):
            line = {
                "microseconds": 10 * i, "direction": "sent" if message.is_answer else "received",
                "connection": 1, "number": message.number, "kind": message.kind, **message.fields}
            if message.dtype:
                line |= {
                    "dtype": message.dtype, "shape": [message.rows, message.channels], "offset": offset,
                    "bytes": len(message.tensor)}
                tensors.write(message.tensor)
                offset += len(message.tensor)
            lines.write(json.dumps(line) + "\n")


def shown(fields):
    text = ", ".join(f"{name} {value}" for name, value in fields.items())
    return "".join(c if c.isprintable() else " " for c in text)[:200]


def show(directory):
    transcript = Transcript(directory)
    for entry in transcript.entries:
        message = entry.message
        shape = f"{message.rows}x{message.channels} {message.dtype}" if message.dtype else ""
        print(
            f"{entry.run} {entry.connection:4} {message.number:6} {entry.microseconds / 1e6:11.6f} "
            f"{'sent' if message.is_answer else 'received':8} {message.kind:11} {shape:>20}  {shown(message.fields)}")
    print(f"{len(transcript.entries)} messages" + (", the last line is incomplete" * transcript.ends_early))


def show_frames(path):
    with open(path, "rb") as file:
        data = file.read()
    for at, head, payload in parse_frames(data):
        fields = {}
        if head.kind != "more":
            fields = parse_fields(head.kind, head.is_answer, payload[:head.field_bytes])
        print(
            f"{at:10} {head.number:6} {'answer' if head.is_answer else 'request':7} {head.kind:11} "
            f"{head.rows}x{head.channels} {head.dtype or ''} {head.payload_bytes} bytes  {shown(fields)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("show", help="print a transcript").add_argument("directory")
    commands.add_parser("frames", help="print the frames in a file").add_argument("file")
    arguments = parser.parse_args()
    try:
        show(arguments.directory) if arguments.command == "show" else show_frames(arguments.file)
    except BrokenPipeError:
        sys.stderr.close()  # As under head.
    except (LinkError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
