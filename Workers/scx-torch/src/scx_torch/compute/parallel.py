"""Several processes that hold a model together, by torch.distributed."""

import datetime
import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

# A worker may be idle for as long as it likes.
_PATIENCE = datetime.timedelta(days=365)


def part(total: int, index: int, count: int) -> tuple[int, int]:
    """The part with that index of `count` equal ones: `⌊total · index / count⌋ ..< ⌊total · (index + 1) / count⌋`."""
    return total * index // count, total * (index + 1) // count


@dataclass
class Team:
    """The processes that hold one model; alone there is one, and nothing is sent."""

    rank: int = 0
    size: int = 1
    # Groups of torch.distributed: for tensors (None is all processes), and one between CPUs for commands.
    group: Any = None
    commands: Any = None

    def part(self, total: int) -> tuple[int, int]:
        """This process's part of some columns, heads or experts."""
        return part(total, self.rank, self.size)

    def gather(self, own: torch.Tensor, total: int) -> torch.Tensor:
        """Puts the parts of all processes side by side along the last dimension, which has `total` in all."""
        if self.size == 1:
            return own
        widths = [b - a for a, b in (part(total, rank, self.size) for rank in range(self.size))]
        widest = max(widths)
        sent = torch.nn.functional.pad(own, (0, widest - own.shape[-1])).contiguous()
        received = [torch.empty_like(sent) for _ in range(self.size)]
        dist.all_gather(received, sent, group=self.group)
        return torch.cat([t[..., :width] for t, width in zip(received, widths, strict=True)], dim=-1)

    def sum(self, own: torch.Tensor) -> torch.Tensor:
        """Adds the tensors of all processes, in place."""
        if self.size > 1:
            dist.all_reduce(own, group=self.group)
        return own

    def share(self, data: bytearray) -> bytes:
        """Gives the first process's bytes to all of them.

        They travel as tensors: objects of Python would be made by whatever the network brings.
        """
        if self.size == 1:
            return bytes(data)
        count = torch.tensor([len(data)], dtype=torch.int64)
        dist.broadcast(count, src=0, group=self.commands)
        if self.rank != 0:
            data = bytearray(int(count.item()))
        dist.broadcast(torch.frombuffer(data, dtype=torch.uint8), src=0, group=self.commands)
        return bytes(data)

    @staticmethod
    def join(device: str) -> "Team":
        """The team of `torchrun`, or one alone where this process was started otherwise."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return Team()
        if os.environ.get("LOCAL_WORLD_SIZE") == str(size):
            # All processes are on this machine, so nobody else need reach them.
            for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
                os.environ.setdefault(variable, "lo")
        dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
        # Commands travel between CPUs, so that a waiting process does not occupy its GPU.
        return Team(dist.get_rank(), size, commands=dist.new_group(backend="gloo", timeout=_PATIENCE))
