#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tests/fixtures/gguf/blocks.json: blocks of random bits in each number format, and what the gguf package makes of them.

    pip install numpy gguf && python3 tests/oracle/make_gguf_fixture.py
"""
import json
import pathlib

import gguf
import numpy as np

TYPES = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]
# Where a block has its fp16 numbers: random bits there could be NaN.
HALVES = {"F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}

rng = np.random.default_rng(5)
out = {}
for name in TYPES:
    kind = gguf.GGMLQuantizationType[name]
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = 2 if weights > 1 else 8
    raw = rng.integers(0, 256, (blocks, size), dtype=np.uint8)
    if name == "BF16":
        raw[:, 1] &= 0xBF
    for b in range(blocks):
        for at in HALVES.get(name, []):
            raw[b, at:at + 2] = np.frombuffer(np.float16(rng.normal() * 0.02).tobytes(), np.uint8)
    values = gguf.quants.dequantize(raw.reshape(1, -1), kind).reshape(-1).astype(np.float32)
    out[name] = {"blocks": raw.tobytes().hex(), "bits": values.view(np.uint32).tolist()}
path = pathlib.Path(__file__).parent.parent / "fixtures/gguf/blocks.json"
path.parent.mkdir(exist_ok=True)
path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
print(path, path.stat().st_size)
