#!/usr/bin/env python3
"""Writes small random checkpoints of models that take pictures, with what transformers computes from them.

    python3 -m venv .venv
    .venv/bin/pip install torch==2.13.0 numpy safetensors transformers==5.*
    .venv/bin/python Tools/make-vision-fixtures.py --out Tests/Fixtures/vision

Each case is a Hugging Face directory (config.json and safetensors) plus expected.safetensors; the README of the
output folder says what that file holds. transformers reads the very files that are committed, in float32 with eager
attention.
"""

import importlib.util
import json
import pathlib
import shutil
import tempfile

import torch
import transformers
from safetensors.torch import save_file

spec = importlib.util.spec_from_file_location("parity", pathlib.Path(__file__).parent / "make-parity-fixtures.py")
parity = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parity)

VOCABULARY = 96
IMAGE_TOKEN = 90
STEPS = 48
# A greedy run is a fair test only where no step is a near tie.
SMALLEST_MARGIN = 2e-3
# An option counts as tested only where leaving it out moves some value by this share of the largest one.
SMALLEST_EFFECT = 1e-2
LARGEST_CASE = 300_000


def vision(kind, **changes):
    """The configuration of a tower with small sizes."""
    base = {
        "model_type": {"vit": "vit", "clip": "clip_vision_model", "siglip": "siglip_vision_model"}[kind],
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_channels": 3,
        "image_size": 16,
        "patch_size": 4,
        "hidden_act": {"vit": "gelu", "clip": "quick_gelu", "siglip": "gelu_pytorch_tanh"}[kind],
        "layer_norm_eps": 1e-5,
        "attention_dropout": 0.0,
    }
    if kind == "clip":
        base["projection_dim"] = 24
    if kind == "vit":
        base.pop("attention_dropout")
        base["qkv_bias"] = True
    base.update(changes)
    return base


def text(family, **changes):
    """The configuration of a decoder with small sizes."""
    base = {
        "model_type": family,
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    if family == "gemma3_text":
        base.update(hidden_activation="gelu_pytorch_tanh", head_dim=8, query_pre_attn_scalar=16, sliding_window=8,
                    num_hidden_layers=3,
                    layer_types=["sliding_attention", "full_attention", "sliding_attention"])
        base.pop("hidden_act")
    base.update(changes)
    return base


def llava(tower, decoder, **changes):
    base = {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": IMAGE_TOKEN,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": False,
        "vision_config": tower,
        "text_config": decoder,
        "torch_dtype": "bfloat16",
    }
    base.update(changes)
    return base


def gemma3(tower=None, decoder=None, **changes):
    base = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "boi_token_index": 88,
        "eoi_token_index": 89,
        "image_token_index": IMAGE_TOKEN,
        "mm_tokens_per_image": 4,
        "vision_config": tower or vision("siglip", vision_use_head=False),
        "text_config": decoder or text("gemma3_text"),
        "torch_dtype": "bfloat16",
    }
    base.update(changes)
    return base


def only(architecture, tower, **changes):
    """A tower that is a model of its own."""
    return {"architectures": [architecture], **tower, "torch_dtype": "bfloat16", **changes}


def both(architecture, kind):
    """A model of pictures and texts, of which the pictures' part is tested."""
    words = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
             "num_attention_heads": 4, "max_position_embeddings": 32, "eos_token_id": 2, "bos_token_id": 1,
             "pad_token_id": 1, "hidden_act": vision(kind)["hidden_act"], "model_type": f"{kind}_text_model"}
    base = {"architectures": [architecture], "model_type": kind, "vision_config": vision(kind),
            "text_config": words, "torch_dtype": "bfloat16"}
    if kind == "clip":
        base["projection_dim"] = 24
    return base


LABELS = {str(i): f"label {i}" for i in range(7)}


