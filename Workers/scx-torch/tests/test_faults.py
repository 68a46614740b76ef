"""What goes wrong in the worker itself: no memory, no threads, faults; and what a team's processes tell each other."""

import struct
import threading
from dataclasses import replace

import numpy as np
import pytest
from client import Client, failure
from conftest import WARD, torch_worker
from test_frame import request
from test_worker import DIGEST, HIDDEN, RING, floats, middle, ring

from scx_torch.compute.cache import LayerCache
from scx_torch.link.errors import Code, LinkError
from scx_torch.link.frame import Elements, Kind
from scx_torch.link.requests import read_request
from scx_torch.worker.batcher import Job
from scx_torch.worker.commands import Command, pack, parse
from scx_torch.worker.slots import Slot


def test_no_memory_is_said_and_nothing_is_lost() -> None:
    """A pass that finds no memory leaves the session where it was."""
    with torch_worker(WARD, "f32") as (address, server), Client(address, DIGEST) as client:
        assert client.ask(Kind.middle, middle(0, 5, (1, 0, 3)), floats(3)).head.kind == Kind.middle
        model, feed_forward = server._state.model, server._state.model.feed_forward

        def fails(block: int, hidden: object) -> object:
            if block == 2:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
            return feed_forward(block, hidden)  # type: ignore[arg-type]

        expected = client.ask(Kind.middle, middle(0, 5, (1, 3, 2)), floats(2)).tensor
        model.feed_forward = fails  # type: ignore[assignment, method-assign]
        code, reason = failure(client.ask(Kind.middle, middle(0, 5, (1, 3, 2)), floats(2)))
        assert code == Code.WORKER_FULL and "can't allocate memory" in reason
        model.feed_forward = feed_forward  # type: ignore[method-assign]
        found = client.ask(Kind.middle, middle(0, 5, (1, 3, 2)), floats(2)).tensor
        assert found is not None and expected is not None and np.abs(found - expected).max() < 1e-4


