"""The families whose feed-forward networks are divided into experts."""

from scx_torch.model.config import Config, Experts, Latent
from scx_torch.model.parts import Defaults, base, set_attention_bias, set_windows
from scx_torch.model.reader import Reader
from scx_torch.model.rope import Rope, Yarn

EXPERT_LIMIT = 1 << 10
_TOTAL_LIMIT = 1 << 17


def read_experts(
    config: Config, reader: Reader, name: str, count: int, per_token: int, blocks: list[bool], size: int
) -> Experts:
    """Reads how many experts there are and how many a token takes."""
    count = reader.size(name, EXPERT_LIMIT) or count
    per_token = reader.size("num_experts_per_tok", EXPERT_LIMIT) or per_token
    if per_token > count:
        raise reader.fault("num_experts_per_tok", f"is {per_token}, and there are {count} experts")
    if sum(blocks) * count > _TOTAL_LIMIT:
        raise reader.fault(name, f"is {count}, which is more than {_TOTAL_LIMIT} experts in all blocks together")
    return Experts(count, per_token, size, blocks)


def _qwen_experts(config: Config, reader: Reader, count: int, per_token: int, size: int) -> Experts:
    step = reader.size("decoder_sparse_step", 1 << 10) or 1
    blocks = [(block + 1) % step == 0 for block in range(config.block_count)]
    reason = f"is not a list of blocks below {config.block_count}"
    for block in reader.integers("mlp_only_layers", reason) or []:
        if not 0 <= block < config.block_count:
            raise reader.fault("mlp_only_layers", reason)
        blocks[block] = False
    name = "num_local_experts" if reader.value("num_experts") is None else "num_experts"
    size = reader.size("moe_intermediate_size", 1 << 20) or size
    experts = read_experts(config, reader, name, count, per_token, blocks, size)
    experts.is_normalized = reader.flag("norm_topk_prob") or False
    return experts


def mixtral(reader: Reader) -> Config:
    """As Mistral, with experts in every block."""
    reader.ignore("router_jitter_noise")
    defaults = Defaults(32_000, feed_forward=14_336, kv_heads=8, longest=131_072, epsilon=1e-5, rope_base=1_000_000)
    config = base("mixtral", reader, defaults)
    config.windows = [reader.size("sliding_window", 1 << 30)] * config.block_count
    blocks = [True] * config.block_count
    config.experts = read_experts(config, reader, "num_local_experts", 8, 2, blocks, config.feed_forward)
    config.layout.block_tensors = {"router": "block_sparse_moe.gate"}
    config.layout.experts = "block_sparse_moe.experts."
    config.layout.expert_tensors = {"gate": "w1.weight", "up": "w3.weight", "down": "w2.weight"}
    return config


def qwen2_moe(reader: Reader) -> Config:
    """As Qwen2; experts in most blocks, and one that every token takes, multiplied by a gate."""
    defaults = Defaults(151_936, hidden=2_048, blocks=24, heads=16, feed_forward=5_632, kv_heads=16, longest=32_768)
    config = base("qwen2_moe", reader, defaults)
    config.qkv_bias = reader.flag("qkv_bias") is not False
    config.experts = _qwen_experts(config, reader, 60, 4, 1_408)
    config.experts.shared_size = reader.size("shared_expert_intermediate_size", 1 << 20) or 5_632
    config.experts.shared_has_gate = True
    used = reader.flag("use_sliding_window") or False
    absent = reader.if_absent("sliding_window", 4_096)
    window = reader.size("sliding_window", 1 << 30) or absent
    last = reader.blocks("max_window_layers")
    last = 28 if last is None else last

    def slides(block: int) -> bool:
        # Unlike Qwen2, every other block slides, and those before `max_window_layers`.
        return used and window is not None and block % 2 == 0 and block < last

    set_windows(config, reader, window if used else None, slides)
    return config


