"""GGUF files of strangers: parts, what is refused, and random changes; what is wrong is said in one line."""

import math
import pathlib
import random
import struct
import subprocess

import pytest
import torch
from conftest import swift
from test_gguf import BLOCKS, FOLDER, NAMES, blocks_of, file_of

from scx_torch.model.errors import ModelError
from scx_torch.model.gguf.model import GGUFModel
from scx_torch.model.gguf.names import expected_tensors
from scx_torch.model.opening import open_model


def test_parts() -> None:
    path, whole = str(FOLDER / "gguf-parts/llama-gqa2-00001-of-00003.gguf"), GGUFModel(str(file_of("llama-gqa2")))
    parts = GGUFModel(path)
    assert parts.digest() == whole.digest() != GGUFModel(str(file_of("rope-linear"))).digest()
    for name, shape in expected_tensors(whole.config).items():
        assert torch.equal(parts.vector(name, shape), whole.vector(name, shape))
    with pytest.raises(ModelError, match=r"part 2 of 3 as the model .* the first part"):
        GGUFModel(path.replace("-00001-", "-00002-"))


def test_parts_that_do_not_belong_together(tmp_path: pathlib.Path) -> None:
    parts = [(FOLDER / f"gguf-parts/llama-gqa2-0000{number}-of-00003.gguf").read_bytes() for number in (1, 2, 3)]

    def error(*data: bytes) -> str:
        for number, part in enumerate(data, 1):
            (tmp_path / f"m-0000{number}-of-00003.gguf").write_bytes(part)
        with pytest.raises(ModelError) as found:
            GGUFModel(str(tmp_path / "m-00001-of-00003.gguf"))
        return str(found.value)

    assert "m-00002-of-00003.gguf: cannot open it" in error(parts[0])
    assert "'split.no' does not fit the file's name" in error(parts[0], parts[2], parts[1])
    (tmp_path / "m.gguf").write_bytes(parts[0])
    with pytest.raises(ModelError, match=r"file's name does not end with '-00001-of-00003\.gguf'"):
        GGUFModel(str(tmp_path / "m.gguf"))


def test_what_is_taken_for_a_gguf_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "blob").write_bytes(file_of("llama-gqa2").read_bytes())
    assert isinstance(open_model(str(tmp_path / "blob")), GGUFModel)
    (tmp_path / "model.gguf").write_bytes(b"GGML")
    with pytest.raises(ModelError, match="does not begin with the four letters GGUF; download it again"):
        open_model(str(tmp_path / "model.gguf"))
    with pytest.raises(ModelError, match=r"has no config\.json: name model\.gguf itself as the model"):
        open_model(str(tmp_path))
    with pytest.raises(ModelError, match="cannot list it"):
        open_model(str(tmp_path / "absent.gguf"))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"llama.rope.freq_base", b"llama.rope.freq_bose", "'llama.rope.freq_bose' is not known here"),
        (b"llama.block_count", b"llama.clock_count", "'llama.block_count' is missing"),
        (b"blk.1.ffn_gate.weight", b"blk.1.ffn_late.weight", "tensor 'blk.1.ffn_late.weight' in a model of"),
        (b"general.architecture", b"general.orchitecture", "'general.architecture' is missing"),
        (b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0clipp", "architecture clipp is not supported"),
        (b"GGUF\3", b"GGUF\4", "version 4 of GGUF is not supported"),
        (b"llama.block_count\4\0\0\0", b"llama.block_count\7\0\0\0", "not a complete GGUF file"),
        (b"llama.block_count\4\0\0\0", b"llama.block_count\6\0\0\0", "'llama.block_count' is not an integer"),
        (b"llama.block_count\4\0\0\0\2", b"llama.block_count\4\0\0\0\0", "is 0, which is not in 1…1024"),
        (b"llama.block_count\4\0\0\0\2", b"llama.block_count\4\0\0\0\3", "has no tensor 'blk.2."),
        (b"output_norm.weight\1\0\0\0", b"output_norm.weight\5\0\0\0", "has 5 dimensions"),
        (b"output_norm.weight\1\0\0\0", b"output_norm.weight\2\0\0\0", "tensor 'output_norm.weight'"),
    ],
)  # fmt: skip
def test_refusals(old: bytes, new: bytes, reason: str, tmp_path: pathlib.Path) -> None:
    data = file_of("llama-gqa2").read_bytes()
    assert old in data and len(old) == len(new)
    (tmp_path / "model.gguf").write_bytes(data.replace(old, new, 1))
    with pytest.raises(ModelError, match=r"model\.gguf: ") as error:
        GGUFModel(str(tmp_path / "model.gguf"))
    assert reason in str(error.value) and "\n" not in str(error.value)


