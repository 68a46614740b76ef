"""A model in a GGUF file, or in several that belong together."""

import math
import os
import stat
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from scx_torch.model.checkpoint import FNV_START, fnv, fnv_tensor
from scx_torch.model.config import Config
from scx_torch.model.errors import ModelError
from scx_torch.model.families import read_config
from scx_torch.model.gguf.file import Entry, GGUFFile
from scx_torch.model.gguf.metadata import Metadata
from scx_torch.model.gguf.names import FACTORS, expected_tensors, layout_of
from scx_torch.model.tensors import Place

_PART_LIMIT: Final = 1_024
# Numbers that are computed at a time, since their steps need several times their memory.
_VALUES: Final = 1 << 18
# Of these llama.cpp rotates neighbouring channels, and has put channel i of a head beside channel i + size / 2.
_PAIRED: Final = frozenset(["llama", "smollm3", "granite"])
_PAIRED_TENSORS: Final = (".attn_q.weight", ".attn_q.bias", ".attn_k.weight", ".attn_k.bias")


def is_gguf(path: str) -> bool:
    """Whether a path names a file, not a directory, that is a GGUF file by its first bytes or its name."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return path.endswith(".gguf") or file.read(4) == b"GGUF"
    except (OSError, ValueError):
        return False


class GGUFModel:
    """The configuration and the tensors of a model in GGUF files."""

    def __init__(self, path: str) -> None:
        self.directory = path
        self._files = _files(path)
        self._first = first = self._files[0]
        self._tensors: dict[str, tuple[GGUFFile, Entry]] = {}
        for file in self._files:
            for name, entry in file.entries.items():
                if name in self._tensors:
                    raise file.tensor_fault(name, "is in another file too")
                self._tensors[name] = (file, entry)
        self._head_size = 0
        metadata = Metadata(first, {name: entry for name, (_, entry) in self._tensors.items()}, self._factors)
        self._architecture = metadata.architecture
        self.config = self._read_config(metadata)
        if metadata.architecture in _PAIRED:
            self._head_size = self.config.head_size
        self._check_tensors(metadata)

    def _read_config(self, metadata: Metadata) -> Config:
        config = read_config(metadata.fields(), self.directory)
        # What is in the file decides about biases.
        config.qkv_bias = any(f"blk.0.attn_{name}.bias" in self for name in ("q", "qkv"))
        config.output_bias = "blk.0.attn_output.bias" in self
        config.feed_forward_bias = "blk.0.ffn_up.bias" in self
        config.clamped_gate_alternates = False
        if config.experts is not None:
            config.experts.is_fused = False
        # The converter has added Gemma's 1 to the weights of norms.
        config.norm_offset = 0
        config.layout = layout_of(config.family, config.latent is not None and "blk.0.attn_k_b.weight" in self)
        return config

    def _check_tensors(self, metadata: Metadata) -> None:
        """Refuses tensors that the model does not use, as well as such that are missing or have another shape.

        In this format the presence of a tensor is an option: llama.cpp computes a bias or a norm where it finds one.
        """
        expected = expected_tensors(self.config)
        for name in sorted(self._tensors):
            if name not in expected and name not in FACTORS:
                what = f"tensor '{name}' in a model of architecture {metadata.architecture}"
                raise metadata.unsupported(what, f"the tensors of the family {metadata.family}")
        for name, shape in expected.items():
            self._entry(name, shape)

    def _factors(self, name: str, count: int) -> list[float] | None:
        return self.vector(name, (count,)).tolist() if name in self else None

    @property
    def tower(self) -> None:
        """GGUF files have no encoder of pictures here."""
        return None

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def _entry(self, name: str, shape: tuple[int, ...]) -> tuple[GGUFFile, Entry]:
        if name not in self._tensors:
            raise ModelError(
                f"{self.directory}: has no tensor '{name}': the weights do not belong to this metadata, or are incomplete"
            )
        file, entry = self._tensors[name]
        if entry.shape != shape:
            raise ModelError(
                f"{file.path}: tensor '{name}' has shape {list(entry.shape)} where the metadata asks for {list(shape)}"
            )
        if self._is_paired(name) and len(shape) == 1 and entry.format.values > 1:
            what = f"tensor '{name}' in format {entry.format.name}"
            raise file.unsupported(what, "F32, F16 and BF16 for biases")
        return file, entry

    def _is_paired(self, name: str) -> bool:
        return self._head_size > 0 and name.startswith("blk.") and name.endswith(_PAIRED_TENSORS)

    def rows(self, place: Place, first: int, count: int) -> torch.Tensor:
        """Some rows of a place in float32, `[count, inputs]`; no more of the file is read than they need."""
        file, entry = self._entry(place.name, place.shape)
        width = place.shape[-1]
        if not place.is_transposed:
            return self._read(file, entry, width, place.first + first, count)
        start, end = place.inputs or (0, place.shape[0])
        whole = self._read(file, entry, width, start, end - start)
        return whole[:, place.first + first : place.first + first + count].T.contiguous()

    def vector(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """A small tensor in float32."""
        file, entry = self._entry(name, shape)
        # The elements of a bias are ordered as the rows of its matrix.
        width = 1 if len(shape) == 1 and self._is_paired(name) else shape[-1]
        return self._read(file, entry, width, 0, math.prod(shape) // width).reshape(shape)

    def _read(self, file: GGUFFile, entry: Entry, width: int, first: int, count: int) -> torch.Tensor:
        form = entry.format
        stride = width // form.values * form.bytes
        data = np.frombuffer(file.file.bytes, np.uint8, entry.end - entry.start, entry.start).reshape(-1, stride)
        values = np.empty((count, width), np.float32)
        step = max(1, _VALUES // width)
        for start in range(0, count, step):
            end = min(count, start + step)
            rows = data[first + start : first + end]
            if self._is_paired(entry.name):
                rows = data[_paired(np.arange(first + start, first + end), self._head_size)]
            # What is no number or too large stays so, as in the other formats.
            with np.errstate(all="ignore"):
                values[start:end] = form.read(rows.reshape(-1, form.bytes)).reshape(-1, width)
        return torch.from_numpy(values)

    def digest(self) -> str:
        """The model's identity as docs/protocol.md has it: 32 hexadecimal digits."""
        value, prefix = FNV_START, self._architecture + "."
        for key in sorted(self._first.values):
            if key == "general.architecture" or key.startswith(prefix):
                value = fnv(value, f"{key}=".encode() + self._first.bytes(self._first.values[key]))
        for name in sorted(self._tensors):
            file, entry = self._tensors[name]
            description = f"{name} {entry.format.name} {list(entry.shape)};"
            value = fnv_tensor(value, description, file.file, entry.start, entry.end)
        return f"{value:032x}"