def qwen3_moe(reader: Reader) -> Config:
    """As Qwen3, with experts in most blocks; all blocks have the same window, if any."""
    defaults = Defaults(151_936, hidden=2_048, blocks=24, feed_forward=6_144, kv_heads=4, longest=32_768)
    config = base("qwen3_moe", reader, defaults)
    set_attention_bias(config, reader)
    config.query_key_norm = "heads"
    config.experts = _qwen_experts(config, reader, 128, 8, 768)
    absent = reader.if_absent("sliding_window", 4_096)
    window = reader.size("sliding_window", 1 << 30) or absent
    if reader.flag("use_sliding_window"):
        config.windows = [window] * config.block_count
    return config


def gpt_oss(reader: Reader) -> Config:
    """Sliding and full blocks in turn, attention with sinks, experts with a clamped gate and biases."""
    reader.ignore("experts_per_token", "initial_context_length")
    defaults = Defaults(
        201_088, hidden=2_880, blocks=36, heads=64, feed_forward=2_880, kv_heads=8, head_size=64,
        longest=131_072, epsilon=1e-5, rope_base=150_000,
    )  # fmt: skip
    config = base("gpt_oss", reader, defaults)
    if reader.value("rope_scaling") is None and reader.value("rope_parameters") is None:
        yarn = Yarn(32, 4_096, truncate=False)
        config.rope = Rope(config.rope.base, config.rope.dimension, "yarn", yarn=yarn)
    config.qkv_bias = config.output_bias = reader.flag("attention_bias") is not False
    config.has_sinks = True
    absent = reader.if_absent("sliding_window", 128)
    window = reader.size("sliding_window", 1 << 30) or absent
    set_windows(config, reader, window, lambda block: block % 2 == 0)
    slope, limit = reader.number("swiglu_alpha", 1e-6), reader.number("swiglu_limit", 1e-6)
    config.clamped_gate = (slope or 1.702, limit or 7)
    blocks = [True] * config.block_count
    experts = read_experts(config, reader, "num_local_experts", 128, 4, blocks, config.feed_forward)
    experts.has_router_bias = experts.has_bias = experts.is_fused = True
    # Codes of MXFP4 are stored by outputs, plain numbers by inputs.
    quantization = reader.json.get("quantization_config")
    experts.is_transposed = quantization is None
    if isinstance(quantization, dict) and quantization.get("quant_method") != "mxfp4":
        raise reader.unsupported("quantization_config other than mxfp4 in gpt_oss", "mxfp4")
    config.experts = experts
    config.layout.block_tensors = {"router": "mlp.router"}
    return config


def deepseek_v2(reader: Reader) -> Config:
    """Latent attention; experts in all blocks but the first, chosen by softmax, beside shared ones."""
    config = _deepseek("deepseek_v2", reader, Defaults(102_400, feed_forward=11_008, longest=2_048))
    reader.refuse("mlp_bias")
    reader.expect("scoring_func", ["softmax"])
    # The reference implementation leaves the weights as they are, whatever the field says.
    if reader.flag("norm_topk_prob"):
        raise reader.unsupported("norm_topk_prob in deepseek_v2", "false")
    experts = _deepseek_experts(config, reader, 64, 6, 1_407, 2, 0)
    experts.is_normalized = False
    scale = reader.number("routed_scaling_factor", 0)
    experts.scale = 1 if scale is None else scale
    if reader.expect("topk_method", ["greedy", "group_limited_greedy"]) == "greedy":
        reader.ignore("n_group", "topk_group")
    else:
        experts.grouping = _grouping(experts, reader, None, None, 1)
    config.experts = experts
    return config


def deepseek_v3(reader: Reader) -> Config:
    """As DeepSeek-V2, but experts are chosen by sigmoid with a learned bias."""
    defaults = Defaults(129_280, hidden=7_168, blocks=61, heads=128, feed_forward=18_432, longest=4_096)
    config = _deepseek("deepseek_v3", reader, defaults)
    assert config.latent is not None
    config.latent.is_interleaved = reader.flag("rope_interleave") is not False
    reader.expect("scoring_func", ["sigmoid"])
    reader.expect("topk_method", ["noaux_tc"])
    experts = _deepseek_experts(config, reader, 256, 8, 2_048, 1, 3)
    experts.scoring, experts.has_choice_bias = "sigmoid", True
    experts.is_normalized = reader.flag("norm_topk_prob") is not False
    scale = reader.number("routed_scaling_factor", 0)
    experts.scale = 2.5 if scale is None else scale
    experts.grouping = _grouping(experts, reader, 8, 4, 2)
    config.experts = experts
    return config