def cases():
    """Name, configuration, how tensors are named, and the configurations from which it must differ."""
    labels = {"id2label": LABELS, "label2id": {v: int(k) for k, v in LABELS.items()}}
    vit = only("ViTForImageClassification", vision("vit"), **labels)
    yield "vit", vit, "new", [{**vit, "hidden_act": "relu"}]
    plain = only("ViTForImageClassification", vision("vit", qkv_bias=False, layer_norm_eps=1e-2), **labels)
    yield "vit-published-names", plain, "published", [{**plain, "layer_norm_eps": 1e-12}]
    clip = only("CLIPVisionModelWithProjection", vision("clip"))
    yield "clip-vision", clip, "new", [{**clip, "hidden_act": "gelu"}]
    yield "clip-vision-unprojected", only("CLIPVisionModel", vision("clip", hidden_act="gelu")), "new", []
    yield "clip", both("CLIPModel", "clip"), "new", []
    siglip = only("SiglipVisionModel", vision("siglip"))
    yield "siglip-vision", siglip, "new", [{**siglip, "layer_norm_eps": 0.1}]
    yield "siglip", both("SiglipModel", "siglip"), "new", []
    yield "siglip-classifier", {
        "architectures": ["SiglipForImageClassification"], "model_type": "siglip",
        "vision_config": vision("siglip", vision_use_head=False), "text_config": both("SiglipModel", "siglip")["text_config"],
        "torch_dtype": "bfloat16", **labels}, "new", []

    base = llava(vision("clip"), text("llama"))
    yield "llava", base, "new", [
        {**base, "vision_feature_layer": -1}, {**base, "projector_hidden_act": "relu"}]
    full = llava(vision("clip"), text("mistral"), vision_feature_select_strategy="full", vision_feature_layer=-1,
                 multimodal_projector_bias=False, projector_hidden_act="relu")
    yield "llava-full", full, "new", [{**full, "vision_feature_layer": -2}]
    yield "llava-published-names", llava(
        vision("clip"), text("qwen2", hidden_size=40, head_dim=10), vision_feature_layer=1), "published", []
    yield "llava-siglip", llava(
        vision("siglip", vision_use_head=False), text("llama", tie_word_embeddings=True),
        vision_feature_select_strategy="full", tie_word_embeddings=True), "new", []
    base = gemma3()
    yield "gemma3-pictures", base, "new", [
        {**base, "vision_config": {**base["vision_config"], "layer_norm_eps": 0.05}}]
    yield "gemma3-pictures-published-names", gemma3(
        vision("siglip", vision_use_head=False, image_size=24), text("gemma3_text", sliding_window=12, hidden_size=40,
        num_hidden_layers=2, layer_types=["full_attention", "sliding_attention"]), mm_tokens_per_image=9), "published", []


def published(name, family):
    """The name under which checkpoints of transformers 4 have a tensor."""
    if family == "vit":
        for new, old in [("vit.layers.", "vit.encoder.layer."), (".attention.q_proj", ".attention.attention.query"),
                         (".attention.k_proj", ".attention.attention.key"),
                         (".attention.v_proj", ".attention.attention.value"),
                         (".attention.o_proj", ".attention.output.dense"), (".mlp.fc1", ".intermediate.dense"),
                         (".mlp.fc2", ".output.dense")]:
            name = name.replace(new, old)
        return name
    for new, old in [("model.language_model.", "language_model.model."),
                     ("model.vision_tower.", "vision_tower.vision_model."),
                     ("model.multi_modal_projector.", "multi_modal_projector."), ("lm_head", "language_model.lm_head")]:
        if name.startswith(new):
            return old + name.removeprefix(new)
    return name


def random_weights(model, settings, generator):
    """Weights large enough that attention is uneven and results differ by several units."""
    weights = {}
    is_gemma = settings["model_type"] == "gemma3"
    tied = is_gemma or settings.get("tie_word_embeddings", False)
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and tied or name.endswith("position_ids"):
            continue
        noise = torch.randn(value.shape, generator=generator)
        tower = not ("language_model" in name or "soft_emb_norm" in name)
        is_norm = any(part in name for part in ("norm", "layrnorm")) and name.endswith("weight")
        if is_norm:
            drawn = 0.3 * noise + (0 if is_gemma and not tower else 1)
        elif name.endswith("bias"):
            drawn = 0.3 * noise
        elif any(part in name for part in ("embed_tokens", "lm_head")):
            drawn = (0.05 if is_gemma else 0.5) * noise
        elif "patch" in name:
            drawn = 0.15 * noise
        elif any(part in name for part in ("position", "class_emb", "cls_token", "probe")):
            drawn = 0.5 * noise
        else:
            drawn = 0.28 * noise
        weights[name] = drawn.to(torch.bfloat16).contiguous()
    return weights


def write_checkpoint(folder, settings, weights):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def load(folder, architecture):
    """Reads a directory as a user would."""
    model, info = getattr(transformers, architecture).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    return model.eval()


def vectors(folder, architecture, pixels):
    """What a model that takes pictures alone says of them, [pictures, channels]."""
    model = load(folder, architecture)
    if architecture.endswith("ForImageClassification"):
        return model(pixel_values=pixels).logits
    if architecture == "CLIPVisionModelWithProjection":
        return model(pixel_values=pixels).image_embeds
    if architecture in ("CLIPModel", "SiglipModel"):
        return model.get_image_features(pixel_values=pixels).pooler_output
    return model(pixel_values=pixels).pooler_output


def inputs(prompt, pixels, is_gemma):
    given = {"input_ids": prompt[None]}
    if pixels is not None:
        given["pixel_values"] = pixels
        if is_gemma:
            given["token_type_ids"] = (prompt[None] == IMAGE_TOKEN).long()
    return given


