"""The families that take pictures: an encoder of pictures alone, or one beside a decoder.

Defaults are those of transformers 5.24 (`models/{vit,clip,siglip,llava,gemma3}/configuration_*.py`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from scx_torch.model.config import Config, Layout, Tower
from scx_torch.model.parts import Defaults, base, read_activation
from scx_torch.model.reader import Reader

_MOST_PATCHES: Final = 1 << 16
# Fields of generation and training that old versions of transformers wrote into the parts of a configuration.
PART_DEFAULTS: Final = (
    "begin_suppress_tokens", "chunk_size_feed_forward", "cross_attention_hidden_size", "decoder_start_token_id",
    "diversity_penalty", "dropout", "early_stopping", "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id", "initializer_factor",
    "num_beam_groups", "num_return_sequences", "output_scores", "pruned_heads", "remove_invalid_values",
    "return_dict_in_generate", "suppress_tokens", "tf_legacy_loss", "tie_encoder_decoder", "typical_p", "use_bfloat16",
)  # fmt: skip
# What may come before the tensors of the encoder beside a decoder.
_BESIDE: Final = [
    "model.vision_tower.", "model.vision_tower.vision_model.", "vision_tower.vision_model.", "vision_tower.",
]  # fmt: skip
# What may come before the decoder's tensors, and the head's name that goes with it.
_DECODERS: Final = [
    ("model.language_model.", "lm_head.weight"),
    ("language_model.model.", "language_model.lm_head.weight"),
]


def refuse_quantization(*readers: Reader) -> None:
    """Refuses weights that are quantised."""
    for reader in readers:
        if reader.value("quantization_config") is not None:
            what = f"{reader.prefix}quantization_config in a model that takes pictures"
            raise reader.unsupported(what, "F32, F16 and BF16 weights")


def vit(reader: Reader) -> Config:
    """A classifier of pictures by the learned row."""
    reader.ignore(
        "encoder_stride", "pooler_act", "pooler_output_size", "attention_probs_dropout_prob", "hidden_dropout_prob"
    )
    tower = _tower("vit", reader, 16, 1e-12, "gelu", has_class_row=True)
    encoder = tower.encoder
    encoder.qkv_bias = reader.flag("qkv_bias") is not False
    tower.prefixes = ["vit.", ""]
    tower.patches = "embeddings.patch_embeddings.projection.weight"
    tower.positions, tower.ones = "embeddings.position_embeddings", (1,)

    def layout(blocks: str, *products: str) -> Layout:
        return _layout("vit.", blocks, "layernorm", ("layernorm_before", "layernorm_after"), products)

    encoder.layout = layout(
        "layers.", "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "mlp.fc1", "mlp.fc2"
    )
    attention = "attention.attention."
    tower.older = layout(
        "encoder.layer.", attention + "query", attention + "key", attention + "value", "attention.output.dense",
        "intermediate.dense", "output.dense",
    )  # fmt: skip
    return _pictures("vit", tower)


def clip(reader: Reader) -> Config:
    """The pictures' part of CLIP."""
    reader.size("projection_dim", 1 << 17)
    return _pictures("clip", _clip(_part(reader, "clip_vision_model")))


def clip_vision(reader: Reader) -> Config:
    """The pictures' part of CLIP alone."""
    reader.size("projection_dim", 1 << 17)
    return _pictures("clip_vision_model", _clip(reader))


def siglip(reader: Reader) -> Config:
    """The pictures' part of SigLIP."""
    part = _part(reader, "siglip_vision_model")
    pools = part.flag("vision_use_head") is not False
    if not pools and "SiglipForImageClassification" not in (reader.texts("architectures") or []):
        raise part.unsupported("vision_use_head: false in a model that embeds pictures", "true")
    return _pictures("siglip", _siglip(part))


def siglip_vision(reader: Reader) -> Config:
    """The pictures' part of SigLIP alone."""
    if reader.flag("vision_use_head") is False:
        raise reader.unsupported("vision_use_head: false in a model that embeds pictures", "true")
    return _pictures("siglip_vision_model", _siglip(reader))


def _part(reader: Reader, kind: str) -> Reader:
    """The fields of the encoder beside those of the texts' part."""
    refuse_quantization(reader)
    reader.ignore(
        "initializer_factor", "logit_scale_init_value", "projection_dim", "text_config", "text_config_dict",
        "vision_config_dict",
    )  # fmt: skip
    part = _vision_config(reader)
    part.expect("model_type", [kind])
    return part


