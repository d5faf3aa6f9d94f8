#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real model: the engine's logits and perplexity against transformers in fp32.

    check_model.py MODEL --build build/release --text TEXT [--context 512] [--windows 8]

Writes transformers' logits of one window for the test program (tenpak_test_model, RealModel.LogitsMatchTransformers, which
reads TENPAK_LOGITS_MODEL and TENPAK_LOGITS_EXPECTED), runs it, and compares `tenpak eval` on the same evenly spread windows.
Exits with 1 where logits differ by 1e-3 or perplexity by 0.1 %.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("model", type=Path)
    ap.add_argument("--build", type=Path, required=True)
    ap.add_argument("--text", type=Path, required=True)
    ap.add_argument("--context", type=int, default=512)
    ap.add_argument("--windows", type=int, default=8)
    args = ap.parse_args()
    torch.set_num_threads(2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = torch.tensor(tokenizer(args.text.read_text())["input_ids"])
    whole = len(tokens) // args.context
    starts = [i * whole // args.windows * args.context for i in range(args.windows)]
    nll = 0.0
    with torch.no_grad():
        for i, start in enumerate(starts):
            window = tokens[start:start + args.context]
            logits = model(window[None]).logits[0]
            nll += torch.nn.functional.cross_entropy(logits[:-1], window[1:], reduction="sum").double().item()
            if i == 0:
                first, first_logits = window[:128].to(torch.int32), logits[:128].clone()
    want = math.exp(nll / (len(starts) * (args.context - 1)))

    with tempfile.TemporaryDirectory() as tmp:
        path = Path(tmp) / "expected.safetensors"
        save_file({"tokens": first, "prefill": first_logits.contiguous()}, path)
        env = {**os.environ, "TENPAK_LOGITS_MODEL": str(args.model), "TENPAK_LOGITS_EXPECTED": str(path)}
        test = subprocess.run([args.build / "bin/tenpak_test_model", "--gtest_filter=RealModel.*"], env=env, capture_output=True, text=True)
        print("\n".join(line for line in test.stdout.splitlines() if "difference" in line or "FAILED" in line or "SKIPPED" in line))
    run = subprocess.run([args.build / "bin/tenpak", "eval", args.model, "--text", args.text, "--context", str(args.context), "--eval-samples", str(args.windows), "--json"],
                         capture_output=True, text=True, check=True)
    got = json.loads(run.stdout)["perplexity"]
    print(f"perplexity: transformers {want:.5f}, tenpak {got:.5f}, {100 * (got / want - 1):+.4f} %")
    return 0 if test.returncode == 0 and "SKIPPED" not in test.stdout and abs(got / want - 1) < 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
