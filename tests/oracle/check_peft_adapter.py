#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads an adapter folder written by tenpak with the real PEFT, merges it and compares with a merged model.

    check_peft_adapter.py ADAPTER BASE MERGED [--tolerance SHARE]

BASE and MERGED are model folders (MERGED: the fine-tune that the adapter was recovered from, or what tenpak merged). Every
weight may differ by one unit in the last place, and at most SHARE of the adapted weights may differ at all: recovered factors
leave some roundings to the residual. Needs torch, transformers and peft; exits 77 (skip) and says so where they are absent.
"""
import argparse
import sys

try:
    import peft
    import torch
    import transformers
except ImportError as e:
    print(f"SKIPPED: {e}: pip install torch transformers peft", file=sys.stderr)
    sys.exit(77)


def ordered(t):
    """Weights as integers in the order of their values."""
    i = t.view(torch.int16 if t.element_size() == 2 else torch.int32).to(torch.int64)
    low = (1 << (8 * t.element_size() - 1)) - 1
    return torch.where(i < 0, -(i & low), i)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("adapter")
    p.add_argument("base")
    p.add_argument("merged")
    p.add_argument("--tolerance", type=float, default=0.06)
    a = p.parse_args()
    load = lambda where: transformers.AutoModelForCausalLM.from_pretrained(where, torch_dtype="auto", device_map="cpu")
    model = peft.PeftModel.from_pretrained(load(a.base), a.adapter)
    kinds = {m for n, m in ((n, type(l).__name__) for n, l in model.named_modules()) if "lora" in m.lower()}
    model = model.merge_and_unload()
    expected = dict(load(a.merged).named_parameters())
    base = dict(load(a.base).named_parameters())
    different = adapted = worst = 0
    for name, w in model.named_parameters():
        d = (ordered(w.detach()) - ordered(expected[name].detach())).abs()
        if not torch.equal(base[name], expected[name]):
            adapted += w.numel()
        different += int((d != 0).sum())
        # Near zero a unit is tiny: there the error is measured against the tensor's own size.
        big = w.detach().abs().float() > 1e-2 * w.detach().float().std()
        worst = max(worst, int(d[big].max()) if bool(big.any()) else 0)
    share = different / max(adapted, 1)
    print(f"peft {peft.__version__}: {len(kinds)} kind(s) of LoRA layer, {adapted} adapted weights, {different} differ ({100 * share:.3f} %), at most {worst} units")
    return 0 if share <= a.tolerance and worst <= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
