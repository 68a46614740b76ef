"""The worker at the link: order, limits, slots, faults of clients, and products that sessions share."""

import struct
import threading
import time

import numpy as np
import pytest
from client import NO_SLOT, Client, RingClient, connect, failure, hello, memory, upgrade
from conftest import FIXTURES, PATIENCE, WARD, torch_worker, wait_for

from scx_torch.link.errors import Code
from scx_torch.link.frame import Elements, Head, Kind
from scx_torch.link.protocol import Hello
from scx_torch.link.requests import Site
from scx_torch.model.checkpoint import Checkpoint
from scx_torch.worker.batcher import Job
from scx_torch.worker.connection import Result
from scx_torch.worker.server import Limits

DIGEST = Checkpoint(str(WARD)).digest()
HIDDEN = 192


def ring(rows: int, seed: int = 0, channels: int = HIDDEN) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**32, (rows, channels), np.uint32)


def floats(rows: int, channels: int = HIDDEN) -> np.ndarray:
    return np.random.default_rng(rows).standard_normal((rows, channels)).astype(np.float32)


def middle(first: int, end: int, *segments: tuple[int, int, int]) -> bytes:
    body = b"".join(struct.pack("<III", *segment) for segment in segments)
    return struct.pack("<HHI", first, end, len(segments)) + body


RING = struct.pack("<HH", 0, Site.queryKeyValue)


def test_the_hello_of_the_worker() -> None:
    with torch_worker(WARD, limits=Limits(window=3)) as (address, _), Client(address) as client:
        answer = client.ask(Kind.hello, hello(DIGEST))
        assert Hello.read(answer.fields) == Hello(DIGEST, "int8", True, 3, (0, 1))
        assert struct.unpack("<Q", answer.fields[-8:]) == (256 << 20,)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (hello(DIGEST, 3), Code.INCOMPATIBLE),
        (hello("another model"), Code.INCOMPATIBLE),
        (hello("\x07"), Code.MALFORMED_FRAME),
        (hello("d" * 129), Code.MALFORMED_FRAME),
        (hello(DIGEST)[:-3], Code.MALFORMED_FRAME),
    ],
)
def test_hellos_that_are_refused(fields: bytes, code: Code) -> None:
    with torch_worker(WARD) as (address, _), Client(address) as client:
        assert failure(client.ask(Kind.hello, fields))[0] == code
        assert client.is_closed()


def test_faults_end_a_connection_and_no_other() -> None:
    with torch_worker(WARD) as (address, _), Client(address, DIGEST) as other:
        for fault in ["number", "answer", "hello twice", "more", "tensor too large", "bytes"]:
            with Client(address, DIGEST) as client:
                match fault:
                    case "number":
                        client.send(Kind.stats, number=7)
                    case "answer":
                        client.bytes.write(memoryview(Head(Kind.stats, True, 2).pack()), time.monotonic() + 60)
                    case "hello twice":
                        client.send(Kind.hello, hello(DIGEST))
                    case "more":
                        client.bytes.write(memoryview(Head(Kind.more, False, 2).pack()), time.monotonic() + 60)
                    case "tensor too large":
                        head = Head(Kind.feedForward, False, 2, Elements.float32, 1 << 17, 1 << 10, 2, 2)
                        client.bytes.write(memoryview(head.pack()), time.monotonic() + 60)
                    case "bytes":
                        client.bytes.write(
                            memoryview(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), time.monotonic() + 5
                        )
                answer = client.receive()
                assert failure(answer)[0] == Code.MALFORMED_FRAME and answer.head.number == 2, fault
                assert client.is_closed()
        # The one that did nothing wrong is still served, and of the others nothing is left.
        wait_for(lambda: other.statistics()["connections"] == 1)


def test_requests_before_hello_get_no_memory() -> None:
    with torch_worker(WARD) as (address, _), Client(address) as client:
        # The head alone: a worker that allocated the tensor first would wait for its bytes.
        head = Head(Kind.linearRing, False, 1, Elements.uint32, 1 << 10, 1 << 10, len(RING), len(RING))
        client.bytes.write(memoryview(head.pack()), time.monotonic() + 60)
        answer = client.receive()
        assert failure(answer) == (Code.MALFORMED_FRAME, "'linearRing' may not come now")