def _deepseek(family: str, reader: Reader, defaults: Defaults) -> Config:
    # Further blocks that predict tokens ahead are not loaded; the rest is of training, or repeats other fields.
    reader.ignore("aux_loss_alpha", "ep_size", "num_nextn_predict_layers", "num_mtp_layers", "qk_head_dim", "seq_aux")
    limit = 1 << 14
    rotated = reader.size("qk_rope_head_dim", limit) or 64
    config = base(family, reader, defaults.but(head_size=rotated))
    if config.head_size != rotated:
        raise reader.fault("head_dim", f"is {config.head_size}, but the heads rotate {rotated} channels")
    if config.kv_heads != config.heads:
        raise reader.fault("num_key_value_heads", f"is {config.kv_heads}, but there are {config.heads} heads")
    absent = reader.if_absent("q_lora_rank", 1_536)
    latent = Latent(
        reader.size("q_lora_rank", limit) or absent, reader.size("kv_lora_rank", limit) or 512,
        reader.size("qk_nope_head_dim", limit) or 128, rotated, reader.size("v_head_dim", limit) or 128,
    )  # fmt: skip
    config.latent = latent
    config.kv_heads, config.head_size = 1, latent.rank + rotated
    set_attention_bias(config, reader)
    if config.qkv_bias and latent.query_rank is None:
        raise reader.unsupported("attention_bias without q_lora_rank", "attention_bias with q_lora_rank")
    config.score_scale = latent.query_size**-0.5
    yarn = config.rope.yarn
    if yarn is not None and yarn.mscale_all is not None:
        config.score_scale *= yarn.magnitude(yarn.mscale_all) ** 2
    config.layout.block_tensors = {
        "sharedGate": "mlp.shared_experts.gate_proj", "sharedUp": "mlp.shared_experts.up_proj",
        "sharedDown": "mlp.shared_experts.down_proj",
    }  # fmt: skip
    return config


def _deepseek_experts(
    config: Config, reader: Reader, count: int, per_token: int, size: int, shared: int, dense: int
) -> Experts:
    if reader.value("moe_layer_freq") not in (None, 1):
        raise reader.unsupported("moe_layer_freq other than 1", "1")
    first = reader.blocks("first_k_dense_replace")
    first = dense if first is None else first
    size = reader.size("moe_intermediate_size", 1 << 20) or size
    blocks = [block >= first for block in range(config.block_count)]
    experts = read_experts(config, reader, "n_routed_experts", count, per_token, blocks, size)
    experts.shared_size = size * (reader.size("n_shared_experts", 1 << 6) or shared)
    return experts


def _grouping(
    experts: Experts, reader: Reader, count: int | None, per_token: int | None, rated: int
) -> tuple[int, int, int] | None:
    """Reads `n_group` and `topk_group`."""
    groups = reader.size("n_group", experts.count) or reader.if_absent("n_group", count)
    if groups is None:
        raise reader.fault("n_group", "is missing")
    chosen = reader.size("topk_group", groups) or reader.if_absent("topk_group", per_token)
    if chosen is None:
        raise reader.fault("topk_group", "is missing")
    if experts.count % groups or experts.count // groups < rated:
        raise reader.fault("n_group", f"is {groups}, which does not divide {experts.count} experts")
    if chosen > groups or experts.per_token > chosen * (experts.count // groups):
        raise reader.fault("topk_group", f"leaves fewer than {experts.per_token} experts to choose from")
    return None if groups == 1 else (groups, chosen, rated)
