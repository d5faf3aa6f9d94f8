#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every export of `tenpak quantize`, loaded by the library that owns its layout.

    pip install torch transformers accelerate compressed-tensors optimum gptqmodel bitsandbytes
    python3 tests/oracle/check_layouts.py --build build/release --base resources/sample/base --text resources/sample/text/base.txt

For each candidate and layout: (1) the files are decoded by layout_decoders.py, which knows the layouts' descriptions alone;
(2) transformers loads the directory with the owning library, and each module's effective weight (its answer to the unit vectors)
is compared with the decoding; (3) the library's logits and (4) tenpak's own, run from the packed weights, are compared with those
of a dense fp32 model that has the decoded weights (and, for W8A8, rounds what its linears see as the candidate does). Exit code 1 where a difference is above the arithmetic's error: 16-bit kernels
of bitsandbytes, and activations that W8A8 rounds, have a tolerance of their own.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.quantization_config import CompressedTensorsConfig

import layout_decoders

DEFAULT = ("int8:compressed-tensors,int8_g128:compressed-tensors,rtn_g128:compressed-tensors,fp8:compressed-tensors,rtn_g128:awq,rtn_g128:gptq,rtn_g128:gptq_v2,"
           "int8_g128:gptq,nf4:bitsandbytes,llm_int8:bitsandbytes,int8:bitsandbytes,rtn_g128:bf16")
SIXTEEN_BIT = 0.02  # of the largest logit, behind layers in bf16: a few units in the last of 8 bits
ROUNDED = 0.1       # the same behind layers whose inputs were rounded to 8 bits: what lies near a middle may fall to either side
RMS = 0.1           # enough for those two: deep models with large activations (SmolLM2) multiply single differences


def run(command, **kwargs):
    p = subprocess.run(command, capture_output=True, text=True, **kwargs)
    if p.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


def load(path, zero_points):
    kwargs = {}
    if zero_points:  # compressed-tensors to 0.20 sizes packed zero points wrongly when transformers prepares the model
        kwargs["quantization_config"] = CompressedTensorsConfig(dequantize=True)
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, device_map="cpu", **kwargs).eval()


@torch.no_grad()
def logits_of(model, ids):
    return model(ids[None]).logits[0].float()


@torch.no_grad()
def effective_weight(module, k, dtype):
    """W of y = W x: what the module answers to each unit vector, 256 at a time."""
    parts = []
    for begin in range(0, k, 256):
        x = torch.zeros(min(256, k - begin), k, dtype=dtype)
        x[torch.arange(x.shape[0]), torch.arange(begin, begin + x.shape[0])] = 1
        y = module(x).float()
        parts.append(y - (module.bias.float() if getattr(module, "bias", None) is not None else 0))
    return torch.cat(parts).T.double().numpy()


