"""The keys and values of one layer for one session."""

import torch

# Memory grows in steps of so many tokens, or of an eighth for long sessions.
_STEP = 64


def capacity(tokens: int) -> int:
    """For how many tokens there is memory when a cache holds so many."""
    step = max(_STEP, 1 << max(0, tokens.bit_length() - 4))
    return -(-tokens // step) * step


class LayerCache:
    """Keys and values `[tokens, heads, size]`, in float32 or bfloat16."""

    def __init__(
        self, heads: int, size: int, dtype: torch.dtype, device: torch.device, counted: int | None = None
    ) -> None:
        self._shape = (heads, size)
        # Heads that count for its size: in a team, those of the process that has the most, so that all agree on limits.
        self._counted = heads if counted is None else counted
        self._memory = torch.empty(2, 0, heads, size, dtype=dtype, device=device)
        self.count = 0

    @property
    def nbytes(self) -> int:
        """Bytes of its memory."""
        return self._bytes(self._memory.shape[1])

    def bytes_for(self, tokens: int) -> int:
        """Bytes of its memory once it holds so many tokens."""
        return self._bytes(max(capacity(tokens), self._memory.shape[1]))

    def _bytes(self, tokens: int) -> int:
        return 2 * tokens * self._counted * self._shape[1] * self._memory.element_size()

    def reserve(self, tokens: int) -> None:
        """Makes room for so many tokens in all."""
        if tokens > self._memory.shape[1]:
            self._move(capacity(tokens))

    def _move(self, room: int) -> None:
        heads, size = self._shape
        memory = self._memory.new_empty(2, room, heads, size)
        memory[:, : self.count] = self._memory[:, : self.count]
        self._memory = memory

    def append(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Appends keys and values `[tokens, heads, size]`, rounded to the cache's type."""
        end = self.count + keys.shape[0]
        self.reserve(end)
        self._memory[0, self.count : end] = keys
        self._memory[1, self.count : end] = values
        self.count = end

    def truncate(self, count: int) -> None:
        """Removes the tokens from `count` on, and their memory when it is more than half."""
        self.count = min(count, self.count)
        if 2 * capacity(self.count) < self._memory.shape[1]:
            self._move(capacity(self.count))

    @property
    def keys(self) -> torch.Tensor:
        """`[tokens, heads, size]`"""
        return self._memory[0, : self.count]

    @property
    def values(self) -> torch.Tensor:
        """`[tokens, heads, size]`"""
        return self._memory[1, : self.count]


class MomentaryCache(LayerCache):
    """The keys and values of what was appended last, for sequences of which nothing is kept."""

    def append(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keeps keys and values `[tokens, heads, size]` in place of those before."""
        self.count = 0
        super().append(keys, values)
