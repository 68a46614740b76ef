"""Requests of several sessions that share weights."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

from scx_torch.compute.decoder import CacheSegment
from scx_torch.link.errors import full, invalid
from scx_torch.link.frame import Array
from scx_torch.link.requests import HeadTopK, Linear, Middle, Segment, Site
from scx_torch.worker.batcher import Job
from scx_torch.worker.rows import RowBatch
from scx_torch.worker.slots import Key, Slot

if TYPE_CHECKING:
    from scx_torch.worker.state import Answers, WorkerState

Fetch: TypeAlias = Callable[[], Array]
# Rows of logits that are computed at a time, since all of a long prompt would take gigabytes.
_LOGIT_ROWS = 256


class Products:
    """Computes shared products for a `WorkerState`."""

    def __init__(self, state: "WorkerState") -> None:
        self._state = state

    def ring(self, jobs: list[Job], layer: int, site: Site, groups: tuple[int, ...] | None) -> "Answers":
        """`linearRing`: rows of integers modulo 2³²."""
        state = self._state
        weights = state.model.sites[0 if site == Site.head else layer, site]
        count = weights.groups if groups is None else len(groups)
        batch = RowBatch.of(
            jobs, count * weights.inputs, lambda _, rows: state.check_answer(rows, count * weights.columns)
        )
        if not batch.members:
            return batch.answers(None)
        result = weights.ring(state.transfer.put(batch.arrays), groups)
        return batch.answers(_once(state.transfer.fetch(result)))

    def linear(self, jobs: list[Job], layer: int, site: Site, exact: bool) -> "Answers":
        """`linear`: a product with a site, whose keys and values may be kept."""
        state, config = self._state, self._state.model.config
        weights = state.model.sites[0 if site == Site.head else layer, site]
        kept = 2 * config.kv_heads * config.head_size
        keys: list[Key | None] = []
        reserved = _Reserved()

        def admit(job: Job, rows: int) -> None:
            state.check_answer(rows, (2 if exact else 1) * weights.outputs)
            operation = job.request.operation
            assert isinstance(operation, Linear)
            key = None if operation.slot is None else (job.connection, operation.slot)
            if key is not None:
                self._room(key, layer, 4 * rows * kept, reserved)
            keys.append(key)

        batch = RowBatch.of(jobs, weights.inputs, admit)
        if not batch.members:
            return batch.answers(None)
        x = state.transfer.put(batch.arrays)
        result = weights.exact(x) if exact else weights.multiply(x)
        rows_kept: list[tuple[Key, torch.Tensor]] = []
        for member, key in zip(batch.members, keys, strict=True):
            if key is None:
                continue
            own = result[member.first : member.end, weights.outputs - kept :].to(torch.float32)
            if exact and weights.bias is not None:
                own = own + weights.bias[weights.outputs - kept :]
            rows_kept.append((key, own.contiguous().clone()))
        # Only now, when nothing can fail any more, do slots change.
        for key, own in rows_kept:
            slot = state.memory.get(key) or Slot.of(state.model)
            slot.unordered[layer] = own
            state.memory.keep(slot, key)
        return batch.answers(_once(state.transfer.fetch(result)))

    def _room(self, key: Key, layer: int, nbytes: int, reserved: "_Reserved") -> None:
        """Checks that there is room for rows that are kept, and counts them for the next request of the batch."""
        held = self._state.memory.get(key)
        before = held.unordered.get(layer) if held else None
        adding = reserved.nbytes + nbytes - (0 if before is None else before.nbytes)
        self._state.memory.check(adding, reserved.slots + (held is None))
        reserved.nbytes, reserved.slots = adding, reserved.slots + (held is None)

    def feed_forward(self, jobs: list[Job], layer: int) -> "Answers":
        """`feedForward`: norm, gate, up, activation and down."""
        state, hidden = self._state, self._state.model.config.hidden
        batch = RowBatch.of(jobs, hidden, lambda _, rows: state.check_answer(rows, hidden))
        if not batch.members:
            return batch.answers(None)
        result = state.model.feed_forward(layer, state.transfer.put(batch.arrays))
        return batch.answers(_once(state.transfer.fetch(result)))

    def middle(self, jobs: list[Job], first: int, end: int) -> "Answers":
        """`middle`: blocks on hidden states."""
        state = self._state
        segments: list[CacheSegment] = []

        def admit(job: Job, rows: int) -> None:
            operation = job.request.operation
            assert isinstance(operation, Middle)
            segments.extend(self._caches(operation, rows, job.connection))

        def undo() -> None:
            # Back to where the requests began, so that they can be sent again once there is memory.
            for segment in segments:
                for cache in segment.layers[first:end]:
                    cache.truncate(min(cache.count, segment.position))

        batch = RowBatch.of(jobs, state.model.config.hidden, admit)
        return self._blocks(batch, lambda rows: state.model.run(first, end, rows, segments), undo)

    def pictures(self, jobs: list[Job], first: int, end: int) -> "Answers":
        """`middle` of blocks of the encoder of pictures, of which nothing is kept."""
        state, config = self._state, self._state.model.config
        assert config.tower is not None
        hidden, longest = config.tower.encoder.hidden, config.tower.rows
        pictures: list[int] = []

        def admit(job: Job, rows: int) -> None:
            operation = job.request.operation
            assert isinstance(operation, Middle)
            lengths = [segment.rows for segment in operation.segments]
            if any(segment.position != 0 or not 0 < segment.rows <= longest for segment in operation.segments):
                raise invalid(f"rows that are not of pictures of at most {longest}")
            if sum(lengths) != rows:
                raise invalid(f"pictures of {sum(lengths)} rows for {rows} rows")
            state.check_answer(rows, hidden)
            # Keys and values of one block, while it is computed, for all pictures of the batch.
            state.memory.check(8 * (sum(pictures) + rows) * hidden)
            pictures.extend(lengths)

        batch = RowBatch.of(jobs, hidden, admit)
        return self._blocks(batch, lambda rows: state.model.run_pictures(first, end, rows, pictures))

    def _blocks(
        self,
        batch: RowBatch,
        run: Callable[[torch.Tensor], torch.Tensor],
        undo: Callable[[], None] = lambda: None,
    ) -> "Answers":
        """Runs blocks on the rows of a batch; where there is no memory for it, undoes it and says so."""
        state = self._state
        if not batch.members:
            return batch.answers(None)
        try:
            result = run(state.transfer.put(batch.arrays))
        except (MemoryError, RuntimeError) as error:
            if state.model.team.size > 1:
                raise  # The processes of a team are no longer at the same place.
            undo()
            return batch.answers(full(f"{error}"[:200]))
        return batch.answers(_once(state.transfer.fetch(result)))

    def _caches(self, operation: Middle, rows: int, connection: int) -> list[CacheSegment]:
        """Cuts the caches of the segments at their positions, and makes room for their rows."""
        state, config = self._state, self._state.model.config
        _check_rows(operation.segments, rows)
        places: list[tuple[Slot, Key, Segment]] = []
        adding, fresh = 0, 0
        blocks = slice(operation.first, operation.end)
        for segment in operation.segments:
            key = (connection, segment.slot)
            held = state.memory.get(key)
            fresh += held is None
            state.memory.check(0, fresh)
            slot = held or Slot.of(state.model)
            count = min(cache.count for cache in slot.layers[blocks])
            last = config.longest - segment.rows
            if segment.position > min(count, last) or (not config.is_causal and segment.position != 0):
                raise invalid(f"{segment.rows} rows at position {segment.position} of a slot with {count} tokens")
            total = segment.position + segment.rows
            adding += sum(cache.bytes_for(total) - cache.nbytes for cache in slot.layers[blocks])
            places.append((slot, key, segment))
        state.memory.check(adding, fresh)
        try:
            for slot, _, segment in places:
                for cache in slot.layers[blocks]:
                    cache.truncate(segment.position)
                    cache.reserve(segment.position + segment.rows)
        except (MemoryError, RuntimeError) as error:
            if state.model.team.size > 1:
                raise  # The other processes have found memory and go on.
            # The slots that there were are cut where this request begins, so that it can be sent again.
            for slot, key, _ in places:
                if state.memory.get(key) is slot:
                    state.memory.keep(slot, key)
            raise full(f"{error}"[:200]) from None
        for slot, key, _ in places:
            state.memory.keep(slot, key)
        return [
            CacheSegment(slot.layers, segment.position, segment.rows, segment.mutual) for slot, _, segment in places
        ]

    def head(self, jobs: list[Job]) -> "Answers":
        """`headTopK`: the largest logits, or all of them."""
        state, config = self._state, self._state.model.config
        counts: list[int] = []

        def admit(job: Job, rows: int) -> None:
            operation = job.request.operation
            assert isinstance(operation, HeadTopK)
            if not 1 <= operation.count <= config.vocabulary:
                raise invalid(f"more than the {config.vocabulary} logits that there are, or none")
            all_of_them = operation.count == config.vocabulary
            state.check_answer(rows, operation.count if all_of_them else 2 * operation.count)
            counts.append(operation.count)

        batch = RowBatch.of(jobs, config.hidden, admit)
        if not batch.members:
            return batch.answers(None)
        hidden = state.transfer.put(batch.arrays)
        found: list[list[torch.Tensor | None]] = [[] for _ in batch.members]
        for first in range(0, batch.rows, _LOGIT_ROWS):
            logits = state.model.logits(hidden[first : first + _LOGIT_ROWS])
            for member, count, parts in zip(batch.members, counts, found, strict=True):
                own = logits[max(0, member.first - first) : max(0, member.end - first)]
                if own.shape[0] > 0:
                    parts.append(self._largest(own, count))
        answers = batch.answers(None)
        for member, count, parts in zip(batch.members, counts, found, strict=True):
            if any(part is None for part in parts):
                answers[member.index] = invalid("hidden states whose logits are not numbers")
                continue
            tensors = [part for part in parts if part is not None]
            answers[member.index] = state.transfer.fetch(_joined(tensors, count, config.vocabulary))
        return answers

    def _largest(self, logits: torch.Tensor, count: int) -> torch.Tensor | None:
        """All logits, or the largest of each row with their tokens, `[rows, count, 2]` as bits."""
        if count == logits.shape[1]:
            return logits
        # Of equal logits the lower token comes first, and what is not a number is left out.
        usable = torch.where(torch.isnan(logits), -torch.inf, logits)
        if count > logits.shape[1] - int(torch.isnan(logits).sum(dim=1).max()):
            return None
        if count == 1:
            best = usable.max(dim=1, keepdim=True)
            values, tokens = best.values, (usable == best.values).int().argmax(dim=1, keepdim=True)
        else:
            values, tokens = usable.sort(dim=1, descending=True, stable=True)
        return torch.stack([values[:, :count].contiguous().view(torch.int32), tokens[:, :count].int()], dim=-1)


def _joined(parts: list[torch.Tensor], count: int, vocabulary: int) -> torch.Tensor:
    """The answer: all logits, or first the bits of the largest ones of all rows, then their tokens."""
    joined = torch.cat(parts)
    if count == vocabulary:
        return joined
    return joined.permute(2, 0, 1).reshape(joined.shape[0], 2 * count)


def _check_rows(segments: tuple[Segment, ...], rows: int) -> None:
    """Raises an invalid request when segments do not fit the rows."""
    left = rows
    for segment in segments:
        if not 0 < segment.rows <= left:
            raise invalid(f"a segment of {segment.rows} rows, {left} are left")
        left -= segment.rows
    if left:
        raise invalid(f"segments of {rows - left} rows for {rows} rows")
    if len({segment.slot for segment in segments}) != len(segments):
        raise invalid("two segments of one slot")


@dataclass
class _Reserved:
    """What the requests of a batch that were admitted will add to the slots."""

    nbytes: int = 0
    slots: int = 0


class _Once:
    """Waits for a result once, though several requests take their rows of it, each on its connection's thread."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch: Fetch | None = fetch
        self._lock = threading.Lock()
        self._array: Array | None = None

    def __call__(self) -> Array:
        with self._lock:
            if self._fetch is not None:
                self._array, self._fetch = self._fetch(), None
            assert self._array is not None
            return self._array


def _once(fetch: Fetch) -> Fetch:
    return _Once(fetch)
