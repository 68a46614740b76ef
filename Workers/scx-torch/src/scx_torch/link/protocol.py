"""The worker's half of the link, as a value that does no I/O: messages in, actions out."""

import struct
from dataclasses import dataclass, field

from scx_torch.link.errors import LinkError, incompatible, malformed
from scx_torch.link.fields import FieldReader, text_bytes
from scx_torch.link.frame import Head, Kind, Message, message
from scx_torch.link.requests import Request, read_request

VERSION = 4
USUAL_LARGEST_TENSOR = 256 << 20
_NAME_LIMIT = 128


@dataclass(frozen=True)
class Hello:
    """The first message of each side: what it is and what it can do."""

    digest: str
    weights: str = ""
    ring: bool = False
    window: int = 0
    shard: tuple[int, int] = (0, 1)
    largest_tensor: int = 0
    version: int = VERSION

    def fields(self) -> bytes:
        """The fields as they travel."""
        data = struct.pack("<H", self.version) + text_bytes(self.digest) + text_bytes(self.weights)
        data += struct.pack("<BHHH", self.ring, self.window, *self.shard)
        return data + (struct.pack("<Q", self.largest_tensor) if self.largest_tensor else b"")

    @staticmethod
    def read(data: bytes) -> "Hello":
        """Reads a hello; of one of another version only version, digest and weights."""
        fields = FieldReader(data)
        version, digest, weights = fields.u16(), fields.text(), fields.text()
        for text in (digest, weights):
            if len(text) > _NAME_LIMIT or not all(" " <= c <= "~" for c in text):
                raise malformed("a hello whose texts are no names")
        if version != VERSION:
            return Hello(digest, weights, version=version)
        ring, window, index, count = fields.take("BHHH")
        if ring > 1:
            raise malformed(f"a ring of {ring}")
        if index >= count:
            raise malformed(f"a hello of part {index} of {count}")
        return Hello(digest, weights, ring == 1, window, (index, count))


@dataclass
class WorkerProtocol:
    """The state of one connection: waiting, open or closed, and which requests are on their way."""

    hello: Hello
    largest_tensor: int
    _state: str = "waiting"
    _number: int = 0
    _computing: dict[int, Kind] = field(default_factory=dict)

    def begin(self, head: Head) -> None:
        """Checks by its head whether a message may come now, before memory is allocated for the rest of it."""
        expected = self._number + 1
        is_hello = head.kind == Kind.hello
        try:
            if head.is_answer or head.kind in (Kind.more, Kind.failure):
                raise malformed(f"'{head.kind.name}' is no request")
            if self._state != ("waiting" if is_hello else "open"):
                raise malformed(f"'{head.kind.name}' may not come now")
            if head.number != expected:
                raise malformed(f"request {head.number} where {expected} is next")
            if len(self._computing) >= self.hello.window:
                raise malformed(f"request {head.number} while {self.hello.window} are being computed")
            # No memory is allocated for a client that has not said hello.
            limit = 0 if is_hello else self.largest_tensor
            if head.tensor_bytes > limit:
                raise malformed(f"a tensor of {head.tensor_bytes} bytes, the limit is {limit}")
        except LinkError:
            # The failure gets the number that was expected, for whose answer the client waits.
            if self._state != "closed":
                self._number = expected
            self._state = "closed"
            raise

    def receive(self, received: Message) -> Message | tuple[Request, int]:
        """Processes a whole message that `begin` has allowed: the hello to send, or a request and its number."""
        before, self._state = self._state, "closed"
        self._number += 1
        if before != "waiting":
            request = read_request(received, self.largest_tensor)
            self._state = "open"
            self._computing[self._number] = received.head.kind
            return request, self._number
        hello = Hello.read(received.fields)
        if hello.version != VERSION:
            raise incompatible(f"it speaks version {hello.version} of the link, this worker {VERSION}")
        if hello.digest != self.hello.digest:
            raise incompatible(f"the worker serves another model (digest {self.hello.digest})")
        self._state = "open"
        return message(Kind.hello, self._number, self.hello.fields())

    def answered(self, number: int) -> Kind:
        """Counts a request as answered; returns its kind."""
        return self._computing.pop(number)

    def failure(self, error: LinkError) -> Message:
        """The message that tells the peer why the connection ends.

        A message that was not read whole may have no head; the failure then has the number that was next.
        """
        is_next = self._state != "closed"
        return failure(error, self._number + is_next)


def failure(error: LinkError, number: int) -> Message:
    """The answer to a request that could not be served."""
    return message(Kind.failure, number, struct.pack("<H", error.code) + text_bytes(error.reason))
