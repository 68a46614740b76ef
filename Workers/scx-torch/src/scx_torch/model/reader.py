"""Reads the fields of `config.json`: absent ones get the reference implementation's defaults, others are checked."""

import json
import math
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np

from scx_torch.model.errors import ModelError
from scx_torch.printable import printable

_T = TypeVar("_T")
_DEPTH: Final = 128

# Fields of training, of the Python classes, of sampling and of tokens; none of them changes what a model computes.
HARMLESS: Final = frozenset(
    [
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_name_or_path",
        "attention_dropout",
        "attn_implementation",
        "attn_pdrop",
        "auto_map",
        "bad_words_ids",
        "bos_token",
        "bos_token_id",
        "cache_implementation",
        "do_sample",
        "dtype",
        "embd_pdrop",
        "embedding_dropout",
        "eos_token",
        "eos_token_id",
        "finetuning_task",
        "gradient_checkpointing",
        "hidden_dropout",
        "id2label",
        "initializer_range",
        "keys_to_ignore_at_inference",
        "label2id",
        "language",
        "length_penalty",
        "max_length",
        "max_new_tokens",
        "max_sequence_length",
        "max_window_layers",
        "min_length",
        "mlp_dropout",
        "model_max_length",
        "n_ctx",
        "name_or_path",
        "neftune_noise_alpha",
        "no_repeat_ngram_size",
        "num_beams",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "pad_token_id",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "reorder_and_upcast_attn",
        "repetition_penalty",
        "resid_pdrop",
        "residual_dropout",
        "return_dict",
        "router_aux_loss_coef",
        "sentence_transformers",
        "sbert_ce_default_activation_function",
        "sep_token_id",
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
        "task_specific_params",
        "temperature",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torch_dtype",
        "torchscript",
        "transformers.js_config",
        "transformers_version",
        "unk_token_id",
        "unsloth_fixed",
        "unsloth_version",
        "use_cache",
        "use_return_dict",
        "classifier_activation",
        "classifier_bias",
        "classifier_pooling",
    ]
)


def parse_json(data: bytes, path: str) -> Any:
    """Reads JSON of a stranger's file: no name twice, and a limit of the nesting."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise ModelError(f"{path}: an object has a name twice")
        return result

    try:
        value = json.loads(data, object_pairs_hook=members)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: it is no JSON: {printable(str(error))}") from None
    if _depth(value, _DEPTH) > _DEPTH:
        raise ModelError(f"{path}: it is no JSON: nested too deep")
    return value


def _depth(value: Any, limit: int) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if limit < 0:
        return 1
    return 1 + max((_depth(child, limit - 1) for child in children if isinstance(child, (dict, list))), default=0)


@dataclass
class Reader:
    """The fields of an object. A field that is null is read as if it were absent, but for `if_absent`."""

    path: str
    json: dict[str, Any]
    prefix: str = ""
    # The family's own names of fields, by the names that most families use.
    names: dict[str, str] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    parts: list["Reader"] = field(default_factory=list)

    def name(self, name: str) -> str:
        return self.names.get(name, name)

    def fault(self, name: str, reason: str) -> ModelError:
        return ModelError(f"{self.path}: '{printable(self.prefix + self.name(name))}' {reason}")

    def unsupported(self, what: str, supported: str) -> ModelError:
        return ModelError(f"{self.path}: {printable(what)} is not supported; supported: {supported}")

    def value(self, name: str) -> Any:
        """The field's value, None where it is absent or null."""
        self.read.add(self.name(name))
        return self.json.get(self.name(name))

    def if_absent(self, name: str, value: _T) -> _T | None:
        """The default if the field is absent; None if it is there, even as null."""
        self.read.add(self.name(name))
        return None if self.name(name) in self.json else value

    def part(self, name: str) -> "Reader | None":
        """The fields of a part of the model, which `finish` checks as well; None where it is absent."""
        value = self.value(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.fault(name, "is not an object")
        part = Reader(self.path, value, f"{self.prefix}{self.name(name)}.")
        self.parts.append(part)
        return part

    def ignore(self, *names: str) -> None:
        """Says that the reference implementation ignores these fields."""
        self.ignored.update(names)

    def size(self, name: str, limit: int) -> int | None:
        """An integer in 1 … limit."""
        value = self.value(name)
        if value is None:
            return None
        if not _is_int(value):
            raise self.fault(name, "is not an integer")
        if not 1 <= value <= limit:
            raise self.fault(name, f"is {value}, which is not in 1…{limit}")
        return int(value)

    def blocks(self, name: str) -> int | None:
        """A number of blocks, which may be 0."""
        value = self.value(name)
        if value is not None and (not _is_int(value) or value < 0):
            raise self.fault(name, "is not a number of blocks")
        return value if value is None else int(value)

    def number(self, name: str, minimum: float) -> float | None:
        """A number that is finite in float32, and at least `minimum`."""
        value = self.value(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.fault(name, "is not a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        with np.errstate(over="ignore"):
            single = np.float32(number)
        if not np.isfinite(single) or number < minimum or (minimum > 0 and single <= 0):
            raise self.fault(name, f"is {number}, which is not a sensible value")
        return number

    def flag(self, name: str) -> bool | None:
        value = self.value(name)
        if value is not None and not isinstance(value, bool):
            raise self.fault(name, "is neither true nor false")
        return value

    def text(self, name: str) -> str | None:
        value = self.value(name)
        if value is not None and not isinstance(value, str):
            raise self.fault(name, "is not a string")
        return value

    def texts(self, name: str) -> list[str] | None:
        value = self.value(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.fault(name, "is not a list of strings")
        return value

    def integers(self, name: str, reason: str) -> list[int] | None:
        """A list of integers; `reason` says what it is not."""
        value = self.value(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(_is_int(number) for number in value):
            raise self.fault(name, reason)
        return [int(number) for number in value]

    def expect(self, name: str, known: list[str]) -> str:
        """A string that must be one of these; the first where the field is absent."""
        text = self.text(name) or known[0]
        if text not in known:
            raise self.unsupported(f"{self.name(name)} '{text}'", ", ".join(known))
        return text

    def refuse(self, *names: str) -> None:
        """Flags that must not be set."""
        for name in names:
            if self.flag(name):
                raise self.unsupported(name, "models without it")

    def cap(self, name: str, absent: float | None) -> float | None:
        """A cap of scores or logits; None when the field is null."""
        number = self.number(name, 1e-6)
        return number if number is not None else self.if_absent(name, absent)

    def finish(self, harmless: frozenset[str] = HARMLESS) -> None:
        """Refuses a field that was not read and may change what the model computes."""
        for name, value in self.json.items():
            says_nothing = value is None or value is False or value in ([], {})
            if not (name in self.read or name in harmless or name in self.ignored or says_nothing):
                raise ModelError(
                    f"{self.path}: '{printable(self.prefix + name)}' is not known here, and may change what the model "
                    "computes; remove it if it does not"
                )
        for part in self.parts:
            part.finish(harmless)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
