"""What the worker keeps of sessions, and the limits on its memory."""

from dataclasses import dataclass, field

import torch

from scx_torch.compute.cache import LayerCache
from scx_torch.compute.decoder import Decoder
from scx_torch.link.errors import full

# A connection and the number of a slot, which is valid only on its own connection.
Key = tuple[int, int]


@dataclass
class Slot:
    """What is kept of one session; all but `layers` by layer, and only by profiles that use it."""

    # Valid keys and values, which `middle` uses and extends.
    layers: list[LayerCache]
    # Rows of keys, each followed by its values, as `linear` left them for `unlock`.
    unordered: dict[int, torch.Tensor] = field(default_factory=dict)
    # Encoded keys and values that `attention` keeps.
    encoded: dict[int, LayerCache] = field(default_factory=dict)
    # Encoded keys for `tailScores`, `[tokens, key heads · size]`.
    tail: dict[int, torch.Tensor] = field(default_factory=dict)

    @staticmethod
    def of(model: Decoder) -> "Slot":
        """An empty slot."""
        return Slot([model.make_cache() for _ in range(model.config.block_count)])

    @property
    def nbytes(self) -> int:
        """Bytes of all of these."""
        tensors = [*self.unordered.values(), *self.tail.values()]
        caches = [*self.layers, *self.encoded.values()]
        return sum(tensor.nbytes for tensor in tensors) + sum(cache.nbytes for cache in caches)


class SlotMemory:
    """The slots of all connections; `check` before one grows, `keep` afterwards."""

    def __init__(self, slots: int, limit: int) -> None:
        self._most_slots = slots
        self._most_bytes = limit
        self._slots: dict[Key, Slot] = {}
        self._bytes: dict[Key, int] = {}
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._slots)

    def get(self, key: Key) -> Slot | None:
        """The slot, if there is one."""
        return self._slots.get(key)

    def check(self, adding: int, slots: int = 0) -> None:
        """Raises that the worker is full when the slots may not grow by so many bytes, and by so many new ones."""
        if slots > 0 and slots > self._most_slots - len(self._slots):
            raise full(f"{len(self._slots)} sessions of at most {self._most_slots}")
        if adding > 0 and adding > self._most_bytes - self.nbytes:
            raise full(f"{self.nbytes} bytes of at most {self._most_bytes}, and {adding} more are needed")

    def keep(self, slot: Slot, key: Key) -> None:
        """Counts the bytes of a slot that has changed, and adds it if it is new."""
        count = slot.nbytes
        self.nbytes += count - self._bytes.get(key, 0)
        self._slots[key], self._bytes[key] = slot, count

    def remove(self, key: Key) -> None:
        """Forgets a slot; it is no error if there is none."""
        if self._slots.pop(key, None) is not None:
            self.nbytes -= self._bytes.pop(key)

    def remove_connection(self, connection: int) -> None:
        """Forgets the slots of a connection."""
        for key in [key for key in self._slots if key[0] == connection]:
            self.remove(key)
