"""What the metadata of a GGUF file says of experts and of latent attention."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from scx_torch.model.gguf.metadata import Metadata

_SOFTMAX: Final = 1
_SIGMOID: Final = 2


def is_latent(metadata: "Metadata") -> bool:
    """Whether the architecture has latent attention."""
    return metadata.family in ("deepseek_v2", "deepseek_v3")


def add_experts(metadata: "Metadata", fields: dict[str, Any]) -> None:
    """Adds how many experts there are, and how a token's are chosen."""
    count, used = metadata.integer("expert_count") or 0, metadata.integer("expert_used_count")
    if count == 0:
        if used:
            raise metadata.fault("expert_count", "is missing")
        return
    match metadata.family:
        case "mixtral" | "gpt_oss":
            whole, size = metadata.required("feed_forward_length"), metadata.integer("expert_feed_forward_length")
            if size not in (None, whole):
                raise metadata.unsupported(f"{metadata.key('expert_feed_forward_length')} {size}", str(whole))
            fields["num_local_experts"] = count
        case "qwen2_moe" | "qwen3_moe":
            fields["num_experts"] = count
            fields["moe_intermediate_size"] = metadata.required("expert_feed_forward_length")
            # llama.cpp has a rule for each of the two.
            fields["norm_topk_prob"] = metadata.family == "qwen3_moe"
            if metadata.family == "qwen2_moe":
                whole = metadata.required("feed_forward_length")
                shared = metadata.integer("expert_shared_feed_forward_length")
                fields["shared_expert_intermediate_size"] = whole if shared is None else shared
        case "deepseek_v2" | "deepseek_v3":
            scale = metadata.number("expert_weights_scale")
            fields |= {
                "n_routed_experts": count,
                "moe_intermediate_size": metadata.required("expert_feed_forward_length"),
                "n_shared_experts": metadata.required("expert_shared_count"),
                "first_k_dense_replace": metadata.integer("leading_dense_block_count") or 0,
                "routed_scaling_factor": 1 if scale is None else scale,
                "norm_topk_prob": metadata.flag("expert_weights_norm") or False,
            }
            _add_groups(metadata, count, fields)
        case _:
            what = f"a mixture of experts ({metadata.key('expert_count')})"
            raise metadata.unsupported(what, "dense models of this architecture")
    fields["num_experts_per_tok"] = used or 0


def _add_groups(metadata: "Metadata", count: int, fields: dict[str, Any]) -> None:
    """Adds the groups of experts from which DeepSeek's tokens choose."""
    is_third = metadata.family == "deepseek_v3"
    scoring = metadata.integer("expert_gating_func")
    if scoring not in (None, _SOFTMAX, _SIGMOID) or (scoring == _SIGMOID) != is_third:
        raise metadata.unsupported(f"{metadata.key('expert_gating_func')} {scoring}", "1 (softmax), 2 (sigmoid)")
    # Files from before this key leave it out; of the models that choose by sigmoid, those with 256 experts have eight.
    known = is_third and count == 256
    groups, chosen = metadata.integer("expert_group_count"), metadata.integer("expert_group_used_count")
    groups = (8 if known else 1) if groups is None else groups
    fields["n_group"] = groups
    fields["topk_group"] = (4 if known else 1) if chosen is None else chosen
    if not is_third:
        fields["topk_method"] = "group_limited_greedy" if groups > 1 else "greedy"


def add_latents(metadata: "Metadata", fields: dict[str, Any]) -> None:
    """Adds the sizes of latent attention.

    Newer files give the lengths of keys and values as llama.cpp computes with them, and those of the model under names
    that end with `_mla`.
    """
    rotated = metadata.head_size()
    sizes = {}
    for name in ("key", "value"):
        own, model = f"attention.{name}_length", f"attention.{name}_length_mla"
        found, plain = metadata.integer(model), metadata.integer(own)
        sizes[name] = plain if found is None else found
        if sizes[name] is None:
            raise metadata.fault(model, "is missing")
    keys, values = sizes["key"] or 0, sizes["value"]
    if keys <= rotated:
        raise metadata.fault("attention.key_length_mla", f"is {keys}, not above {rotated}")
    fields |= {
        "qk_rope_head_dim": rotated, "qk_nope_head_dim": keys - rotated, "v_head_dim": values,
        "kv_lora_rank": metadata.required("attention.kv_lora_rank"),
        "q_lora_rank": metadata.integer("attention.q_lora_rank") or None,
    }  # fmt: skip
