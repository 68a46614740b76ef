"""vLLM in processes of its own, and what the tests ask of it."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

# Seconds after which a start or an answer is taken to have failed. No right run comes near it.
PATIENCE = 900.0


class Server:
    """A running vLLM with the link beside it."""

    def __init__(self, link: str, url: str, log: pathlib.Path) -> None:
        self.link = link
        self._url = url
        self.log = log

    def complete(self, prompt: list[int], tokens: int) -> dict[str, Any]:
        """An ordinary greedy completion by vLLM itself."""
        body = {
            "model": "m", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "logprobs": 1,
            "return_tokens_as_token_ids": True,
        }  # fmt: skip
        request = urllib.request.Request(
            f"{self._url}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def tokens(self, prompt: list[int], count: int) -> list[int]:
        """The tokens of such a completion."""
        found = self.complete(prompt, count)["choices"][0]["logprobs"]["tokens"]
        return [int(token.removeprefix("token_id:")) for token in found]


class Background:
    """Ordinary completions one after the other, for as long as something else is asked."""

    def __init__(self, server: Server, prompt: list[int], count: int) -> None:
        self._server, self._prompt, self._count = server, prompt, count
        self.answers: list[list[int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.answers.append(self._server.tokens(self._prompt, self._count))

    def __enter__(self) -> "Background":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def command(model: pathlib.Path, port: int, link: list[str], *flags: str) -> list[str]:
    """`scx-vllm` in this environment; nothing is compiled unless a flag says so."""
    compiling = [] if any(flag.startswith("-cc") for flag in flags) else ["--enforce-eager"]
    return [
        sys.executable, "-m", "scx_vllm.command", *link, "--", str(model), "--host", "127.0.0.1", "--port", str(port),
        "--served-model-name", "m", "--max-model-len", "256", "--max-num-seqs", "4", *compiling, *flags,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    """Small, without binding of threads to cores, and without asking anything of the network."""
    own = {
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_DISABLE_COMPILE_CACHE": "1",
    }  # fmt: skip
    return {**os.environ, **own}


@contextlib.contextmanager
def serve(model: pathlib.Path, *flags: str, link: list[str] | None = None) -> Iterator[Server]:
    """Starts vLLM with the link, and ends it with all of its processes."""
    with tempfile.TemporaryDirectory(prefix="scx-vllm-test-") as folder:
        port, log = _free_port(), pathlib.Path(folder, "log")
        listen = ["--listen", f"unix:{folder}/w"] if link is None else link
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(model, port, listen, *flags), env=environment(), stdout=output, stderr=output, start_new_session=True
            )  # fmt: skip
        server = Server(listen[1], f"http://127.0.0.1:{port}", log)
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", log)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: pathlib.Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        if process.poll() is not None:
            pytest.fail("vLLM ended:\n" + log.read_text()[-6_000:])
        if time.monotonic() > deadline:
            pytest.fail("vLLM did not start:\n" + log.read_text()[-6_000:])
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)


def refusal(model: pathlib.Path, *flags: str, link: list[str] | None = None) -> str:
    """What a start that must fail writes."""
    with tempfile.TemporaryDirectory(prefix="scx-vllm-test-") as folder:
        listen = ["--listen", f"unix:{folder}/w"] if link is None else link
        done = subprocess.run(
            command(model, _free_port(), listen, *flags), env=environment(), capture_output=True, text=True,
            check=False, timeout=PATIENCE,
        )  # fmt: skip
    assert done.returncode != 0
    return done.stdout + done.stderr
