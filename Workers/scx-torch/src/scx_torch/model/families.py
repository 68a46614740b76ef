"""The families of models, by their `model_type`: what each has that differs from Llama, and its defaults.

Defaults are those of transformers 5.24 (`models/*/configuration_*.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scx_torch.model import encoders, experts, vision
from scx_torch.model.config import Config, Layout
from scx_torch.model.parts import Defaults, base, set_attention_bias, set_qwen_windows, set_windows
from scx_torch.model.quantized import read_quantization
from scx_torch.model.reader import Reader
from scx_torch.model.rope import read_rope


def _llama(reader: Reader) -> Config:
    config = base("llama", reader, Defaults(32_000, feed_forward=11_008, longest=2_048))
    set_attention_bias(config, reader)
    config.feed_forward_bias = reader.flag("mlp_bias") or False
    return config


def _mistral(reader: Reader) -> Config:
    config = base("mistral", reader, Defaults(32_000, feed_forward=14_336, kv_heads=8, longest=131_072))
    absent = reader.if_absent("sliding_window", 4_096)
    config.windows = [reader.size("sliding_window", 1 << 30) or absent] * config.block_count
    return config


def _qwen2(reader: Reader) -> Config:
    config = base("qwen2", reader, Defaults(151_936, feed_forward=22_016, kv_heads=32, longest=32_768))
    config.qkv_bias = True
    set_qwen_windows(config, reader)
    return config


def _qwen3(reader: Reader) -> Config:
    defaults = Defaults(151_936, feed_forward=22_016, kv_heads=32, head_size=128, longest=32_768)
    config = base("qwen3", reader, defaults)
    set_attention_bias(config, reader)
    config.query_key_norm = "heads"
    set_qwen_windows(config, reader)
    return config


def _gemma(family: str, reader: Reader, defaults: Defaults, slides: Callable[[int], bool]) -> Config:
    reader.names["hidden_act"] = "hidden_activation"
    reader.ignore("hidden_act")
    config = base(family, reader, defaults)
    config.is_causal = reader.flag("use_bidirectional_attention") is not True
    set_attention_bias(config, reader)
    config.norm_offset, config.placement = 1, "around"
    config.score_scale = (reader.number("query_pre_attn_scalar", 1e-6) or 256) ** -0.5
    window = reader.size("sliding_window", 1 << 30) or reader.if_absent("sliding_window", 4_096)
    # Where tokens attend to later ones too, the field counts those before and after together.
    if window and not config.is_causal:
        window = window // 2 + 1
    set_windows(config, reader, window, slides)
    config.layout.block_tensors = {
        "attentionResultNorm": "post_attention_layernorm", "feedForwardNorm": "pre_feedforward_layernorm",
    }  # fmt: skip
    return config


_GEMMA = Defaults(
    256_000, hidden=2_304, blocks=26, heads=8, feed_forward=9_216, kv_heads=4, head_size=256, longest=8_192,
    activation="gelu_tanh", tied=True,
)  # fmt: skip


def _gemma2(reader: Reader) -> Config:
    config = _gemma("gemma2", reader, _GEMMA, lambda block: block % 2 == 0)
    config.score_cap = reader.cap("attn_logit_softcapping", 50)
    config.logit_cap = reader.cap("final_logit_softcapping", 30)
    return config


def _gemma3(reader: Reader) -> Config:
    period = reader.size("sliding_window_pattern", 1 << 10) or 6
    defaults = _GEMMA.but(vocabulary=262_208, longest=131_072, rope_base=1e6, rope_type="full_attention")
    config = _gemma("gemma3_text", reader, defaults, lambda block: (block + 1) % period != 0)
    config.query_key_norm = "heads"
    config.score_cap = reader.cap("attn_logit_softcapping", None)
    config.logit_cap = reader.cap("final_logit_softcapping", None)
    reader.ignore("_sliding_window_pattern")
    local_base = reader.number("rope_local_base_freq", 1.0001) or 10_000
    parameters = reader.value("rope_parameters")
    if isinstance(parameters, dict) and isinstance(parameters.get("sliding_attention"), dict):
        config.local_rope = read_rope(reader, config.head_size, config.longest, 10_000, kind_of="sliding_attention")
    else:
        # The old spelling scales the rotation of the other blocks alone.
        config.local_rope = type(config.rope)(local_base, config.head_size)
    config.rotations = ["global" if window is None else "local" for window in config.windows]
    return config


def _phi3(reader: Reader) -> Config:
    defaults = Defaults(32_064, hidden=3_072, feed_forward=8_192, longest=4_096, epsilon=1e-5, is_partly_rotated=True)
    config = base("phi3", reader, defaults)
    window = reader.size("sliding_window", 1 << 30)
    set_windows(config, reader, window, lambda _: window is not None)
    attention, gate_up = "self_attn.qkv_proj", "mlp.gate_up_proj"
    config.layout.block_tensors = {
        "query": attention, "key": attention, "value": attention, "gate": gate_up, "up": gate_up,
    }  # fmt: skip
    return config


def _smollm3(reader: Reader) -> Config:
    defaults = Defaults(
        128_256, hidden=2_048, blocks=36, heads=16, feed_forward=11_008, kv_heads=4, longest=32_768, tied=True,
        rope_base=2e6,
    )  # fmt: skip
    config = base("smollm3", reader, defaults)
    set_attention_bias(config, reader)
    config.feed_forward_bias = reader.flag("mlp_bias") or False
    interval = reader.size("no_rope_layer_interval", 1 << 10) or 4
    rotates = [(block + 1) % interval != 0 for block in range(config.block_count)]
    reason = f"is not a list of {config.block_count} numbers"
    if (listed := reader.integers("no_rope_layers", reason)) is not None:
        if len(listed) != config.block_count:
            raise reader.fault("no_rope_layers", reason)
        rotates = [number != 0 for number in listed]
    config.rotations = ["global" if rotated else "none" for rotated in rotates]
    used = reader.flag("use_sliding_window") or False
    window = reader.size("sliding_window", 1 << 30)
    set_windows(
        config, reader, window if used else None, lambda block: used and window is not None and not rotates[block]
    )
    return config


def _olmo2(reader: Reader) -> Config:
    config = base("olmo2", reader, Defaults(50_304, feed_forward=11_008, longest=2_048, epsilon=1e-5))
    set_attention_bias(config, reader)
    config.placement, config.query_key_norm = "after", "rows"
    config.layout.block_tensors = {"attentionResultNorm": "post_attention_layernorm"}
    return config


def _granite(reader: Reader) -> Config:
    config = base("granite", reader, Defaults(32_000, feed_forward=11_008, longest=2_048))
    set_attention_bias(config, reader)
    config.feed_forward_bias = reader.flag("mlp_bias") or False
    reader.number("embedding_multiplier", 1e-6)
    config.residual_scale = reader.number("residual_multiplier", 1e-6) or 1
    config.score_scale = reader.number("attention_multiplier", 1e-9) or 1
    config.logit_divisor = reader.number("logits_scaling", 1e-6) or 1
    return config


def _gpt2(reader: Reader) -> Config:
    reader.names = {
        "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
        "intermediate_size": "n_inner", "max_position_embeddings": "n_positions",
        "hidden_act": "activation_function", "rms_norm_eps": "layer_norm_epsilon",
    }  # fmt: skip
    defaults = Defaults(
        50_257, hidden=768, blocks=12, heads=12, longest=1_024, epsilon=1e-5, activation="gelu_tanh", tied=True
    )
    config = base("gpt2", reader, defaults)
    if reader.flag("scale_attn_weights") is False:
        config.score_scale = 1
    reader.refuse("scale_attn_by_inverse_layer_idx", "add_cross_attention")
    config.qkv_bias = config.output_bias = config.feed_forward_bias = True
    config.norm, config.is_gated, config.learned_positions = "layer-bias", False, True
    config.rotations = ["none"] * config.block_count
    attention = "attn.c_attn"
    names = {
        "attentionNorm": "ln_1", "query": attention, "key": attention, "value": attention,
        "output": "attn.c_proj", "feedForwardNorm": "ln_2", "up": "mlp.c_fc", "down": "mlp.c_proj",
    }  # fmt: skip
    config.layout = Layout(
        "transformer.", "wte.weight", "wpe.weight", blocks="h.", final_norm="ln_f", block_tensors=names,
        is_transposed=True,
    )  # fmt: skip
    return config


def _starcoder2(reader: Reader) -> Config:
    reader.names["rms_norm_eps"] = "norm_epsilon"
    defaults = Defaults(
        49_152, hidden=3_072, blocks=30, heads=24, feed_forward=12_288, kv_heads=2, longest=4_096, epsilon=1e-5,
        activation="gelu_tanh", tied=True,
    )  # fmt: skip
    config = base("starcoder2", reader, defaults)
    bias = reader.flag("use_bias")
    config.qkv_bias = config.output_bias = config.feed_forward_bias = bias is not False
    config.norm, config.is_gated = "layer-bias", False
    window = reader.size("sliding_window", 1 << 30)
    set_windows(config, reader, window, lambda _: window is not None)
    config.layout.block_tensors = {"up": "mlp.c_fc", "down": "mlp.c_proj"}
    return config


def _llava(reader: Reader) -> Config:
    return vision.llava(reader, _decoder(reader, "llama", "mistral", "qwen2", "qwen3"))


def _gemma3_pictures(reader: Reader) -> Config:
    return vision.gemma3(reader, _decoder(reader, "gemma3_text"))


def _decoder(reader: Reader, *names: str) -> Config:
    """The part of a model with pictures that generates; the first of the families where `model_type` is absent."""
    part = reader.part("text_config")
    if part is None:
        raise reader.fault("text_config", "is missing")
    vision.refuse_quantization(reader, part)
    part.ignore(*vision.PART_DEFAULTS)
    family = FAMILIES[part.expect("model_type", list(names))]
    config = family.read(part)
    _set_head(config, part, family)
    scores = [name for name in part.texts("architectures") or [] if family.includes(name)][:1]
    if not config.is_causal or any(name.endswith("ForSequenceClassification") for name in scores):
        raise part.unsupported("a decoder that does not generate", "one that does")
    config.has_head = True
    return config


@dataclass(frozen=True)
class Family:
    """How a family is read, and the stem of its classes' names."""

    read: Callable[[Reader], Config]
    architecture: str

    def includes(self, name: str) -> bool:
        """Whether a class of this name has the family's blocks, and a head that can be computed or left out."""
        if name == self.architecture:
            return True
        if self.architecture.endswith("Model") and self.architecture not in _OTHER_CLASSES:
            stem = self.architecture.removesuffix("Model")
            return name in (stem + "ForSequenceClassification", stem + "ForMaskedLM", stem + "ForPreTraining")
        if self.architecture in _OTHER_CLASSES:
            return name in _OTHER_CLASSES[self.architecture]
        stem = self.architecture.removesuffix("ForCausalLM")
        if stem == "Gemma3":
            return name in ("Gemma3TextModel", "Gemma3TextForSequenceClassification")
        return name in (stem + "Model", stem + "ForSequenceClassification")


