#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fixtures/sampling/cases.json: logits, settings, and what transformers' logits processors keep of them."""
import json
import pathlib
import random

import torch
from transformers.generation import logits_process as lp

rng = random.Random(5)
vectors = [[round(rng.gauss(0, s), 3) for _ in range(n)] for n, s in ((20, 2.0), (300, 3.0), (50, 0.5))]
vectors.append([1.0, 1.0, 1.0, 0.5, 0.5, -2.0, -2.0, 0.0])  # equal ones
settings = [dict(), dict(temperature=0.7), dict(top_k=5), dict(top_k=3, temperature=2.0), dict(top_p=0.9), dict(top_p=0.3, temperature=0.8), dict(min_p=0.1), dict(min_p=0.05, top_p=0.95, top_k=40, temperature=1.3),
            dict(repetition_penalty=1.3), dict(repetition_penalty=1.8, temperature=0.5, top_p=0.8), dict(repetition_penalty=0.7, top_k=7), dict(top_p=0.001), dict(top_k=1)]
cases = []
for i, logits in enumerate(vectors):
    seen = [rng.randrange(len(logits)) for _ in range(6)]
    for s in settings:
        scores = torch.tensor([logits], dtype=torch.float64)
        ids = torch.tensor([seen])
        if "repetition_penalty" in s:
            scores = lp.RepetitionPenaltyLogitsProcessor(s["repetition_penalty"])(ids, scores)
        if "temperature" in s:
            scores = lp.TemperatureLogitsWarper(s["temperature"])(ids, scores)
        if "top_k" in s:
            scores = lp.TopKLogitsWarper(s["top_k"])(ids, scores)
        if "top_p" in s:
            scores = lp.TopPLogitsWarper(s["top_p"])(ids, scores)
        if "min_p" in s:
            scores = lp.MinPLogitsWarper(s["min_p"])(ids, scores)
        p = torch.softmax(scores, -1)[0]
        cases.append({"logits": i, "seen": seen, "settings": s, "kept": [[j, p[j].item()] for j in range(len(logits)) if p[j] > 0]})
out = pathlib.Path(__file__).resolve().parents[1] / "fixtures/sampling/cases.json"
out.write_text(json.dumps({"logits": vectors, "cases": cases}, separators=(",", ":")) + "\n")
