"""The names that llama.cpp gives to tensors."""

from typing import Final

from scx_torch.link.requests import Site
from scx_torch.model.config import Config, Layout
from scx_torch.model.tensors import NAMES, expert_biases, expert_place, place_of, site_places

_NAMES: Final = {
    "attentionNorm": "attn_norm", "query": "attn_q", "key": "attn_k", "value": "attn_v", "sinks": "attn_sinks.weight",
    "queryNorm": "attn_q_norm", "keyNorm": "attn_k_norm",
    "queryDown": "attn_q_a", "queryDownNorm": "attn_q_a_norm", "queryUp": "attn_q_b",
    "latentDown": "attn_kv_a_mqa", "latentNorm": "attn_kv_a_norm", "latentUp": "attn_kv_b",
    "output": "attn_output", "attentionResultNorm": "post_attention_norm", "feedForwardNorm": "ffn_norm",
    "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down", "feedForwardResultNorm": "post_ffw_norm",
    "router": "ffn_gate_inp", "choiceBias": "exp_probs_b.bias",
    "sharedGate": "ffn_gate_shexp", "sharedUp": "ffn_up_shexp", "sharedDown": "ffn_down_shexp",
    "sharedScore": "ffn_gate_inp_shexp",
}  # fmt: skip
# Tensors that are read with the metadata: by what the frequencies of the rotation are divided.
FACTORS: Final = frozenset(["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"])
Shape = tuple[int, ...]


def layout_of(family: str, has_split_latents: bool) -> Layout:
    """The layout of a family's GGUF files."""
    names = dict(_NAMES)
    if family in ("gpt2", "phi3"):
        names |= dict.fromkeys(("query", "key", "value"), "attn_qkv")
    if family == "phi3":
        names["gate"] = "ffn_up"
    if family == "gpt_oss":
        names["feedForwardNorm"] = "post_attention_norm"
    return Layout(
        prefix="", embedding="token_embd.weight", positions="position_embd.weight", blocks="blk.",
        final_norm="output_norm", head="output.weight", block_tensors=names, experts="",
        expert_tensors={name: f"ffn_{name}_exps.weight" for name in ("gate", "up", "down")}, stacks_experts=True,
        split_latents=("attn_k_b.weight", "attn_v_b.weight") if has_split_latents else None,
    )  # fmt: skip


def expected_tensors(config: Config) -> dict[str, Shape]:
    """Every stored tensor of the model, with its shape."""
    layout = config.layout
    plan: dict[str, Shape] = {layout.embedding: (config.vocabulary, config.hidden)}
    if config.learned_positions:
        plan[layout.positions] = (config.longest + config.position_offset, config.hidden)
    for block in range(config.block_count):
        for tensor in NAMES:
            for bias in (False, True):
                if (place := place_of(config, tensor, block, bias)) is not None:
                    plan[place.name] = place.shape
        if config.latent is not None and layout.split_latents is not None:
            for site in (Site.queryLatent, Site.valueUp):
                own = site_places(config, site, block, 0)[0]
                plan[own.name] = own.shape
        if config.has_experts(block):
            for tensor in ("gate", "up", "down") if config.is_gated else ("up", "down"):
                own = expert_place(config, tensor, 0, block)
                plan[own.name] = own.shape
            for site in (Site.expertGateUp, Site.expertDown):
                plan |= dict(expert_biases(config, site, block))
    plan[layout.final_norm + ".weight"] = (config.hidden,)
    if config.norm == "layer-bias":
        plan[layout.final_norm + ".bias"] = (config.hidden,)
    if not config.tied:
        plan[layout.head] = (config.vocabulary, config.hidden)
    return plan
