"""Everything about a transformer that its forward pass needs to know."""

from dataclasses import dataclass, field

import numpy as np

from scx_torch.link.requests import Site
from scx_torch.model.quantized import Quantized
from scx_torch.model.rope import Rope


@dataclass
class Experts:
    """How the feed-forward network of some blocks is divided into experts, of which each token takes a few."""

    count: int
    per_token: int
    size: int
    blocks: list[bool]
    shared_size: int | None = None
    shared_has_gate: bool = False
    is_normalized: bool = True
    scoring: str = "softmax"
    has_router_bias: bool = False
    has_choice_bias: bool = False
    # Equal groups of experts: how many, how many a token chooses, and by how many probabilities a group is rated.
    grouping: tuple[int, int, int] | None = None
    scale: float = 1
    is_fused: bool = False
    is_transposed: bool = False
    has_bias: bool = False


@dataclass
class Latent:
    """Multi-head latent attention (DeepSeek-V2, section 2.1): a cache of one vector for each token."""

    query_rank: int | None
    rank: int
    plain_size: int
    rotated_size: int
    value_size: int
    is_interleaved: bool = True

    @property
    def query_size(self) -> int:
        """Channels of a head's query."""
        return self.plain_size + self.rotated_size


@dataclass
class Layout:
    """The names by which a family's checkpoints store tensors; the default is Llama's."""

    prefix: str = "model."
    embedding: str = "embed_tokens.weight"
    positions: str = "embed_positions.weight"
    token_types: str = "embeddings.token_type_embeddings.weight"
    embedding_norm: str = "embeddings.LayerNorm"
    blocks: str = "layers."
    final_norm: str = "norm"
    head: str = "lm_head.weight"
    # Names of a block's tensors that differ from Llama's; equal names are stored as one, one above the other.
    block_tensors: dict[str, str] = field(default_factory=dict)
    is_transposed: bool = False
    experts: str = "mlp.experts."
    expert_tensors: dict[str, str] = field(default_factory=dict)
    fused_gate_up: str = "gate_up_proj"
    fused_down: str = "down_proj"
    # Whether the gates, the ups and the downs of all experts of a block are one tensor each.
    stacks_experts: bool = False
    # The tensors with the keys and with the values of latent attention, where they are apart.
    split_latents: tuple[str, str] | None = None
    # How the norms' tensors end.
    weight: str = ".weight"
    bias: str = ".bias"


