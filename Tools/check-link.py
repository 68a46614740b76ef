#!/usr/bin/env python3
"""Checks the two implementations of the link against each other; the other half is MessageFixtureTests.

    python3 Tools/check-link.py            reads what Swift wrote, and what --write wrote
    python3 Tools/check-link.py --write    writes Tests/Fixtures/link/python for the Swift test to read
"""

import pathlib
import random
import struct
import sys

import scx_link
from scx_link import Message

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "Tests/Fixtures/link"


def check(name):
    """Frames and transcript must tell the same, and frames built from the transcript be the frames."""
    data = (FIXTURES / name / "messages.bin").read_bytes()
    messages = list(scx_link.parse_messages(data))
    transcript = scx_link.Transcript(FIXTURES / name)
    recorded = [transcript.read(entry) for entry in transcript.entries]
    assert len(messages) == len(recorded), f"{len(messages)} messages, {len(recorded)} lines"
    for a, b in zip(messages, recorded):
        assert a == b, f"\n{a}\n{b}"
    assert b"".join(message.frames() for message in recorded) == data
    assert not transcript.ends_early
    kinds = {message.kind for message in messages}
    assert kinds == set(scx_link.KINDS) - {"more"}, kinds
    exact = [message for message in messages
             if message.is_answer and message.kind == "linear" and message.dtype == "uint32"]
    assert exact and all(len(message.doubles()) == message.rows * message.channels // 2 for message in exact)
    numbers = sum(len(message.floats()) for message in messages if message.kind == "attention")
    print(f"{name}: {len(messages)} messages of {len(kinds)} kinds, {numbers} numbers of attention")


def check_cuts():
    """A message of three frames, whole, cut and changed."""
    tensor = struct.pack("<600000f", *range(600000))
    message = Message("linear", False, 9, {"layer": 1, "site": "down", "exact": False}, "float32", 2, 300000, tensor)
    data = message.frames()
    heads = [head for _, head, _ in scx_link.parse_frames(data)]
    assert [head.kind for head in heads] == ["linear", "more", "more"]
    assert list(scx_link.parse_messages(data)) == [message]
    generator = random.Random(1)
    for _ in range(300):
        changed = bytearray(data[:generator.choice([len(data), generator.randrange(len(data))])])
        if changed:
            changed[generator.randrange(min(len(changed), 64))] ^= 1 << generator.randrange(8)
        try:
            list(scx_link.parse_messages(bytes(changed)))
        except scx_link.LinkError:
            pass


def check_refusals():
    """Ring requests and hellos that cannot be."""
    words = ("uint32", 1, 2, struct.pack("<2I", 0, 0xFFFFFFFF))
    pads = {"layer": 1, "site": "down", "seed": "07" * 32, "first": 3, "count": 1 << 16}
    hello = {"version": 4, "digest": "d", "weights": "", "ring": True, "window": 4, "shard": [1, 2]}
    good = [
        Message("linearRing", False, 2, {"layer": 0, "site": "head"}, *words),
        Message("padProducts", False, 2, pads), Message("hello", True, 1, hello),
        Message("hello", True, 1, {"version": 2, "digest": "d", "weights": "bf16"}),
    ]
    for message in good:
        assert list(scx_link.parse_messages(message.frames())) == [message]
    assert good[0].words() == [0, 0xFFFFFFFF]
    data = good[2].frames()
    for bad in [
        Message("linearRing", False, 2, {"layer": 0, "site": "head"}, "float32", 1, 1, bytes(4)).frames(),
        Message("linearRing", False, 2, {"layer": 0, "site": "head"}).frames(),
        Message("padProducts", False, 2, pads, *words).frames(),
        Message("padProducts", False, 2, pads | {"count": 0}).frames(),
        Message("padProducts", False, 2, pads | {"count": (1 << 16) + 1}).frames(),
        Message("hello", True, 1, hello | {"shard": [2, 2]}).frames(),
        data[:-7] + b"\2" + data[-6:],
    ]:
        try:
            list(scx_link.parse_messages(bad))
        except scx_link.LinkError:
            continue
        raise AssertionError(bad)


def check_pads():
    """The known answers of PadSeedTests, where the package that computes them is there."""
    try:
        words = scx_link.pad_words(bytes(range(32)), 3, 5)
    except ImportError:
        print("pads: not checked, there is no package 'cryptography'")
        return
    assert words == [0x893EBD6C, 0x5FA26437, 0x18B64E6F, 0x9B2B5898, 0x1E93FD22], words


def grouped(precision):
    """A row of 3 numbers in float32 and 70 in groups; MessageFixtureTests knows what they are."""
    bits = scx_link.PRECISIONS[precision]
    tensor = struct.pack("<3f", 0.1, -2, 3.4e38)
    for minimum, step in [(-1.5, 0.25), (8, 2)]:
        codes = [37 * i % 2**bits for i in range(scx_link.GROUP)]
        if bits == 4:
            codes = [low | high << 4 for low, high in zip(codes[::2], codes[1::2])]
        tensor += struct.pack("<2e", minimum, step) + bytes(codes)
    part = {"position": 0, "queries": 1, "keys": 2, "precision": precision, "exactPrefix": 3, "channels": 73}
    numbers = scx_link.read_groups(tensor, precision, 3, 73)
    assert numbers[1:6] == [-2, numbers[2], -1.5, -1.5 + 0.25 * (37 % 2**bits), -1.5 + 0.25 * (74 % 2**bits)]
    assert numbers[67:] == [8 + 2 * (37 * i % 2**bits) for i in range(6)]
    return part, tensor


def attention(layer, *parts):
    """A request of parts in groups, or of parts beside them."""
    tensor = b"".join(tensor for _, tensor in parts)
    return ("attention", {"layer": layer, "parts": [part for part, _ in parts]}, ("uint32", 1, len(tensor) // 4, tensor))


def samples():
    """Messages of every kind, both ways, at the edges of their fields."""
    big, layer = 0xFFFFFFFF, 0xFFFF
    rows = ("float32", 2, 3, struct.pack("<6f", 1, -2.5, 0.1, 3.4e38, 1e-45, -0.0))
    words = ("uint32", 2, 3, struct.pack("<6I", 0, 1, 0x7FFFFFFF, 0x80000000, big - 1, big))
    in_float32 = {"precision": "float32", "exactPrefix": 0, "channels": 3}
    edge = {"slot": 0, "position": big, "queries": big, "keys": big}
    requests = [
        ("linear", {"layer": 0, "site": site, "exact": site == "down"}, rows) for site in scx_link.SITES
    ] + [
        ("linear", {"layer": layer, "site": "queryKeyValue", "slot": big - 1, "exact": True}, rows),
        ("attention", {"layer": 5, "parts": [{"position": 0, "queries": 7, "keys": 9} | in_float32]}, rows),
        ("attention", {"layer": layer, "parts": [edge | in_float32]}, rows),
        ("attention", {"layer": 0, "parts": [edge | {**in_float32, "channels": n} for n in (0, 2, 1)]}, rows),
        attention(1, grouped("int8")), attention(1, grouped("int4")),
        attention(2, grouped("int4"), (edge | in_float32, struct.pack("<3f", 1, 2, 3)), grouped("int8")),
        ("feedForward", {"layer": 21}, rows),
        ("headTopK", {"count": big}, rows),
        ("unlock", {"slot": big, "layer": layer, "position": big}, ("uint32", 1, 4, struct.pack("<4I", 3, 0, 2, big))),
        ("lockTail", {"slot": 1, "layer": 2}, rows),
        ("middle", {"blocks": [0, 1], "segments": []}, rows),
        ("middle", {"blocks": [1, layer], "segments": [[big, big, big], [0, 0, 0], [1, 2, 3]]}, rows),
        ("tailScores", {"layer": 9, "segments": [[8, 10, 1], [big, big, 1]]}, rows),
        ("release", {"slot": 77}, None),
        ("stats", {}, None),
    ] + [
        ("linearRing", {"layer": layer if site == "down" else 0, "site": site}, words) for site in scx_link.SITES
    ] + [
        ("linearRing", {"layer": layer, "site": "expertDown", "groups": [0, 7, layer]}, words),
        ("linearRing", {"layer": 3, "site": "expertGateUp", "groups": [1]}, words),
        ("padProducts", {"layer": 0, "site": "head", "seed": bytes(range(32)).hex(), "first": 0, "count": 1}, None),
        ("padProducts", {"layer": layer, "site": "gateUp", "seed": "f0" * 32, "first": big, "count": 1 << 16}, None),
    ]
    answers = [
        ("middle", {}, rows),
        ("linear", {}, rows),
        ("linear", {}, ("uint32", 2, 4, struct.pack("<4d", 2.0**52 + 1, -0.1, 1e300, -0.0))),
        ("headTopK", {}, ("uint32", 1, 4, struct.pack("<2fii", 1.5, -1, 151935, -1))),
        ("stats", dict(zip(scx_link.STATISTICS, [0, 1, 2**63 - 1, 3, 4, 5])), None),
        ("release", {}, None),
        ("linearRing", {}, words),
        ("padProducts", {}, words),
        ("failure", {"code": 2, "reason": "größer als erlaubt: 模型 \U0001F511"}, None),
    ]
    hello = {
        "version": 4, "digest": "sha256:python", "weights": "", "ring": False, "window": 0, "shard": [0, 1]}
    edges = {"weights": "int8", "ring": True, "window": layer, "shard": [layer - 1, layer]}
    everything = [("hello", False, hello, None), ("hello", True, hello | edges, None)]
    everything += [(kind, False, fields, tensor) for kind, fields, tensor in requests]
    everything += [(kind, True, fields, tensor) for kind, fields, tensor in answers]
    return [
        Message(kind, is_answer, number + 1, fields, *(tensor or ()))
        for number, (kind, is_answer, fields, tensor) in enumerate(everything)
    ]


def write():
    folder = FIXTURES / "python"
    folder.mkdir(parents=True, exist_ok=True)
    messages = samples()
    (folder / "messages.bin").write_bytes(b"".join(message.frames() for message in messages))
    scx_link.write_transcript(folder, messages)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    elif sys.argv[1:]:
        sys.exit(__doc__)
    for name in ["swift", "python"]:
        check(name)
    check_cuts()
    check_refusals()
    check_pads()