# Of architectures whose other classes do not follow a rule.
_OTHER_CLASSES = {
    "GPT2LMHeadModel": ("GPT2Model",),
    "ViTForImageClassification": (),
    "CLIPModel": (),
    "CLIPVisionModelWithProjection": ("CLIPVisionModel",),
    "SiglipModel": ("SiglipForImageClassification",),
    "SiglipVisionModel": (),
    "LlavaForConditionalGeneration": (),
    "Gemma3ForConditionalGeneration": (),
}

FAMILIES: dict[str, Family] = {
    "llama": Family(_llama, "LlamaForCausalLM"),
    "mistral": Family(_mistral, "MistralForCausalLM"),
    "qwen2": Family(_qwen2, "Qwen2ForCausalLM"),
    "qwen3": Family(_qwen3, "Qwen3ForCausalLM"),
    "gemma2": Family(_gemma2, "Gemma2ForCausalLM"),
    "gemma3_text": Family(_gemma3, "Gemma3ForCausalLM"),
    "phi3": Family(_phi3, "Phi3ForCausalLM"),
    "smollm3": Family(_smollm3, "SmolLM3ForCausalLM"),
    "olmo2": Family(_olmo2, "Olmo2ForCausalLM"),
    "granite": Family(_granite, "GraniteForCausalLM"),
    "gpt2": Family(_gpt2, "GPT2LMHeadModel"),
    "starcoder2": Family(_starcoder2, "Starcoder2ForCausalLM"),
    "mixtral": Family(experts.mixtral, "MixtralForCausalLM"),
    "qwen2_moe": Family(experts.qwen2_moe, "Qwen2MoeForCausalLM"),
    "qwen3_moe": Family(experts.qwen3_moe, "Qwen3MoeForCausalLM"),
    "deepseek_v2": Family(experts.deepseek_v2, "DeepseekV2ForCausalLM"),
    "deepseek_v3": Family(experts.deepseek_v3, "DeepseekV3ForCausalLM"),
    "gpt_oss": Family(experts.gpt_oss, "GptOssForCausalLM"),
    "bert": Family(encoders.bert, "BertModel"),
    "roberta": Family(encoders.roberta, "RobertaModel"),
    "xlm-roberta": Family(encoders.xlm_roberta, "XLMRobertaModel"),
    "modernbert": Family(encoders.modernbert, "ModernBertModel"),
    "vit": Family(vision.vit, "ViTForImageClassification"),
    "clip": Family(vision.clip, "CLIPModel"),
    "siglip": Family(vision.siglip, "SiglipModel"),
    "clip_vision_model": Family(vision.clip_vision, "CLIPVisionModelWithProjection"),
    "siglip_vision_model": Family(vision.siglip_vision, "SiglipVisionModel"),
    "llava": Family(_llava, "LlavaForConditionalGeneration"),
    "gemma3": Family(_gemma3_pictures, "Gemma3ForConditionalGeneration"),
}