def header(tensors: int = 0, values: int = 0, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, values) + rest


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def tensor(name: str, sizes: list[int], form: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, form, offset)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "four letters"),
        (b"GGUF", "ends in the middle of the version"),
        (header(1 << 60), f"claims {1 << 60} tensors"),
        (header(0, 1, struct.pack("<Q", 1 << 63)), "ends in the middle of a key"),
        (header(0, 1, text("a") + struct.pack("<I", 13)), "of the unknown kind 13"),
        (header(0, 1, text("a") + struct.pack("<IIQ", 9, 9, 1)), "an array of arrays"),
        (header(0, 1, text("a") + struct.pack("<IIQ", 9, 8, 1 << 62)), "ends in the middle of the value of 'a'"),
        (header(0, 1, text("a") + struct.pack("<IIQ", 9, 12, 1 << 61)), "ends in the middle of the value of 'a'"),
        (header(0, 1, text("a") + struct.pack("<IIQQQ", 9, 8, 2, 1 << 63, 0)), "ends in the middle of the value of 'a'"),
        (header(0, 2, 2 * (text("a") + struct.pack("<IB", 0, 1))), "the key 'a' is there twice"),
        (header(0, 1, text("general.alignment") + struct.pack("<II", 4, 24)), "is no power of two up to 65536"),
        (header(1, 0, tensor("t", [])), "has 0 dimensions"),
        (header(1, 0, tensor("t", [0])), "has a dimension of 0"),
        (header(1, 0, tensor("t", [1 << 40] * 4)), "ends behind the end of the file"),
        (header(1, 0, tensor("t", [32], 16)), "tensor 't' in format IQ2_XXS is not supported; supported: F32, F16, Q4_0"),
        (header(1, 0, tensor("t", [32], 77)), "in format number 77"),
        (header(1, 0, tensor("t", [48], 2)), "has rows of 48 numbers, no whole blocks of Q4_0"),
        (header(1, 0, tensor("t", [8], 0, 7)), "starts at byte 7, no multiple of 32"),
        (header(1, 0, tensor("t", [8], 0, 1 << 63)), "ends behind the end of the file"),
        (header(2, 0, tensor("t", [16]) + tensor("u", [16], 0, 32)) + bytes(200), "tensor 'u': overlaps another tensor"),
        (header(2, 0, tensor("t", [8]) + tensor("t", [8], 0, 32)) + bytes(200), "tensor 't': is listed twice"),
        (header(0, 1, text("general.architecture") + struct.pack("<IB", 0, 1)), "'general.architecture' is not a string"),
    ],
    ids=range(22),
)  # fmt: skip
def test_headers(data: bytes, reason: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "model.gguf").write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.gguf: ") as error:
        GGUFModel(str(tmp_path / "model.gguf"))
    assert reason in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_ends_early(tmp_path: pathlib.Path) -> None:
    data = file_of("llama-gqa2").read_bytes()
    for count in [*range(0, 3_000, 7), len(data) - 33, len(data) - 1]:
        path = tmp_path / f"{count}.gguf"
        path.write_bytes(data[:count])
        with pytest.raises(ModelError):
            GGUFModel(str(path))


WORDS = [
    b"GGUF", b"general.architecture", b"llama.block_count", b"split.count", bytes(8), b"\xff" * 8, b"\1" + bytes(7),
    b"\x7f" * 8, struct.pack("<IIQ", 9, 8, 1 << 20), struct.pack("<Q", 1 << 32),
]  # fmt: skip


