"""Copies of tensors between the link's memory and the device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from scx_torch.link.frame import Array


class Transfer:
    """Copies to and from a device.

    On a GPU each way goes through pinned memory on a stream of its own. Kernels are only queued, so the rows of a batch
    travel while the one before computes, and its answer is brought back meanwhile: `fetch` starts the copy and gives a
    function that waits for it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._up: Any = None
        self._down: Any = None
        if device.type == "cuda":
            self._up = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._down = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def put(self, arrays: list[Array]) -> torch.Tensor:
        """Rows of several arrays `[rows, channels]`, one below the other; words become int32 with the same bits."""
        views: list[Any] = [array.view(np.int32) if array.dtype == np.uint32 else array for array in arrays]
        if self._up is None:
            return torch.from_numpy(np.concatenate(views) if len(views) > 1 else views[0])
        rows = sum(view.shape[0] for view in views)
        kind = torch.int32 if views[0].dtype == np.int32 else torch.float32
        pinned = torch.empty(rows, views[0].shape[1], dtype=kind, pin_memory=True)
        np.concatenate(views, out=pinned.numpy())
        with torch.cuda.stream(self._up):
            moved = pinned.to(self.device, non_blocking=True)
        torch.cuda.current_stream(self.device).wait_stream(self._up)
        moved.record_stream(torch.cuda.current_stream(self.device))
        return moved

    def fetch(self, tensor: torch.Tensor) -> Callable[[], Array]:
        """Begins to bring a result `[rows, channels]` back; the function waits for it and gives the array."""
        if self._down is None:
            return lambda: _array(tensor)
        ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record(torch.cuda.current_stream(self.device))
        pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        with torch.cuda.stream(self._down):
            self._down.wait_event(ready)
            pinned.copy_(tensor, non_blocking=True)
            tensor.record_stream(self._down)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(self._down)

        def wait() -> Array:
            done.synchronize()
            return _array(pinned)

        return wait


def _array(tensor: torch.Tensor) -> Array:
    """Float32 as it is, int32 as words, float64 as pairs of words, the low one first."""
    array = tensor.contiguous().numpy()
    if array.dtype == np.float64:
        return array.view(np.uint32)
    return array.view(np.uint32) if array.dtype == np.int32 else array
