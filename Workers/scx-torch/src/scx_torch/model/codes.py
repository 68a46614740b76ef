"""The numbers that the codes of a quantised tensor stand for, in float32 and in the formats' order of operations."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch

from scx_torch.model.errors import ModelError
from scx_torch.model.quantized import Quantized, Rows

if TYPE_CHECKING:
    from scx_torch.model.checkpoint import Checkpoint

_FLOATS: Final = ("F32", "F16", "BF16")
_TYPES: Final = {
    "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I32": "<i4", "I64": "<i8", "I8": "i1", "U8": "u1", "F8_E4M3": "u1",
    "F8_E8M0": "u1",
}  # fmt: skip
# The rows 0, 2, 4, 6, 1, 3, 5, 7 of eight are in the places 0 to 7 of a word of AWQ.
_AWQ_SHIFTS: Final = np.array([4 * (row // 2 + row % 2 * 4) for row in range(8)], np.uint32)
# Twice the numbers of E2M1; its zero has a sign.
_E2M1: Final = np.array([0, 1, 2, 3, 4, 6, 8, 12, -0.0, -1, -2, -3, -4, -6, -8, -12], np.float32)

Shape = tuple[int, ...]
Floats = npt.NDArray[np.float32]
# The codes `[rows, columns]` of some rows.
CodeReader = Callable[[slice], npt.NDArray[np.int32]]


class Codes:
    """Finds the parts of a quantised tensor in the files, and checks their types and shapes."""

    def __init__(self, checkpoint: "Checkpoint", name: str, shape: Shape, how: Quantized) -> None:
        self._checkpoint = checkpoint
        self._name = name
        self._stem = name.removesuffix("weight") if name.endswith(".weight") else name + "."
        self._shape = shape
        self._how = how

    def rows(self) -> Rows | None:
        """How rows are read; None where the tensor is not quantised."""
        match self._how.scheme:
            case "gptq" if len(self._shape) == 2 and self._has("qweight"):
                return self._gptq()
            case "awq" if len(self._shape) == 2 and self._has("qweight"):
                return self._awq()
            case "packed" if len(self._shape) == 2 and self._has("weight_packed"):
                return self._packed()
            case "scaled" if len(self._shape) == 2 and self._stored_type() in ("I8", "F8_E4M3"):
                return self._scaled()
            case "bytes" if len(self._shape) == 2 and self._stored_type() == "I8":
                return self._bytes()
            case "mxfp4" if self._name + "_blocks" in self._checkpoint and self._shape[-1] % 32 == 0:
                return self._mxfp4()
        return None

    # Parts

    def _has(self, suffix: str) -> bool:
        return self._stem + suffix in self._checkpoint

    def _stored_type(self) -> str | None:
        return self._checkpoint.raw(self._name)[1].type if self._name in self._checkpoint else None

    def _array(self, name: str, types: tuple[str, ...], shapes: list[Shape]) -> npt.NDArray[Any]:
        """A stored tensor with one of some types and shapes, as it lies in the file."""
        file, entry = self._checkpoint.raw(name)
        where = f"{file.path}: tensor '{name}'"
        if entry.type not in types:
            raise ModelError(f"{where} has elements of type {entry.type}; supported: {', '.join(types)}")
        if entry.shape not in shapes:
            raise ModelError(f"{where} has shape {list(entry.shape)} where {list(shapes[0])} is expected")
        kind = np.dtype(_TYPES[entry.type])
        count = (entry.end - entry.start) // kind.itemsize
        return np.frombuffer(file.file.bytes, kind, count, entry.start).reshape(entry.shape)

    def _part(self, suffix: str, types: tuple[str, ...], *shapes: Shape) -> npt.NDArray[Any]:
        return self._array(self._stem + suffix, types, list(shapes))

    def _floats(self, suffix: str, shapes: list[Shape], more: tuple[str, ...] = ()) -> Floats:
        """Scales as float32."""
        name = self._stem + suffix
        stored = self._array(name, _FLOATS + more, shapes)
        match self._checkpoint.raw(name)[1].type:
            case "BF16":
                return (stored.astype(np.uint32) << 16).view(np.float32)
            case "F8_E8M0":
                powers = np.ldexp(np.float32(1), stored.astype(np.int32) - 127)
                return np.asarray(np.where(stored == 255, np.nan, powers), np.float32)
        return stored.astype(np.float32)

    def _fault(self, suffix: str, reason: str) -> ModelError:
        return ModelError(f"{self._checkpoint.path}: tensor '{self._stem}{suffix}': {reason}")

    def _groups(self, suffix: str, size: int, count: int) -> npt.NDArray[np.int64]:
        """For each column the group whose scale it has."""
        columns = self._shape[1]
        in_order = np.arange(columns) // size
        if not self._has(suffix):
            return in_order
        stored = self._part(suffix, ("I32", "I64"), (columns,)).astype(np.int64)
        # A file that says nothing of an order may do so by -1.
        if (stored == -1).all():
            return in_order
        if stored.min() < 0 or stored.max() >= count:
            raise self._fault(suffix, f"names a group that is not among the {count}")
        return stored

    # Schemes. Scales and zero points are `[groups, rows]`.

    def _integers(
        self, codes: CodeReader, scales: Floats, zeros: npt.NDArray[np.int32], groups: npt.NDArray[np.int64]
    ) -> Rows:
        def read(first: int, count: int) -> torch.Tensor:
            own = slice(first, first + count)
            values = codes(own) - zeros[groups, own].T
            return torch.from_numpy(values.astype(np.float32) * scales[groups, own].T)

        return read

    def _gptq(self) -> Rows:
        (rows, columns), bits = self._shape, self._how.bits
        size = self._how.group or columns
        count, mask = -(-columns // size), (1 << bits) - 1
        if columns * bits % 32 or rows * bits % 32:
            raise self._fault("qweight", "has sizes that fill no whole words")
        words = self._part("qweight", ("I32",), (columns * bits // 32, rows)).view(np.uint32)
        packed = self._part("qzeros", ("I32",), (count, rows * bits // 32)).view(np.uint32)
        zeros = (_fields(packed.T, rows, bits).T + self._how.zero_offset) & mask
        scales = self._floats("scales", [(count, rows)])
        groups = self._groups("g_idx", size, count)
        return self._integers(
            lambda own: _fields(words[:, own], columns, bits).T, scales, zeros.astype(np.int32), groups
        )

    def _awq(self) -> Rows:
        rows, columns = self._shape
        size = self._how.group or columns
        count = -(-columns // size)
        if rows % 8:
            raise self._fault("qweight", "has sizes that fill no whole words")
        words = self._part("qweight", ("I32",), (columns, rows // 8)).view(np.uint32)
        packed = self._part("qzeros", ("I32",), (count, rows // 8)).view(np.uint32)

        def unpack(part: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
            return (part[:, :, None] >> _AWQ_SHIFTS & 15).reshape(part.shape[0], -1).astype(np.int32)

        def codes(own: slice) -> npt.NDArray[np.int32]:
            first = own.start // 8
            whole = unpack(words[:, first : -(-own.stop // 8)])
            return whole[:, own.start - 8 * first : own.stop - 8 * first].T

        scales = self._floats("scales", [(count, rows)])
        return self._integers(codes, scales, unpack(packed), np.arange(columns) // size)

    def _packed(self) -> Rows:
        (rows, columns), bits = self._shape, self._how.bits
        size = self._how.group or columns
        count, per_word, middle = -(-columns // size), 32 // bits, 1 << (bits - 1)
        shifts = np.arange(per_word, dtype=np.uint32) * np.uint32(bits)
        mask = np.uint32((1 << bits) - 1)

        def unpack(part: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
            return (part[..., None] >> shifts & mask).reshape(part.shape[0], -1).astype(np.int32)

        words = self._part("weight_packed", ("I32",), (rows, -(-columns // per_word))).view(np.uint32)
        whole: list[Shape] = [(1,), ()] if self._how.group is None else []
        stored = self._floats("weight_scale", [(rows, count), *whole])
        scales = np.broadcast_to(stored.reshape(-1, count) if stored.size > 1 else stored.reshape(1, 1), (rows, count))
        zeros = np.full((rows, count), middle, np.int32)
        if self._has("weight_zero_point"):
            packed_rows = -(-rows // per_word)
            point = self._part("weight_zero_point", ("I32", "I8"), (packed_rows, count), (rows, count))
            if point.dtype == np.int32:
                if point.shape[0] != packed_rows:
                    raise self._fault("weight_zero_point", "has one word for each row")
                zeros = unpack(np.ascontiguousarray(point.view(np.uint32).T))[:, :rows].T
            else:
                if point.shape[0] != rows:
                    raise self._fault("weight_zero_point", "has not one byte for each row")
                zeros = point.astype(np.int32) + middle
        groups = self._groups("weight_g_idx", size, count)
        return self._integers(lambda own: unpack(words[own])[:, :columns], scales.T, zeros.T, groups)

    def _scaled(self) -> Rows:
        rows, columns = self._shape
        height, width = self._how.block[0] or rows, self._how.block[1] or columns
        grid = (-(-rows // height), -(-columns // width))
        shapes: list[Shape] = [grid]
        if grid[1] == 1:
            shapes.append((grid[0],))
        if grid == (1, 1):
            shapes.append(())
        codes = self._array(self._name, ("I8", "F8_E4M3"), [self._shape])
        is_float = codes.dtype == np.uint8
        scales = self._floats(self._how.suffix, shapes, ("F8_E8M0",) if is_float else ()).reshape(grid)
        zeros = None
        if not is_float and self._has("weight_zero_point"):
            zeros = self._part("weight_zero_point", ("I8",), *shapes).reshape(grid).astype(np.float32)
        blocks = np.arange(columns) // width

        def read(first: int, count: int) -> torch.Tensor:
            part = torch.from_numpy(codes[first : first + count].copy())
            values = (part.view(torch.float8_e4m3fn) if is_float else part).to(torch.float32)
            own = np.arange(first, first + count) // height
            if zeros is not None:
                values = values - torch.from_numpy(zeros[own][:, blocks])
            return values * torch.from_numpy(scales[own][:, blocks])

        return read

    def _bytes(self) -> Rows:
        rows, _ = self._shape
        codes = self._array(self._name, ("I8",), [self._shape])
        scales = self._part("SCB", ("F32",), (rows,)).astype(np.float32)
        # Zero stands for rows; the others are orders that some processors want.
        if self._has("weight_format") and self._part("weight_format", ("U8",), (), (1,)).reshape(-1)[0] != 0:
            raise self._fault("weight_format", "is not rows (0)")

        def read(first: int, count: int) -> torch.Tensor:
            values = codes[first : first + count].astype(np.float32) * scales[first : first + count, None]
            return torch.from_numpy(values * np.float32(1 / 127))

        return read

    def _mxfp4(self) -> Rows:
        columns = self._shape[-1]
        outer = (*self._shape[:-1], columns // 32)
        codes = self._array(self._name + "_blocks", ("U8",), [(*outer, 16)]).reshape(-1, columns // 32, 16)
        scales = self._array(self._name + "_scales", ("U8", "F8_E8M0"), [outer]).reshape(-1, columns // 32)

        def read(first: int, count: int) -> torch.Tensor:
            part = codes[first : first + count]
            # A byte holds two numbers, the first in its lower half.
            numbers = np.stack([_E2M1[part & 15], _E2M1[part >> 4]], axis=-1).reshape(count, -1, 32)
            exponents = scales[first : first + count].astype(np.int32)
            powers = np.where(exponents == 255, np.float32(np.nan), np.ldexp(np.float32(1), exponents - 128))
            return torch.from_numpy((powers[:, :, None] * numbers).reshape(count, columns))

        return read


def _fields(words: npt.NDArray[np.uint32], count: int, bits: int) -> npt.NDArray[np.int32]:
    """`count` fields of some bits, one after the other in the words of each column, `[count, columns]`."""
    places = np.arange(count) * bits
    index, shift = places // 32, (places % 32).astype(np.uint64)
    low = words[index].astype(np.uint64)
    high = words[np.minimum(index + 1, words.shape[0] - 1)].astype(np.uint64)
    fields = (low | high << np.uint64(32)) >> shift[:, None] & np.uint64((1 << bits) - 1)
    return np.asarray(fields, np.int32)
