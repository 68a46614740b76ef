"""Parts of an attention that travel with few bits for each value; docs/protocol.md, section Groups."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scx_torch.link.errors import malformed

GROUP = 64


@dataclass(frozen=True)
class Layout:
    """How a part travels: `precision` 0 for float32, or 4 or 8 bits after a prefix in float32."""

    precision: int
    prefix: int
    channels: int

    def __post_init__(self) -> None:
        if self.precision not in (0, 4, 8) or self.prefix > self.channels or (self.precision == 0 and self.prefix != 0):
            raise malformed(f"{self.prefix} of {self.channels} values before precision {self.precision}")

    @property
    def words(self) -> int:
        """32-bit words of the part."""
        if self.precision == 0:
            return self.channels
        groups = -(-(self.channels - self.prefix) // GROUP)
        return self.prefix + groups * (1 + 2 * self.precision)


def read_parts(words: npt.NDArray[np.uint32], layouts: list[Layout]) -> npt.NDArray[np.float32]:
    """The values of all parts as float32, `[1, channels]`."""
    expected = sum(layout.words for layout in layouts)
    channels = sum(layout.channels for layout in layouts)
    if all(layout.precision == 0 for layout in layouts) or words.size != expected:
        raise malformed(f"{words.size} words for {channels} values in groups")
    values = np.empty(channels, np.float32)
    word, channel = 0, 0
    for layout in layouts:
        part = words[word : word + layout.words]
        values[channel : channel + layout.channels] = _read(part, layout)
        word += layout.words
        channel += layout.channels
    return values.reshape(1, -1)


def _read(words: npt.NDArray[np.uint32], layout: Layout) -> npt.NDArray[np.float32]:
    if layout.precision == 0:
        return words.view(np.float32)
    exact = words[: layout.prefix].view(np.float32)
    groups = words[layout.prefix :].reshape(-1, 1 + 2 * layout.precision)
    ranges = np.ascontiguousarray(groups[:, :1]).view(np.float16).astype(np.float64)
    if not np.isfinite(ranges).all():
        raise malformed("a group without numbers")
    codes = np.ascontiguousarray(groups[:, 1:]).view(np.uint8)
    if layout.precision == 4:
        codes = np.stack([codes & 15, codes >> 4], axis=-1).reshape(codes.shape[0], GROUP)
    # Exact in float64, so that it is rounded once.
    values = (ranges[:, :1] + ranges[:, 1:] * codes).astype(np.float32).reshape(-1)
    return np.concatenate([exact, values[: layout.channels - layout.prefix]])
