#!/usr/bin/env python3
"""Writes small random checkpoints of encoders and embedders, with what transformers and sentence-transformers compute.

    python3 -m venv .venv
    .venv/bin/pip install torch==2.13.0 numpy safetensors transformers==5.* sentence-transformers==6.*
    .venv/bin/python Tools/make-encoder-fixtures.py --out Tests/Fixtures/encoders

Each case is a Hugging Face directory plus expected.safetensors (or expected.json where texts go in); the README of the
output folder says what these hold. Both libraries read the very files that are committed, in float32 with eager
attention.
"""

import argparse
import fnmatch
import json
import pathlib
import shutil
import tempfile

import tokenizers
import torch
import transformers
from safetensors.torch import save_file

VOCABULARY = 96
# An option counts as tested only where leaving it out moves some value by this share of the largest one.
SMALLEST_EFFECT = 1e-2
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

BERT = {
    "architectures": ["BertModel"], "model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "hidden_act": "gelu",
    "max_position_embeddings": 64, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    "position_embedding_type": "absolute",
}
ROBERTA = {
    **BERT, "architectures": ["RobertaModel"], "model_type": "roberta", "type_vocab_size": 1, "pad_token_id": 1,
    "layer_norm_eps": 1e-5, "bos_token_id": 0, "eos_token_id": 2, "max_position_embeddings": 66,
}
XLM = {**ROBERTA, "architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta"}
MODERN = {
    "architectures": ["ModernBertModel"], "model_type": "modernbert", "vocab_size": VOCABULARY, "hidden_size": 32,
    "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48, "hidden_activation": "gelu",
    "max_position_embeddings": 64, "norm_eps": 1e-5, "norm_bias": False, "attention_bias": False,
    "mlp_bias": False, "local_attention": 8, "global_attn_every_n_layers": 3, "global_rope_theta": 1000.0,
    "local_rope_theta": 50.0, "pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1,
    "eos_token_id": 2, "position_embedding_type": "absolute", "layer_norm_eps": 1e-5,
}
DECODER = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False, "bos_token_id": None,
    "eos_token_id": None, "pad_token_id": None,
}
LABELS = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}


