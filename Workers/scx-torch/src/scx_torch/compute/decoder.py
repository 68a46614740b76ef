"""A transformer with its weights in memory, and its forward pass in the pieces that requests ask for."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from scx_torch.compute.attention import Scoring, attend
from scx_torch.compute.cache import LayerCache, MomentaryCache
from scx_torch.compute.latent import LatentLayer
from scx_torch.compute.norm import Norm, rms
from scx_torch.compute.parallel import Team
from scx_torch.compute.routing import choose
from scx_torch.compute.site import LinearSite
from scx_torch.link.requests import Site
from scx_torch.model.loader import Loader
from scx_torch.model.opening import Model

# Cosines and sines of a pass, for each rotary embedding.
Angles = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass
class Block:
    """The norms and small weights of a block; its sites are in the model's table."""

    attention_norm: Norm
    attention_result_norm: Norm
    feed_forward_norm: Norm
    feed_forward_result_norm: Norm
    query_norm: torch.Tensor | None
    key_norm: torch.Tensor | None
    sinks: torch.Tensor | None
    router: torch.Tensor | None
    router_bias: torch.Tensor | None
    choice_bias: torch.Tensor | None
    shared_score: torch.Tensor | None
    latent: LatentLayer | None


@dataclass
class CacheSegment:
    """Consecutive rows of a pass that belong to one session: its caches by layer, and where its rows begin."""

    layers: list[LayerCache]
    position: int
    rows: int
    # Whether each row attends to all of them, as the tokens of a picture do in Gemma 3.
    mutual: bool = False


