"""Reads the metadata of a GGUF file: the values become the fields of a `config.json`, which the family's reader checks.

Names and meanings are those of llama.cpp (`gguf-py/gguf/constants.py`, `src/llama-model.cpp`). A value of the
architecture that nothing here reads is refused, since it may change what the model computes.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from scx_torch.model.errors import ModelError
from scx_torch.model.gguf.experts import add_experts, add_latents, is_latent
from scx_torch.model.gguf.file import Entry, GGUFFile

_FAMILIES: Final = {
    "llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma2": "gemma2", "gemma3": "gemma3_text", "phi3": "phi3",
    "smollm3": "smollm3", "olmo2": "olmo2", "granite": "granite", "gpt2": "gpt2", "starcoder2": "starcoder2",
    "qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "deepseek2": "deepseek_v2", "gpt-oss": "gpt_oss",
}  # fmt: skip
# How the metadata names the ε of the norms, and the family's configuration, where it is not as in Llama.
_EPSILONS: Final = {
    "gpt2": ("layer_norm_epsilon", "layer_norm_epsilon"),
    "starcoder2": ("layer_norm_epsilon", "norm_epsilon"),
}
_GPT2_NAMES: Final = {
    "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
    "intermediate_size": "n_inner", "max_position_embeddings": "n_positions",
}  # fmt: skip
_SIGMOID: Final = 2

# The numbers of a small tensor of this name and length; None where there is none.
Factors = Callable[[str, int], list[float] | None]


class Metadata:
    """The values of a model, and which of them were read."""

    def __init__(self, file: GGUFFile, tensors: dict[str, Entry], factors: Factors) -> None:
        self.file = file
        self._tensors = tensors
        self._factors = factors
        self._used: set[str] = set()
        architecture = file.string("general.architecture")
        if architecture is None:
            raise file.fault("general.architecture", "is missing")
        kind = file.string("general.type")
        if kind not in (None, "model"):
            raise self.unsupported(f"general.type '{kind}'", "model")
        if architecture not in _FAMILIES:
            raise self.unsupported(f"architecture {architecture}", ", ".join(sorted(_FAMILIES)))
        self.architecture = architecture
        self.family = _FAMILIES[architecture]
        if architecture == "llama":
            # Mistral's models have the architecture of Llama, as they differ in this alone.
            if "llama.attention.sliding_window" in file.values:
                self.family = "mistral"
            if file.integer("llama.expert_count"):
                self.family = "mixtral"
        # The two differ in how experts are chosen.
        if file.integer("deepseek2.expert_gating_func") == _SIGMOID:
            self.family = "deepseek_v3"

    # Values

    def key(self, name: str) -> str:
        """The whole name of a value of the architecture."""
        return f"{self.architecture}.{name}"

    def _take(self, name: str) -> str:
        self._used.add(self.key(name))
        return self.key(name)

    def integer(self, name: str) -> int | None:
        """An integer of the architecture."""
        return self.file.integer(self._take(name))

    def number(self, name: str) -> float | None:
        """A number of the architecture."""
        return self.file.number(self._take(name))

    def flag(self, name: str) -> bool | None:
        """True or false."""
        return self.file.flag(self._take(name))

    def required(self, name: str) -> int:
        """An integer that must be there."""
        value = self._uniform(name)
        if value is None:
            raise self.fault(name, "is missing")
        return value

    def _uniform(self, name: str) -> int | None:
        """An integer of the model, or of each block where all are the same."""
        if not self.file.is_list(self.key(name)):
            return self.integer(name)
        values = set(self.file.integers(self._take(name)) or [])
        if len(values) != 1:
            raise self.unsupported(f"{self.key(name)} that differs between blocks", "one value")
        return values.pop()

    def fault(self, name: str, reason: str) -> ModelError:
        """That a value of the architecture is missing or not a sensible one."""
        return self.file.fault(self.key(name), reason)

    def unsupported(self, what: str, supported: str) -> ModelError:
        """That the file has something that is not read here."""
        return self.file.unsupported(what, supported)

    # The configuration

    def fields(self) -> dict[str, Any]:
        """The fields of the model's `config.json`; refuses values that are not known."""
        fields: dict[str, Any] = {"model_type": self.family}
        self._add_sizes(fields)
        if self.family != "gpt2":
            self._add_rotation(fields)
        self._add_own(fields)
        for name in self.file.values:
            if name.startswith(self.architecture + ".") and name not in self._used:
                raise self.file.fault(name, "is not known here, and may change what the model computes")
        return fields

    def _add_sizes(self, fields: dict[str, Any]) -> None:
        heads, hidden = self.required("attention.head_count"), self.required("embedding_length")
        if heads <= 0:
            raise self.fault("attention.head_count", f"is {heads}")
        vocabulary = self.integer("vocab_size")
        if vocabulary is None:
            if "token_embd.weight" not in self._tensors:
                raise ModelError(f"{self.file.path}: has no tensor 'token_embd.weight'")
            vocabulary = self._tensors["token_embd.weight"].shape[0]
        head_size, kv_heads = self.head_size(), self._uniform("attention.head_count_kv")
        sizes = {
            "vocab_size": vocabulary, "hidden_size": hidden, "num_hidden_layers": self.required("block_count"),
            "num_attention_heads": heads, "intermediate_size": self.required("feed_forward_length"),
            "head_dim": head_size, "max_position_embeddings": self.required("context_length"),
            # Latent attention has one for all heads, as llama.cpp computes it.
            "num_key_value_heads": heads if kv_heads is None or is_latent(self) else kv_heads,
        }  # fmt: skip
        names = _GPT2_NAMES if self.family == "gpt2" else {}
        fields |= {names.get(name, name): size for name, size in sizes.items()}
        stored, name = _EPSILONS.get(self.family, ("layer_norm_rms_epsilon", "rms_norm_eps"))
        fields[name] = self.number("attention." + stored)
        if fields[name] is None:
            raise self.fault("attention." + stored, "is missing")
        fields["tie_word_embeddings"] = "output.weight" not in self._tensors
        if self.flag("attention.causal") is False:
            raise self.unsupported(f"attention to later tokens ({self.key('attention.causal')})", "causal attention")
        add_experts(self, fields)

    def head_size(self) -> int:
        """Channels of a head, of those that are rotated where the attention is over latents."""
        if is_latent(self):
            rotated = self.required("rope.dimension_count")
            if rotated <= 0:
                raise self.fault("rope.dimension_count", f"is {rotated}")
            return rotated
        whole = self.required("embedding_length") // max(self.required("attention.head_count"), 1)
        keys, values = self.integer("attention.key_length"), self.integer("attention.value_length")
        size = whole if keys is None else keys
        if values not in (None, size):
            what = f"values of another size than keys ({self.key('attention.value_length')})"
            raise self.unsupported(what, str(size))
        return size

    def _add_rotation(self, fields: dict[str, Any]) -> None:
        size, rotated = self.head_size(), self.integer("rope.dimension_count")
        rotated = size if rotated is None else rotated
        if self.family == "phi3" and 2 <= rotated <= size:
            # Halfway between two numbers of channels, since the product is rounded down.
            fields["partial_rotary_factor"] = (rotated + 0.5) / size
        elif rotated != size:
            raise self.unsupported(f"{self.key('rope.dimension_count')} {rotated}", f"{size}, the size of a head")
        base = self.number("rope.freq_base")
        fields["rope_theta"] = 10_000 if base is None else base
        if scaling := self._scaling(rotated // 2):
            fields["rope_scaling"] = scaling

    def _scaling(self, pairs: int) -> dict[str, Any] | None:
        """The fields of `rope_scaling`; None where nothing is scaled."""
        kind = self.file.string(self._take("rope.scaling.type")) or "none"
        factor, old_factor = self.number("rope.scaling.factor"), self.number("rope.scale_linear")
        original = self.integer("rope.scaling.original_context_length")
        attention = self.number("rope.scaling.attn_factor")
        self.flag("rope.scaling.finetuned")
        both = self._factors("rope_freqs.weight", pairs)
        long = self._factors("rope_factors_long.weight", pairs) or both
        short = self._factors("rope_factors_short.weight", pairs) or both
        if long and short:
            if both and kind != "none":
                raise self.unsupported(f"rope_freqs.weight with scaling of type '{kind}'", "none")
            length = self.required("context_length") if original is None else original
            return {
                "type": "longrope", "long_factor": long, "short_factor": short,
                "original_max_position_embeddings": length,
                # Factors that are the same at any length come without one for the attention.
                "attention_factor": 1 if both else attention,
            }  # fmt: skip
        if kind == "none" and old_factor in (None, 1):
            return None
        if kind in ("none", "linear"):
            return {"type": "linear", "factor": old_factor if factor is None else factor}
        if kind != "yarn":
            what = f"rotation of type '{kind}' ({self.key('rope.scaling.type')})"
            raise self.unsupported(what, "none, linear, yarn")
        if attention not in (None, 1):
            raise self.unsupported(f"{self.key('rope.scaling.attn_factor')} with yarn", "1")
        scaling = {
            "type": "yarn", "factor": factor, "original_max_position_embeddings": original,
            "beta_fast": self.number("rope.scaling.yarn_beta_fast"),
            "beta_slow": self.number("rope.scaling.yarn_beta_slow"),
        }  # fmt: skip
        # As the models were published: without rounding of the channels between which the factor grows.
        if self.family == "gpt_oss":
            scaling["truncate"] = False
        if is_latent(self) and (stored := self.number("rope.scaling.yarn_log_multiplier")) is not None:
            # The converter has multiplied it by 0.1, in float32. It leaves out `mscale`, which is the same in all
            # published models.
            with np.errstate(all="ignore"):
                magnitude = float(np.float32(stored) * np.float32(10))
            scaling |= {"mscale": magnitude, "mscale_all_dim": magnitude}
        return scaling

    def _add_own(self, fields: dict[str, Any]) -> None:
        """Adds what only some families have."""

        def copy(names: dict[str, str]) -> None:
            for stored, name in names.items():
                if (number := self.number(stored)) is not None:
                    fields[name] = number

        match self.family:
            case "mistral" | "mixtral" | "phi3" | "starcoder2" | "gpt_oss":
                self._add_window(fields)
            case "deepseek_v2" | "deepseek_v3":
                add_latents(self, fields)
            case "gemma2" | "gemma3_text":
                self._add_window(fields)
                copy({name: name for name in ("attn_logit_softcapping", "final_logit_softcapping")})
                if self.family == "gemma3_text":
                    base = self.number("rope.freq_base_swa")
                    fields["rope_local_base_freq"] = 10_000 if base is None else base
                fields["query_pre_attn_scalar"] = self._gemma_scale()
            case "granite":
                copy(
                    {
                        "embedding_scale": "embedding_multiplier", "residual_scale": "residual_multiplier",
                        "attention.scale": "attention_multiplier", "logit_scale": "logits_scaling",
                    }
                )  # fmt: skip

    def _gemma_scale(self) -> float:
        """What the scores of Gemma are divided by the root of."""
        # llama.cpp knows the models with 27 billion parameters, which alone scale otherwise, by their blocks.
        if self.required("block_count") == (46 if self.family == "gemma2" else 62):
            size = self.required("embedding_length") // self.required("attention.head_count")
        else:
            size = self.head_size()
        scale = self.number("attention.scale")
        if scale is None:
            return size
        square = scale * scale
        return 1 / square if square else np.inf

    def _add_window(self, fields: dict[str, Any]) -> None:
        """Adds the sliding window, and which blocks have it."""
        fields["sliding_window"] = self.integer("attention.sliding_window") or None
        name = "attention.sliding_window_pattern"
        if self.file.is_list(self.key(name)):
            slides = self.file.integers(self._take(name)) or []
            fields["layer_types"] = ["sliding_attention" if slide else "full_attention" for slide in slides]
        elif (period := self.integer(name)) is None:
            return
        elif self.family == "gemma3_text":
            fields["sliding_window_pattern"] = period
        elif period != (2 if self.family == "gemma2" else 1):
            raise self.unsupported(self.key(name), "the family's own pattern")