def greedy_run(model, prompt, pixels, is_gemma):
    """The logits of the prompt, the continuation token by token, and the smallest gap between two choices."""
    ids, margin = [], float("inf")
    out = model(**inputs(prompt, pixels, is_gemma), use_cache=True)
    logits = out.logits[0]
    for _ in range(STEPS):
        best = out.logits[0, -1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
        cache = getattr(out, "past_key_values", None)
        cache = out.cache if cache is None else cache
        out = model(input_ids=torch.tensor([[ids[-1]]]), past_key_values=cache, use_cache=True)
    return logits, torch.tensor(ids, dtype=torch.int64), margin


def draw_prompt(per_picture, lengths, generator):
    """Text, a picture, text, a picture and text: with as many picture tokens as the model has for each."""
    parts = []
    for i, length in enumerate(lengths):
        if i:
            parts.append(torch.full((per_picture,), IMAGE_TOKEN, dtype=torch.int64))
        # Below the tokens that mark pictures.
        parts.append(torch.randint(0, 80, (length,), generator=generator))
    return torch.cat(parts)


def make(folder, name, settings, names, others):
    """Tries seeds until greedy runs have no near tie and are no short loops."""
    architecture = settings["architectures"][0]
    generates = architecture.endswith("ForConditionalGeneration")
    is_gemma = settings["model_type"] == "gemma3"
    tower = settings.get("vision_config", settings)
    for seed in range(400):
        generator = torch.Generator().manual_seed(seed)
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            (scratch / "shape").mkdir()
            (scratch / "shape" / "config.json").write_text(json.dumps(settings))
            kind = getattr(transformers, architecture)
            shape = kind(kind.config_class.from_pretrained(scratch / "shape"))
            weights = random_weights(shape, settings, generator)
            if names == "published":
                weights = {published(key, settings["model_type"]): value for key, value in weights.items()}
            written = scratch / "case"
            write_checkpoint(written, settings, weights)
            size = (2, 3, tower["image_size"], tower["image_size"])
            pixels = [torch.randn(size, generator=generator) for _ in range(2)]
            expected = {f"pixels.{i}": value for i, value in enumerate(pixels)}
            margin = 0.0
            if generates:
                model = load(written, architecture)
                patches = (tower["image_size"] // tower["patch_size"]) ** 2
                if is_gemma:
                    per_picture = settings["mm_tokens_per_image"]
                elif settings["vision_feature_select_strategy"] == "full":
                    per_picture = patches + (tower["model_type"] == "clip_vision_model")
                else:
                    per_picture = patches
                prompt = draw_prompt(per_picture, (5, 3, 4), generator)
                words = draw_prompt(per_picture, (23,), generator)
                runs = [greedy_run(model, prompt, pixels[0], is_gemma), greedy_run(model, prompt, pixels[1], is_gemma),
                        greedy_run(model, words, None, is_gemma)]
                margin = min(run[2] / float(run[0].abs().max()) for run in runs)
                # Where the head is the embedding table, tokens follow themselves more often.
                smallest, fewest = (1e-3, 8) if is_gemma else (SMALLEST_MARGIN, 12)
                if margin < smallest or any(len(set(run[1].tolist())) < fewest for run in runs):
                    continue
                # The pictures must matter, else a test of them would prove nothing.
                if runs[0][1].equal(runs[1][1]):
                    continue
                for i, (logits, greedy, _) in enumerate(runs):
                    given = (prompt, prompt, words)[i]
                    expected[f"prompt.{i}"] = given.clone()
                    expected[f"logits.{i}"] = logits.contiguous()
                    expected[f"greedy.{i}"] = greedy
                    again = model.generate(
                        **inputs(given, (*pixels, None)[i], is_gemma), attention_mask=torch.ones(1, len(given)),
                        do_sample=False, max_new_tokens=STEPS, pad_token_id=0)[0, len(given):]
                    assert again.equal(greedy), f"{name}: generate() disagrees with the step-by-step run"
                value = runs[0][0]
            else:
                for i in range(2):
                    expected[f"vectors.{i}"] = vectors(written, architecture, pixels[i]).contiguous()
                value = expected["vectors.0"]
            largest, effect = float(value.abs().max()), float("inf")
            for i, other in enumerate(others):
                write_checkpoint(scratch / f"other-{i}", other, weights)
                if generates:
                    changed = load(scratch / f"other-{i}", architecture)(
                        **inputs(prompt, pixels[0], is_gemma)).logits[0]
                else:
                    changed = vectors(scratch / f"other-{i}", architecture, pixels[0])
                effect = min(effect, float((changed - value).abs().max()) / largest)
            if effect < SMALLEST_EFFECT:
                continue
            save_file(expected, written / "expected.safetensors",
                      metadata={"seed": str(seed), "transformers": transformers.__version__,
                                "torch": torch.__version__})
            shutil.copytree(written, folder / name)
        size = sum(file.stat().st_size for file in (folder / name).iterdir())
        assert size < LARGEST_CASE, f"{name}: {size} bytes"
        print(f"{name:34} seed {seed:3} max {largest:6.2f} margin {margin:.4f} effect {effect:.3f} {size:7} bytes",
              flush=True)
        return size
    raise SystemExit(f"{name}: no seed gave a fair test")


if __name__ == "__main__":
    parity.main(__doc__, cases, make)
