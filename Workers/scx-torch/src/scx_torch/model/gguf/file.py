"""A GGUF file, mapped, with a header that was checked.

The format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): magic, version, counts, the metadata as named
values, the tensors' names, shapes, formats and offsets, and then their bytes. Each count and length is compared with the
bytes that are left before anything is done with it, the header has a greatest size, and tensors lie inside the file and
do not overlap.
"""

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from scx_torch.model.checkpoint import MappedFile
from scx_torch.model.errors import ModelError
from scx_torch.model.gguf.blocks import FORMATS, Format, format_name
from scx_torch.printable import printable

_MAGIC: Final = b"GGUF"
_HEADER_LIMIT: Final = 1 << 28
# The most named values, and the most tensors.
_COUNT_LIMIT: Final = 1 << 16
_LIST_LIMIT: Final = 1 << 22
_INTEGER_END: Final = 1 << 63
# The kinds of values by their numbers; the others are of numbers, as numpy names them.
_BOOL, _STRING, _ARRAY = 7, 8, 9
_NUMBERS: Final = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "<u1", 10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
_FLOATS: Final = (6, 12)
_UINT32: Final = 4


@dataclass(frozen=True)
class Value:
    """Where a value of the metadata lies; it is read when it is asked for."""

    kind: int
    # The value's bytes; of an array those of its elements.
    start: int
    end: int
    # The kind of an array's elements, and how many there are.
    element: int | None = None
    count: int = 1


@dataclass(frozen=True)
class Entry:
    """A tensor as the header describes it, `[rows, columns]` as in other checkpoints."""

    name: str
    format: Format
    shape: tuple[int, ...]
    start: int
    end: int