def cases():
    """Yields (name, config, options); options are keyword arguments of `make`."""
    def case(name, base, dtype="BF16", without=None, lengths=(24, 9), **rest):
        changes = {key: rest.pop(key) for key in list(rest) if key not in ("bare", "pad", "kinds", "old", "full")}
        without = [without] if isinstance(without, dict) else without or []
        return name, {**base, **changes}, [{**base, **changes, **other} for other in without], dtype, lengths, rest

    yield case("bert", BERT, "F32", kinds=True)
    yield case("bert-masked-lm", BERT, "F16", architectures=["BertForMaskedLM"], hidden_act="gelu_new",
               type_vocab_size=3, kinds=True)
    yield case("bert-old-names", BERT, old=True, hidden_act="relu", layer_norm_eps=0.5,
               without={"layer_norm_eps": 1e-12})
    yield case("bert-classifier", BERT, architectures=["BertForSequenceClassification"], kinds=True, **LABELS)
    yield case("bert-labels", BERT, architectures=["BertForSequenceClassification"],
               id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2},
               sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity", "version": "5.0.0"})
    yield case("roberta", ROBERTA, pad=True)
    yield case("roberta-classifier", ROBERTA, "F16", architectures=["RobertaForSequenceClassification"], **LABELS)
    yield case("xlm-roberta", XLM, "F32")
    yield case("xlm-roberta-classifier", XLM, architectures=["XLMRobertaForSequenceClassification"], **LABELS)
    yield case("modernbert", MODERN, lengths=(40, 9),
               without=[{"local_attention": 6}, {"global_attn_every_n_layers": 2}, {"global_rope_theta": 100.0},
                        {"local_rope_theta": 1000.0}])
    yield case("modernbert-biases", MODERN, "F16", lengths=(40, 9), norm_bias=True, attention_bias=True,
               mlp_bias=True, hidden_activation="gelu_pytorch_tanh", architectures=["ModernBertForMaskedLM"])
    new = {key: value for key, value in MODERN.items()
           if key not in ("global_attn_every_n_layers", "global_rope_theta", "local_rope_theta")}
    yield case("modernbert-parameters", new, lengths=(40, 9), num_hidden_layers=3,
               layer_types=["sliding_attention", "full_attention", "sliding_attention"],
               rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 500.0},
                                "sliding_attention": {"rope_type": "default", "rope_theta": 20.0}})
    modern_head = {"architectures": ["ModernBertForSequenceClassification"], "classifier_activation": "gelu", **LABELS}
    yield case("modernbert-classifier", MODERN, classifier_pooling="cls", classifier_bias=False, **modern_head)
    yield case("modernbert-classifier-mean", MODERN, "F16", classifier_pooling="mean", classifier_bias=True,
               norm_bias=True, **modern_head)

    # Decoders that embed: without the prefix of the names, and without a head.
    yield case("mistral-model", DECODER, architectures=["MistralModel"], model_type="mistral", sliding_window=8,
               bare=True, without={"sliding_window": None})
    yield case("llama-model", DECODER, "F16", architectures=["LlamaModel"], model_type="llama", bare=True)
    yield case("qwen3-embedding", DECODER, architectures=["Qwen3ForCausalLM"], model_type="qwen3", head_dim=8,
               tie_word_embeddings=True, bare=True)
    yield case("qwen2-without-head", DECODER, architectures=["Qwen2ForCausalLM"], model_type="qwen2", bare=True)
    # Published code of gte-Qwen2 lets tokens attend to later ones; transformers' own class ignores the field.
    yield case("qwen2-not-causal", DECODER, architectures=["Qwen2ForCausalLM"], model_type="qwen2", bare=True,
               is_causal=False, full=True)
    yield case("qwen3-classifier", DECODER, architectures=["Qwen3ForSequenceClassification"], model_type="qwen3",
               head_dim=8, pad_token_id=0, **LABELS)
    yield case("gemma3-bidirectional", DECODER, architectures=["Gemma3TextModel"], model_type="gemma3_text",
               head_dim=8, hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=16, sliding_window=12,
               use_bidirectional_attention=True, tie_word_embeddings=True, num_hidden_layers=4,
               sliding_window_pattern=3, rope_local_base_freq=100.0, bare=True, lengths=(40, 9),
               without=[{"sliding_window": 16}, {"use_bidirectional_attention": False}])


def draw(model, dtype, generator):
    """Weights large enough that attention is uneven and hidden states of a text differ."""
    weights = {}
    gemma = model.config.model_type.startswith("gemma")
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if not value.dtype.is_floating_point:
            continue
        if "norm" in name.lower() and name.endswith("weight"):
            drawn = 0.3 * noise + (0 if gemma else 1)
        elif name.endswith("bias"):
            drawn = 0.3 * noise
        elif "embed" in name:
            drawn = (0.1 if gemma else 0.5) * noise
        else:
            drawn = 0.28 * noise
        weights[name] = drawn.to(dtype).contiguous()
    return weights


def model_class(settings):
    return getattr(transformers, settings["architectures"][0])


def write(folder, settings, weights, bare=False, old=False):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    stored = {}
    for name, value in weights.items():
        if "decoder.weight" in name or name == "lm_head.weight" or "decoder.bias" in name:
            continue
        if bare:
            name = name.removeprefix("model.")
        if old:
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        stored[name] = value
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})


def load(folder, settings):
    """Reads a directory as a user would; a model without a head where the file has none."""
    kind = model_class(settings)
    if settings["architectures"][0].endswith(("ForCausalLM", "ForMaskedLM")):
        kind = transformers.AutoModel
    model, info = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                       output_loading_info=True)
    missing = [name for name in info["missing_keys"] if "pooler" not in name]
    assert not missing, info
    return model.eval()


