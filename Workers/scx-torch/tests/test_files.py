"""Keys, recordings, flags and checkpoints of strangers: what is wrong is said in one line."""

import datetime
import importlib.util
import json
import os
import pathlib
import select
import shutil
import socket
import ssl
import struct
import sys

import pytest
from client import Client, failure, hello
from conftest import FIXTURES, PATIENCE, REPOSITORY, WARD, torch_worker
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from test_pools import start, stop

from scx_torch.link.frame import Kind
from scx_torch.link.stream import SocketStream
from scx_torch.link.tls import Identity, LinkErrorOfFile
from scx_torch.model.checkpoint import Checkpoint
from scx_torch.model.errors import ModelError
from scx_torch.worker.cli import parse

DIGEST = Checkpoint(str(WARD)).digest()


def certificate(folder: pathlib.Path, name: str, days: int = 1) -> pathlib.Path:
    """A key and a certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=2))
    made = builder.not_valid_after(now + datetime.timedelta(days=days)).sign(key, hashes.SHA256())
    side = folder / name
    side.mkdir()
    (side / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (side / "key.pem").write_bytes(private)
    (side / "key.pem").chmod(0o600)
    return side


def identity(side: pathlib.Path, *trusted: pathlib.Path) -> Identity:
    (side / "trusted.pem").write_bytes(b"".join((peer / "cert.pem").read_bytes() for peer in trusted))
    return Identity(*(str(side / name) for name in ("cert.pem", "key.pem", "trusted.pem")))


def tls_client(address: str, side: pathlib.Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> SocketStream:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(side / "cert.pem", side / "key.pem")
    host, port = address.removeprefix("tcp://").split(":")
    plain = socket.create_connection((host, int(port)))
    return SocketStream(context.wrap_socket(plain), address)


def test_tls_lets_in_whom_it_trusts(tmp_path: pathlib.Path) -> None:
    worker, friend, stranger, old = (
        certificate(tmp_path, name, days) for name, days in [("w", 1), ("f", 1), ("s", 1), ("o", -1)]
    )
    with torch_worker(WARD, identity=identity(worker, friend, old)) as (address, _):
        with Client(address, DIGEST, tls_client(address, friend)) as client:
            assert client.statistics()["connections"] == 1
        for peer in (stranger, old):
            with pytest.raises(Exception, match=r"(?i)alert|closed|reset|EOF"):
                Client(address, DIGEST, tls_client(address, peer))
        with pytest.raises((ssl.SSLError, OSError)):
            tls_client(address, friend, ssl.TLSVersion.TLSv1_2)
        with pytest.raises(Exception, match=r"(?i)closed|reset"):
            host, port = address.removeprefix("tcp://").split(":")
            plain = SocketStream(socket.create_connection((host, int(port))), address)
            Client(address, DIGEST, plain)
        with Client(address, DIGEST, tls_client(address, friend)) as client:
            assert client.statistics()["connections"] == 1


def test_of_too_many_handshakes_the_oldest_ends(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, friend = certificate(tmp_path, "w"), certificate(tmp_path, "f")
    monkeypatch.setattr("scx_torch.worker.listener._HANDSHAKES", 1)
    # None ends because it takes too long.
    monkeypatch.setattr("scx_torch.link.tls.HANDSHAKE_SECONDS", 10 * PATIENCE)
    with torch_worker(WARD, identity=identity(worker, friend)) as (address, _):
        host, port = address.removeprefix("tcp://").split(":")
        silent = [socket.create_connection((host, int(port))) for _ in range(2)]
        ended, _, _ = select.select(silent, [], [], PATIENCE)
        assert len(ended) == 1
        # The other one ends when another comes.
        with Client(address, DIGEST, tls_client(address, friend)) as client:
            assert client.statistics()["connections"] == 1
        (other,) = set(silent) - set(ended)
        assert select.select([other], [], [], PATIENCE)[0]
        for connection in silent:
            connection.close()


def test_key_files(tmp_path: pathlib.Path) -> None:
    a, b = certificate(tmp_path, "a"), certificate(tmp_path, "b")
    identity(a, b)
    (a / "key.pem").chmod(0)
    # Nothing is unreadable for root.
    if not os.access(a / "key.pem", os.R_OK):
        with pytest.raises(LinkErrorOfFile, match=r"key\.pem: cannot read it: Permission denied"):
            identity(a, b)
    (a / "key.pem").chmod(0o604)
    with pytest.raises(LinkErrorOfFile, match="everybody may read this private key; run: chmod 600"):
        identity(a, b)
    shutil.copy(b / "key.pem", a / "key.pem")
    with pytest.raises(LinkErrorOfFile, match=r"key\.pem: is not the private key of"):
        identity(a, b)
    with pytest.raises(LinkErrorOfFile, match=r"trusted\.pem: holds no certificate"):
        identity(b)


def test_recordings_are_transcripts(tmp_path: pathlib.Path) -> None:
    """They are read with Tools/scx_link.py, an implementation of its own."""
    spec = importlib.util.spec_from_file_location("scx_link", REPOSITORY / "Tools/scx_link.py")
    assert spec is not None and spec.loader is not None
    link = importlib.util.module_from_spec(spec)
    sys.modules["scx_link"] = link
    spec.loader.exec_module(link)
    import numpy as np

    folder = tmp_path / "record"
    for _ in range(2):
        # A worker that died in the middle of a line leaves one that is not whole.
        with torch_worker(WARD, record=str(folder)) as (address, _):
            with Client(address, DIGEST) as client:
                rows = np.ones((2, 192), np.uint32)
                client.ask(Kind.linearRing, struct.pack("<HH", 0, 1), rows)
                client.ask(Kind.padProducts, struct.pack("<HH32sII", 0, 2, bytes(range(32)), 5, 1))
                part = struct.pack("<IIIIBII", 3, 0, 1, 1, 0, 0, 384)
                client.ask(Kind.attention, struct.pack("<HI", 1, 1) + part, np.ones((1, 384), np.float32))
                client.ask(Kind.middle, struct.pack("<HHIIII", 0, 5, 1, 1, 0, 1), np.ones((1, 192), np.float32))
                client.ask(Kind.release, struct.pack("<I", 1))
                failure(client.ask(Kind.feedForward, struct.pack("<H", 99), np.ones((1, 192), np.float32)))
                client.statistics()
            with Client(address) as client:
                failure(client.ask(Kind.hello, hello("another")))
        with open(folder / "transcript.jsonl", "a") as lines:
            lines.write('{"microseconds":1,"dire')
    transcript = link.Transcript(folder)
    assert transcript.ends_early and len(transcript.starts) == 2
    messages = [transcript.read(entry) for entry in transcript.entries]
    assert len(messages) == 34
    pads = next(message for message in messages if message.kind == "padProducts")
    assert pads.fields == {"layer": 0, "site": "output", "seed": bytes(range(32)).hex(), "first": 5, "count": 1}
    assert messages[2].words() == [1] * 384 and messages[2].fields == {"layer": 0, "site": "queryKeyValue"}
    assert next(m for m in messages if m.kind == "middle").fields["segments"] == [[1, 0, 1]]
    attention = next(m for m in messages if m.kind == "attention")
    assert attention.fields["parts"][0]["precision"] == "float32" and attention.fields["parts"][0]["slot"] == 3
    # The frames of these messages can be made again.
    assert list(link.parse_messages(b"".join(message.frames() for message in messages))) == messages


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--listen", "tcp://0.0.0.0:1"], "needs '--tls-cert'"),
        (["--listen", "here"], "neither unix:PATH nor tcp"),
        (["--listen", "unix:w", "--weights", "bf16", "--shard", "1/2"], "'--shard' needs '--weights int8'"),
        (["--listen", "unix:w", "--shard", "3/2"], "no part such as 1/2"),
        (["--listen", "unix:w", "--max-tensor", "0"], "--max-tensor"),
        (["--listen", "unix:w", "--max-memory", "0"], "--max-memory"),
        (["--listen", "unix:w", "--device", "tpu"], "--device"),
    ],
)
def test_flags(flags: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--model", "m", *flags])
    assert reason in capsys.readouterr().err


def test_the_program_names_what_is_wrong(tmp_path: pathlib.Path) -> None:
    def error(model: pathlib.Path, address: str, *flags: str) -> str:
        process = start(address, *flags, model=model)
        try:
            process.wait(PATIENCE)
        finally:
            said = stop(process)
        return said

    (tmp_path / "w").write_text("no socket")
    assert "has no config.json" in error(tmp_path, f"unix:{tmp_path}/v")
    assert "there is a file that is no socket" in error(WARD, f"unix:{tmp_path}/w")
    if not __import__("torch").cuda.is_available():
        assert "'--device cuda' needs a GPU" in error(WARD, f"unix:{tmp_path}/v", "--device", "cuda")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate memory: you tried\nbacktrace")])
def test_a_model_that_finds_no_memory(
    error: Exception, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scx_torch.worker import start as module

    def fails(*_: object) -> object:
        raise error

    monkeypatch.setattr(module, "Decoder", fails)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    with pytest.raises(module.StartError, match=r"no memory for its weights in int8: [^\n]*$"):
        module.start(parse(["--model", str(WARD), "--listen", f"unix:{tmp_path}/w", "--threads", "1"]))


def copy_model(tmp_path: pathlib.Path, **changes: object) -> pathlib.Path:
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / "parity/llama-gqa2", folder)
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden_act": "tanh"}, "activation 'tanh'"),
        ({"num_attention_heads": 7}, "'num_attention_heads' is 7, no multiple of"),
        ({"num_hidden_layers": 0}, "'num_hidden_layers' is 0, which is not in 1…1024"),
        ({"rms_norm_eps": 1e-300}, "'rms_norm_eps' is 1e-300, which is not a sensible value"),
        ({"rms_norm_eps": True}, "'rms_norm_eps' is not a number"),
        ({"secret_option": 3}, "'secret_option' is not known here"),
        ({"architectures": ["MambaForCausalLM"]}, "MambaForCausalLM is not supported"),
        ({"rope_scaling": {"rope_type": "odd", "factor": 2}}, "rotation of type 'odd'"),
        ({"intermediate_size": 999}, "shape"),
        ({"quantization_config": {"quant_method": "magic"}}, "quantization by 'magic'"),
    ],
)
def test_configurations(changes: dict[str, object], reason: str, tmp_path: pathlib.Path) -> None:
    import torch

    from scx_torch.compute.decoder import Decoder

    with pytest.raises(ModelError, match=r"config\.json|model\.safetensors") as error:
        Decoder(Checkpoint(str(copy_model(tmp_path, **changes))), "f32", torch.device("cpu"))
    assert reason in str(error.value) and "\n" not in str(error.value)


def header(entries: dict[str, object], data: bytes) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "shorter than a header's length"),
        (struct.pack("<Q", 1 << 60), "claims a header of"),
        (struct.pack("<Q", 2) + b"[]", "not a JSON object"),
        (struct.pack("<Q", 1) + b"{", "no JSON"),
        (struct.pack("<Q", 400) + b"[" * 400, "no JSON"),
        (header({"a": {**ENTRY, "data_offsets": [0, 8]}}, bytes(8)), "do not fit F32"),
        (header({"a": {**ENTRY, "shape": [1 << 62, 1 << 62]}}, bytes(4)), "do not fit F32"),
        (header({"a": {**ENTRY, "data_offsets": [4, 8]}}, bytes(8)), "unused bytes before it"),
        (header({"a": ENTRY, "b": ENTRY}, bytes(4)), "overlaps another tensor"),
        (header({"a": ENTRY}, bytes(5)), "1 bytes after the last tensor"),
        (header({"a": {**ENTRY, "shape": [-1]}}, bytes(4)), "has no dtype, shape"),
    ],
)
def test_safetensors(data: bytes, reason: str, tmp_path: pathlib.Path) -> None:
    folder = copy_model(tmp_path)
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors") as error:
        Checkpoint(str(folder))
    assert reason in str(error.value)


def test_shards_stay_in_their_directory(tmp_path: pathlib.Path) -> None:
    folder = copy_model(tmp_path)
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    for name, reason in [("../x", "not a plain file name"), ("x", "the download is incomplete")]:
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(ModelError, match=reason):
            Checkpoint(str(folder))
