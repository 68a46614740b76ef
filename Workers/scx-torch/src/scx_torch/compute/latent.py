"""Multi-head latent attention (DeepSeek-V2, section 2.1): attention is computed over the latents themselves.

A row for attention has for each head the query's rotated part and its part against the latent, then one key, then its
value: the key is the rotated part and the normed latent, the value the latent alone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from scx_torch.compute.norm import rms
from scx_torch.compute.site import LinearSite
from scx_torch.link.requests import Site
from scx_torch.model.config import Config

if TYPE_CHECKING:
    from scx_torch.model.loader import Loader

# ε of the norms of the reduced queries and of the latent, which the reference implementation fixes.
_EPSILON = 1e-6


@dataclass
class LatentLayer:
    """The norms and products of a block."""

    query_norm: torch.Tensor | None
    latent_norm: torch.Tensor
    query_up: LinearSite | None
    query_latent: LinearSite
    value_up: LinearSite

    @staticmethod
    def load(loader: "Loader", block: int, sites: dict[tuple[int, Site], LinearSite]) -> "LatentLayer | None":
        """The layer of a block; None where the attention is another one."""
        norm = loader.vector("latentNorm", block)
        if norm is None:
            return None
        return LatentLayer(
            loader.vector("queryDownNorm", block), norm, sites.get((block, Site.queryUp)),
            sites[block, Site.queryLatent], sites[block, Site.valueUp],
        )  # fmt: skip

    def attention_rows(self, config: Config, projected: torch.Tensor) -> torch.Tensor:
        """Rows for attention from rows of the site `queryKeyValue`."""
        latent, rows = config.latent, projected.shape[0]
        assert latent is not None
        width = config.projected_queries
        queries = projected[:, :width]
        if self.query_up is not None and self.query_norm is not None:
            queries = self.query_up.multiply(rms(queries, self.query_norm, _EPSILON))
        heads = queries.reshape(rows, config.heads, latent.query_size)
        plain, rotated = heads[..., : latent.plain_size], heads[..., latent.plain_size :]
        against = self.query_latent.multiply(plain.reshape(rows, -1))
        against = against.reshape(rows, config.heads, latent.rank)
        query = torch.cat([self._in_halves(config, rotated), against], dim=-1)
        own = projected[:, width : width + latent.rank]
        own = rms(own, self.latent_norm, _EPSILON)
        key = torch.cat([self._in_halves(config, projected[:, width + latent.rank :]), own], dim=-1)
        value = torch.cat([torch.zeros_like(key[:, : latent.rotated_size]), own], dim=-1)
        return torch.cat([query.reshape(rows, -1), key, value], dim=-1)

    @staticmethod
    def _in_halves(config: Config, x: torch.Tensor) -> torch.Tensor:
        """Channels that are rotated together, half the channels apart."""
        assert config.latent is not None
        if not config.latent.is_interleaved:
            return x
        return torch.cat([x[..., 0::2], x[..., 1::2]], dim=-1)

    def head_values(self, config: Config, attended: torch.Tensor) -> torch.Tensor:
        """The values of the heads from their attended latents."""
        assert config.latent is not None
        rows = attended.reshape(attended.shape[0], config.heads, config.head_size)
        latents = rows[..., config.latent.rotated_size :]
        return self.value_up.multiply(latents.reshape(attended.shape[0], -1))
