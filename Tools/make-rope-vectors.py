#!/usr/bin/env python3
"""Writes Tests/SCXInferenceTests/RotaryEmbeddingVectors.swift: what transformers computes for each form of rotary
embedding.

    python3 -m venv .venv && .venv/bin/pip install "transformers>=5,<6" torch numpy
    .venv/bin/python Tools/make-rope-vectors.py

Inverse frequencies, and cosines and sines at a few positions, are written as the bits of their float32 values.
"""

import pathlib
import subprocess

import numpy
import torch
import transformers
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

# name, the Swift parameters, head size, context, rope_parameters, positions of the pass
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 4096}
SWIFT_YARN = "yarn(.init(factor: 4, originalLength: 4_096%s))"
CASES = [
    ("default", 10000.0, 64, 2048, {"rope_type": "default"}, "none", [1, 2000]),
    ("default, base 500,000", 500000.0, 128, 8192, {"rope_type": "default"}, "none", [8000]),
    ("default, small head", 1000000.0, 20, 2048, {"rope_type": "default"}, "none", [5, 1999]),
    ("linear", 10000.0, 64, 4096, {"rope_type": "linear", "factor": 2.5}, "linear(factor: 2.5)", [4000]),
    ("partial linear", 10000.0, 80, 4096,
     {"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.4}, "linear(factor: 2)", [1, 4000]),
    ("dynamic within the trained length", 10000.0, 64, 2048, {"rope_type": "dynamic", "factor": 2.0},
     "dynamic(factor: 2, originalLength: 2_048)", [2047]),
    ("dynamic beyond it", 10000.0, 64, 2048, {"rope_type": "dynamic", "factor": 2.0},
     "dynamic(factor: 2, originalLength: 2_048)", [1, 2999]),
    ("dynamic, uneven factor", 10000.0, 48, 1000, {"rope_type": "dynamic", "factor": 3.7},
     "dynamic(factor: 3.7, originalLength: 1_000)", [17, 4096]),
    ("llama3", 500000.0, 64, 131072,
     {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192},
     "llama3(factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8_192)", [1, 2000]),
    ("llama3, other factors", 10000.0, 128, 65536,
     {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.5, "high_freq_factor": 3.3,
      "original_max_position_embeddings": 1024},
     "llama3(factor: 8, lowFrequencyFactor: 1.5, highFrequencyFactor: 3.3, originalLength: 1_024)", [5000]),
    ("yarn", 10000.0, 64, 16384, YARN, SWIFT_YARN % "", [1, 2000]),
    ("yarn, attention factor", 10000.0, 64, 16384, {**YARN, "attention_factor": 0.75},
     SWIFT_YARN % ", attentionFactor: 0.75", [3000]),
    ("yarn, mscale", 10000.0, 64, 16384, {**YARN, "mscale": 0.707, "mscale_all_dim": 1.3},
     SWIFT_YARN % ", mscale: 0.707, mscaleAllDimensions: 1.3", [3000]),
    ("yarn, mscale alone", 10000.0, 64, 16384, {**YARN, "mscale": 0.707}, SWIFT_YARN % ", mscale: 0.707", [3000]),
    ("yarn, not truncated", 10000.0, 64, 16384, {**YARN, "truncate": False}, SWIFT_YARN % ", truncate: false", [3000]),
    ("yarn, other betas", 1000000.0, 128, 16384, {**YARN, "beta_fast": 16.0, "beta_slow": 2.0},
     SWIFT_YARN % ", betaFast: 16, betaSlow: 2", [3000]),
]


def bits(values):
    return ", ".join(f"0x{b:08X}" for b in numpy.asarray(values, dtype=numpy.float32).reshape(-1).view(numpy.uint32))


def wrapped(name, values, more=True):
    words = bits(values).split(", ")
    lines = [", ".join(words[i : i + 7]) + "," for i in range(0, len(words), 7)]
    body = "\n".join("                " + line for line in lines)
    return f"            {name}: [\n{body}\n            ]" + ("," if more else "")


out = [
    "// Written by Tools/make-rope-vectors.py; do not edit.",
    "",
    "import SCXInference",
    "",
    "/// What transformers computes for one rotary embedding; floats by their bits.",
    "struct RopeVector: Sendable, CustomTestStringConvertible {",
    "    let testDescription: String",
    "    let parameters: RopeParameters",
    "    /// Positions of one forward pass.",
    "    let positions: [Int]",
    "    let inverseFrequencies: [UInt32]",
    "    /// `[positions, rotaryDimension / 2]`.",
    "    let cosines: [UInt32]",
    "    let sines: [UInt32]",
    "",
    "    static let all: [RopeVector] = [",
]
for name, base, head, context, rope, swift, positions in CASES:
    config = LlamaConfig(
        hidden_size=head * 4, num_attention_heads=4, head_dim=head, max_position_embeddings=context,
        rope_parameters={"rope_theta": base, **rope, **{"rope_theta": base}},
    )
    embedding = LlamaRotaryEmbedding(config)
    cos, sin = embedding(torch.zeros(1, dtype=torch.float32), torch.tensor([positions]))
    half = cos.shape[-1] // 2
    out += [
        "        RopeVector(",
        f'            testDescription: "{name}",',
        "            parameters: RopeParameters(",
        f"                base: {int(base):_}, rotaryDimension: {2 * half},",
        f"                scaling: .{swift}),",
        f"            positions: [{', '.join(f'{p:_}' for p in positions)}],",
        wrapped("inverseFrequencies", embedding.inv_freq),
        wrapped("cosines", cos[0, :, :half]),
        wrapped("sines", sin[0, :, :half], more=False).replace("            ]", "            ]),", 1),
    ]
out += ["    ]", "}", ""]
text = "\n".join(out)
text = text.replace("import SCXInference\n", "import SCXInference\nimport Testing\n")
path = pathlib.Path(__file__).parent.parent / "Tests/SCXInferenceTests/RotaryEmbeddingVectors.swift"
path.write_text(text)
subprocess.run(["swift", "format", "--in-place", path], check=True)
print(f"transformers {transformers.__version__}, torch {torch.__version__}: {len(CASES)} cases in {path.name}")
