"""The endpoint with an engine in its place, whose worker processes are in this one."""

import argparse
import asyncio
import socket
from typing import Any

import pytest

from scx_vllm.endpoint import Endpoint, Link, stages
from scx_vllm.settings import VARIABLE, Settings, SettingsError

SETTINGS = Settings.parse(["--listen", "unix:/nowhere", "--slice", "20", "--patience", "2"])


class Engine:
    """Answers `collective_rpc` for two processes; `left` is how many times more there is something to do."""

    def __init__(self, error: str | None = None) -> None:
        self.error = error
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.left = 0
        self.control: socket.socket | None = None

    async def collective_rpc(self, method: str, args: tuple[Any, ...]) -> list[Any]:
        self.calls.append((method, args))
        match method:
            case "scx_prepare":
                answer = {"stage": 0, "held": [True, False]}
                return [answer, {"stage": 1, "held": [True, True]} if self.error is None else {"error": self.error}]
            case "scx_listen":
                self.control = socket.socket(socket.AF_UNIX)
                self.control.connect(args[0])
            case "scx_run":
                self.left -= 1
                return [self.left > 0, False]
        return [{}, {}]

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)


def test_time_is_given_while_something_waits() -> None:
    async def scenario() -> None:
        engine = Engine()
        link = Link(engine, SETTINGS)
        await link.start()
        assert [name for name, _ in engine.calls] == ["scx_prepare", "scx_load", "scx_listen"]
        assert engine.calls[1][1] == ([1, 1],)
        await asyncio.sleep(0.05)
        # Nothing has come, so the engine is left alone.
        assert engine.count("scx_run") == 0
        for expected in (3, 6):
            engine.left = 3
            assert engine.control is not None
            engine.control.send(b"\1")
            while engine.count("scx_run") < expected:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.02)
            assert engine.count("scx_run") == expected
        assert engine.calls[-1] == ("scx_run", (0.02, 0.002))
        engine.control.close()
        for task in link._tasks:
            task.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_an_error_of_one_process_ends_the_start() -> None:
    with pytest.raises(SettingsError, match="no memory for it"):
        asyncio.run(Link(Engine("no memory for it"), SETTINGS).start())


def test_a_missing_extension_is_named() -> None:
    class Without(Engine):
        async def collective_rpc(self, method: str, args: tuple[Any, ...]) -> list[Any]:
            raise RuntimeError(f"'CPUWorker' object has no attribute '{method}'")

    with pytest.raises(SettingsError, match="--worker-extension-cls"):
        asyncio.run(Link(Without(), SETTINGS).start())


def test_several_front_ends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "--listen unix:/nowhere")
    arguments = argparse.Namespace(api_server_count=2)
    with pytest.raises(SettingsError, match="--api-server-count"):
        asyncio.run(Endpoint().init_state(Engine(), argparse.Namespace(), arguments))


def test_stages() -> None:
    # A site that two stages hold, as a head that is the embedding, is the last one's.
    assert stages([(0, [True, False, True]), (1, [False, True, True])]) == [0, 1, 1]
    with pytest.raises(SettingsError, match="site 1"):
        stages([(0, [True, False])])
