"""What the tests share. Only `test_vllm` needs vLLM; Tools/check-vllm runs it."""

import os
import pathlib

import torch

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = REPOSITORY / "Tests/Fixtures"
WARD = REPOSITORY / "Models/ward-3m"

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
