"""The families whose tokens attend to later ones."""

from scx_torch.model.config import Config, Layout
from scx_torch.model.parts import Defaults, base, set_attention_bias, set_windows
from scx_torch.model.reader import Reader
from scx_torch.model.rope import read_rope


def bert(reader: Reader) -> Config:
    """Sums are normed, positions and kinds of tokens are learned, biases everywhere, no gate."""
    config = _encoder("bert", reader)
    config.layout.prefix = "bert."
    return config


def roberta(reader: Reader) -> Config:
    """As BERT, with positions that begin after that of the padding token."""
    return _roberta("roberta", reader)


def xlm_roberta(reader: Reader) -> Config:
    """As RoBERTa."""
    return _roberta("xlm-roberta", reader)


def _roberta(family: str, reader: Reader) -> Config:
    config = _encoder(family, reader)
    config.layout.prefix = "roberta."
    padding = reader.value("pad_token_id")
    padding = padding if isinstance(padding, int) and padding >= 0 else 1
    if padding >= config.longest - 1:
        raise reader.fault("pad_token_id", f"is {padding}, which leaves none of {config.longest} positions")
    config.position_offset = padding + 1
    config.longest -= padding + 1
    return config


def _encoder(family: str, reader: Reader) -> Config:
    reader.names["rms_norm_eps"] = "layer_norm_eps"
    reader.ignore(
        "attention_probs_dropout_prob", "classifier_dropout", "directionality", "gradient_checkpointing",
        "hidden_dropout_prob", "output_past", "pooler_fc_size", "pooler_num_attention_heads",
        "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type",
    )  # fmt: skip
    defaults = Defaults(
        30_522, hidden=768, blocks=12, heads=12, feed_forward=3_072, longest=512, epsilon=1e-12,
        activation="gelu", tied=True,
    )  # fmt: skip
    config = base(family, reader, defaults)
    reader.expect("position_embedding_type", ["absolute"])
    reader.refuse("is_decoder", "add_cross_attention")
    config.token_types = reader.size("type_vocab_size", 1 << 10) or 2
    config.is_causal = config.has_head = config.has_final_norm = config.is_gated = False
    config.norms_embedding = config.learned_positions = True
    config.norm, config.placement = "layer-bias", "sum"
    config.qkv_bias = config.output_bias = config.feed_forward_bias = True
    config.rotations = ["none"] * config.block_count
    names = {
        "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
        "output": "attention.output.dense", "attentionResultNorm": "attention.output.LayerNorm",
        "up": "intermediate.dense", "down": "output.dense", "feedForwardResultNorm": "output.LayerNorm",
    }  # fmt: skip
    config.layout = Layout(
        embedding="embeddings.word_embeddings.weight", positions="embeddings.position_embeddings.weight",
        blocks="encoder.layer.", block_tensors=names,
    )  # fmt: skip
    return config


def modernbert(reader: Reader) -> Config:
    """An encoder of rotated queries and keys, gated by GELU; in two of three blocks tokens attend to near ones."""
    reader.names["hidden_act"] = "hidden_activation"
    reader.names["rms_norm_eps"] = "norm_eps"
    reader.ignore(
        "classifier_dropout", "cls_token_id", "decoder_bias", "deterministic_flash_attn",
        "initializer_cutoff_factor", "layer_norm_eps", "position_embedding_type", "reference_compile",
        "repad_logits_with_grad", "sparse_pred_ignore_index", "sparse_prediction",
    )  # fmt: skip
    global_base = reader.number("global_rope_theta", 1.0001) or 160_000
    local_base = reader.number("local_rope_theta", 1.0001) or 10_000
    defaults = Defaults(
        50_368, hidden=768, blocks=22, heads=12, feed_forward=1_152, longest=8_192, epsilon=1e-5,
        activation="gelu", tied=True, rope_base=global_base, rope_type="full_attention",
    )  # fmt: skip
    config = base("modernbert", reader, defaults)
    config.local_rope = read_rope(reader, config.head_size, config.longest, local_base, kind_of="sliding_attention")
    period = reader.size("global_attn_every_n_layers", 1 << 10) or 3
    # The field counts the tokens before and after, and a window the token itself and those on one side.
    window = (reader.size("local_attention", 1 << 30) or 128) // 2 + 1
    set_windows(config, reader, window, lambda block: block % period != 0)
    config.rotations = ["global" if window is None else "local" for window in config.windows]
    set_attention_bias(config, reader)
    config.feed_forward_bias = reader.flag("mlp_bias") or False
    config.norm = "layer-bias" if reader.flag("norm_bias") else "layer"
    config.is_causal = config.has_head = config.norms_first_input = False
    config.norms_embedding = True
    attention, gate_up = "attn.Wqkv", "mlp.Wi"
    names = {
        "attentionNorm": "attn_norm", "query": attention, "key": attention, "value": attention,
        "output": "attn.Wo", "feedForwardNorm": "mlp_norm", "gate": gate_up, "up": gate_up, "down": "mlp.Wo",
    }  # fmt: skip
    config.layout = Layout(
        embedding="embeddings.tok_embeddings.weight", embedding_norm="embeddings.norm",
        final_norm="final_norm", block_tensors=names,
    )  # fmt: skip
    return config
