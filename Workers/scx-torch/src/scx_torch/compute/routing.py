"""Which experts the tokens of some rows take, and with which weights."""

import torch

from scx_torch.model.config import Experts


def choose(
    scores: torch.Tensor, experts: Experts, choice_bias: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The experts of each row, `[rows, per token]`, the one with the largest score first, and their factors.

    Of equal probabilities the expert with the lower number comes first.
    """
    probabilities = scores.softmax(dim=-1) if experts.scoring == "softmax" else 1 / (1 + torch.exp(-scores))
    rated = probabilities if choice_bias is None else probabilities + choice_bias
    if experts.grouping is not None:
        groups, chosen_groups, best = experts.grouping
        by_group = rated.reshape(rated.shape[0], groups, -1)
        ratings = by_group.sort(dim=-1, descending=True).values[..., :best].sum(dim=-1)
        kept = _largest(ratings, chosen_groups)
        mask = torch.zeros_like(ratings, dtype=torch.bool).scatter_(1, kept, True)
        rated = by_group.masked_fill(~mask[..., None], -torch.inf).reshape(rated.shape)
    chosen = _largest(rated, experts.per_token)
    weights = probabilities.gather(1, chosen)
    if experts.is_normalized:
        # As in the reference implementation, so that probabilities that are all zero give no NaN.
        least = 1e-20 if experts.scoring == "sigmoid" else 0.0
        weights = weights / (weights.sum(dim=-1, keepdim=True) + least)
    return chosen, weights * experts.scale


def _largest(values: torch.Tensor, count: int) -> torch.Tensor:
    return values.sort(dim=-1, descending=True, stable=True).indices[:, :count]
