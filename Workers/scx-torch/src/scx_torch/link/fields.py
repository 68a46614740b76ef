"""The fields of messages: little-endian numbers and short texts."""

import struct

from scx_torch.link.errors import malformed


class FieldReader:
    """Reads fields one after the other; bytes that end early are a malformed frame."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, layout: str) -> tuple[int, ...]:
        """The integers of a `struct` layout without its byte order."""
        size = struct.calcsize("<" + layout)
        values = struct.unpack("<" + layout, self.take_bytes(size))
        return tuple(int(value) for value in values)

    def u8(self) -> int:
        """One byte."""
        return self.take("B")[0]

    def u16(self) -> int:
        """Two bytes."""
        return self.take("H")[0]

    def u32(self) -> int:
        """Four bytes."""
        return self.take("I")[0]

    def take_bytes(self, count: int) -> bytes:
        """As many bytes."""
        if count > len(self._data) - self._at:
            raise malformed("its fields end early")
        self._at += count
        return self._data[self._at - count : self._at]

    def text(self) -> str:
        """A length of two bytes, then UTF-8."""
        try:
            return self.take_bytes(self.u16()).decode()
        except UnicodeDecodeError:
            raise malformed("a text is not UTF-8") from None

    @property
    def left(self) -> int:
        """How many bytes were not read."""
        return len(self._data) - self._at

    def finish(self) -> None:
        """Checks that all bytes were read."""
        if self.left:
            raise malformed(f"{self.left} bytes after its fields")


def text_bytes(text: str) -> bytes:
    """A text as it travels."""
    data = text.encode()[:0xFFFF]
    return struct.pack("<H", len(data)) + data
