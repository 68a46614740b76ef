"""A model directory as Hugging Face has it, opened and checked; weights are read from mapped files."""

import copy
import mmap
import os
import stat
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from scx_torch.model.config import Config
from scx_torch.model.errors import ModelError
from scx_torch.model.families import read_config
from scx_torch.model.quantized import Quantized
from scx_torch.model.reader import parse_json
from scx_torch.model.tensors import Place
from scx_torch.model.vision import adapt_pictures
from scx_torch.printable import printable

_HEADER_LIMIT: Final = 100_000_000
_JSON_LIMIT: Final = 64 << 20
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16,
    "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_FLOATS: Final = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_FNV_PRIME: Final = 0x0000000001000000000000000000013B
FNV_START: Final = 0x6C62272E07BB014262B821756295C58D


@dataclass(frozen=True)
class Entry:
    """What a header says of a tensor; offsets are those in the file."""

    name: str
    type: str
    shape: tuple[int, ...]
    start: int
    end: int


class MappedFile:
    """A regular file, mapped read-only."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            # A named pipe would block here for ever, before it could be refused.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise ModelError(f"{path}: cannot open it: {error.strerror}") from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f"{path}: cannot read it: not a regular file")
            self.size = status.st_size
            self.bytes: Any = b""
            if self.size:
                self.bytes = mmap.mmap(descriptor, self.size, mmap.MAP_SHARED, mmap.PROT_READ)
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: cannot read it: {error}") from None
        finally:
            os.close(descriptor)

    def json(self, start: int = 0, end: int | None = None, limit: int = _JSON_LIMIT) -> Any:
        """The JSON of a range of bytes."""
        end = self.size if end is None else end
        if end - start > limit:
            raise ModelError(f"{self.path}: {end - start} bytes of JSON, at most {limit}")
        return parse_json(self.bytes[start:end], self.path)


class SafeTensors:
    """A safetensors file with a header that was checked: no overlaps, gaps, or sizes that differ from the shape's."""

    def __init__(self, path: str) -> None:
        self.file = file = MappedFile(path)
        self.path = path
        if file.size < 8:
            raise ModelError(f"{path}: {file.size} bytes, shorter than a header's length")
        (header,) = struct.unpack("<Q", file.bytes[:8])
        if header > _HEADER_LIMIT or 8 + header > file.size:
            raise ModelError(f"{path}: claims a header of {header} bytes in a file of {file.size}")
        members = file.json(8, 8 + header, _HEADER_LIMIT)
        if not isinstance(members, dict):
            raise ModelError(f"{path}: the header is not a JSON object")
        entries = [self._entry(name, value, 8 + header) for name, value in members.items() if name != "__metadata__"]
        entries.sort(key=lambda entry: (entry.start, entry.end))
        end = 8 + header
        for entry in entries:
            if entry.start != end:
                fault = "overlaps another tensor" if entry.start < end else "unused bytes before it"
                raise self._fault(entry.name, fault)
            end = entry.end
        if end != file.size:
            raise ModelError(f"{path}: {file.size - end} bytes after the last tensor")
        self.entries = {entry.name: entry for entry in entries}

    def _fault(self, name: str, reason: str) -> ModelError:
        return ModelError(f"{self.path}: tensor '{printable(name)}': {reason}")

    def _entry(self, name: str, value: Any, start: int) -> Entry:
        value = value if isinstance(value, dict) else {}
        kind, shape, offsets = value.get("dtype"), _sizes(value.get("shape")), _sizes(value.get("data_offsets"))
        if not isinstance(kind, str) or shape is None or offsets is None or len(offsets) != 2:
            raise self._fault(name, "has no dtype, shape or data_offsets")
        if not offsets[0] <= offsets[1] <= self.file.size - start:
            raise self._fault(name, "ends before it starts, or behind the file's end")
        if kind in _BITS:
            bits = _BITS[kind]
            for size in shape:
                bits *= size
            if bits != 8 * (offsets[1] - offsets[0]):
                raise self._fault(
                    name, f"{offsets[1] - offsets[0]} bytes do not fit {kind} elements of shape {list(shape)}"
                )
        return Entry(name, kind, shape, start + offsets[0], start + offsets[1])


