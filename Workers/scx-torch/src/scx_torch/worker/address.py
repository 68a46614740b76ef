"""Where a worker listens."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """`unix:PATH`, or `tcp://HOST:PORT`."""

    path: str | None = None
    host: str = ""
    port: int = 0

    @staticmethod
    def parse(text: str) -> "Address":
        """Raises a ValueError for anything else."""
        if text.startswith("unix:") and len(text) > 5:
            return Address(path=text[5:])
        host, colon, port = text.removeprefix("tcp://").rpartition(":")
        if not text.startswith("tcp://") or not colon or not port.isascii() or not port.isdigit():
            raise ValueError
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if not host or not 0 <= int(port) <= 65_535:
            raise ValueError
        return Address(host=host, port=int(port))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"
