"""Norms of hidden states and heads."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from scx_torch.model.config import Config


def rms(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """`x / √(mean(x²) + ε) · weight` over the last dimension (Zhang and Sennrich 2019, equation 4)."""
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + epsilon) * weight


@dataclass
class Norm:
    """A norm with its weights; without weights it leaves its input as it is."""

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    kind: str
    epsilon: float

    @staticmethod
    def of(config: Config, weight: torch.Tensor | None, bias: torch.Tensor | None) -> "Norm":
        """The norm of a model's hidden states, with the offset of its weights added."""
        if weight is not None and config.norm_offset:
            weight = weight + config.norm_offset
        return Norm(weight, bias, config.norm, config.epsilon)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self.weight is None:
            return x
        if self.kind == "rms":
            return rms(x, self.weight, self.epsilon)
        return functional.layer_norm(x, (x.shape[-1],), self.weight, self.bias, self.epsilon)