def rounded(candidate, x):
    """Activations as W8A8 kernels see them: a scale a token; LLM.int8 leaves columns alone that hold a value of 6 or more."""
    if candidate == "fp8":
        scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 448
        return (x / scale).to(torch.float8_e4m3fn).float() * scale
    outlier = (x.abs() >= 6).reshape(-1, x.shape[-1]).any(0) if candidate == "llm_int8" else torch.zeros(x.shape[-1], dtype=torch.bool)
    inner = x.masked_fill(outlier, 0)
    scale = inner.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127
    return torch.where(outlier, x, (inner / scale).round() * scale)


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--build", type=pathlib.Path, required=True)
    a.add_argument("--base", type=pathlib.Path, required=True)
    a.add_argument("--text", type=pathlib.Path, required=True)
    a.add_argument("--exports", default=DEFAULT, help="candidate:layout,…")
    a.add_argument("--calibration", help="text for candidates that need one")
    a.add_argument("--tokens", type=int, default=64)
    a.add_argument("--every", type=int, default=1, help="compare the weights of every so many modules only (the logits are of all)")
    a.add_argument("--made", help="folder that keeps the exports, and whose exports are used as they are")
    args = a.parse_args()
    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    ids = torch.tensor(tokenizer.encode(args.text.read_text()[:20000], add_special_tokens=False)[: args.tokens])
    bad = 0
    with tempfile.TemporaryDirectory() as temp:
        for export in args.exports.split(","):
            candidate, layout = export.split(":")
            path = pathlib.Path(args.made or temp) / f"{candidate}-{layout}"
            if not path.exists():
                calibration = ["--calibration", args.calibration] if args.calibration else []
                run([args.build / "bin/tenpak", "quantize", args.base, "-c", candidate, "--layout", layout, "-o", path, "--json", "--quiet", *calibration])
            config = json.loads((path / "config.json").read_text())
            tensors = {}
            for f in sorted(path.glob("*.safetensors")):
                tensors.update(layout_decoders.read_safetensors(f))
            weights = {} if layout == "bf16" else layout_decoders.modules(tensors, config)

            # A dense fp32 model with what the files stand for; all other tensors are the export's own (AWQ folds scales into norms).
            dense = AutoModelForCausalLM.from_pretrained(args.base, dtype=torch.float32, device_map="cpu").eval()
            with torch.no_grad():
                state = dense.state_dict()
                for name, value in tensors.items():
                    if name in state and name.removesuffix(".weight") not in weights:
                        state[name].copy_(torch.from_numpy(value.astype(np.float32)))
                for module, w in weights.items():
                    state[module + ".weight"].copy_(torch.from_numpy(w.astype(np.float32)))
            w8a8 = candidate in ("int8", "llm_int8", "fp8")
            if w8a8:
                for module in weights:
                    dense.get_submodule(module).register_forward_pre_hook(lambda _, x: (rounded(candidate, x[0]),))
            reference = logits_of(dense, ids)
            # What arithmetic in 16 bit alone changes, where the library has no other.
            sixteen = (logits_of(dense.bfloat16(), ids) - reference).abs().max().item() if layout == "bitsandbytes" and not w8a8 else 0
            del dense

            largest, library, rms, kind = 0.0, 0.0, 0.0, "Linear"
            if any(t.endswith(".weight_g_idx") for t in tensors):
                kind = "(decoder alone)"  # compressed-tensors 0.20 has removed actorder "group"
                modules, checked = {}, []
            else:
                model = load(path, any(t.endswith(".weight_zero_point") for t in tensors))
                difference = logits_of(model, ids) - reference
                library, rms = difference.abs().max().item(), (difference.pow(2).mean().sqrt() / reference.pow(2).mean().sqrt()).item()
                modules, checked = dict(model.named_modules()), list(weights.items())[:: args.every]
                del model
            for module, w in checked:
                m = modules[module]
                kind = type(m).__name__
                dtype = torch.bfloat16 if layout == "bitsandbytes" else torch.float32
                largest = max(largest, np.abs(effective_weight(m, w.shape[1], dtype) - w).max() / np.abs(w).max())
            del modules

            # Kernels: bitsandbytes and compressed-tensors' decompression of zero points compute in 16 bit, GPTQModel dequantizes to
            # fp16; W8A8 modules of both libraries round their inputs, so their answers to unit vectors are off by half a step of 127.
            bf16 = layout == "bitsandbytes" or (layout == "compressed-tensors" and any(t.endswith(".weight_zero_point") for t in tensors))
            # In units of the largest logit, for models of any depth.
            unit = reference.abs().max().item()
            weight_tolerance, library_tolerance = 1e-6, 1e-4 * unit
            if layout in ("awq", "gptq", "gptq_v2"):
                weight_tolerance, library_tolerance = 2**-11, 1e-3 * unit
            if bf16 or w8a8:
                weight_tolerance, library_tolerance = 2**-7, max((ROUNDED if w8a8 else SIXTEEN_BIT) * unit, 1.5 * sixteen)
            own_tolerance = ROUNDED * unit if w8a8 else 1e-3 * unit
            expected = path.parent / "expected.safetensors"
            save_file({"tokens": ids.to(torch.int32), "logits": reference.contiguous()}, expected)
            env = {**os.environ, "TENPAK_LOGITS_MODEL": str(path), "TENPAK_LOGITS_EXPECTED": str(expected), "TENPAK_LOGITS_TOLERANCE": str(own_tolerance)}
            test = subprocess.run([args.build / "bin/tenpak_test_quant", "--gtest_filter=CheckpointLogits.*"], env=env, capture_output=True, text=True)
            line = next((x for x in test.stdout.splitlines() if x.startswith("logits:")), "no logits: " + test.stdout[-300:])
            own = float(line.split()[3]) if line.startswith("logits:") else float("inf")
            ok = largest <= weight_tolerance and (library <= library_tolerance or ((bf16 or w8a8) and rms <= RMS)) and test.returncode == 0
            bad += not ok
            print(f"{candidate:15s} {layout:19s} {kind:24s} {len(weights):3d} linears: largest weight difference {largest:.1e}; logits (of up to {unit:.1f}) against the decoded dense model: library {library:.1e} (rms {100 * rms:.2f} %), tenpak {own:.1e} "
                  f"{'ok' if ok else 'DIFFERENT'}", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
