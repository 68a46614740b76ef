"""What the provider sets: flags, which reach vLLM's processes in one environment variable."""

import argparse
import os
import shlex
from dataclasses import asdict, dataclass
from typing import Any, Final, NoReturn

from scx_torch.worker.address import Address

VARIABLE: Final = "SCX_VLLM"


class SettingsError(Exception):
    """What is wrong with the settings, in one line."""


@dataclass(frozen=True)
class Settings:
    """Plain values, so that they can travel by vLLM's own calls to its worker processes."""

    listen: str
    model: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_ca: str | None = None
    sealed: bool = True
    max_sessions: int = 256
    # GB of keys and values of all sessions, in the memory of each worker process's device.
    max_memory: float = 1.0
    max_tensor: int = 256
    idle_timeout: int = 600
    # Milliseconds for which the engine computes for the link before it goes back to its own requests.
    slice: int = 50
    # Milliseconds of that for which it waits for the link's next request.
    patience: float = 3.0

    def as_values(self) -> dict[str, Any]:
        """The settings as a dictionary, from which `Settings(**values)` makes them again."""
        return asdict(self)

    @property
    def address(self) -> Address:
        """Where to listen."""
        return Address.parse(self.listen)

    @staticmethod
    def parse(flags: list[str]) -> "Settings":
        """Reads flags; raises SettingsError, which names the flag."""
        options = parser().parse_args(flags)
        settings = Settings(**vars(options))
        _check(settings)
        return settings

    @staticmethod
    def of_environment() -> "Settings":
        """Reads the flags in the environment variable; raises SettingsError."""
        if VARIABLE not in os.environ:
            raise SettingsError(f"{VARIABLE} is not set: it has the flags of the link, as '--listen unix:PATH'")
        try:
            flags = shlex.split(os.environ[VARIABLE])
        except ValueError as error:
            raise SettingsError(f"{VARIABLE} is not a list of flags: {error}") from None
        return Settings.parse(flags)


class _Parser(argparse.ArgumentParser):
    """A parser that does not end the process, which is vLLM's."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def parser() -> argparse.ArgumentParser:
    """The flags, which are named as those of `scx-worker`."""
    result = _Parser(
        prog="scx-vllm", allow_abbrev=False, add_help=False, argument_default=argparse.SUPPRESS, usage=argparse.SUPPRESS
    )
    add = result.add_argument
    add("--listen", required=True, metavar="ADDRESS",
        help="Where to listen for the link: unix:PATH, or tcp://HOST:PORT with TLS.")  # fmt: skip
    add("--tls-cert", metavar="FILE", help="This worker's certificate, PEM (scx keys new).")
    add("--tls-key", metavar="FILE", help="The private key to it, PEM, readable by its owner only.")
    add("--tls-ca", metavar="FILE", help="The certificates of those who may connect, PEM (scx keys trust).")
    add("--model", metavar="DIR", help="The model's directory. (default: the one that vLLM serves)")
    add("--no-sealed", dest="sealed", action="store_false",
        help="Keep no int8 copies of the weights; profile sealed needs them.")  # fmt: skip
    add("--max-sessions", type=int, help="Sessions at once, over all connections. (default: 256)")
    add("--max-memory", type=float,
        help="GB of memory for the keys and values of all sessions, in each worker process. (default: 1)")  # fmt: skip
    add("--max-tensor", type=int, help="MiB of the largest tensor of a request. (default: 256)")
    add("--idle-timeout", type=int, help="Seconds after which a connection that asks nothing is closed. (default: 600)")
    add("--slice", type=int,
        help="Milliseconds for which the engine computes for the link before its own requests go on. (default: 50)")  # fmt: skip
    add("--patience", type=float,
        help="Milliseconds of a slice for which the engine waits for the link's next request. (default: 3)")  # fmt: skip
    return result


def _check(settings: Settings) -> None:
    try:
        address = settings.address
    except ValueError:
        raise SettingsError(f"'--listen {settings.listen}' is neither unix:PATH nor tcp://HOST:PORT") from None
    if address.path is None and None in (settings.tls_cert, settings.tls_key, settings.tls_ca):
        raise SettingsError(f"'--listen {address}' needs '--tls-cert', '--tls-key' and '--tls-ca'")
    if not 1 <= settings.max_tensor <= 2_048:
        raise SettingsError(f"'--max-tensor {settings.max_tensor}' is not a number of MiB from 1 to 2048")
    if not 1 <= settings.slice <= 10_000 or not 0 <= settings.patience <= settings.slice:
        raise SettingsError("'--slice' takes 1 to 10000 milliseconds, '--patience' no more than that")
    if settings.max_sessions <= 0 or settings.idle_timeout <= 0 or not 0 < settings.max_memory < 1e6:
        raise SettingsError("'--max-sessions', '--max-memory' and '--idle-timeout' take positive numbers")
