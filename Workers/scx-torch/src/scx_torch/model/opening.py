"""Opens a model, whatever it is stored as."""

from typing import Protocol

import torch

from scx_torch.model.checkpoint import Checkpoint
from scx_torch.model.config import Config
from scx_torch.model.gguf.model import GGUFModel, is_gguf
from scx_torch.model.tensors import Place


class Model(Protocol):
    """What loading a model needs of its files."""

    # The path by which it was opened: that of a directory, or of a GGUF file.
    directory: str
    config: Config

    @property
    def tower(self) -> "Model | None":
        """The encoder of pictures as a model of its own; None where there is none."""

    def rows(self, place: Place, first: int, count: int) -> torch.Tensor:
        """Some rows of a place in float32, `[count, inputs]`."""

    def vector(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """A small tensor in float32."""

    def digest(self) -> str:
        """The model's identity as docs/protocol.md has it."""


def open_model(path: str) -> Model:
    """Opens a directory in Hugging Face's layout, or a GGUF file; raises a ModelError for what cannot be used."""
    return GGUFModel(path) if is_gguf(path) else Checkpoint(path)
