"""Why an exchange or a connection failed."""

from enum import IntEnum


class Code(IntEnum):
    """The codes of docs/protocol.md, section Errors."""

    INVALID_REQUEST = 1
    WORKER_FULL = 2
    UNEXPECTED_ANSWER = 3
    MALFORMED_FRAME = 4
    INCOMPATIBLE = 5
    TIMED_OUT = 6
    DISCONNECTED = 7
    UNREACHABLE = 8


_TEXTS = {
    Code.INVALID_REQUEST: "the worker refused the request",
    Code.WORKER_FULL: "the worker is full",
    Code.UNEXPECTED_ANSWER: "the worker's answer does not fit the request",
    Code.MALFORMED_FRAME: "the peer sent a malformed frame",
    Code.INCOMPATIBLE: "the peer cannot be used",
    Code.TIMED_OUT: "the peer is silent",
    Code.DISCONNECTED: "the connection is gone",
    Code.UNREACHABLE: "no worker can be reached",
}


class LinkError(Exception):
    """An error of the link. Its reason has names and sizes, never values, and may be logged and sent."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(f"{_TEXTS[code]}: {reason}")
        self.code = code
        self.reason = reason


def invalid(reason: str) -> LinkError:
    """The request's numbers do not fit the model or the slot."""
    return LinkError(Code.INVALID_REQUEST, reason)


def full(reason: str) -> LinkError:
    """There is no memory or place left."""
    return LinkError(Code.WORKER_FULL, reason)


def malformed(reason: str) -> LinkError:
    """Bytes that are no frame, or a message that may not come now."""
    return LinkError(Code.MALFORMED_FRAME, reason)


def incompatible(reason: str) -> LinkError:
    """The other side has another version or model."""
    return LinkError(Code.INCOMPATIBLE, reason)


def timed_out(reason: str) -> LinkError:
    """The peer sent or took nothing for too long."""
    return LinkError(Code.TIMED_OUT, reason)


def disconnected(reason: str) -> LinkError:
    """The connection is gone."""
    return LinkError(Code.DISCONNECTED, reason)