def _paired(rows: npt.NDArray[np.int64], head_size: int) -> npt.NDArray[Any]:
    """Where rows are stored that are put in pairs."""
    channels, half = rows % head_size, head_size // 2
    return rows - channels + channels % half * 2 + channels // half


def _files(path: str) -> list[GGUFFile]:
    """The file, and those whose names differ in the number alone, as `split.count` says."""
    first = GGUFFile(path)
    count = first.integer("split.count") or 1
    if count <= 1:
        return [first]
    number = first.integer("split.no") or 0
    if count > _PART_LIMIT or not 0 <= number < count:
        raise first.fault("split.count", f"is {count} in part {number}, counted from 0")
    suffix = f"-{number + 1:05}-of-{count:05}.gguf"
    if not path.endswith(suffix):
        raise first.fault("split.count", f"is {count}, but the file's name does not end with '{suffix}'")
    if number != 0:
        what = f"part {number + 1} of {count} as the model"
        raise first.unsupported(what, "the first part, which finds the others beside it")
    files = [first]
    for index in range(1, count):
        file = GGUFFile(f"{path.removesuffix(suffix)}-{index + 1:05}-of-{count:05}.gguf")
        if file.integer("split.no") != index or file.integer("split.count") != count:
            raise file.fault("split.no", "does not fit the file's name")
        files.append(file)
    total = sum(len(file.entries) for file in files)
    if first.integer("split.tensors.count") not in (None, total):
        raise first.fault("split.tensors.count", f"is not {total}, the tensors of all parts")
    return files