class GGUFFile:
    """The values and the tensors' places of one file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = file = MappedFile(path)
        if not has_magic(file):
            raise self._incomplete("it does not begin with the four letters GGUF")
        self._at, self._end = 4, min(file.size, _HEADER_LIMIT)
        version = self._integer("<I", "the version")
        if version not in (2, 3):
            raise self.unsupported(f"version {version} of GGUF", "2 and 3, little-endian")
        tensors, keys = self._integer("<Q", "the number of tensors"), self._integer("<Q", "the number of values")
        if max(tensors, keys) > _COUNT_LIMIT:
            raise self._incomplete(f"claims {tensors} tensors and {keys} values of metadata")
        self.values: dict[str, Value] = {}
        for _ in range(keys):
            key = self._text("a key", 1 << 16)
            value = self._value(f"the value of '{key}'")
            if key in self.values:
                raise self._incomplete(f"the key '{key}' is there twice")
            self.values[key] = value
        self.entries = self._entries(tensors, self._alignment())

    # Errors

    def _incomplete(self, reason: str) -> ModelError:
        return ModelError(f"{self.path}: not a complete GGUF file: {printable(reason)}; download it again")

    def tensor_fault(self, name: str, reason: str) -> ModelError:
        """That the file says something of a tensor that cannot be."""
        return ModelError(f"{self.path}: tensor '{printable(name)}': {reason}; download the file again")

    def fault(self, key: str, reason: str) -> ModelError:
        """That a value of the metadata is missing or not a sensible one."""
        return ModelError(f"{self.path}: '{printable(key)}' {reason}")

    def unsupported(self, what: str, supported: str) -> ModelError:
        """That the file has something that is not read here."""
        return ModelError(f"{self.path}: {printable(what)} is not supported; supported: {supported}")

    # The header, from its beginning

    def _take(self, count: int, what: str) -> int:
        """Passes over some bytes; gives where they begin."""
        if count > self._end - self._at:
            is_cut = self._end < self.file.size
            raise self._incomplete(
                f"its header has more than {self._end} bytes" if is_cut else f"it ends in the middle of {what}"
            )
        start = self._at
        self._at += count
        return start

    def _integer(self, form: str, what: str) -> int:
        start = self._take(struct.calcsize(form), what)
        (value,) = struct.unpack_from(form, self.file.bytes, start)
        return int(value)

    def _text(self, what: str, limit: int) -> str:
        count = self._integer("<Q", what)
        start = self._take(count, what)
        if count <= limit:
            try:
                return str(self.file.bytes[start : start + count], "utf-8")
            except UnicodeDecodeError:
                pass
        raise self._incomplete(f"{what} is not UTF-8 or too long")

    def _kind(self, what: str) -> int:
        kind = self._integer("<I", what)
        if kind not in _NUMBERS and kind not in (_STRING, _ARRAY):
            raise self._incomplete(f"{what} is of the unknown kind {kind}")
        return kind

    def _value(self, what: str) -> Value:
        """Passes over the value of a key."""
        kind = self._kind(what)
        if kind == _ARRAY:
            element, count = self._kind(what), self._integer("<Q", what)
            if element == _ARRAY:
                raise self._incomplete(f"{what} is an array of arrays")
            start = self._at
            if element == _STRING:
                self._pass_strings(count, what)
            else:
                self._take(count * np.dtype(_NUMBERS[element]).itemsize, what)
            return Value(kind, start, self._at, element, count)
        size = self._integer("<Q", what) if kind == _STRING else np.dtype(_NUMBERS[kind]).itemsize
        start = self._take(size, what)
        return Value(kind, start, self._at)

    def _pass_strings(self, count: int, what: str) -> None:
        # Each string takes at least its length, so that this ends with the file. There may be a million of them.
        if count > (self._end - self._at) // 8:
            self._take(self._end, what)
        data, at, last = self.file.bytes, self._at, self._end - 8
        length = struct.Struct("<Q").unpack_from
        for _ in range(count):
            if at > last:
                break
            at += 8 + length(data, at)[0]
        else:
            if at <= self._end:
                self._at = at
                return
        self._take(self._end, what)

    def _alignment(self) -> int:
        """To which multiple of bytes tensors are aligned."""
        key = "general.alignment"
        if key not in self.values:
            return 32
        alignment = self.integer(key) if self.values[key].kind == _UINT32 else None
        if alignment is None or not 1 <= alignment <= 1 << 16 or alignment.bit_count() != 1:
            raise self.fault(key, "is no power of two up to 65536")
        return alignment

    def _entries(self, count: int, alignment: int) -> dict[str, Entry]:
        found = [self._entry(alignment) for _ in range(count)]
        start = -(-self._at // alignment) * alignment
        end, entries = start, {}
        for entry in sorted(found, key=lambda entry: (entry.start, entry.end)):
            first, last = start + entry.start, start + entry.end
            if last > self.file.size:
                raise self.tensor_fault(entry.name, "ends behind the end of the file")
            if first < end:
                raise self.tensor_fault(entry.name, "overlaps another tensor")
            if entry.name in entries:
                raise self.tensor_fault(entry.name, "is listed twice")
            entries[entry.name] = Entry(entry.name, entry.format, entry.shape, first, last)
            end = last
        return entries

    def _entry(self, alignment: int) -> Entry:
        """The next tensor, with its place from where tensors begin."""
        name = self._text("a tensor's name", 1 << 10)
        dimensions = self._integer("<I", "a tensor's dimensions")
        if not 1 <= dimensions <= 4:
            raise self.tensor_fault(name, f"has {dimensions} dimensions")
        sizes = [self._integer("<Q", "a tensor's size") for _ in range(dimensions)]
        if wrong := [size for size in sizes if not 1 <= size <= 1 << 40]:
            raise self.tensor_fault(name, f"has a dimension of {wrong[0]}")
        number, offset = self._integer("<I", "a tensor's format"), self._integer("<Q", "a tensor's offset")
        form = FORMATS.get(number)
        if form is None:
            names = ", ".join(known.name for known in FORMATS.values())
            raise self.unsupported(f"tensor '{name}' in format {format_name(number)}", names)
        if sizes[0] % form.values:
            raise self.tensor_fault(name, f"has rows of {sizes[0]} numbers, no whole blocks of {form.name}")
        size = sizes[0] // form.values * form.bytes * math.prod(sizes[1:])
        if offset % alignment:
            raise self.tensor_fault(name, f"starts at byte {offset}, no multiple of {alignment}")
        return Entry(name, form, tuple(reversed(sizes)), offset, offset + size)

    # Values; None where there is none of that name

    def string(self, key: str) -> str | None:
        """A string."""
        if (value := self.values.get(key)) is None:
            return None
        if value.kind == _STRING:
            try:
                return str(self.file.bytes[value.start : value.end], "utf-8")
            except UnicodeDecodeError:
                pass
        raise self.fault(key, "is not a string")

    def flag(self, key: str) -> bool | None:
        """True or false."""
        if (value := self.values.get(key)) is None:
            return None
        if value.kind != _BOOL:
            raise self.fault(key, "is neither true nor false")
        return bool(self.file.bytes[value.start])

    def integer(self, key: str) -> int | None:
        """An integer of up to 63 bits."""
        if (value := self.values.get(key)) is None:
            return None
        if value.kind in _NUMBERS and value.kind not in _FLOATS and (number := self._numbers(value)[0]) < _INTEGER_END:
            return int(number)
        raise self.fault(key, "is not an integer")

    def number(self, key: str) -> float | None:
        """A number."""
        value = self.values.get(key)
        if value is not None and value.kind in _FLOATS:
            return float(self._numbers(value)[0])
        if value is None or value.kind in _NUMBERS:
            integer = self.integer(key)
            return None if integer is None else float(integer)
        raise self.fault(key, "is not a number")

    def integers(self, key: str) -> list[int] | None:
        """A list of integers."""
        if (value := self.values.get(key)) is None:
            return None
        if value.element in _NUMBERS and value.element not in _FLOATS and value.count <= _LIST_LIMIT:
            numbers = [int(number) for number in self._numbers(value)]
            if all(number < _INTEGER_END for number in numbers):
                return numbers
        raise self.fault(key, "is not a list of integers")

    def is_list(self, key: str) -> bool:
        """Whether there is a list of that name."""
        return key in self.values and self.values[key].kind == _ARRAY

    def bytes(self, value: Value) -> bytes:
        """A value as it lies in the file."""
        return bytes(self.file.bytes[value.start : value.end])

    def _numbers(self, value: Value) -> list[int | float]:
        kind = value.kind if value.element is None else value.element
        numbers: list[int | float] = np.frombuffer(self.file.bytes, _NUMBERS[kind], value.count, value.start).tolist()
        return numbers


def has_magic(file: MappedFile) -> bool:
    """Whether a file begins as GGUF files do."""
    return bool(file.bytes[:4] == _MAGIC)