def test_a_window_of_requests_and_one_more() -> None:
    with torch_worker(WARD, limits=Limits(window=2)) as (address, server):
        with Client(address, DIGEST) as client:
            for i in range(6):
                first, second = (
                    client.send(Kind.linearRing, RING, ring(2, i)),
                    client.send(Kind.linearRing, RING, ring(3, i)),
                )
                answers = {answer.head.number: answer.head.rows for answer in (client.receive(), client.receive())}
                assert answers == {first: 2, second: 3}
        held = threading.Event()
        compute = server._state.answer

        def slow(jobs):  # type: ignore[no-untyped-def]
            held.wait(PATIENCE)
            return compute(jobs)

        server._state.answer = slow  # type: ignore[method-assign]
        with Client(address, DIGEST) as client:
            try:
                for _ in range(3):
                    client.send(Kind.linearRing, RING, ring(1))
                answer = client.receive()
                assert failure(answer) == (Code.MALFORMED_FRAME, "request 4 while 2 are being computed")
                assert client.is_closed()
            finally:
                held.set()


@pytest.mark.parametrize("shape", [(1, 3), (4, 17)])
def test_ring_products_and_pads(shape: tuple[int, int]) -> None:
    first, rows = shape
    with torch_worker(WARD) as (address, server), Client(address, DIGEST) as client:
        weights = server._state.model.sites[0, Site.queryKeyValue].matrices[0].values.numpy().astype(object)
        x = ring(rows)
        answer = client.ask(Kind.linearRing, RING, x)
        assert answer.tensor is not None and answer.tensor.dtype == np.uint32
        assert (answer.tensor == ((x.astype(object) @ weights.T) % 2**32).astype(np.uint32)).all()
        from scx_torch.compute.pads import expand

        seed = bytes(range(32))
        fields = RING + seed + struct.pack("<II", first, rows)
        found = client.ask(Kind.padProducts, fields).tensor
        pads = expand(seed, first, rows, HIDDEN).astype(object)
        assert found is not None and (found == ((pads @ weights.T) % 2**32).astype(np.uint32)).all()


def test_requests_that_do_not_fit_the_model() -> None:
    with torch_worker(WARD, slots=2, slot_bytes=400_000) as (address, _), Client(address, DIGEST) as client:
        linear = lambda layer, site, slot, exact=0: struct.pack("<HHIB", layer, site, slot, exact)  # noqa: E731
        for kind, fields, tensor, reason in [
            (Kind.linearRing, struct.pack("<HH", 5, 1), ring(1), "layer 5, the model has 5"),
            (Kind.linearRing, struct.pack("<HH", 1, 5), ring(1), "layer 1 of the head"),
            (Kind.linearRing, struct.pack("<HH", 0, 6), ring(1), "layer 0 has no 'expertGateUp'"),
            (Kind.linearRing, struct.pack("<HHHH", 0, 1, 1, 1), ring(1), "groups of 'queryKeyValue'"),
            (Kind.linearRing, RING, ring(1, 0, 7), "needs rows of 192 channels"),
            (Kind.linear, linear(0, 2, 1), floats(1), "a slot for a site that is not queryKeyValue"),
            (Kind.middle, middle(0, 6, (1, 0, 1)), floats(1), "the model has 5"),
            (Kind.middle, middle(0, 5, (1, 0, 2)), floats(1), "a segment of 2 rows, 1 are left"),
            (Kind.middle, middle(0, 5, (1, 0, 1)), floats(2), "segments of 1 rows for 2 rows"),
            (Kind.middle, middle(0, 5, (1, 0, 1), (1, 0, 1)), floats(2), "two segments of one slot"),
            (Kind.middle, middle(0, 5, (1, 3, 1)), floats(1), "at position 3 of a slot with 0 tokens"),
            (Kind.headTopK, struct.pack("<I", 4_097), floats(1), "more than the 4096 logits"),
            (Kind.unlock, struct.pack("<IHI", 1, 0, 0), ring(1, 0, 3), "no rows to unlock"),
            (Kind.lockTail, struct.pack("<IH", 1, 0), floats(1), "rows of 96 channels"),
            (Kind.tailScores, struct.pack("<HIIII", 0, 1, 1, 0, 1), floats(1), "no keys are locked"),
            (Kind.attention, struct.pack("<HIIIIIBII", 0, 1, NO_SLOT, 0, 2, 1, 0, 0, HIDDEN), floats(1), "2 queries"),
        ]:
            code, found = failure(client.ask(kind, fields, tensor))
            assert code == Code.INVALID_REQUEST and reason in found, found
        # Refused requests keep nothing.
        assert client.statistics()["slots"] == 0
        # Two sessions of at most two, then one more; and one that is too long for the memory.
        for slot in (1, 2):
            assert client.ask(Kind.middle, middle(0, 5, (slot, 0, 4)), floats(4)).head.kind == Kind.middle
        assert failure(client.ask(Kind.middle, middle(0, 5, (3, 0, 1)), floats(1)))[0] == Code.WORKER_FULL
        assert failure(client.ask(Kind.middle, middle(0, 5, (1, 4, 500)), floats(500)))[0] == Code.WORKER_FULL
        # A refusal changed nothing, and a released slot gives its place.
        assert client.ask(Kind.middle, middle(0, 5, (1, 4, 1)), floats(1)).head.kind == Kind.middle
        assert client.ask(Kind.release, struct.pack("<I", 2)).head.kind == Kind.release
        assert client.ask(Kind.middle, middle(0, 5, (3, 0, 1)), floats(1)).head.kind == Kind.middle
        assert client.statistics()["slots"] == 2


