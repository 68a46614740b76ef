"""Models that take pictures: against transformers, `scx-worker` and answers of `scx serve`."""

import itertools
import json
import pathlib
import shutil
import struct
import subprocess
from typing import Any

import numpy as np
import pytest
import torch
from client import NO_SLOT, Client, failure
from conftest import FIXTURES, PATIENCE, run, swift, swift_worker, torch_worker, wait_for_socket
from safetensors.torch import load_file
from test_encoders import embed
from test_end_to_end import ask, compare, generate
from test_pools import start, stop
from torch.nn import functional

from scx_torch.compute.decoder import CacheSegment, Decoder
from scx_torch.link.frame import Kind
from scx_torch.link.requests import Site
from scx_torch.model.checkpoint import Checkpoint
from scx_torch.model.errors import ModelError

FOLDER = FIXTURES / "vision"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/config.json"))
GENERATING = [name for name in NAMES if name.startswith(("llava", "gemma3"))]
TOWERS = [name for name in NAMES if name not in GENERATING]
FUNCTIONS = {"gelu": functional.gelu, "relu": functional.relu}


class Pictures:
    """What the trusted side computes of pictures, before the first block of the encoder and after the last."""

    def __init__(self, checkpoint: Checkpoint, model: Decoder) -> None:
        assert checkpoint.config.tower is not None and model.tower is not None
        self.config, self.tower, self.model = checkpoint.config, checkpoint.config.tower, model
        self.tensors = load_file(f"{checkpoint.directory}/model.safetensors")
        self.json = json.loads(pathlib.Path(checkpoint.directory, "config.json").read_text())
        self.final_norm = model.tower.final_norm

    def _tensor(self, name: str) -> torch.Tensor:
        return self.tensors[self.tower.encoder.layout.prefix + name].float()

    def rows(self, pixels: torch.Tensor) -> torch.Tensor:
        """The rows of a picture `[channels, height, width]` before the first block."""
        prefix = self.tower.encoder.layout.prefix
        weight, bias = self._tensor(self.tower.patches), self.tower.patches.removesuffix("weight") + "bias"
        bias_values = self._tensor(bias) if prefix + bias in self.tensors else None
        rows = functional.conv2d(pixels[None], weight, bias_values, stride=weight.shape[-1])[0].flatten(1).T
        if self.tower.has_class_row:
            name = "embeddings.cls_token" if self.config.family == "vit" else "embeddings.class_embedding"
            rows = torch.cat([self._tensor(name).reshape(1, -1), rows])
        rows = rows + self._tensor(self.tower.positions).reshape(rows.shape)
        if prefix + "pre_layrnorm.weight" in self.tensors:
            rows = self._norm(rows, "pre_layrnorm")
        return rows

    def _norm(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self._tensor(name + ".weight"), self._tensor(name + ".bias")
        return functional.layer_norm(rows, rows.shape[-1:], weight, bias, self.tower.encoder.epsilon)

    def blocks(self, pixels: torch.Tensor) -> torch.Tensor:
        """The rows after the last block and its norm."""
        blocks, rows = self.config.tower_blocks, self.rows(pixels)
        return self.final_norm(self.model.run_pictures(blocks.start, blocks.stop, rows, [rows.shape[0]]))

    def vector(self, pixels: torch.Tensor) -> torch.Tensor:
        """What a model that takes pictures alone says of one."""
        rows = self.blocks(pixels)
        if "classifier.weight" in self.tensors:
            pooled = rows[0] if self.tower.has_class_row else rows.mean(dim=0)
            return functional.linear(
                pooled, self.tensors["classifier.weight"].float(), self.tensors["classifier.bias"].float()
            )
        if self.tower.has_class_row:
            projection = self.tensors.get("visual_projection.weight")
            return rows[0] if projection is None else functional.linear(rows[0], projection.float())
        return self._attention_pool(rows)

    def _attention_pool(self, rows: torch.Tensor) -> torch.Tensor:
        width, heads = rows.shape[-1], self.tower.encoder.heads
        weight, bias = self._tensor("head.attention.in_proj_weight"), self._tensor("head.attention.in_proj_bias")
        pooled = functional.multi_head_attention_forward(
            self._tensor("head.probe")[0], rows, rows, width, heads, weight, bias, None, None, False, 0.0,
            self._tensor("head.attention.out_proj.weight"), self._tensor("head.attention.out_proj.bias"),
            training=False, need_weights=False,
        )[0]  # fmt: skip
        wide = self._linear(self._norm(pooled, "head.layernorm"), "head.mlp.fc1")
        return (pooled + self._linear(functional.gelu(wide, approximate="tanh"), "head.mlp.fc2"))[0]

    def _linear(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(rows, self._tensor(name + ".weight"), self._tensor(name + ".bias"))

    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """The rows that take the place of a picture's tokens."""
        rows = self.blocks(pixels)
        prefix = "model.multi_modal_projector."
        prefix = prefix if any(name.startswith(prefix) for name in self.tensors) else "multi_modal_projector."
        if self.config.family == "gemma3":
            count = int(self.json["mm_tokens_per_image"] ** 0.5)
            square = rows.T.reshape(1, -1, self.tower.side, self.tower.side)
            pooled = functional.avg_pool2d(square, self.tower.side // count).flatten(2)[0].T
            scale = 1 + self.tensors[prefix + "mm_soft_emb_norm.weight"].float()
            normed = pooled * torch.rsqrt(pooled.square().mean(-1, keepdim=True) + self.tower.encoder.epsilon) * scale
            return normed @ self.tensors[prefix + "mm_input_projection_weight"].float()
        if self.json["vision_feature_select_strategy"] == "default":
            rows = rows[1:]
        for name in ("linear_1", "linear_2"):
            bias = self.tensors.get(f"{prefix}{name}.bias")
            rows = functional.linear(
                rows, self.tensors[f"{prefix}{name}.weight"].float(), None if bias is None else bias.float()
            )
            if name == "linear_1":
                rows = FUNCTIONS[self.json["projector_hidden_act"]](rows)
        return rows


def load(name: str) -> tuple[Checkpoint, Decoder, Pictures, dict[str, torch.Tensor]]:
    checkpoint = Checkpoint(str(FOLDER / name))
    model = Decoder(checkpoint, "f32", torch.device("cpu"))
    return checkpoint, model, Pictures(checkpoint, model), load_file(FOLDER / name / "expected.safetensors")


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("name", TOWERS)
@torch.inference_mode()
def test_vectors_are_those_of_transformers(name: str) -> None:
    _, _, pictures, expected = load(name)
    for number in (0, 1):
        found = torch.stack([pictures.vector(pixels) for pixels in expected[f"pixels.{number}"]])
        assert error(found, expected[f"vectors.{number}"]) < 1e-5


@pytest.mark.parametrize("name", GENERATING)
@torch.inference_mode()
def test_logits_and_greedy_tokens_are_those_of_transformers(name: str) -> None:
    checkpoint, model, pictures, expected = load(name)
    token = pictures.json["image_token_index"]
    for number in range(3):
        ids = expected[f"prompt.{number}"]
        hidden, places = embed(checkpoint, ids, None), ids == token
        if places.any():
            hidden[places] = torch.cat([pictures.tokens(pixels) for pixels in expected[f"pixels.{number}"]])
        layers = [model.make_cache() for _ in range(checkpoint.config.block_count)]
        logits = []
        # A picture's tokens are a segment of their own where they attend to each other.
        cuts = [0, *((places[1:] != places[:-1]).nonzero().flatten() + 1).tolist(), len(ids)]
        for first, end in itertools.pairwise(cuts):
            mutual = bool(places[first]) and checkpoint.config.family == "gemma3"
            segment = CacheSegment(layers, first, end - first, mutual)
            logits.append(model.logits(model.run(0, checkpoint.config.block_count, hidden[first:end], [segment])))
        assert error(torch.cat(logits), expected[f"logits.{number}"]) < 1e-5
        answer = [int(logits[-1][-1].argmax())]
        while len(answer) < 16:
            position = len(ids) + len(answer) - 1
            row = embed(checkpoint, torch.tensor(answer[-1:]), None)
            row = model.run(0, checkpoint.config.block_count, row, [CacheSegment(layers, position, 1)])
            answer.append(int(model.logits(row)[-1].argmax()))
        assert answer == expected[f"greedy.{number}"].tolist()[:16]


def middle(first: int, end: int, *segments: tuple[int, int, int], mutual: bytes = b"") -> bytes:
    body = b"".join(struct.pack("<III", *segment) for segment in segments)
    return struct.pack("<HHI", first, end, len(segments)) + body + mutual


@pytest.mark.parametrize("name", NAMES)
def test_blocks_as_those_of_the_swift_worker(name: str) -> None:
    """One digest; integers to the last bit; float32 that differs in its last bits alone."""
    model, generator = FOLDER / name, np.random.default_rng(3)
    checkpoint = Checkpoint(str(model))
    config, digest = checkpoint.config, checkpoint.digest()
    assert config.tower is not None
    encoder, blocks = config.tower.encoder, config.tower_blocks
    sites = [(blocks.start + block, site) for block, site in encoder.sites()]
    with (
        torch_worker(model, "f32") as (own, _), swift_worker(model, "f32") as (other, _),
        Client(own, digest) as a, Client(other, digest) as b,
    ):  # fmt: skip

        def compare(kind: Kind, fields: bytes, tensor: np.ndarray, tolerance: float = 1e-5) -> None:
            one, two = (client.ask(kind, fields, tensor).tensor for client in (a, b))
            assert one is not None and two is not None and one.shape == two.shape
            assert np.abs(one - two).max() <= tolerance * np.abs(two).max(), (kind, fields)

        rows = generator.standard_normal((config.tower.rows + 3, encoder.hidden)).astype(np.float32)
        segments = [(7, 0, config.tower.rows), (7, 0, 3)]
        compare(Kind.middle, middle(blocks.start, blocks.stop, *segments), rows)
        compare(Kind.middle, middle(blocks.stop - 1, blocks.stop, *segments, mutual=b"\0\1"), rows)
        assert a.statistics()["slots"] == b.statistics()["slots"] == 0
        for block, site in sites:
            inputs = encoder.shape(site, block - blocks.start)[1]
            x = generator.integers(-(2**23), 2**23, (3, inputs)).astype(np.float32)
            compare(Kind.linear, struct.pack("<HHIB", block, site, NO_SLOT, 0), x)
            one, two = (
                client.ask(Kind.linear, struct.pack("<HHIB", block, site, NO_SLOT, 1), x).tensor for client in (a, b)
            )
            assert one is not None and two is not None and np.array_equal(one, two)
        if config.block_count:
            # Tokens before a picture, its own, and some after it.
            hidden = generator.standard_normal((16, config.hidden)).astype(np.float32)
            count = config.block_count
            compare(Kind.middle, middle(0, count, (1, 0, 5), (2, 0, 3)), hidden[:8])
            compare(Kind.middle, middle(0, count, (1, 5, 7), (2, 3, 2), mutual=b"\1\0"), hidden[:9])
            compare(Kind.middle, middle(0, count, (1, 12, 4)), hidden[:4])
    with (
        torch_worker(model) as (own, _), swift_worker(model) as (other, _),
        Client(own, digest) as a, Client(other, digest) as b,
    ):  # fmt: skip
        # The encoder's sites are two matrices of integers each, whatever the decoder's are.
        exact = struct.pack("<HHIB", blocks.start, Site.output, NO_SLOT, 1)
        for client in (a, b):
            answer = client.ask(Kind.linear, exact, np.ones((1, encoder.attended), np.float32))
            assert failure(answer)[0] == 1
        for block, site in [*sites, *config.sites()]:
            owner, number = config.owner(block)
            x = generator.integers(0, 2**32, (3, owner.shape(site, number)[1]), np.uint32)
            fields = struct.pack("<HH", block, site)
            pads = fields + bytes(range(32)) + struct.pack("<II", 0xFFFFFFFF, 2)
            for kind, body, tensor in [(Kind.linearRing, fields, x), (Kind.padProducts, pads, None)]:
                one, two = (client.ask(kind, body, tensor).tensor for client in (a, b))
                assert one is not None and two is not None and np.array_equal(one, two), (block, site)


def test_requests_that_do_not_fit_the_encoder() -> None:
    model = FOLDER / "llava-published-names"
    checkpoint = Checkpoint(str(model))
    config = checkpoint.config
    assert config.tower is not None
    blocks, rows, hidden = config.tower_blocks, config.tower.rows, config.tower.encoder.hidden
    first, end = blocks.start, blocks.stop
    assert hidden != config.hidden
    slot = struct.pack("<HHIB", first, Site.queryKeyValue, 4, 0)
    requests = [
        (Kind.middle, middle(first - 1, end, (0, 0, rows)), rows, hidden),
        (Kind.middle, middle(0, end, (0, 0, rows)), rows, config.hidden),
        (Kind.middle, middle(first, end + 1, (0, 0, rows)), rows, hidden),
        (Kind.middle, middle(end, end + 1, (0, 0, rows)), rows, hidden),
        (Kind.middle, middle(first, end, (0, 0, rows + 1)), rows + 1, hidden),
        (Kind.middle, middle(first, end, (0, 1, rows)), rows, hidden),
        (Kind.middle, middle(first, end, (0, 0, rows)), rows, config.hidden),
        (Kind.middle, middle(first, end), rows, hidden),
        (Kind.middle, middle(first, end, (0, 0, 1)), rows, hidden),
        (Kind.middle, middle(first, end, *[(0, 0, 0xFFFFFFFF)] * 3), rows, hidden),
        (Kind.feedForward, struct.pack("<H", first), 1, hidden),
        (Kind.linear, slot, 1, hidden),
        (Kind.linear, struct.pack("<HHIB", end, Site.output, NO_SLOT, 0), 1, hidden),
        (Kind.linear, struct.pack("<HHIB", first, Site.expertDown, NO_SLOT, 0), 1, hidden),
        (Kind.attention, struct.pack("<HIIIIIBII", first, 1, NO_SLOT, 0, 1, 1, 0, 0, 3 * hidden), 1, 3 * hidden),
        (Kind.lockTail, struct.pack("<IH", 4, first), 1, hidden),
    ]  # fmt: skip
    with torch_worker(model, "f32") as (address, _), Client(address, checkpoint.digest()) as client:
        for kind, fields, count, channels in requests:
            answer = client.ask(kind, fields, np.ones((count, channels), np.float32))
            assert failure(answer)[0] == 1, (kind, fields)
        assert client.statistics()["slots"] == 0
    # Room for the keys and values of one picture, not of two.
    with (
        torch_worker(model, "f32", slot_bytes=8 * rows * hidden) as (address, _),
        Client(address, checkpoint.digest()) as client,
    ):
        for pictures, is_served in [(1, True), (2, False)]:
            fields = middle(first, end, *[(0, 0, rows)] * pictures)
            answer = client.ask(Kind.middle, fields, np.ones((pictures * rows, hidden), np.float32))
            assert answer.head.kind == Kind.middle if is_served else failure(answer)[0] == 2


QUANTIZED = {"quant_method": "bitsandbytes", "load_in_8bit": True}


@pytest.mark.parametrize(
    ("name", "part", "changes", "reason"),
    [
        ("llava", None, {"quantization_config": QUANTIZED}, "quantization_config in a model that takes pictures"),
        ("llava", "text_config", {"quantization_config": QUANTIZED}, "text_config.quantization_config in a model"),
        (
            "gemma3-pictures",
            "vision_config",
            {"quantization_config": {}},
            "vision_config.quantization_config in a model",
        ),
        ("vit", None, {"quantization_config": QUANTIZED}, "quantization_config in a model that takes pictures"),
        ("clip", None, {"quantization_config": QUANTIZED}, "quantization_config in a model that takes pictures"),
        ("llava", None, {"vision_feature_layer": [-2, -5]}, "several layers (vision_feature_layer)"),
        ("llava", None, {"vision_feature_layer": 4}, "'vision_feature_layer' is 4, and there are 3 blocks"),
        ("llava", None, {"vision_config": None}, "'vision_config' is missing"),
        ("llava", None, {"text_config": 3}, "'text_config' is not an object"),
        ("llava", None, {"image_token_index": 96}, "'image_token_index' is 96, and the vocabulary has 96"),
        ("llava", None, {"image_token_id": 7}, "'image_token_index' is 90, but image_token_id is 7"),
        ("llava", None, {"vision_feature_select_strategy": "odd"}, "vision_feature_select_strategy 'odd'"),
        ("llava", "text_config", {"model_type": "mixtral"}, "model_type 'mixtral'"),
        ("llava", "text_config", {"is_causal": False}, "a decoder that does not generate"),
        ("llava", "vision_config", {"model_type": "pixtral"}, "model_type 'pixtral'"),
        ("llava", "vision_config", {"secret_option": 3}, "'vision_config.secret_option' is not known here"),
        ("llava", "text_config", {"secret_option": 3}, "'text_config.secret_option' is not known here"),
        (
            "siglip",
            "vision_config",
            {"vision_use_head": False},
            "vision_use_head: false in a model that embeds pictures",
        ),
        ("gemma3-pictures", None, {"mm_tokens_per_image": 9}, "'mm_tokens_per_image' is 9, which is no square"),
        ("gemma3-pictures", None, {"mm_tokens_per_image": 16}, "'mm_tokens_per_image' is 16, more than the 8 tokens"),
        ("vit", None, {"patch_size": 17}, "'patch_size' is 17, larger than a picture (image_size 16)"),
        ("vit", None, {"image_size": 8192, "patch_size": 1}, "67108864 patches; at most 65536"),
        ("vit", None, {"image_size": 20}, "has shape [1, 17, 32] where [1, 26, 32] is expected"),
        ("llava", "vision_config", {"num_channels": 1}, "has shape [32, 3, 4, 4] where [32, 1, 4, 4] is expected"),
        ("vit", None, {"head_dim": 16}, "'head_dim' is 16, but 4 heads share 32 channels"),
        ("vit", None, {"num_key_value_heads": 2}, "num_key_value_heads in an encoder of pictures"),
        ("vit", None, {"architectures": ["ViTModel"]}, "architecture ViTModel is not supported"),
        ("vit", None, {"intermediate_size": 47}, "shape"),
        ("vit", None, {"num_hidden_layers": 4}, "has no tensor"),
    ],
)
def test_configurations(
    name: str, part: str | None, changes: dict[str, Any], reason: str, tmp_path: pathlib.Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(FOLDER / name, model)
    config = json.loads((model / "config.json").read_text())
    (config if part is None else config[part]).update(changes)
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"config\.json|model\.safetensors") as fault:
        Decoder(Checkpoint(str(model)), "f32", torch.device("cpu"))
    assert reason in str(fault.value) and "\n" not in str(fault.value)
    # The Swift worker refuses it as well.
    program = [swift("scx-worker"), "--model", str(model), "--listen", f"unix:{tmp_path}/w", "--weights", "f32"]
    assert subprocess.run(program, capture_output=True, check=False, timeout=PATIENCE).returncode != 0


CHATS = FIXTURES / "picture-chats"
# What prepares the pictures of models that have nothing of it in their directories.
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 16, "width": 16}, "resample": 2,
    "do_rescale": True, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
}  # fmt: skip


@pytest.mark.parametrize("name", TOWERS)
def test_what_pictures_show(name: str, tmp_path: pathlib.Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(FOLDER / name, model)
    (model / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    pictures = [str(CHATS / "llava" / file) for file in ("one.png", "two.png")]
    labels = "ForImageClassification" in (model / "config.json").read_text()
    asked = ["classify", *pictures] if labels else ["embed", *(f"--image={picture}" for picture in pictures)]

    def said(profile: str, *flags: str) -> list[str]:
        command = [swift("scx"), asked[0], "--model", str(model), "--profile", profile, "--threads", "1"]
        return run([*command, *flags, *asked[1:]]).splitlines()

    with torch_worker(model) as (address, server):
        assert said("sealed", "--worker", address) == said("fixed-point") != []
        # The blocks have four sites each.
        assert server._batcher.requests == 2 * 4 * 3
    with torch_worker(model, "f32") as (own, _), swift_worker(model, "f32") as (other, _):
        one, two = (said("plain", "--weights", "f32", "--worker", worker) for worker in (own, other))
    if labels:
        assert one == two
        return
    found, wanted = (torch.tensor([json.loads(line)["embedding"] for line in lines]) for lines in (one, two))
    assert error(found, wanted) < 1e-5


def question(name: str) -> list[str]:
    """A question about two pictures, as flags."""
    images = [f"--image={CHATS / name / file}" for file in ("one.png", "two.png")]
    return [*images, "--chat", "--prompt", "What is this?"]


@pytest.mark.parametrize("name", ["llava", "gemma3"])
def test_answers_about_pictures(name: str) -> None:
    model = CHATS / name
    with torch_worker(model) as (address, server):
        expected = generate(model, "fixed-point", [], *question(name))
        assert generate(model, "sealed", address, *question(name)) == expected
        assert server._batcher.requests > 2 * 4 * len(Checkpoint(str(model)).config.tower_blocks)
    for weights in ("f32", "int8"):
        with torch_worker(model, weights) as (own, _), swift_worker(model, weights) as (other, _):
            compare(model, "plain", own, other, *question(name), weights=weights)
    if name == "llava":
        # The fixture's own question has its pictures in places that the prompt of a terminal gives to llava alone.
        said = json.loads((model / "expected.json").read_text())
        with torch_worker(model, "f32") as (address, _):
            found = ask(model, "plain", address, *question(name), "--weights", "f32", tokens=24)
        assert (found["prompt_tokens"], found["tokens"]) == (said["tokens"], said["greedy"])


def test_shards_of_both_workers() -> None:
    model = CHATS / "gemma3"
    with (
        torch_worker(model, shard=(0, 2)) as (own, server),
        swift_worker(model, "int8", "--shard", "2/2") as (other, _),
    ):
        found = generate(model, "sealed", [own, other], *question("gemma3"), "--shard", "columns")
        assert found == generate(model, "fixed-point", [], *question("gemma3"))
        assert server._batcher.requests > 16


def test_two_processes(tmp_path: pathlib.Path) -> None:
    model, path = CHATS / "gemma3", tmp_path / "w"
    process = start(f"unix:{path}", "--weights", "int8", processes=2, model=model)
    try:
        wait_for_socket(path, process)
        expected = generate(model, "fixed-point", [], *question("gemma3"))
        assert generate(model, "sealed", f"unix:{path}", *question("gemma3")) == expected
        with torch_worker(model) as (alone, _):
            compare(model, "plain", f"unix:{path}", alone, *question("gemma3"))
    finally:
        stop(process)
