#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads directories that `tenpak quantize` wrote with the library that owns the format, and compares.

    pip install torch transformers compressed-tensors
    python3 tests/oracle/check_compressed_tensors.py --tenpak build/release/bin/tenpak --base resources/sample/base \
        --text resources/sample/text/base.txt --candidates int8,int8_g128,rtn_g128,awq_g128,awq_g256,gptq_g128

For each candidate: quantize with tenpak; load with transformers + compressed-tensors in fp32; (1) every weight that the
library unpacks equals this file's own decoding of the packed words (see load() for the exception); (2) perplexity (windows of --context tokens, fed alone,
context - 1 predictions scored) equals `tenpak eval`'s of the same directory within --tolerance. Exit code 1 if not.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.quantization_config import CompressedTensorsConfig


def run(command):
    p = subprocess.run(command, capture_output=True, text=True)
    if p.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {p.returncode}\n{p.stderr}")
    return json.loads(p.stdout)


def decode(tensors, base):
    """The weight behind packed words, from the format's description alone (no library code)."""
    scale = tensors[base + ".weight_scale"].double()
    if base + ".weight" in tensors:  # int-quantized
        return tensors[base + ".weight"].double() * scale
    n, k = tensors[base + ".weight_shape"].tolist()
    words = tensors[base + ".weight_packed"].to(torch.int64) & 0xFFFFFFFF
    bits = 4 if words.shape[1] == (k * 4 + 31) // 32 else 8
    per = 32 // bits
    codes = torch.stack([(words >> (bits * j)) & (2**bits - 1) for j in range(per)], 2).reshape(n, -1)[:, :k] - 2 ** (bits - 1)
    groups = scale.shape[1]
    zero = torch.zeros(n, groups, dtype=torch.int64)
    if base + ".weight_zero_point" in tensors:
        z = tensors[base + ".weight_zero_point"].to(torch.int64) & 0xFFFFFFFF
        zero = torch.stack([(z >> (4 * j)) & 15 for j in range(8)], 1).reshape(-1, groups)[:n] - 8
    return (codes - zero.repeat_interleave(k // groups, 1)).double() * scale.repeat_interleave(k // groups, 1)


def load(path, dense):
    """`dense`: compressed-tensors 0.15 to 0.20 cannot keep packed zero points packed under transformers. Then the library
    multiplies codes and scales in bf16, so its weights may differ by half a unit in the last place: 2^-8 of the largest."""
    config = CompressedTensorsConfig(dequantize=True) if dense else None
    kwargs = {"quantization_config": config} if dense else {}
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, **kwargs).eval()


@torch.no_grad()
def perplexity(model, ids, context, windows):
    n = len(ids) // context
    ids = torch.tensor(ids[: n * context]).view(n, context)
    if windows and windows < n:
        ids = ids[[i * n // windows for i in range(windows)]]
    total = 0.0
    for batch in ids.split(8):
        logits = model(batch).logits[:, :-1].float()
        total += torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1), reduction="sum").double().item()
    return math.exp(total / (ids.shape[0] * (context - 1)))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--tenpak", required=True)
    a.add_argument("--base", required=True)
    a.add_argument("--text", required=True)
    a.add_argument("--candidates", default="int8,int8_g128,rtn_g128,awq_g128,awq_g256,gptq_g128")
    a.add_argument("--context", type=int, default=256)
    a.add_argument("--tolerance", type=float, default=1e-3, help="relative, of the perplexity")
    a.add_argument("--made", help="folder with one exported directory a candidate, instead of quantizing now")
    args = a.parse_args()
    torch.set_num_threads(2)
    bad = 0
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    ids = tokenizer.encode(pathlib.Path(args.text).read_text(), add_special_tokens=False)
    with tempfile.TemporaryDirectory() as temp:
        for name in args.candidates.split(","):
            path = pathlib.Path(args.made or temp) / name
            if not args.made:
                run([args.tenpak, "quantize", args.base, "--candidate", name, "-o", str(path), "--json", "--quiet"])
            tensors = {}
            for f in sorted(path.glob("*.safetensors")):
                tensors.update(load_file(f))
            dense = any(t.endswith(".weight_zero_point") for t in tensors)
            model = load(path, dense)
            theirs = perplexity(model, ids, args.context, 0)  # packed modules unpack at the first forward pass
            modules = dict(model.named_modules())
            seen = largest = 0
            for t in tensors:
                if t.endswith(".weight_scale"):
                    base = t[: -len(".weight_scale")]
                    weight = modules[base].weight.detach().double()
                    seen += 1
                    largest = max(largest, (weight - decode(tensors, base)).abs().max().item() / weight.abs().max().item())
            ours = run([args.tenpak, "eval", str(path), "--text", args.text, "--context", str(args.context), "--json", "--quiet"])["perplexity"]
            difference = ours / theirs - 1
            ok = seen > 0 and largest < (2**-8 if dense else 1e-6) and abs(difference) < args.tolerance
            bad += not ok
            print(f"{name:10s} {'dequantized at load' if dense else 'as it is':19s} {seen} linears, largest weight difference {largest:.1e}; perplexity transformers {theirs:.4f}, "
                  f"tenpak {ours:.4f} ({100 * difference:+.4f} %) {'ok' if ok else 'DIFFERENT'}", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