def test_slots_end_with_their_connection() -> None:
    with torch_worker(WARD) as (address, _), Client(address, DIGEST) as stays:
        with Client(address, DIGEST) as client:
            client.ask(Kind.middle, middle(0, 5, (1, 0, 4)), floats(4))
            assert stays.statistics()["slots"] == 1
        wait_for(lambda: stays.statistics()["slots"] == 0)
        assert stays.statistics()["bytes"] == 0


def test_requests_of_several_sessions_are_one_product() -> None:
    with torch_worker(WARD, "f32") as (address, server):
        clients = [Client(address, DIGEST) for _ in range(3)]
        alone = [
            client.ask(Kind.middle, middle(0, 5, (1, 0, 4)), floats(4 + i)[:4]) for i, client in enumerate(clients)
        ]
        # While a first request holds the computing thread, the others come together.
        held, entered, compute = threading.Event(), threading.Event(), server._state.answer

        def answer(jobs: list[Job]) -> list[Result]:
            entered.set()
            held.wait(PATIENCE)
            return compute(jobs)

        server._state.answer = answer  # type: ignore[method-assign]
        blocker = Client(address, DIGEST)
        blocker.send(Kind.release, struct.pack("<I", 9))
        assert entered.wait(PATIENCE)
        before = server._batcher.batches
        for i, client in enumerate(clients):
            client.send(Kind.middle, middle(0, 5, (1, 0, 4)), floats(4 + i)[:4])
        try:
            wait_for(lambda: len(server._batcher._waiting) == 3)
        finally:
            held.set()
        blocker.receive()
        found = [client.receive() for client in clients]
        assert server._batcher.batches == before + 2
        for one, other in zip(alone, found, strict=True):
            assert one.tensor is not None and other.tensor is not None
            assert np.abs(one.tensor - other.tensor).max() < 1e-4
        for client in [*clients, blocker]:
            client.bytes.close()


def test_too_many_connections() -> None:
    with torch_worker(WARD, limits=Limits(connections=1)) as (address, _), Client(address, DIGEST) as client:
        with Client(address) as second:
            assert failure(second.ask(Kind.hello, hello(DIGEST)))[0] == Code.WORKER_FULL
            assert second.is_closed()
        assert client.statistics()["connections"] == 1