def _sizes(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, list) or not all(
        isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in value
    ):
        return None
    return tuple(value)


class Checkpoint:
    """The configuration and the stored tensors of a directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        try:
            names = set(os.listdir(directory))
        except OSError as error:
            raise ModelError(f"{directory}: cannot list it: {error.strerror}") from None
        if "config.json" not in names:
            file = min((name for name in names if name.endswith(".gguf")), default=None)
            hint = f"name {printable(file)} itself as the model" if file else "is it a Hugging Face model directory?"
            raise ModelError(f"{directory}: has no config.json: {hint}")
        self._config_file = MappedFile(f"{directory}/config.json")
        members = self._config_file.json()
        self.config = config = read_config(members, self._config_file.path)
        self.files = self._open(names)
        self.path = self.files[0].path if len(self.files) == 1 else f"{directory}/model.safetensors.index.json"
        self.quantized: Quantized | None = config.quantization
        self._adapt(config, names)

    def _open(self, names: set[str]) -> list[SafeTensors]:
        directory = self.directory
        self._locations: dict[str, SafeTensors] = {}
        if "model.safetensors" in names:
            file = SafeTensors(f"{directory}/model.safetensors")
            self._locations = dict.fromkeys(file.entries, file)
            return [file]
        if "model.safetensors.index.json" not in names:
            raise ModelError(f"{directory}: has no model.safetensors: download or convert the weights")
        path = f"{directory}/model.safetensors.index.json"
        index = MappedFile(path).json()
        weight_map = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(weight_map, dict) or not weight_map:
            raise ModelError(f"{path}: 'weight_map' is missing, empty or not an object")
        files: dict[str, SafeTensors] = {}
        for tensor, shard in weight_map.items():
            # Names come from strangers: only files in this directory, never a path out of it.
            if not isinstance(shard, str) or shard in ("", ".", "..") or "/" in shard or "\0" in shard:
                raise ModelError(f"{path}: 'weight_map.{printable(tensor)}' is not a plain file name")
            if shard not in names:
                raise ModelError(
                    f"{directory}: has no {printable(shard)}, which {path} lists: the download is incomplete"
                )
            if shard not in files:
                files[shard] = SafeTensors(f"{directory}/{shard}")
            if tensor not in files[shard].entries:
                raise ModelError(f"{directory}/{shard}: has no tensor '{printable(tensor)}'")
            self._locations[tensor] = files[shard]
        return list(files.values())

    def _adapt(self, config: Config, names: set[str]) -> None:
        """Adapts the configuration to what is stored."""
        layout = config.layout
        # Checkpoints that were saved without the head lack the prefix of the model with a head.
        if layout.prefix + layout.embedding not in self and layout.embedding in self:
            layout.prefix = ""
            if not config.tied and layout.head not in self:
                config.has_head = False
        if config.tower is not None:
            adapt_pictures(config, config.tower, self.__contains__)
            for name, shape in config.tower.tensors.items():
                self._check(*self.raw(name), shape)
        if config.norms_embedding and f"{layout.prefix}{layout.embedding_norm}.weight" not in self:
            layout.weight, layout.bias = ".gamma", ".beta"
        if "modules.json" in names and self._pools():
            config.has_head = False
        if config.experts is not None and True in config.experts.blocks:
            block = config.experts.blocks.index(True)
            fused = f"{layout.prefix}{layout.blocks}{block}.{layout.experts}{layout.fused_down}"
            config.experts.is_fused = fused in self or fused + "_blocks" in self

    @property
    def tower(self) -> "Checkpoint | None":
        """The encoder of pictures as a model of its own, whose blocks are numbered from 0 on; None where there is none."""
        if self.config.tower is None:
            return None
        view = copy.copy(self)
        view.config = self.config.tower.encoder
        return view

    def _pools(self) -> bool:
        """Whether sentence-transformers' list of modules has one that pools hidden states."""
        modules = MappedFile(f"{self.directory}/modules.json").json(limit=1 << 20)
        return isinstance(modules, list) and any(
            isinstance(module, dict) and str(module.get("type", "")).endswith(".Pooling") for module in modules
        )

    def __contains__(self, name: str) -> bool:
        return name in self._locations

    def raw(self, name: str) -> tuple[SafeTensors, Entry]:
        """The file and the entry of a stored tensor."""
        if name not in self._locations:
            raise ModelError(f"{self.path}: has no tensor '{name}'")
        file = self._locations[name]
        return file, file.entries[name]

    def tensor(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """A stored tensor of F32, F16 or BF16 with this shape, copied from the file."""
        file, entry = self.raw(name)
        self._check(file, entry, shape)
        return self.bytes(file, entry).view(_FLOATS[entry.type]).reshape(shape)

    def rows(self, place: Place, first: int, count: int) -> torch.Tensor:
        """Some rows of a place in float32, `[count, inputs]`; no more of the file is read than they need."""
        stored = self.quantized.rows(self, place) if self.quantized is not None else None
        if stored is None:
            return self._plain_rows(place, first, count)
        if not place.is_transposed:
            return stored(place.first + first, count)
        whole = stored(*(place.inputs[0], place.inputs[1] - place.inputs[0]) if place.inputs else (0, place.shape[0]))
        return whole[:, place.first + first : place.first + first + count].T.contiguous()

    def _plain_rows(self, place: Place, first: int, count: int) -> torch.Tensor:
        file, entry = self.raw(place.name)
        self._check(file, entry, place.shape)
        width = place.shape[-1]
        if place.is_transposed:
            start, end = place.inputs or (0, place.shape[0])
            columns = slice(place.first + first, place.first + first + count)
            return self._slice(file, entry, start, end, width)[:, columns].T.to(torch.float32).contiguous()
        start = place.first + first
        return self._slice(file, entry, start, start + count, width).to(torch.float32)

    def _slice(self, file: SafeTensors, entry: Entry, start: int, end: int, width: int) -> torch.Tensor:
        """Rows of a stored tensor whose dimensions but the last are one."""
        kind = _FLOATS[entry.type]
        stride = width * kind.itemsize
        data = np.frombuffer(file.file.bytes, np.uint8, (end - start) * stride, entry.start + start * stride)
        return torch.from_numpy(data.copy()).view(kind).reshape(end - start, width)

    def vector(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """A small tensor in float32."""
        return self.tensor(name, shape).to(torch.float32)

    @staticmethod
    def _check(file: SafeTensors, entry: Entry, shape: tuple[int, ...]) -> None:
        where = f"{file.path}: tensor '{entry.name}'"
        if entry.type not in _FLOATS:
            raise ModelError(f"{where} has elements of type {entry.type}; F32, F16 and BF16 are read")
        if entry.shape != shape:
            raise ModelError(f"{where} has shape {list(entry.shape)} where {list(shape)} is expected")

    @staticmethod
    def bytes(file: SafeTensors, entry: Entry) -> torch.Tensor:
        """The bytes of a stored tensor, copied."""
        data = np.frombuffer(file.file.bytes, np.uint8, entry.end - entry.start, entry.start)
        return torch.from_numpy(data.copy())

    def digest(self) -> str:
        """The model's identity as docs/protocol.md has it: 32 hexadecimal digits."""
        value = fnv(FNV_START, self._config_file.bytes[:])
        for name in sorted(self._locations):
            file, entry = self.raw(name)
            value = fnv_tensor(value, f"{name} {entry.type} {list(entry.shape)};", file.file, entry.start, entry.end)
        return f"{value:032x}"


def fnv_tensor(value: int, description: str, file: MappedFile, start: int, end: int) -> int:
    """What was hashed before, with a tensor's description and the middle of its bytes, at most 256."""
    count = min(256, end - start)
    first = start + (end - start - count) // 2
    return fnv(fnv(value, description.encode()), file.bytes[first : first + count])


def fnv(value: int, data: bytes) -> int:
    """FNV-1a with 128 bits (RFC 9923): the hash of what was hashed before and these bytes."""
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF
    return value