def _vision_config(reader: Reader) -> Reader:
    part = reader.part("vision_config")
    if part is None:
        raise reader.fault("vision_config", "is missing")
    return part


def _pictures(family: str, tower: Tower) -> Config:
    """A model that takes pictures alone."""
    return replace(
        tower.encoder, family=family, block_count=0, windows=[], rotations=[], has_final_norm=False,
        layout=replace(tower.encoder.layout), tower=tower,
    )  # fmt: skip


def _clip(reader: Reader) -> Tower:
    return _tower("clip_vision_model", reader, 32, 1e-5, "quick_gelu", has_class_row=True)


def _siglip(reader: Reader) -> Tower:
    return _tower("siglip_vision_model", reader, 16, 1e-6, "gelu_tanh", has_class_row=False)


def _tower(family: str, reader: Reader, patch: int, epsilon: float, activation: str, *, has_class_row: bool) -> Tower:
    """Blocks of an encoder with biases, normed by LayerNorm before each part."""
    reader = replace(reader, names={"rms_norm_eps": "layer_norm_eps"})
    reader.ignore(*PART_DEFAULTS, "projection_dim", "vocab_size")
    refuse_quantization(reader)
    defaults = Defaults(
        1, hidden=768, blocks=12, heads=12, feed_forward=3_072, longest=1, epsilon=epsilon, activation=activation
    )
    encoder = base(family, reader, defaults)
    image = reader.size("image_size", 1 << 13) or 224
    patch = reader.size("patch_size", 1 << 10) or patch
    channels = reader.size("num_channels", 16) or 3
    side = image // patch
    if side == 0:
        raise reader.fault("patch_size", f"is {patch}, larger than a picture (image_size {image})")
    if side * side > _MOST_PATCHES:
        reason = f"is {patch}, which cuts a picture into {side * side} patches; at most {_MOST_PATCHES}"
        raise reader.fault("patch_size", reason)
    if encoder.heads != encoder.kv_heads:
        raise reader.unsupported("num_key_value_heads in an encoder of pictures", "as many as heads")
    if encoder.heads * encoder.head_size != encoder.hidden:
        reason = f"is {encoder.head_size}, but {encoder.heads} heads share {encoder.hidden} channels"
        raise reader.fault("head_dim", reason)
    encoder.vocabulary = 0
    encoder.is_causal = encoder.has_head = encoder.is_gated = encoder.tied = False
    encoder.norm = "layer-bias"
    encoder.qkv_bias = encoder.output_bias = encoder.feed_forward_bias = True
    encoder.rotations = ["none"] * encoder.block_count
    products = [f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")] + ["mlp.fc1", "mlp.fc2"]
    norms = ("layer_norm1", "layer_norm2")
    encoder.layout = _layout("vision_model.", "encoder.layers.", "post_layernorm", norms, products)
    tower = Tower(encoder, side, (channels, patch, patch), has_class_row, ["vision_model.", ""])
    encoder.longest = tower.rows
    return tower


def _layout(prefix: str, blocks: str, final_norm: str, norms: tuple[str, str], products: Sequence[str]) -> Layout:
    """The layout of an encoder of pictures, with the names of a block's two norms and six products."""
    tensors = ("attentionNorm", "feedForwardNorm", "query", "key", "value", "output", "up", "down")
    names = dict(zip(tensors, (*norms, *products), strict=True))
    return Layout(prefix, blocks=blocks, final_norm=final_norm, block_tensors=names)


def llava(reader: Reader, config: Config) -> Config:
    """A decoder whose prompts have rows of CLIP's or SigLIP's encoder of pictures in the place of some tokens."""
    reader.ignore("ignore_index", "image_seq_length", "vocab_size")
    config.family = "llava"
    config.tied = reader.flag("tie_word_embeddings") is True or config.tied
    part = _vision_config(reader)
    kind = part.expect("model_type", ["clip_vision_model", "siglip_vision_model"])
    if kind == "siglip_vision_model":
        part.ignore("vision_use_head")
    tower = _clip(part) if kind == "clip_vision_model" else _siglip(part)
    encoder = tower.encoder
    layer = reader.value("vision_feature_layer")
    layer = -2 if layer is None else layer
    if not isinstance(layer, int) or isinstance(layer, bool):
        raise reader.unsupported("several layers (vision_feature_layer)", "one")
    # Hidden state 0 is the first block's input.
    state = layer + encoder.block_count + 1 if layer < 0 else layer
    if not 1 <= state <= encoder.block_count:
        raise reader.fault("vision_feature_layer", f"is {layer}, and there are {encoder.block_count} blocks")
    encoder.block_count = state
    encoder.windows, encoder.rotations = encoder.windows[:state], encoder.rotations[:state]
    encoder.has_final_norm = False
    read_activation(replace(reader, names={"hidden_act": "projector_hidden_act"}))
    strategy = reader.expect("vision_feature_select_strategy", ["default", "full"])
    if tower.rows == 1 and strategy == "default":
        raise part.fault("patch_size", "leaves no patch of a picture")
    _check_picture_token(reader, config, 32_000)
    reader.flag("multimodal_projector_bias")
    return _beside(config, tower)


def gemma3(reader: Reader, config: Config) -> Config:
    """Gemma 3, whose tokens of one picture attend to each other in both directions."""
    reader.ignore("boi_token_id", "boi_token_index", "eoi_token_id", "eoi_token_index", "initializer_range")
    config.family = "gemma3"
    config.tied = reader.flag("tie_word_embeddings") is not False
    part = _vision_config(reader)
    part.expect("model_type", ["siglip_vision_model"])
    part.ignore("vision_use_head")
    tower = _siglip(part)
    count = reader.size("mm_tokens_per_image", _MOST_PATCHES) or 256
    side = math.isqrt(count)
    if side * side != count or tower.side % side:
        reason = f"is {count}, which is no square that divides the {tower.side} x {tower.side} patches of a picture"
        raise reader.fault("mm_tokens_per_image", reason)
    # A window counts to both sides of a token alike, and here it limits only what comes before.
    window = min((window for window in config.windows if window is not None), default=None)
    if window is not None and window < count:
        reason = f"is {count}, more than the {window} tokens of a sliding window"
        raise reader.fault("mm_tokens_per_image", reason)
    _check_picture_token(reader, config, 262_144)
    return _beside(config, tower)


def _check_picture_token(reader: Reader, config: Config, absent: int) -> None:
    """Checks the token at whose places pictures are."""
    name = "image_token_index" if reader.value("image_token_id") is None else "image_token_id"
    token, other = _first_token(reader, name), _first_token(reader, "image_token_index")
    token = absent if token is None else token
    # Where both are given, transformers takes them for one field.
    if other is not None and other != token:
        raise reader.fault("image_token_index", f"is {other}, but image_token_id is {token}")
    if token >= config.vocabulary:
        raise reader.fault(name, f"is {token}, and the vocabulary has {config.vocabulary} tokens")


def _first_token(reader: Reader, name: str) -> int | None:
    """A token, or the first of a list; negative numbers mean none."""
    value = reader.value(name)
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(token, int) and not isinstance(token, bool) for token in values):
        raise reader.fault(name, "is neither a token id nor a list of them")
    return next((int(token) for token in values if token >= 0), None)


def _beside(config: Config, tower: Tower) -> Config:
    """The decoder with the encoder, with the names that checkpoints of transformers 5 have."""
    tower.prefixes = _BESIDE
    tower.encoder.layout.prefix, config.layout.prefix = _BESIDE[0], _DECODERS[0][0]
    config.tower = tower
    return config


def adapt_pictures(config: Config, tower: Tower, contains: Callable[[str], bool]) -> None:
    """Takes the names that a checkpoint has where there are several."""
    layout, own = config.layout, tower.encoder.layout
    # A model that takes pictures alone has no decoder.
    if config.block_count:
        for prefix, head in _DECODERS:
            if contains(prefix + layout.embedding):
                layout.prefix, layout.head = prefix, head
                break
    own.prefix = next((prefix for prefix in tower.prefixes if contains(prefix + tower.patches)), own.prefix)
    if (older := tower.older) is not None:
        query = f"{own.prefix}{older.blocks}0.{older.block_tensors['query']}.weight"
        if contains(query):
            own.blocks, own.block_tensors = older.blocks, older.block_tensors