def test_silence() -> None:
    # Nothing here depends on how fast the machine is: each client waits for an end that must come.
    with torch_worker(WARD, limits=Limits(idle=0.2)) as (address, _), Client(address, DIGEST) as client:
        assert failure(client.receive())[0] == Code.TIMED_OUT
    with torch_worker(WARD, limits=Limits(patience=0.2)) as (address, _), Client(address) as slow:
        # A head that stops in its middle.
        slow.bytes.write(memoryview(b"SCX1\0\0"), time.monotonic() + 60)
        answer = slow.receive()
        assert failure(answer)[0] == Code.TIMED_OUT and answer.head.number == 1
    whole = Head(Kind.linearRing, False, 2, Elements.uint32, 1, HIDDEN, len(RING), len(RING)).pack() + RING
    for count in (1, 32, len(whole)):
        # The failure has the number of the message that stopped, whether or not its head had come.
        with torch_worker(WARD, limits=Limits(patience=0.2)) as (address, _), Client(address, DIGEST) as slow:
            slow.bytes.write(memoryview(whole[:count]), time.monotonic() + 60)
            answer = slow.receive()
            assert failure(answer)[0] == Code.TIMED_OUT and answer.head.number == 2


def test_shared_memory() -> None:
    with torch_worker(WARD) as (address, server):
        client = Client(address, DIGEST, stream=RingClient(address))
        x = ring(40)
        answer = client.ask(Kind.linearRing, RING, x)
        weights = server._state.model.sites[0, Site.queryKeyValue].matrices[0].values.numpy().astype(object)
        assert answer.tensor is not None
        assert (answer.tensor == ((x.astype(object) @ weights.T) % 2**32).astype(np.uint32)).all()
        # A counter that no honest client could have written.
        stream = client.bytes
        assert isinstance(stream, RingClient)
        stream.counter(0).value += 1 << 40
        stream._wake(256)
        assert client.is_closed()


@pytest.mark.parametrize(
    ("seals", "size", "preamble", "count"),
    [
        (0, None, b"SCXSHM01" + struct.pack("<II", 4_096, 0), 1),
        (None, 4_096, b"SCXSHM01" + struct.pack("<II", 4_096, 0), 1),
        (None, None, b"SCXSHM01" + struct.pack("<II", 4_096, 1), 1),
        (None, None, b"SCXSHM02" + struct.pack("<II", 4_096, 0), 1),
        (None, None, b"SCXSHM01" + struct.pack("<II", 4_097, 0), 1),
        (None, None, b"SCXSHM01" + struct.pack("<II", 1 << 25, 0), 1),
        (None, None, b"SCXSHM01" + struct.pack("<II", 4_096, 0), 2),
        (None, None, b"SCXSHM01" + struct.pack("<II", 4_096, 0), 0),
    ],
)
def test_shared_memory_that_is_refused(seals: int | None, size: int | None, preamble: bytes, count: int) -> None:
    with torch_worker(WARD) as (address, _):
        descriptors = [memory(4_096, seals, size) for _ in range(count)]
        connection = connect(address)
        if count == 0:
            connection.write(memoryview(preamble), time.monotonic() + 60)
            with pytest.raises(Exception, match=r"other end closed|reset"):
                connection.read_into(memoryview(bytearray(1)), time.monotonic() + 60)
        else:
            assert upgrade(connection, descriptors, preamble) == b""


def test_a_shard_answers_its_columns_alone() -> None:
    model = FIXTURES / "parity/mixtral"
    digest, fields = Checkpoint(str(model)).digest(), struct.pack("<HH", 0, Site.expertGateUp)
    answers = []
    for shard in [(0, 1), (0, 3), (1, 3), (2, 3)]:
        with torch_worker(model, shard=shard) as (address, server), Client(address, digest) as client:
            site = server._state.model.sites[0, Site.expertGateUp]
            x = ring(2, 1, site.groups * site.inputs)
            answer = client.ask(Kind.linearRing, fields, x).tensor
            assert answer is not None
            answers.append(answer.reshape(2, site.groups, -1))
            if shard != (0, 1):
                refused = failure(client.ask(Kind.feedForward, struct.pack("<H", 0), floats(1, site.inputs)))
                assert refused[0] == Code.INVALID_REQUEST
    assert (np.concatenate(answers[1:], axis=2) == answers[0]).all()
