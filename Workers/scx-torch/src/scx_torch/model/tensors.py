"""The table of a block's tensors: their names, shapes, and where they are stored."""

from dataclasses import dataclass

from scx_torch.link.requests import Site
from scx_torch.model.config import Config

# Names as Llama has them, in the order in which those of one name are stored; without `.weight` and `.bias`.
NAMES = {
    "attentionNorm": "input_layernorm",
    "query": "self_attn.q_proj", "key": "self_attn.k_proj", "value": "self_attn.v_proj",
    "sinks": "self_attn.sinks",
    "queryNorm": "self_attn.q_norm", "keyNorm": "self_attn.k_norm",
    "queryDown": "self_attn.q_a_proj", "queryDownNorm": "self_attn.q_a_layernorm",
    "queryUp": "self_attn.q_b_proj",
    "latentDown": "self_attn.kv_a_proj_with_mqa", "latentNorm": "self_attn.kv_a_layernorm",
    "latentUp": "self_attn.kv_b_proj",
    "output": "self_attn.o_proj",
    "attentionResultNorm": "attention_result_norm",
    "feedForwardNorm": "post_attention_layernorm",
    "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
    "router": "mlp.gate",
    "choiceBias": "mlp.gate.e_score_correction_bias",
    "sharedGate": "mlp.shared_expert.gate_proj", "sharedUp": "mlp.shared_expert.up_proj",
    "sharedDown": "mlp.shared_expert.down_proj", "sharedScore": "mlp.shared_expert_gate",
    "feedForwardResultNorm": "post_feedforward_layernorm",
}  # fmt: skip
_BARE = ("sinks", "choiceBias")
_EXPERT_NAMES = {"gate": "gate_proj.weight", "up": "up_proj.weight", "down": "down_proj.weight"}
_NORMS = ("attentionNorm", "feedForwardNorm", "attentionResultNorm", "feedForwardResultNorm")
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """Where a tensor is stored: some rows of a stored tensor, or of its transpose."""

    name: str
    shape: Shape
    first: int
    rows: int
    is_transposed: bool = False
    # The inputs of a stored tensor `[inputs, outputs]` that belong to it.
    inputs: tuple[int, int] | None = None


def shape_of(config: Config, tensor: str, block: int) -> Shape | None:
    """The shape of a block's matrix or vector; None where this block has none."""
    hidden, heads, kv_heads, size = config.hidden, config.heads, config.kv_heads, config.head_size
    if tensor in _NORMS:
        is_input = tensor in _NORMS[:2]
        if config.placement in ("before", "around") if is_input else config.placement != "before":
            return (hidden,)
        return None
    queries, keys = heads * size, kv_heads * size
    table: dict[str, Shape | None] = {"sinks": (heads,) if config.has_sinks else None}
    if config.query_key_norm != "none":
        by_rows = config.query_key_norm == "rows"
        table |= {"queryNorm": (queries if by_rows else size,), "keyNorm": (keys if by_rows else size,)}
    table["output"] = (hidden, config.attended)
    if (latent := config.latent) is None:
        table |= {"query": (queries, hidden), "key": (keys, hidden), "value": (keys, hidden)}
    else:
        width = heads * latent.query_size
        if (rank := latent.query_rank) is None:
            table["query"] = (width, hidden)
        else:
            table |= {"queryDown": (rank, hidden), "queryDownNorm": (rank,), "queryUp": (width, rank)}
        table |= {
            "latentDown": (latent.rank + latent.rotated_size, hidden), "latentNorm": (latent.rank,),
            "latentUp": (heads * (latent.plain_size + latent.value_size), latent.rank),
        }  # fmt: skip
        if config.layout.split_latents is not None:
            del table["latentUp"]
    if config.has_experts(block) and (experts := config.experts) is not None:
        table["router"] = (experts.count, hidden)
        table["choiceBias"] = (experts.count,) if experts.has_choice_bias else None
        if (shared := experts.shared_size) is not None:
            table |= {"sharedUp": (shared, hidden), "sharedDown": (hidden, shared)}
            table["sharedGate"] = (shared, hidden) if config.is_gated else None
        table["sharedScore"] = (1, hidden) if experts.shared_has_gate else None
    else:
        wide = (config.feed_forward, hidden)
        table |= {"gate": wide if config.is_gated else None, "up": wide, "down": (wide[1], wide[0])}
    return table.get(tensor)


def has_bias(config: Config, tensor: str) -> bool:
    """Whether a block's matrix or norm has a bias."""
    match tensor:
        case "query" | "key" | "value":
            return config.qkv_bias and config.latent is None
        case "queryDown" | "latentDown":
            return config.qkv_bias
        case "output":
            return config.output_bias
        case "gate" | "up" | "down":
            return config.feed_forward_bias
        case "router":
            return config.experts is not None and config.experts.has_router_bias
    return tensor in _NORMS and config.norm == "layer-bias"


def _name(config: Config, tensor: str) -> str:
    return config.layout.block_tensors.get(tensor, NAMES[tensor])