@pytest.mark.parametrize("name", ["granite", "deepseek-v2", "small"])
def test_random_changes(name: str, tmp_path: pathlib.Path) -> None:
    """Whatever is changed, a file is read or refused in one line, and what is read has numbers for each tensor."""
    path = blocks_of(name) if name in BLOCKS else file_of(name)
    generator, seed = random.Random(1), path.read_bytes()
    # Most changes are where the metadata and the list of tensors are.
    end = min(entry.start for _, entry in GGUFModel(str(path))._tensors.values())
    refused = 0
    for number in range(150):
        data = bytearray(seed)
        for _ in range(generator.randint(1, 3)):
            at = generator.randrange(end if generator.random() < 0.9 else len(data))
            match generator.randrange(4):
                case 0:
                    data[at] ^= 1 << generator.randrange(8)
                case 1:
                    data[at] = generator.randrange(256)
                case 2:
                    word = generator.choice(WORDS)
                    data[at : at + len(word)] = word
                case _:
                    del data[at : at + generator.randint(1, 40)]
        # Each gets a new file, since one that is still mapped must not become shorter.
        changed = tmp_path / f"{number}.gguf"
        changed.write_bytes(data)
        try:
            model = GGUFModel(str(changed))
        except ModelError as error:
            assert "\n" not in str(error) and len(str(error)) < 1_000
            refused += 1
            continue
        assert len(model.digest()) == 32
        for found, shape in expected_tensors(model.config).items():
            assert model.vector(found, shape).shape == shape
    assert 50 < refused < 150


# Values that may be added to those of any architecture.
ADDED = [
    "attention.sliding_window", "attention.key_length", "attention.causal", "attention.scale", "vocab_size",
    "attention.sliding_window_pattern", "expert_count", "expert_weights_norm", "rope.scale_linear",
    "rope.scaling.attn_factor",
]  # fmt: skip


def changed_values(path: pathlib.Path, generator: random.Random) -> bytes:
    """A file one of whose values about the model is left out or replaced, and to which perhaps one is added."""
    model, data = GGUFModel(str(path)), path.read_bytes()
    file, architecture = model._first, model._architecture
    own, start = [], 24
    for key, value in file.values.items():
        if key.startswith(architecture + "."):
            own.append((start, value))
        start = value.end
    start, value = generator.choice(own)
    kept, count = b"", len(file.values) - 1
    if generator.random() < 0.5 and value.end - value.start == 4:
        kinds = {6: lambda: struct.pack("<f", generator.choice([-1, 0, 0.5, 1, 1.5, 8, 1e30, math.nan]))}
        number = kinds.get(value.kind, lambda: struct.pack("<I", generator.choice([0, 1, 2, 3, 4, 8, 64, 1 << 31])))()
        kept, count = data[start : value.start] + number, count + 1
    if generator.random() < 0.3:
        form, kind, values = generator.choice([("<I", 4, [0, 1, 2, 8]), ("<f", 6, [0.0, 1.0, 0.5]), ("<B", 7, [0, 1])])
        added = text(f"{architecture}.{generator.choice(ADDED)}")
        kept, count = added + struct.pack("<I", kind) + struct.pack(form, generator.choice(values)) + kept, count + 1
    head = data[:16] + struct.pack("<Q", count) + kept + data[24:start] + data[value.end : file._at]
    first = min(entry.start for entry in file.entries.values())
    return head + bytes(-len(head) % 32) + data[first:]


def test_the_swift_reader_says_the_same(tmp_path: pathlib.Path) -> None:
    generator, read = random.Random(3), 0
    for number in range(60):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(changed_values(file_of(generator.choice(NAMES)), generator))
        check = subprocess.run(
            [swift("scx"), "models", "check", str(path)], capture_output=True, text=True, check=False
        )  # fmt: skip
        try:
            digest = GGUFModel(str(path)).digest()
        except ModelError as error:
            assert check.returncode != 0, (error, check.stdout)
        else:
            assert check.returncode == 0 and digest in check.stdout, check.stderr
            read += 1
    assert 5 < read < 55