def run(folder, settings, ids, kinds, full):
    """The last hidden states of one sequence, and the logits of its labels where there are some."""
    model = load(folder, settings)
    more = {} if kinds is None else {"token_type_ids": kinds[None]}
    if full:
        more["attention_mask"] = torch.zeros(1, 1, len(ids), len(ids))
    else:
        more["attention_mask"] = torch.ones(1, len(ids), dtype=torch.int64)
    out = model(input_ids=ids[None], output_hidden_states=True, **more)
    if hasattr(out, "logits"):
        base = getattr(model, model.base_model_prefix)
        hidden = base(input_ids=ids[None], **more).last_hidden_state[0]
        return hidden, out.logits[0]
    return out.last_hidden_state[0], None


def make(folder, name, settings, others, dtype, lengths, bare=False, pad=False, kinds=False, old=False, full=False):
    settings = {**settings, "torch_dtype": {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[dtype]}
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            (scratch / "shape").mkdir()
            (scratch / "shape" / "config.json").write_text(json.dumps(settings))
            shape = model_class(settings)(transformers.AutoConfig.from_pretrained(scratch / "shape"))
            weights = draw(shape, DTYPES[dtype], generator)
            write(scratch / "case", settings, weights, bare, old)
            expected, effect = {}, float("inf")
            for number, length in enumerate(lengths):
                ids = torch.randint(3, settings["vocab_size"], (length,), generator=generator)
                if pad and number == 0:
                    ids[7] = settings["pad_token_id"]
                types = torch.randint(0, settings["type_vocab_size"], (length,), generator=generator) if kinds else None
                hidden, logits = run(scratch / "case", settings, ids, types, full)
                expected[f"tokens.{number}"] = ids
                expected[f"hidden.{number}"] = hidden.contiguous()
                if types is not None:
                    expected[f"kinds.{number}"] = types
                if logits is not None:
                    expected[f"logits.{number}"] = logits.contiguous()
                if number > 0:
                    continue
                for i, other in enumerate(others):
                    write(scratch / f"other-{i}", other, weights, bare, old)
                    changed, _ = run(scratch / f"other-{i}", other, ids, types, full)
                    effect = min(effect, float((changed - hidden).abs().max() / hidden.abs().max()))
            if effect < SMALLEST_EFFECT:
                continue
            save_file(expected, scratch / "case" / "expected.safetensors",
                      metadata={"seed": str(seed), "transformers": transformers.__version__,
                                "torch": torch.__version__})
            shutil.copytree(scratch / "case", folder / name)
        size = sum(file.stat().st_size for file in (folder / name).iterdir())
        assert size < 160_000, f"{name}: {size} bytes"
        print(f"{name:28} {dtype:4} seed {seed:3} effect {effect:.3f} {size:7} bytes", flush=True)
        return size
    raise SystemExit(f"{name}: no seed gave a fair test")


# Texts: what sentence-transformers makes of a model with a tokenizer.

WORDS = ("the a of to and in is patient has pain fever cough asthma heart lung blood pressure high low dose "
         "doctor nurse ward night morning query document what are symptoms treat ##s ##ing ##ed ##ly . , : ?").split()
TEXTS = ["what are the symptoms of asthma?", "the patient has a fever and a cough.", "low blood pressure, in the night",
         "Treating pain", "the doctor is in the ward: the nurse treats the patient in the morning, and the dose is low."]


def tokenizer(pair_kinds=True):
    """A WordPiece tokenizer of a few words, with the template of BERT."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS + [c for c in "abcdefghijklmnopqrstuvwxyz"]
    vocabulary += ["##" + c for c in "abcdefghijklmnopqrstuvwxyz"]
    vocabulary = list(dict.fromkeys(vocabulary))[:VOCABULARY]
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(
        {word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    made.decoder = tokenizers.decoders.WordPiece()
    return made


def text_cases():
    """Yields (name, config, modules after the Transformer, prompts, maximum length)."""
    from sentence_transformers.sentence_transformer import modules as parts
    everything = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
    yield ("sentence-mean", BERT, lambda: [parts.Pooling(32, "mean"), parts.Normalize()], {}, None, 16)
    yield ("sentence-cls-dense", BERT, lambda: [
        parts.Pooling(32, "cls"), parts.Dense(32, 24, activation_function=torch.nn.Tanh()), parts.Normalize()],
        {"query": "query: ", "document": ""}, "query", 32)
    yield ("sentence-all", BERT, lambda: [
        parts.Pooling(32, everything, include_prompt=False),
        parts.Dense(192, 40, bias=False, activation_function=torch.nn.Identity())],
        {"query": "Instruct: a\nquery: "}, None, 40)


def make_texts(folder, name, settings, parts, prompts, default, longest):
    import sentence_transformers
    from sentence_transformers.sentence_transformer import modules as made
    torch.manual_seed(7)
    generator = torch.Generator().manual_seed(7)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "shape").mkdir()
        (scratch / "shape" / "config.json").write_text(json.dumps(settings))
        shape = model_class(settings)(transformers.AutoConfig.from_pretrained(scratch / "shape"))
        base = scratch / "base"
        write(base, {**settings, "torch_dtype": "float32"}, draw(shape, torch.float32, generator))
        tokenizer().save(str(base / "tokenizer.json"))
        (base / "tokenizer_config.json").write_text(json.dumps({
            "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "sep_token": "[SEP]",
            "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}))
        transformer = made.Transformer(
            str(base), max_seq_length=longest, model_kwargs={"attn_implementation": "eager"})
        model = sentence_transformers.SentenceTransformer(
            modules=[transformer, *parts()], prompts=prompts, default_prompt_name=default, device="cpu")
        model.save(str(scratch / "saved"), create_model_card=False)
        saved = sentence_transformers.SentenceTransformer(
            str(scratch / "saved"), device="cpu", model_kwargs={"attn_implementation": "eager"})
        target = folder / name
        shutil.copytree(scratch / "saved", target)
        for extra in ("README.md", "special_tokens_map.json", "vocab.txt"):
            (target / extra).unlink(missing_ok=True)
        expected = {"texts": TEXTS, "default": saved.encode(TEXTS, batch_size=1).tolist()}
        for prompt in prompts:
            expected[prompt] = saved.encode(TEXTS, prompt_name=prompt, batch_size=1).tolist()
        (target / "expected.json").write_text(json.dumps(expected) + "\n")
    print(f"{name:28} {sum(f.stat().st_size for f in target.rglob('*') if f.is_file()):7} bytes", flush=True)


def make_reranker(folder, name, settings):
    import sentence_transformers
    generator = torch.Generator().manual_seed(11)
    target = folder / name
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "config.json").write_text(json.dumps(settings))
        shape = model_class(settings)(transformers.AutoConfig.from_pretrained(scratch))
        write(target, {**settings, "torch_dtype": "float32"}, draw(shape, torch.float32, generator))
    tokenizer().save(str(target / "tokenizer.json"))
    (target / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "sep_token": "[SEP]",
        "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]", "model_max_length": 24,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}))
    model = sentence_transformers.CrossEncoder(str(target), device="cpu", max_length=24,
                                               model_kwargs={"attn_implementation": "eager"})
    pairs = [(TEXTS[0], text) for text in TEXTS[1:]] + [(TEXTS[4], TEXTS[4])]
    (target / "expected.json").write_text(json.dumps(
        {"pairs": pairs, "scores": model.predict(pairs, batch_size=1).tolist()}) + "\n")
    print(f"{name:28} {sum(f.stat().st_size for f in target.rglob('*') if f.is_file()):7} bytes", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--only", help="make only the cases of this name, with * for any part")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    arguments.out.mkdir(parents=True, exist_ok=True)

    def wanted(name):
        if arguments.only and not fnmatch.fnmatch(name, arguments.only):
            return False
        shutil.rmtree(arguments.out / name, ignore_errors=True)
        return True

    with torch.no_grad():
        for name, settings, others, dtype, lengths, rest in cases():
            if wanted(name):
                make(arguments.out, name, settings, others, dtype, lengths, **rest)
        for name, *rest in text_cases():
            if wanted(name):
                make_texts(arguments.out, name, *rest)
        if wanted("rerank-bert"):
            make_reranker(arguments.out, "rerank-bert",
                          {**BERT, "architectures": ["BertForSequenceClassification"], **LABELS})


if __name__ == "__main__":
    main()