def place_of(config: Config, tensor: str, block: int, bias: bool = False) -> Place | None:
    """Where a block's tensor, or its bias, is stored; None where this model has none."""
    shape = shape_of(config, tensor, block)
    if shape is None or (bias and not has_bias(config, tensor)):
        return None
    if block == 0 and not config.norms_first_input and tensor == "attentionNorm":
        return None
    first, total = 0, 0
    for other in NAMES:
        if _name(config, other) == _name(config, tensor) and (own := shape_of(config, other, block)):
            if other == tensor:
                first = total
            total += own[0]
    layout = config.layout
    # Old checkpoints of BERT call the parts of norms otherwise.
    parts = (layout.weight, layout.bias) if tensor in _NORMS else (".weight", ".bias")
    suffix = "" if tensor in _BARE else parts[bias]
    name = f"{layout.prefix}{layout.blocks}{block}.{_name(config, tensor)}{suffix}"
    if bias:
        return Place(name, (total,), first, shape[0])
    stored: Shape = (total, *shape[1:])
    if layout.stacks_experts and tensor == "sharedScore":
        stored = shape[1:]
    is_transposed = layout.is_transposed and len(shape) == 2
    return Place(name, stored[::-1] if is_transposed else stored, first, shape[0], is_transposed)


def expert_place(config: Config, tensor: str, expert: int, block: int) -> Place:
    """Where a matrix of one expert is: in a tensor of its own, or among those of all experts of the block."""
    experts, layout = config.experts, config.layout
    assert experts is not None
    shape = (config.hidden, experts.size) if tensor == "down" else (experts.size, config.hidden)
    prefix = f"{layout.prefix}{layout.blocks}{block}.{layout.experts}"
    if layout.stacks_experts:
        return Place(prefix + layout.expert_tensors[tensor], (experts.count, *shape), expert * shape[0], shape[0])
    if not experts.is_fused:
        name = layout.expert_tensors.get(tensor, _EXPERT_NAMES[tensor])
        return Place(f"{prefix}{expert}.{name}", shape, 0, shape[0])
    parts = 2 if config.is_gated and tensor != "down" else 1
    own = 1 if parts == 2 and tensor == "up" else 0
    name = prefix + (layout.fused_down if tensor == "down" else layout.fused_gate_up)
    if experts.is_transposed:
        stored = (experts.count, shape[1], parts * shape[0])
        inputs = (expert * shape[1], (expert + 1) * shape[1])
        return Place(name, stored, own * shape[0], shape[0], True, inputs)
    stored = (experts.count, parts * shape[0], shape[1])
    return Place(name, stored, (expert * parts + own) * shape[0], shape[0])


def expert_biases(config: Config, site: Site, block: int) -> list[tuple[str, Shape]]:
    """The biases of all experts of a block for a site: for each matrix of an expert, or for all of them."""
    experts, layout = config.experts, config.layout
    if experts is None or not experts.has_bias:
        return []
    prefix, outputs = f"{layout.prefix}{layout.blocks}{block}.{layout.experts}", config.shape(site, block)[0]
    if layout.stacks_experts:
        tensors = ["down"] if site == Site.expertDown else ["gate", "up"] if config.is_gated else ["up"]
        names = [layout.expert_tensors[tensor].removesuffix("weight") + "bias" for tensor in tensors]
    else:
        names = [(layout.fused_down if site == Site.expertDown else layout.fused_gate_up) + "_bias"]
    return [(prefix + name, (experts.count, outputs // len(names))) for name in names]


_SITE_TENSORS = {
    Site.queryKeyValue: ("query", "queryDown", "latentDown", "key", "value"),
    Site.queryUp: ("queryUp",),
    Site.output: ("output",),
}


def site_tensors(config: Config, site: Site, block: int) -> tuple[str, ...]:
    """The block's tensors that make a site, one above the other."""
    if site == Site.gateUp:
        return ("sharedGate", "sharedUp") if config.has_experts(block) else ("gate", "up")
    if site == Site.down:
        return ("sharedDown",) if config.has_experts(block) else ("down",)
    return _SITE_TENSORS[site]


def site_places(config: Config, site: Site, block: int, group: int) -> list[Place]:
    """Where the matrices of a site's group are stored, one above the other."""
    if site == Site.head:
        layout = config.layout
        name = layout.prefix + layout.embedding if config.tied else layout.head
        return [Place(name, (config.vocabulary, config.hidden), 0, config.vocabulary)]
    if site == Site.expertGateUp:
        names = ("gate", "up") if config.is_gated else ("up",)
        return [expert_place(config, name, group, block) for name in names]
    if site == Site.expertDown:
        return [expert_place(config, "down", group, block)]
    if site in (Site.queryLatent, Site.valueUp):
        return [_latent_place(config, site, block, group)]
    places = [place_of(config, tensor, block) for tensor in site_tensors(config, site, block)]
    return [place for place in places if place is not None]


def _latent_place(config: Config, site: Site, block: int, head: int) -> Place:
    """A part of the tensor that has for each head the rows of its keys, then those of its values, or of one of two."""
    latent, layout = config.latent, config.layout
    assert latent is not None
    if layout.split_latents is not None:
        rows, columns = config.shape(site, block)
        name = f"{layout.prefix}{layout.blocks}{block}.{layout.split_latents[site == Site.valueUp]}"
        return Place(name, (config.heads, rows, columns), head * rows, rows)
    place = place_of(config, "latentUp", block)
    assert place is not None
    first = head * (latent.plain_size + latent.value_size)
    if site == Site.queryLatent:
        # A query is multiplied by the rows of the keys from the other side.
        inputs = (first, first + latent.plain_size)
        return Place(place.name, place.shape, 0, latent.rank, True, inputs)
    return Place(place.name, place.shape, first + latent.plain_size, latent.value_size)