class Decoder:
    """A decoder or encoder; embedding and sampling are not here, they stay on the trusted side."""

    def __init__(
        self,
        checkpoint: Model,
        form: str,
        device: torch.device,
        team: Team | None = None,
        shard: tuple[int, int] = (0, 1),
        progress: Callable[[float], None] = lambda _: None,
        loader: Loader | None = None,
    ) -> None:
        """Loads a model's weights, by default in this process's memory in the format `form`."""
        self.config = config = checkpoint.config
        self.format = form
        self.device = device
        self.team = team = team or Team()
        self.shard = shard
        loader = loader or Loader(checkpoint, form, device, team, shard)
        # Whether all sites multiply integers: then their weights are int8 with one scale for each output.
        self.is_ring = loader.is_ring
        self.sites: dict[tuple[int, Site], LinearSite] = {}
        names, view = config.sites(), checkpoint.tower
        total = len(names) + (len(view.config.sites()) if view else 0)
        for i, (block, site) in enumerate(names):
            self.sites[block, site] = loader.site(site, block)
            progress((i + 1) / total)
        # The encoder of pictures, whose blocks have their numbers in it alone.
        self.tower: Decoder | None = None
        if view is not None:
            done = len(names) / total
            self.tower = Decoder(
                view, form, device, team, shard, lambda fraction: progress(done + (1 - done) * fraction)
            )
            for (block, site), held in self.tower.sites.items():
                self.sites[config.block_count + block, site] = held
        self.blocks = [self._block(loader, index) for index in range(config.block_count)]
        self.final_norm = self._final_norm(loader)
        self._ropes = [config.rope] + ([config.local_rope] if config.local_rope else [])
        self.cache_type = torch.float32 if form == "f32" or not config.is_causal else torch.bfloat16
        self._divide_heads()

    def _block(self, loader: Loader, index: int) -> Block:
        def norm(tensor: str) -> Norm:
            return Norm.of(self.config, loader.vector(tensor, index), loader.vector(tensor, index, bias=True))

        def offset(tensor: str) -> torch.Tensor | None:
            values = loader.vector(tensor, index)
            return None if values is None else values + self.config.norm_offset

        return Block(
            norm("attentionNorm"), norm("attentionResultNorm"), norm("feedForwardNorm"),
            norm("feedForwardResultNorm"), offset("queryNorm"), offset("keyNorm"), loader.vector("sinks", index),
            loader.matrix("router", index), loader.vector("router", index, bias=True),
            loader.vector("choiceBias", index), loader.matrix("sharedScore", index),
            LatentLayer.load(loader, index, self.sites),
        )  # fmt: skip

    def _final_norm(self, loader: Loader) -> Norm:
        config, layout = self.config, self.config.layout
        if not config.has_final_norm:
            return Norm(None, None, config.norm, config.epsilon)
        name, shape = layout.prefix + layout.final_norm, (config.hidden,)
        weight = loader.checkpoint.vector(name + ".weight", shape).to(self.device)
        bias = None
        if config.norm == "layer-bias":
            bias = loader.checkpoint.vector(name + ".bias", shape).to(self.device)
        return Norm.of(config, weight, bias)

    def _divide_heads(self) -> None:
        """Which heads this process of a team computes, and which heads of keys it holds for them."""
        config, team = self.config, self.team
        group = config.heads // config.kv_heads
        if config.kv_heads >= team.size:
            self.kv_heads = team.part(config.kv_heads)
            self.query_heads = (self.kv_heads[0] * group, self.kv_heads[1] * group)
        else:
            self.query_heads = team.part(config.heads)
            self.kv_heads = (0, config.kv_heads)
        index = torch.arange(*self.query_heads, device=self.device) // group
        self.kv_index = index - self.kv_heads[0]

    def make_cache(self) -> LayerCache:
        """An empty cache for the keys and values of one layer."""
        held = self.kv_heads[1] - self.kv_heads[0]
        most = -(-self.config.kv_heads // self.team.size) if self.config.kv_heads >= self.team.size else held
        return LayerCache(held, self.config.head_size, self.cache_type, self.device, most)

    def product(self, site: Site, block: int, x: torch.Tensor) -> torch.Tensor:
        """Multiplies rows by a site's weights and adds its bias."""
        return self.sites[block, site].multiply(x)

    def angles(self, segments: list[tuple[int, int]]) -> Angles:
        """Cosines and sines of positions `position ..< position + rows` of several sequences."""
        result: Angles = []
        for rope in self._ropes:
            pairs = [rope.angles(range(position, position + rows)) for position, rows in segments]
            cosines = np.concatenate([pair[0] for pair in pairs])
            sines = np.concatenate([pair[1] for pair in pairs])
            result.append((torch.from_numpy(cosines).to(self.device), torch.from_numpy(sines).to(self.device)))
        return result

    def rotate(self, heads: torch.Tensor, block: int, queries: int, angles: Angles) -> torch.Tensor:
        """Norms and rotates heads `[rows, queries + keys, size]`."""
        config, own = self.config, self.blocks[block]
        if own.query_norm is not None and own.key_norm is not None:
            parts = [(heads[:, :queries], own.query_norm), (heads[:, queries:], own.key_norm)]
            normed = []
            for part, weight in parts:
                # All heads of a row together, or each by itself; a row may have no queries.
                shape = part.shape
                wide = part.flatten(1)[:, None] if config.query_key_norm == "rows" else part
                normed.append(rms(wide, weight, config.epsilon).reshape(shape) if part.numel() else part)
            heads = torch.cat(normed, dim=1)
        rotation = config.rotation(block)
        if rotation == "none":
            return heads
        cosines, sines = angles[1 if rotation == "local" else 0]
        half = cosines.shape[1]
        cosines, sines = cosines[:, None], sines[:, None]
        first, second, rest = heads[..., :half], heads[..., half : 2 * half], heads[..., 2 * half :]
        return torch.cat([first * cosines - second * sines, second * cosines + first * sines, rest], dim=-1)

    def run(self, first: int, end: int, hidden: torch.Tensor, segments: list[CacheSegment]) -> torch.Tensor:
        """Runs blocks on hidden states `[rows, hidden]`, the rows of all segments one after the other."""
        angles = self.angles([(segment.position, segment.rows) for segment in segments])
        for block in range(first, end):
            hidden = self._through(block, hidden, segments, angles)
        return hidden

    def run_pictures(self, first: int, end: int, hidden: torch.Tensor, pictures: list[int]) -> torch.Tensor:
        """Runs blocks of the encoder of pictures, by their numbers in the whole model, on the rows of pictures."""
        assert self.tower is not None
        return self.tower._run_at_once(first - self.config.block_count, end - self.config.block_count, hidden, pictures)

    def _run_at_once(self, first: int, end: int, hidden: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """Runs blocks on whole sequences, of which keys and values are kept for one block of one sequence at a time."""
        config, angles = self.config, self.angles([(0, rows) for rows in lengths])
        held = self.kv_heads[1] - self.kv_heads[0]
        cache = MomentaryCache(held, config.head_size, self.cache_type, self.device)
        segments = [CacheSegment([cache] * config.block_count, 0, rows) for rows in lengths]
        for block in range(first, end):
            hidden = self._through(block, hidden, segments, angles)
        return hidden

    def _through(self, block: int, hidden: torch.Tensor, segments: list[CacheSegment], angles: Angles) -> torch.Tensor:
        """Runs one block."""
        hidden = self._add(hidden, self._attention(block, hidden, segments, angles), block, True)
        return self._add(hidden, self.feed_forward(block, hidden), block, False)

    def _add(self, hidden: torch.Tensor, update: torch.Tensor, block: int, is_attention: bool) -> torch.Tensor:
        own = self.blocks[block]
        norm = own.attention_result_norm if is_attention else own.feed_forward_result_norm
        if self.config.placement == "sum":
            return norm(hidden + update)
        update = norm(update)
        scale = self.config.residual_scale
        return hidden + (update if scale == 1 else update * scale)

    def _attention(
        self, block: int, hidden: torch.Tensor, segments: list[CacheSegment], angles: Angles
    ) -> torch.Tensor:
        config, latent = self.config, self.blocks[block].latent
        rows = self.product(Site.queryKeyValue, block, self.blocks[block].attention_norm(hidden))
        if latent is not None:
            rows = latent.attention_rows(config, rows)
        heads = rows.reshape(rows.shape[0], -1, config.head_size)
        both = config.heads + config.kv_heads
        rotated = self.rotate(heads[:, :both], block, config.heads, angles)
        attended = self._attend_segments(block, rotated, heads[:, both:], segments)
        if latent is not None:
            attended = latent.head_values(config, attended)
        return self.product(Site.output, block, attended)

    def _attend_segments(
        self, block: int, rotated: torch.Tensor, values: torch.Tensor, segments: list[CacheSegment]
    ) -> torch.Tensor:
        config, scoring = self.config, self._scoring(block, exact=False)
        own = slice(*self.kv_heads)
        queries, keys = rotated[:, slice(*self.query_heads)], rotated[:, config.heads :]
        parts: list[torch.Tensor] = []
        row = 0
        for segment in segments:
            cache, rows = segment.layers[block], slice(row, row + segment.rows)
            cache.append(keys[rows, own], values[rows, own])
            own_scoring = replace(scoring, causal=False) if segment.mutual else scoring
            parts.append(attend(queries[rows], cache, self.kv_index, own_scoring))
            row += segment.rows
        attended = torch.cat(parts) if len(parts) > 1 else parts[0]
        return self._all_heads(attended)

    def _all_heads(self, attended: torch.Tensor) -> torch.Tensor:
        """The attended rows of all heads, from those of this process's heads."""
        if self.team.size == 1:
            return attended
        config = self.config
        by_keys = config.kv_heads >= self.team.size
        units = config.kv_heads if by_keys else config.heads
        width = config.heads * config.head_size // units
        own = attended.reshape(attended.shape[0], -1, width).transpose(1, 2)
        gathered = self.team.gather(own, units)
        return gathered.transpose(1, 2).reshape(attended.shape[0], -1)

    def _scoring(self, block: int, exact: bool) -> Scoring:
        config, sinks = self.config, self.blocks[block].sinks
        own = None if sinks is None else sinks[slice(*self.query_heads)]
        return Scoring(config.scale, config.score_cap, own, config.windows[block], config.is_causal, exact)

    def attend_encoded(self, block: int, queries: torch.Tensor, keys: torch.Tensor, cache: LayerCache) -> torch.Tensor:
        """Attention of rows to which nothing is done before, with scores summed in float64.

        `queries` is `[queries, heads · size]`, `keys` are rows of keys, each followed by its values.
        """
        config, size = self.config, self.config.head_size
        pairs = keys.reshape(keys.shape[0], 2, config.kv_heads, size)[:, :, slice(*self.kv_heads)]
        cache.append(pairs[:, 0], pairs[:, 1])
        own = queries.reshape(queries.shape[0], config.heads, size)[:, slice(*self.query_heads)]
        return self._all_heads(attend(own, cache, self.kv_index, self._scoring(block, exact=True)))

    def append_projected(self, block: int, rows: torch.Tensor, cache: LayerCache) -> None:
        """Appends rows of keys, each followed by its values, after the keys' norm and rotation."""
        config = self.config
        heads = rows.reshape(rows.shape[0], 2 * config.kv_heads, config.head_size)
        angles = self.angles([(cache.count, rows.shape[0])])
        keys = self.rotate(heads[:, : config.kv_heads], block, 0, angles)
        own = slice(*self.kv_heads)
        cache.append(keys[:, own], heads[:, config.kv_heads :][:, own])

    def feed_forward(self, block: int, hidden: torch.Tensor) -> torch.Tensor:
        """What a block's feed-forward network, including its norm, adds to hidden states."""
        config = self.config
        normed = self.blocks[block].feed_forward_norm(hidden)
        update: torch.Tensor | None = None
        if config.dense_size(block) is not None:
            activated = self.activate(self.product(Site.gateUp, block, normed))
            update = self.product(Site.down, block, activated)
        if config.has_experts(block):
            update = self._experts(block, normed, update)
        assert update is not None
        return update

    def activate(self, rows: torch.Tensor) -> torch.Tensor:
        """The activation before down: `act(gate) · up`, or `act(up)` where the family has no gate."""
        config = self.config
        if config.clamped_gate is not None:
            slope, limit = config.clamped_gate
            gate, up = (rows[:, 0::2], rows[:, 1::2]) if config.clamped_gate_alternates else rows.chunk(2, dim=-1)
            gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
            return gate * torch.sigmoid(slope * gate) * (up + 1)
        gate, other = rows.chunk(2, dim=-1) if config.is_gated else (rows, rows)
        match config.activation:
            case "silu":
                gate = functional.silu(gate)
            case "gelu":
                gate = functional.gelu(gate)
            case "quick_gelu":
                gate = gate * torch.sigmoid(1.702 * gate)
            case "gelu_tanh":
                gate = functional.gelu(gate, approximate="tanh")
            case _:
                gate = functional.relu(gate)
        return gate * other if config.is_gated else gate

    def _experts(self, block: int, normed: torch.Tensor, shared: torch.Tensor | None) -> torch.Tensor:
        """Adds the results of the experts that each row takes; a team's processes compute their own experts."""
        experts, own = self.config.experts, self.blocks[block]
        assert experts is not None and own.router is not None
        scores = functional.linear(normed, own.router, own.router_bias)
        chosen, weights = choose(scores, experts, own.choice_bias)
        gate_up, down = self.sites[block, Site.expertGateUp], self.sites[block, Site.expertDown]
        update = torch.zeros_like(normed)
        for expert in torch.unique(chosen).tolist():
            if not gate_up.holds(expert):
                continue
            rows, places = (chosen == expert).nonzero(as_tuple=True)
            activated = self.activate(gate_up.multiply_group(normed[rows], expert))
            result = down.multiply_group(activated, expert)
            update.index_add_(0, rows, result * weights[rows, places, None])
        update = self.team.sum(update)
        if shared is None:
            return update
        if own.shared_score is not None:
            score = normed.to(torch.float64) @ own.shared_score.to(torch.float64).T
            shared = shared * torch.sigmoid(score.to(torch.float32))
        return update + shared

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The logits of hidden states after the last block: final norm, then head."""
        config = self.config
        logits = self.product(Site.head, 0, self.final_norm(hidden))
        if config.logit_divisor != 1:
            logits = logits / config.logit_divisor
        if config.logit_cap is not None:
            logits = config.logit_cap * torch.tanh(logits / config.logit_cap)
        return logits
