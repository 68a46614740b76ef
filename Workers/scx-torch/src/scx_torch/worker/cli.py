"""The command `scx-torch-worker`."""

import argparse
import os
import sys

from scx_torch import __version__
from scx_torch.worker.address import Address


class Arguments(argparse.Namespace):
    """The flags; see `parser`."""

    model: str
    listen: Address
    tls_cert: str | None
    tls_key: str | None
    tls_ca: str | None
    weights: str
    device: str
    shard: tuple[int, int]
    threads: int | None
    record: str | None
    max_sessions: int
    max_memory: float | None
    max_tensor: int
    idle_timeout: int


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither unix:PATH nor tcp://HOST:PORT") from None


def _shard(text: str) -> tuple[int, int]:
    parts = text.split("/")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        index, count = int(parts[0]), int(parts[1])
        if 1 <= index <= count <= 65_535:
            return index - 1, count
    raise argparse.ArgumentTypeError(f"'{text}' is no part such as 1/2")


def parser() -> argparse.ArgumentParser:
    """The flags are those of `scx-worker`, and `--device`."""
    result = argparse.ArgumentParser(
        prog="scx-torch-worker", allow_abbrev=False,
        description="Compute for a trusted side on the rows that it sends. The worker holds a model's public weights; "
        "it never sees text, token ids or keys. It always sees how many rows come, and when.",
    )  # fmt: skip
    add = result.add_argument
    add("--model", required=True, metavar="DIR", help="Model directory as Hugging Face has it, or a GGUF file.")
    add("--listen", required=True, type=_address, metavar="ADDRESS",
        help="Where to listen: unix:PATH, or tcp://HOST:PORT with TLS.")  # fmt: skip
    add("--device", choices=["cpu", "cuda"], default="cpu", help="Where to compute. (default: cpu)")
    add("--tls-cert", metavar="FILE", help="This worker's certificate, PEM (scx keys new).")
    add("--tls-key", metavar="FILE", help="The private key to it, PEM, readable by its owner only.")
    add("--tls-ca", metavar="FILE", help="The certificates of those who may connect, PEM (scx keys trust).")
    add("--weights", choices=["f32", "bf16", "int8", "int4"], default="int8",
        help="Precision of the weights in memory; profile sealed needs int8. (default: int8)")  # fmt: skip
    add("--shard", type=_shard, default=(0, 1), metavar="I/N",
        help="Hold part I of N of every site's outputs, from 1/N on: for profile sealed over several workers.")  # fmt: skip
    add("--threads", type=int, help="Threads that compute on a CPU. (default: one for each core)")
    add("--record", metavar="DIR", help="Write everything that comes and goes to this directory.")
    add("--max-sessions", type=int, default=256, help="Sessions at once, over all connections. (default: 256)")
    add("--max-memory", type=float,
        help="GB of memory for the keys and values of all sessions. (default: half of the device's)")  # fmt: skip
    add("--max-tensor", type=int, default=256,
        help="MiB of the largest tensor of a request, which a client can make this worker allocate. (default: 256)")  # fmt: skip
    add("--idle-timeout", type=int, default=600,
        help="Seconds after which a connection that asks nothing is closed. (default: 600)")  # fmt: skip
    add("--version", action="version", version=__version__)
    return result


def parse(arguments: list[str] | None = None) -> Arguments:
    """Reads and checks the flags; what is wrong ends the process with one line that names the flag."""
    known = parser()
    options = known.parse_args(arguments, namespace=Arguments())
    if options.shard != (0, 1) and options.weights != "int8":
        known.error("'--shard' needs '--weights int8': shards serve profile sealed alone.")
    if options.listen.path is None and None in (options.tls_cert, options.tls_key, options.tls_ca):
        known.error(f"'--listen {options.listen}' needs '--tls-cert', '--tls-key' and '--tls-ca'.")
    if options.threads is not None and not 1 <= options.threads <= 1_024:
        known.error(f"'--threads {options.threads}' is not a number of threads (1 to 1024).")
    if not 1 <= options.max_tensor <= 2_048:
        known.error(f"'--max-tensor {options.max_tensor}' is not a number of MiB from 1 to 2048.")
    has_memory = options.max_memory is None or options.max_memory > 0
    if options.max_sessions <= 0 or options.idle_timeout <= 0 or not has_memory:
        known.error("'--max-sessions', '--max-memory' and '--idle-timeout' take positive numbers.")
    return options


def main() -> None:
    """Runs the worker; errors are one line on standard error."""
    options = parse()
    # Threads that wait for each other sleep. By default they spin, which on a machine that computes other things as well
    # makes small products many times slower. The libraries read this when they are loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # PyTorch takes seconds to load, and a wrong flag should be told at once.
    from scx_torch.worker.start import StartError, start

    try:
        start(options)
    except StartError as error:
        sys.exit(f"scx-torch-worker: error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
