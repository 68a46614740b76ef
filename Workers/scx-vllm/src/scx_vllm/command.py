"""The command `scx-vllm`: `vllm serve` with the link beside it."""

import argparse
import os
import shlex
import sys
from importlib.metadata import entry_points
from typing import Final

from scx_vllm import __version__
from scx_vllm.settings import VARIABLE, Settings, SettingsError, parser

NAME: Final = "scx"
EXTENSION: Final = "scx_vllm.extension.Extension"
_PLUGINS: Final = "VLLM_PLUGINS"
# Groups of plug-ins that vLLM loads where no list names those that it may load.
_USUAL_GROUPS: Final = (
    "vllm.general_plugins", "vllm.platform_plugins", "vllm.io_processor_plugins", "vllm.stat_logger_plugins",
)  # fmt: skip
_HELP: Final = """usage: scx-vllm FLAGS -- MODEL FLAGS-OF-VLLM-SERVE

Start 'vllm serve MODEL …', and answer the link of swift-scx on one more port from the weights that it has in memory.
The link's flags:
"""


def plugins(listed: str | None) -> str:
    """The value of VLLM_PLUGINS with this plug-in: vLLM loads plug-ins with routes only where they are named.

    A list leaves out all others, so where there was none, those that vLLM would load are named.
    """
    if listed is not None:
        names = listed.split(",")
    else:
        names = [point.name for group in _USUAL_GROUPS for point in entry_points(group=group)]
    return ",".join(dict.fromkeys([*(name for name in names if name), NAME]))


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The link's flags, and what follows `--`; raises SettingsError."""
    if "--" not in arguments:
        raise SettingsError("'--' must follow the link's flags, and after it the arguments of 'vllm serve'")
    place = arguments.index("--")
    own, others = arguments[:place], arguments[place + 1 :]
    if any(flag.split("=")[0] == "--worker-extension-cls" for flag in others):
        raise SettingsError("'--worker-extension-cls' cannot be another one: vLLM takes one class, which is the link's")
    Settings.parse(own)
    return own, others


def main() -> None:
    """Becomes `vllm serve`; errors are one line on standard error."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        formatter = argparse.HelpFormatter("scx-vllm")
        formatter.add_arguments(parser()._actions)
        print(_HELP + formatter.format_help())
        return
    if arguments[0] == "--version":
        print(__version__)
        return
    try:
        own, others = split(arguments)
    except SettingsError as error:
        sys.exit(f"scx-vllm: error: {error}")
    os.environ[VARIABLE] = shlex.join(own)
    os.environ[_PLUGINS] = plugins(os.environ.get(_PLUGINS))
    # The program of the same environment, which need not be on the path.
    beside = os.path.join(os.path.dirname(sys.executable), "vllm")
    program = beside if os.path.exists(beside) else "vllm"
    try:
        os.execvp(program, [program, "serve", *others, "--worker-extension-cls", EXTENSION])
    except OSError as error:
        sys.exit(f"scx-vllm: error: '{program}' cannot be started: {error.strerror}")


if __name__ == "__main__":
    main()
