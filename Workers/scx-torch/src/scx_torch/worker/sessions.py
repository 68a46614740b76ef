"""Requests that use the keys and values of sessions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from scx_torch.compute.cache import LayerCache
from scx_torch.link.errors import full, invalid
from scx_torch.link.frame import Array
from scx_torch.link.requests import Attention, LockTail, Part, Site, TailScores, Unlock
from scx_torch.worker.batcher import Job
from scx_torch.worker.slots import Key, Slot

if TYPE_CHECKING:
    from scx_torch.worker.state import WorkerState


@dataclass
class _Place:
    """What is needed to compute one part of an attention; the slot is None when nothing is kept."""

    part: Part
    cache: LayerCache
    slot: Slot | None
    key: Key
    first: int


class Sessions:
    """Computes requests of sessions for a `WorkerState`."""

    def __init__(self, state: "WorkerState") -> None:
        self._state = state

    @property
    def _key_width(self) -> int:
        """How many numbers the keys of one position have, and its values."""
        config = self._state.model.config
        return config.kv_heads * config.head_size

    def attention(self, job: Job, operation: Attention) -> Callable[[], Array]:
        """Causal attention of parts, each of another session."""
        state, layer = self._state, operation.layer
        places = self._places(job, operation)
        for place in places:
            if place.slot is not None:
                place.slot.encoded[layer] = place.cache
                place.cache.truncate(place.part.position)
                state.memory.keep(place.slot, place.key)
        values = state.transfer.put([job.request.floats()])[0]
        config, answers = state.model.config, []
        width = config.heads * config.head_size
        try:
            for place in places:
                part = place.part
                middle = place.first + part.queries * width
                queries = values[place.first : middle].reshape(part.queries, width)
                keys = values[middle : middle + 2 * part.keys * self._key_width].reshape(part.keys, 2 * self._key_width)
                answers.append(state.model.attend_encoded(layer, queries, keys, place.cache).reshape(-1))
        except (MemoryError, RuntimeError) as error:
            if state.model.team.size > 1:
                raise  # The processes of a team are no longer at the same place.
            for place in places:
                place.cache.truncate(place.part.position)
            raise full(f"{error}"[:200]) from None
        finally:
            for place in places:
                if place.slot is not None:
                    state.memory.keep(place.slot, place.key)
        return state.transfer.fetch(torch.cat(answers)[None])

    def _places(self, job: Job, operation: Attention) -> list[_Place]:
        """Finds the caches and values of the parts, and changes nothing."""
        state, config = self._state, self._state.model.config
        state.check_layer(operation.layer)
        slots = [part.slot for part in operation.parts if part.slot is not None]
        if len(set(slots)) != len(slots):
            raise invalid("two parts of one slot")
        width = config.heads * config.head_size
        places: list[_Place] = []
        numbers = queries = adding = fresh = 0
        for part in operation.parts:
            key = (job.connection, part.slot or 0)
            held = state.memory.get(key) if part.slot is not None else None
            fresh += part.slot is not None and held is None
            state.memory.check(0, fresh)
            slot = held or (Slot.of(state.model) if part.slot is not None else None)
            cache = (slot.encoded.get(operation.layer) if slot else None) or state.model.make_cache()
            total = part.position + part.keys
            if part.position > cache.count or total > config.longest or not 0 < part.queries <= total:
                raise invalid(
                    f"{part.queries} queries and {part.keys} keys at position {part.position}, "
                    f"where {cache.count} are held"
                )
            places.append(_Place(part, cache, slot, key, numbers))
            numbers += part.queries * width + part.keys * 2 * self._key_width
            queries += part.queries
            if slot is not None:
                adding += cache.bytes_for(total) - cache.nbytes
        tensor = job.request.floats()
        if tensor.shape != (1, numbers):
            raise invalid(f"{tensor.size} numbers, where {len(operation.parts)} parts of attention have {numbers}")
        state.check_answer(queries, width)
        state.memory.check(adding, fresh)
        return places

    def unlock(self, job: Job, operation: Unlock) -> None:
        """Puts rows that `linear` left in the order of their positions, and appends them to the slot's layer."""
        state, config, layer = self._state, self._state.model.config, operation.layer
        state.check_layer(layer)
        key = (job.connection, operation.slot)
        source_key = key if operation.source is None else (job.connection, operation.source)
        source = state.memory.get(source_key)
        if source is None or layer not in source.unordered:
            raise invalid(f"no rows to unlock in layer {layer}")
        stored = source.unordered[layer]
        words = job.request.words().reshape(-1)
        if words.size == 0 or int(words.max()) >= stored.shape[0]:
            raise invalid(f"a permutation that does not fit {stored.shape[0]} rows")
        held = state.memory.get(key)
        slot = held or Slot.of(state.model)
        cache = slot.layers[layer]
        total = operation.position + words.size
        if operation.position > cache.count or total > config.longest:
            raise invalid(f"{words.size} rows to unlock at position {operation.position}, where {cache.count} are held")
        state.memory.check(cache.bytes_for(total) - cache.nbytes, 1 if held is None else 0)
        order = torch.from_numpy(words.astype("int64")).to(stored.device)
        cache.truncate(operation.position)
        state.model.append_projected(layer, stored[order], cache)
        if source_key == key:
            slot.unordered.pop(layer, None)
        state.memory.keep(slot, key)

    def lock_tail(self, job: Job, operation: LockTail) -> None:
        """Keeps keys for `tailScores`, in place of earlier ones."""
        state, layer = self._state, operation.layer
        state.check_layer(layer)
        tensor = job.request.floats()
        if tensor.shape[1] != self._key_width or tensor.shape[0] == 0:
            raise invalid(f"keys to lock need rows of {self._key_width} channels")
        key = (job.connection, operation.slot)
        held = state.memory.get(key)
        slot = held or Slot.of(state.model)
        before = slot.tail.get(layer)
        state.memory.check(tensor.nbytes - (0 if before is None else before.nbytes), 1 if held is None else 0)
        slot.tail[layer] = self._as_cached(state.transfer.put([tensor]))
        state.memory.keep(slot, key)

    def _as_cached(self, keys: torch.Tensor) -> torch.Tensor:
        """Keys as a cache of this model would store them, in float32."""
        return keys.to(self._state.model.cache_type).to(torch.float32)

    def tail_scores(self, job: Job, operation: TailScores) -> Callable[[], Array]:
        """For each segment its own key and value, and the scores of its queries against the locked keys."""
        state, config, layer = self._state, self._state.model.config, operation.layer
        slots = self._tail_slots(job, operation)
        model, size = state.model, config.head_size
        hidden = state.transfer.put([job.request.floats()])
        rows = model.product(Site.queryKeyValue, layer, model.blocks[layer].attention_norm(hidden))
        heads = rows.reshape(rows.shape[0], -1, size)
        both = config.heads + config.kv_heads
        angles = model.angles([(segment.position, 1) for segment in operation.segments])
        rotated = model.rotate(heads[:, :both], layer, config.heads, angles)
        answers: list[torch.Tensor] = []
        for i, (slot, key) in enumerate(slots):
            own_key, own_value = rotated[i, config.heads :].reshape(-1), heads[i, both:].reshape(-1)
            slot.tail[layer] = torch.cat([slot.tail[layer], self._as_cached(own_key)[None]])
            state.memory.keep(slot, key)
            locked = slot.tail[layer].reshape(-1, config.kv_heads, size)
            queries = rotated[i, : config.heads].reshape(config.kv_heads, -1, size)
            scores = config.scale * (queries @ locked.permute(1, 2, 0))
            answers += [own_key, own_value, scores.reshape(-1)]
        return state.transfer.fetch(torch.cat(answers)[None])

    def _tail_slots(self, job: Job, operation: TailScores) -> list[tuple[Slot, Key]]:
        """Finds the slots of the segments, and changes nothing."""
        state, config, layer = self._state, self._state.model.config, operation.layer
        segments, tensor = operation.segments, job.request.floats()
        state.check_layer(layer)
        if config.latent is not None:
            raise invalid("scores of tails, which a model with latent attention has not")
        if tensor.shape != (len(segments), config.hidden) or any(segment.rows != 1 for segment in segments):
            raise invalid(f"scores of {len(segments)} tails need as many rows of {config.hidden} channels")
        if len({segment.slot for segment in segments}) != len(segments):
            raise invalid("two segments of one slot")
        slots: list[tuple[Slot, Key]] = []
        count = 0
        for segment in segments:
            if segment.position >= config.longest:
                raise invalid(f"position {segment.position} of {config.longest}")
            key = (job.connection, segment.slot)
            slot = state.memory.get(key)
            if slot is None or layer not in slot.tail:
                raise invalid(f"no keys are locked in layer {layer}")
            count += 2 * self._key_width + config.heads * (slot.tail[layer].shape[0] + 1)
            slots.append((slot, key))
        state.check_answer(count, 1)
        state.memory.check(4 * len(segments) * self._key_width)
        return slots
