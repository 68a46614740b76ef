"""Pads: the key stream of AES-256 in counter mode; docs/protocol.md, section Pads."""

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# Blocks that are encrypted at once.
_BLOCKS = 1 << 20


def expand(seed: bytes, first: int, rows: int, inputs: int) -> npt.NDArray[np.uint32]:
    """The pads of rows `first ..< first + rows`, `[rows, inputs]` words; row numbers do not wrap at 2³²."""
    per_row = -(-inputs // 4)
    pads = np.empty((rows, inputs), np.uint32)
    step = max(1, _BLOCKS // per_row)
    encryptor = Cipher(algorithms.AES(seed), modes.ECB()).encryptor()
    for start in range(0, rows, step):
        count = min(step, rows - start)
        counters = np.zeros((count, per_row, 2), ">u8")
        counters[:, :, 0] = (np.arange(count, dtype=np.uint64) + np.uint64(first + start))[:, None]
        # Four zero bytes, then the block's number in four bytes.
        counters[:, :, 1] = np.arange(per_row, dtype=np.uint64)[None, :]
        stream = np.frombuffer(encryptor.update(counters.tobytes()), "<u4").reshape(count, 4 * per_row)
        pads[start : start + count] = stream[:, :inputs]
    return pads