@dataclass
class Tower:
    """The blocks of an encoder of pictures, which are numbered after those of the model that it belongs to.

    What comes before and after them the trusted side computes by itself.
    """

    # The blocks that are computed, which may be fewer than the checkpoint has, and the norm after them.
    encoder: "Config"
    # Patches in a row of a picture, and in a column.
    side: int
    # Channels, rows and columns of a patch.
    patch: tuple[int, int, int]
    # Whether a learned row comes before those of the patches.
    has_class_row: bool
    # What may come before the names of its tensors; the first that fits a checkpoint is taken.
    prefixes: list[str]
    # The weights of the product that makes rows of patches, and the vectors of positions.
    patches: str = "embeddings.patch_embedding.weight"
    positions: str = "embeddings.position_embedding.weight"
    # Dimensions of 1 before those of the positions.
    ones: tuple[int, ...] = ()
    # The layout of blocks that older checkpoints have.
    older: Layout | None = None

    @property
    def rows(self) -> int:
        """Rows of a picture in the blocks."""
        return self.side * self.side + self.has_class_row

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors that show what pictures it takes."""
        prefix, hidden = self.encoder.layout.prefix, self.encoder.hidden
        return {
            prefix + self.patches: (hidden, *self.patch),
            prefix + self.positions: (*self.ones, self.rows, hidden),
        }


@dataclass
class Config:
    """A model; what follows the first fields is as in Llama unless a family says otherwise."""

    family: str
    vocabulary: int
    hidden: int
    block_count: int
    heads: int
    kv_heads: int
    head_size: int
    feed_forward: int
    epsilon: float
    activation: str
    rope: Rope
    longest: int
    tied: bool
    qkv_bias: bool = False
    output_bias: bool = False
    feed_forward_bias: bool = False
    # How queries and keys are normed: none, heads or rows.
    query_key_norm: str = "none"
    windows: list[int | None] = field(default_factory=list)
    # rms, layer or layer-bias.
    norm: str = "rms"
    # Which inputs and results of a block's parts are normed: before, around, after or sum.
    placement: str = "before"
    norm_offset: float = 0
    is_gated: bool = True
    # Slope and limit of the clamped gate of gpt-oss.
    clamped_gate: tuple[float, float] | None = None
    # Whether there each gate is beside its up, and not all gates before all ups.
    clamped_gate_alternates: bool = True
    has_sinks: bool = False
    residual_scale: float = 1
    score_scale: float | None = None
    score_cap: float | None = None
    logit_divisor: float = 1
    logit_cap: float | None = None
    local_rope: Rope | None = None
    # global, local or none for each block; empty for global.
    rotations: list[str] = field(default_factory=list)
    learned_positions: bool = False
    position_offset: int = 0
    token_types: int = 0
    norms_embedding: bool = False
    norms_first_input: bool = True
    has_final_norm: bool = True
    is_causal: bool = True
    has_head: bool = True
    experts: Experts | None = None
    latent: Latent | None = None
    layout: Layout = field(default_factory=Layout)
    quantization: Quantized | None = None
    # Where it takes pictures alone, the model has this encoder and no block of its own.
    tower: Tower | None = None

    @property
    def tower_blocks(self) -> range:
        """The numbers of the blocks of the encoder of pictures; empty where there is none."""
        count = self.tower.encoder.block_count if self.tower else 0
        return range(self.block_count, self.block_count + count)

    def owner(self, block: int) -> "tuple[Config, int]":
        """The part of the model that a block belongs to, and the block's number in it."""
        if self.tower is not None and block in self.tower_blocks:
            return self.tower.encoder, block - self.block_count
        return self, block

    def rotation(self, block: int) -> str:
        """How the queries and keys of a block are rotated."""
        return self.rotations[block] if self.rotations else "global"

    def has_experts(self, block: int) -> bool:
        """Whether a block's feed-forward network is divided into experts."""
        return self.experts is not None and self.experts.blocks[block]

    def dense_size(self, block: int) -> int | None:
        """Channels of a block's dense network, or of its shared expert; None where it has neither."""
        if self.experts is not None and self.experts.blocks[block]:
            return self.experts.shared_size
        return self.feed_forward

    @property
    def planes(self) -> int:
        """How many int8 matrices together hold a site's weights: two where tokens attend to later ones."""
        return 1 if self.is_causal else 2

    @property
    def scale(self) -> float:
        """The factor of attention's scores."""
        scale = self.head_size**-0.5 if self.score_scale is None else self.score_scale
        return float(np.float32(scale))

    @property
    def projected_queries(self) -> int:
        """Channels in which the site `queryKeyValue` gives the queries."""
        if self.latent is None:
            return self.heads * self.head_size
        return self.latent.query_rank or self.heads * self.latent.query_size

    @property
    def projected(self) -> int:
        """Channels of a row of the site `queryKeyValue`."""
        if self.latent is None:
            return (self.heads + 2 * self.kv_heads) * self.head_size
        return self.projected_queries + self.latent.rank + self.latent.rotated_size

    @property
    def attended(self) -> int:
        """Channels of the heads' values side by side."""
        return self.heads * (self.latent.value_size if self.latent else self.head_size)

    def has(self, site: Site, block: int) -> bool:
        """Whether the model has a site in a block."""
        if site == Site.head:
            return self.has_head
        if not 0 <= block < self.block_count:
            return False
        match site:
            case Site.gateUp | Site.down:
                return self.dense_size(block) is not None
            case Site.queryUp:
                return self.latent is not None and self.latent.query_rank is not None
            case Site.queryLatent | Site.valueUp:
                return self.latent is not None
            case Site.expertGateUp | Site.expertDown:
                return self.has_experts(block)
        return True

    def sites(self) -> list[tuple[int, Site]]:
        """All sites of the model with their blocks; the head's is 0."""
        order = [
            Site.queryKeyValue, Site.queryUp, Site.queryLatent, Site.valueUp, Site.output, Site.expertGateUp,
            Site.gateUp, Site.expertDown, Site.down,
        ]  # fmt: skip
        sites = [(block, site) for block in range(self.block_count) for site in order if self.has(site, block)]
        return sites + ([(0, Site.head)] if self.has_head else [])

    def groups(self, site: Site) -> int:
        """How many matrices of equal shape a site has."""
        if site in (Site.expertGateUp, Site.expertDown):
            return self.experts.count if self.experts else 1
        return self.heads if site in (Site.queryLatent, Site.valueUp) and self.latent else 1

    def shape(self, site: Site, block: int) -> tuple[int, int]:
        """Outputs and inputs of each of a site's matrices."""
        gates = 2 if self.is_gated else 1
        dense = self.dense_size(block) or 0
        size = self.experts.size if self.experts else 0
        latent = self.latent or Latent(None, 0, 0, 0, 0)
        return {
            Site.queryKeyValue: (self.projected, self.hidden),
            Site.queryUp: (self.heads * latent.query_size, latent.query_rank or 0),
            Site.queryLatent: (latent.rank, latent.plain_size),
            Site.valueUp: (latent.value_size, latent.rank),
            Site.output: (self.hidden, self.attended),
            Site.gateUp: (gates * dense, self.hidden),
            Site.down: (self.hidden, dense),
            Site.expertGateUp: (gates * size, self.hidden),
            Site.expertDown: (self.hidden, size),
            Site.head: (self.vocabulary, self.hidden),
        }[site]
