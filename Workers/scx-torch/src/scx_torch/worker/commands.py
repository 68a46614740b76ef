"""What the first process of a team tells the others, as bytes that are checked like those of a peer.

Each command begins with its kind in one byte: 0 that the team ends; 1 the number u64 of a connection that has ended; 2 a
count u32 of jobs, each the number u64 of its connection, then its request's head, fields and tensor as they came.
"""

import struct
from typing import TypeAlias

import numpy as np

from scx_torch.link.errors import malformed
from scx_torch.link.fields import FieldReader
from scx_torch.link.frame import HEAD_BYTES, Array, Elements, Head, Message
from scx_torch.link.requests import read_request
from scx_torch.link.stream import bytes_of
from scx_torch.worker.batcher import Job

# None ends the team, a number is that of a connection that has ended.
Command: TypeAlias = list[Job] | int | None


def pack(command: Command) -> bytearray:
    """A command as bytes."""
    if command is None:
        return bytearray(b"\0")
    if isinstance(command, int):
        return bytearray(struct.pack("<BQ", 1, command))
    data = bytearray(struct.pack("<BI", 2, len(command)))
    for job in command:
        message = job.request.message
        data += struct.pack("<Q", job.connection) + message.head.pack() + message.fields
        data += bytes_of(message.tensor)
    return data


def parse(data: bytes, largest_tensor: int) -> Command:
    """Reads a command; raises a malformed frame for anything else."""
    fields = FieldReader(data)
    kind = fields.u8()
    command: Command = None
    if kind == 1:
        command = fields.take("Q")[0]
    elif kind == 2:
        command = [_job(fields, largest_tensor) for _ in range(fields.u32())]
    elif kind != 0:
        raise malformed(f"a command {kind} of the team")
    fields.finish()
    return command


def _job(fields: FieldReader, largest_tensor: int) -> Job:
    (connection,) = fields.take("Q")
    head = Head.parse(fields.take_bytes(HEAD_BYTES))
    message = Message(head, fields.take_bytes(head.field_bytes))
    if head.elements != Elements.none:
        is_float, shape = head.elements == Elements.float32, (head.rows, head.channels)
        tensor: Array = np.empty(shape, np.float32) if is_float else np.empty(shape, np.uint32)
        bytes_of(tensor)[:] = fields.take_bytes(head.tensor_bytes)
        message = Message(head, message.fields, tensor)
    return Job(connection, read_request(message, largest_tensor))
