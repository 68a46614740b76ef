"""What the tests share. None of them needs vLLM: with vLLM, Tools/check-vllm checks the whole."""

import os
import pathlib

import torch

FIXTURES = pathlib.Path(__file__).resolve().parents[3] / "Tests/Fixtures"

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
