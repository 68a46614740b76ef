"""The plug-in of vLLM's API server (`vllm.endpoint_plugins`), which is handed the engine's client."""

import asyncio
import logging
import shutil
import tempfile
from argparse import Namespace
from typing import Any, Final

from scx_vllm.settings import Settings, SettingsError

_LOG: Final = logging.getLogger("vllm.scx")
_HOW: Final = "start vLLM with 'scx-vllm', or with '--worker-extension-cls scx_vllm.extension.Extension'"


class Endpoint:
    """Adds no route to the API server: it has the engine's worker processes serve the link."""

    name = "scx"
    required_tasks: tuple[str, ...] | None = ("generate",)

    def attach_router(self, app: Any) -> None:
        """Adds nothing: the link is no HTTP."""

    async def init_state(self, engine_client: Any, state: Any, args: Namespace) -> None:
        """Begins to serve the link, before vLLM serves its own port; raises when it cannot, which ends vLLM."""
        settings = Settings.of_environment()
        if (getattr(args, "api_server_count", None) or 1) > 1:
            raise SettingsError(
                "'--api-server-count' must be 1: one process of vLLM gives the engine its time for the link"
            )
        link = Link(engine_client, settings)
        await link.start()
        # What nobody refers to may be collected in the middle of its work.
        state.scx_link = link


class Link:
    """Gives the engine's worker processes time to compute for the link.

    The first worker process has the connections. `collective_rpc` puts the link's computing in the same queue as the
    engine's own steps, so the two are never at the same time in a process, and come in the same order in all of them.
    """

    def __init__(self, engine: Any, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._folder = ""
        self._woken = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Has all worker processes load what they need, and the first one listen."""
        prepared = await self._ask("scx_prepare", self._settings.as_values())
        await self._ask("scx_load", stages([(answer["stage"], answer["held"]) for answer in prepared]))
        self._folder = tempfile.mkdtemp(prefix="scx-vllm-")
        control = f"{self._folder}/control"
        self._control = await asyncio.start_unix_server(self._listen, control)
        try:
            await self._ask("scx_listen", control)
        finally:
            # Who has connected stays connected.
            shutil.rmtree(self._folder, ignore_errors=True)
        task = asyncio.get_running_loop().create_task(self._run())
        self._tasks.add(task)
        _LOG.info("The link of swift-scx is served at %s.", self._settings.address)

    async def _ask(self, method: str, argument: Any) -> list[dict[str, Any]]:
        """Calls a method in all worker processes; raises the first error that one of them answers."""
        try:
            answers: list[dict[str, Any]] = await self._engine.collective_rpc(method, args=(argument,))
        except Exception as error:
            if f"no attribute '{method}'" in str(error) or "not implemented" in str(error):
                raise SettingsError(f"vLLM's worker processes have no method '{method}': {_HOW}") from None
            raise
        for answer in answers:
            if "error" in answer:
                raise SettingsError(f"the link of swift-scx cannot be served: {answer['error']}")
        return answers

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Each byte says that requests wait."""
        while await reader.read(64):
            self._woken.set()
        writer.close()

    async def _run(self) -> None:
        seconds, patience = self._settings.slice / 1_000, self._settings.patience / 1_000
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                while (await self._engine.collective_rpc("scx_run", args=(seconds, patience)))[0]:
                    pass
            except Exception as error:
                _LOG.error("The link of swift-scx is not served any more: %s", error)
                return


def stages(answers: list[tuple[int, list[bool]]]) -> list[int]:
    """For each site the last stage of the pipeline whose processes hold it; raises when none does."""
    result: list[int] = []
    for site in range(len(answers[0][1])):
        holders = [stage for stage, held in answers if held[site]]
        if not holders:
            raise SettingsError(f"no process of vLLM has a module for site {site} of the model")
        result.append(max(holders))
    return result