def read_config(members: Any, path: str) -> Config:
    """Reads `config.json`, or raises a ModelError that names the file and the field."""
    if not isinstance(members, dict):
        raise Reader(path, {}).fault("config", "is not a JSON object")
    reader = Reader(path, members)
    family = _family(reader)
    config = family.read(reader)
    if config.tower is not None:
        reader.finish()
        return config
    config.quantization = read_quantization(reader)
    if config.quantization is not None and config.layout.is_transposed:
        raise reader.unsupported(f"quantization_config in a model of type {config.family}", "F32, F16 and BF16 weights")
    _set_head(config, reader, family)
    reader.finish()
    return config


def _family(reader: Reader) -> Family:
    architectures = reader.texts("architectures") or []
    kind = reader.text("model_type")
    if kind is None and not architectures:
        raise reader.fault("model_type", "is missing: this is no model's configuration")
    for name, family in FAMILIES.items():
        if kind in (None, name) and (
            not architectures or any(family.includes(architecture) for architecture in architectures)
        ):
            return family
    known = ", ".join(family.architecture for family in FAMILIES.values())
    raise reader.unsupported(f"architecture {architectures[0] if architectures else kind}", known)


def _set_head(config: Config, reader: Reader, family: Family) -> None:
    """Says whether there is an output head, where the family leaves it open."""
    if reader.flag("is_causal") is False and config.is_causal:
        if any(window is not None for window in config.windows):
            raise reader.unsupported("is_causal: false with sliding windows", "one of them")
        config.is_causal = False
    # What attends to later tokens cannot generate one after the other.
    if not config.is_causal:
        config.has_head = False
    known = [name for name in reader.texts("architectures") or [] if family.includes(name)]
    if known and known[0] != family.architecture:
        config.has_head = False
