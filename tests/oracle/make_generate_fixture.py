#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fixtures/engine/generate.json: greedy continuations of the sample model by transformers, fp32."""
import json
import pathlib

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
torch.set_num_threads(1)
folder = ROOT / "resources/sample/base"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
cases = []
# Long ones first of all: where two tokens are almost equally likely, rounding decides, and the case says nothing.
for prompt in ("In the beginning", "def f(x):", "And the LORD said unto", "The capital of", "import numpy as np\n", "Chapter 1", "She looked at him and", "for i in range(", "Thou shalt not", "a = [1, 2, 3]", "the children of Israel", "Once upon a time"):
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        out = model.generate(ids, do_sample=False, max_new_tokens=40, temperature=None, top_p=None, output_scores=True, return_dict_in_generate=True)
    new = out.sequences[0, ids.shape[1]:].tolist()
    ended = new and new[-1] == model.generation_config.eos_token_id
    margin = min((s[0].topk(2).values[0] - s[0].topk(2).values[1]).item() for s in out.scores)
    tokens = new[:-1] if ended else new
    if margin < 0.02:
        continue
    cases.append({"prompt": prompt, "tokens": tokens, "text": tokenizer.decode(tokens, skip_special_tokens=True), "finish_reason": "stop" if ended else "length", "smallest_margin": round(margin, 4)})
    print(prompt, "->", repr(cases[-1]["text"][:70]), margin)
(ROOT / "tests/fixtures/engine/generate.json").write_text(json.dumps(cases, indent=1) + "\n")
