"""Attention of queries over the keys and values of a cache."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from scx_torch.compute.cache import LayerCache

# Up to so many queries scores are computed group by group of query heads, without copying keys for each.
_FEW = 16
# Scores that are held at once.
_SCORES = 1 << 24


@dataclass(frozen=True)
class Scoring:
    """How the scores of a layer become weights."""

    scale: float
    cap: float | None
    # `[heads]`: for each head the score of no token; None where there are none.
    sinks: torch.Tensor | None
    window: int | None
    causal: bool
    # Whether scores are summed in float64 and rounded once.
    exact: bool = False


def attend(queries: torch.Tensor, cache: LayerCache, kv_index: torch.Tensor, scoring: Scoring) -> torch.Tensor:
    """Attention of the queries of the cache's last positions.

    `queries` is `[tokens, heads, size]`; `kv_index` says for each of its heads which of the cache's it uses. Returns
    `[tokens, heads · size]`.
    """
    tokens, heads, size = queries.shape
    keys, values = cache.keys.to(torch.float32), cache.values.to(torch.float32)
    if tokens > _FEW and scoring.cap is None and scoring.sinks is None and not scoring.exact:
        return _fused(queries, keys, values, kv_index, scoring)
    kv_heads = keys.shape[1]
    out = torch.empty(tokens, heads, size, dtype=torch.float32, device=queries.device)
    step = max(1, _SCORES // (heads * cache.count))
    for kv in range(kv_heads):
        chosen = (kv_index == kv).nonzero().flatten()
        if chosen.numel() == 0:
            continue
        k, v = keys[:, kv], values[:, kv]
        for first in range(0, tokens, step):
            end = min(first + step, tokens)
            own = queries[first:end, chosen]
            scores = _scores(own, k, scoring)
            visible = _visible(first, end, tokens, cache.count, scoring, queries.device)
            if visible is not None:
                scores = scores.masked_fill(~visible[:, None, :], -torch.inf)
            weights = _softmax(scores, None if scoring.sinks is None else scoring.sinks[chosen])
            out[first:end, chosen] = weights @ v
    return out.reshape(tokens, heads * size)


def _scores(q: torch.Tensor, k: torch.Tensor, scoring: Scoring) -> torch.Tensor:
    if scoring.exact:
        scores = ((q.to(torch.float64) @ k.to(torch.float64).T) * scoring.scale).to(torch.float32)
    else:
        scores = (q @ k.T) * scoring.scale
    if scoring.cap is not None:
        scores = scoring.cap * torch.tanh(scores / scoring.cap)
    return scores


def _softmax(scores: torch.Tensor, sinks: torch.Tensor | None) -> torch.Tensor:
    if sinks is None:
        return torch.softmax(scores, dim=-1)
    sink = sinks[None, :, None].expand(scores.shape[0], -1, 1)
    return torch.softmax(torch.cat([scores, sink], dim=-1), dim=-1)[..., :-1]


def _visible(
    first: int, end: int, tokens: int, count: int, scoring: Scoring, device: torch.device
) -> torch.Tensor | None:
    """Which tokens of the cache the queries `first ..< end` attend to, `[queries, count]`; None for all."""
    window = scoring.window
    if (not scoring.causal or (tokens == 1)) and (window is None or window >= count):
        return None
    positions = torch.arange(count - tokens + first, count - tokens + end, device=device)[:, None]
    others = torch.arange(count, device=device)[None, :]
    # The positions are compared as they are: a matrix of their distances would be eight times as large.
    if window is None:
        return others <= positions
    after_window = others > positions - window
    return after_window & (others <= positions if scoring.causal else others < positions + window)


def _fused(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, kv_index: torch.Tensor, scoring: Scoring
) -> torch.Tensor:
    tokens, heads, size = queries.shape
    count = keys.shape[0]
    q = queries.transpose(0, 1)[None]
    k = keys[:, kv_index].transpose(0, 1)[None]
    v = values[:, kv_index].transpose(0, 1)[None]
    window_matters = scoring.window is not None and scoring.window < count
    if scoring.causal and tokens == count and not window_matters:
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scoring.scale)
    else:
        step = max(1, _SCORES // (heads * count))
        parts = []
        for first in range(0, tokens, step):
            end = min(first + step, tokens)
            visible = _visible(first, end, tokens, count, scoring, queries.device)
            own = q[:, :, first:end]
            parts.append(functional.scaled_dot_product_attention(own, k, v, attn_mask=visible, scale=scoring.scale))
        out = torch.cat(parts, dim=2)
    return out[0].transpose(0, 1).reshape(tokens, heads * size)
