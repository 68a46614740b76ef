"""The kernel for few rows without a GPU: run by Triton's interpreter, and compiled for GPUs. Skipped without Triton."""

import os
import pathlib
import sys

import pytest
from conftest import run

KNOWN = "3.9."

# The interpreter and the compiler of other versions are called in another way.
triton = pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(
    not triton.__version__.startswith(KNOWN), reason=f"Triton {triton.__version__}, this was written for {KNOWN}"
)

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "src"

INTERPRETED = """
import torch
from scx_torch.compute import ring, triton_ring
generator = torch.Generator().manual_seed(1)
for rows, inputs, outputs, limit in [(1, 64, 48, 1 << 17), (3, 530, 70, 1 << 17), (16, 300, 100, 1 << 17), (2, 1000, 40, 300)]:
    triton_ring.INPUT_LIMIT = limit
    x = torch.randint(-(2**31), 2**31, (rows, inputs), generator=generator).to(torch.int32)
    x[0, :5] = torch.tensor([-(2**31), 2**31 - 1, -1, 127, 128], dtype=torch.int32)
    w = torch.randint(-127, 128, (outputs, inputs), generator=generator).to(torch.int8)
    assert torch.equal(triton_ring.product(x, w), ring.product_of_doubles(x, w)), (rows, inputs, outputs)
assert ring.is_exact(triton_ring.product, "cpu")
print("equal")
"""


def test_the_kernel_in_the_interpreter(tmp_path: pathlib.Path) -> None:
    paths = os.pathsep.join([str(SOURCE), *sys.path])
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": paths, "TRITON_CACHE_DIR": str(tmp_path)}
    assert run([sys.executable, "-c", INTERPRETED], environment) == "equal\n"


@pytest.mark.parametrize("capability", [80, 89, 90, 100])
def test_the_kernel_compiles(capability: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from scx_torch.compute import triton_ring

    pointers = {"x": "*i32", "w": "*i8", "y": "*i32"}
    numbers = dict.fromkeys(["rows", "outputs", "inputs", "x_stride", "w_stride"], "i32")
    constants = {
        "BLOCK_O": triton_ring.BLOCK_OUTPUTS, "BLOCK_I": triton_ring.BLOCK_INPUTS, "ROWS": triton_ring.MOST_ROWS,
    }  # fmt: skip
    signature = pointers | numbers | dict.fromkeys(constants, "constexpr")
    source = ASTSource(triton_ring._ring_kernel, signature, constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    # Products of bytes, by the units for matrices.
    assert ".s32.s8.s8.s32" in compiled.asm["ptx"]