def test_a_fault_of_the_worker_ends_no_connection(capsys: pytest.CaptureFixture[str]) -> None:
    with torch_worker(WARD) as (address, server), Client(address, DIGEST) as client:
        answer = server._state.answer
        server._state.answer = lambda jobs: [1 // 0]  # type: ignore[method-assign]
        assert "a fault of this worker" in failure(client.ask(Kind.linearRing, RING, ring(1)))[1]
        server._state.answer = answer  # type: ignore[method-assign]
        assert client.ask(Kind.linearRing, RING, ring(1)).head.kind == Kind.linearRing
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_no_room_for_keys_and_values_is_one_requests_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two requests that are one product the one that finds no memory is refused, and can be sent again."""
    with torch_worker(WARD, "f32") as (_, server):
        state, reserve = server._state, LayerCache.reserve

        def job(connection: int, rows: int, position: int = 0) -> Job:
            message = request(Kind.middle, middle(0, 5, (1, position, rows)), Elements.float32, rows, HIDDEN)
            return Job(connection, read_request(message, 1 << 20))

        def fails(cache: LayerCache, tokens: int) -> None:
            if tokens == 5:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            reserve(cache, tokens)

        assert not isinstance(state.answer([job(1, 3)])[0], LinkError)
        before = state.memory.nbytes
        monkeypatch.setattr(LayerCache, "reserve", fails)
        refused, answered = state.answer([job(1, 2, 3), job(2, 4)])
        assert isinstance(refused, LinkError) and refused.code == Code.WORKER_FULL
        assert not isinstance(answered, LinkError) and len(state.memory) == 2
        monkeypatch.undo()
        assert not isinstance(state.answer([job(1, 2, 3)])[0], LinkError)
        assert state.memory.nbytes == 2 * before


def test_kept_rows_that_cannot_be_computed_leave_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch_worker(WARD, "f32") as (address, server), Client(address, DIGEST) as client:
        site, fields = server._state.model.sites[0, 1], struct.pack("<HHIB", 0, 1, 9, 0)
        multiply = site.multiply
        site.multiply = lambda x: (_ for _ in ()).throw(RuntimeError("no memory"))  # type: ignore[method-assign]
        assert failure(client.ask(Kind.linear, fields, floats(2)))[0] == Code.WORKER_FULL
        assert client.statistics()["slots"] == client.statistics()["bytes"] == 0
        site.multiply = multiply  # type: ignore[method-assign]
        assert client.ask(Kind.linear, fields, floats(2)).head.kind == Kind.linear
        assert client.statistics()["slots"] == 1 and client.statistics()["bytes"] > 0


def test_slots_are_counted_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch_worker(WARD, slots=3) as (address, _), Client(address, DIGEST) as client:
        made, of = [], Slot.of
        monkeypatch.setattr(Slot, "of", lambda model: made.append(1) or of(model))
        segments = [(slot, 0, 1) for slot in range(100)]
        assert failure(client.ask(Kind.middle, middle(0, 5, *segments), floats(100)))[0] == Code.WORKER_FULL
        part = b"".join(struct.pack("<IIIIBII", slot, 0, 1, 1, 0, 0, 384) for slot in range(100))
        values = np.ones((1, 38_400), np.float32)
        assert failure(client.ask(Kind.attention, struct.pack("<HI", 1, 100) + part, values))[0] == Code.WORKER_FULL
        assert len(made) == 6


def test_rows_that_attend_to_later_ones() -> None:
    first = floats(3)
    second = first.copy()
    second[1] += 1
    with torch_worker(WARD, "f32") as (address, _), Client(address, DIGEST) as client:
        fields = middle(0, 5, (1, 0, 2), (2, 0, 1))
        for mutual in (b"", b"\0\0", b"\1\0"):
            # The first session's second row changes; the other session does not see that.
            answers = [client.ask(Kind.middle, fields + mutual, rows).tensor for rows in (first, second)]
            assert answers[0] is not None and answers[1] is not None
            changed = [float(np.abs(one - two).max()) > 1e-3 for one, two in zip(*answers, strict=True)]
            assert changed == [mutual == b"\1\0", True, False]


def test_logits_of_several_requests_are_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets its own, though rows are taken some at a time without regard to whose they are."""
    monkeypatch.setattr("scx_torch.worker.products._LOGIT_ROWS", 4)
    with torch_worker(WARD, "f32") as (_, server):
        state, jobs = server._state, []
        vocabulary = state.model.config.vocabulary
        for connection, (rows, count) in enumerate([(3, 1), (6, 5), (1, vocabulary), (2, 2)]):
            message = request(Kind.headTopK, struct.pack("<I", count), Elements.float32, rows, HIDDEN)
            assert message.tensor is not None
            message.tensor[:] = floats(rows) + connection
            jobs.append(Job(connection, read_request(message, 1 << 20)))
        together, calls, logits = state.answer, [], state.model.logits
        monkeypatch.setattr(state.model, "logits", lambda hidden: calls.append(hidden.shape[0]) or logits(hidden))
        found = [result(1).tensor for result in together(jobs) if not isinstance(result, LinkError)]
        assert calls == [4, 4, 4]
        alone = [state.answer([job])[0] for job in jobs]
        assert len(found) == len(alone) == 4
        for one, other in zip(found, alone, strict=True):
            assert not isinstance(other, LinkError) and one is not None
            expected = other(1).tensor
            assert expected is not None and one.shape == expected.shape
            assert np.abs(one.view(np.float32) - expected.view(np.float32)).max() < 1e-4


def test_a_thread_that_cannot_be_had_ends_no_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch_worker(WARD) as (address, _):
        start, failed = threading.Thread.start, []

        def fails(thread: threading.Thread) -> None:
            if not failed:
                failed.append(thread)
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", fails)
        with Client(address) as refused:
            assert refused.is_closed()
        assert failed
        with Client(address, DIGEST) as client:
            assert client.statistics()["connections"] == 1


def test_a_fault_of_the_reader_ends_its_connection(capsys: pytest.CaptureFixture[str]) -> None:
    with torch_worker(WARD) as (address, server), Client(address, DIGEST) as other:
        with Client(address, DIGEST) as client:
            server._record = lambda *_: 1 // 0  # type: ignore[method-assign]
            client.send(Kind.linearRing, RING, ring(1))
            assert client.is_closed()
        del server._record
        assert other.ask(Kind.linearRing, RING, ring(1)).head.kind == Kind.linearRing
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_commands_of_a_team() -> None:
    messages = [
        request(Kind.linearRing, RING, Elements.uint32, 3, HIDDEN),
        request(Kind.middle, middle(0, 5, (1, 0, 2)), Elements.float32, 2, HIDDEN),
        request(Kind.release, struct.pack("<I", 7)),
    ]
    for message in messages[:2]:
        assert message.tensor is not None
        message.tensor[:] = np.arange(message.tensor.size).reshape(message.tensor.shape)
    jobs = []
    for i, message in enumerate(messages):
        payload = len(message.fields) + (0 if message.tensor is None else message.tensor.nbytes)
        message = replace(message, head=replace(message.head, payload_bytes=payload))
        jobs.append(Job(i + 5, read_request(message, 1 << 20)))
    found = parse(bytes(pack(jobs)), 1 << 20)
    assert isinstance(found, list) and len(found) == 3
    for job, other in zip(jobs, found, strict=True):
        assert (job.connection, job.request.operation) == (other.connection, other.request.operation)
        one, two = job.request.tensor, other.request.tensor
        assert (one is None and two is None) or (one is not None and two is not None and np.array_equal(one, two))
    commands: list[Command] = [None, 0, 2**40]
    assert [parse(bytes(pack(command)), 1) for command in commands] == commands
    whole = bytes(pack(jobs))
    for data in (b"", b"\3", b"\0\0", whole[:-1], whole + b"\0", b"\2\xff\xff\xff\xff", b"\x80\x04N."):
        with pytest.raises(LinkError):
            parse(data, 1 << 20)
