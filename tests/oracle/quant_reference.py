#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quantizes a model with the library that owns the method, for comparison with ours at equal calibration tokens and settings.

Writes a plain Hugging Face directory with the dequantized weights, which `tenpak eval` and tenpak_bench_quantize measure like any model:
    quant_reference.py autoawq      MODEL CALIBRATION OUT [--group 64]
    quant_reference.py gptqmodel    MODEL CALIBRATION OUT [--group 64] [--sym] [--desc-act]
    quant_reference.py llmcompressor-gptq | llmcompressor-awq   MODEL CALIBRATION OUT [--group 64] [--sym]
    quant_reference.py check-nf4    (our arithmetic of nf4, quant_oracle.py, against bitsandbytes')
    tenpak_bench_quantize MODEL --calibration CALIBRATION --text TEXT --group 64 -c fp16,rtn_g128,awq_g128,gptq_g128 --also OUT

Packages: torch (CPU), transformers, and autoawq 0.2.9 | gptqmodel 7.7.0 | llmcompressor 0.14 | bitsandbytes 0.50. Everything runs on the CPU.
"""
import argparse
import json
import pathlib
import shutil

import numpy as np
import torch


def windows(tokenizer, path, count, length):
    """The engine's calibration windows (core/quant/calibration.cpp): evenly spread from the first to the last possible one."""
    ids = tokenizer(pathlib.Path(path).read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
    n = min(count, len(ids) // length)
    starts = [0 if n == 1 else (len(ids) - length) * i // (n - 1) for i in range(n)]
    return [ids[s:s + length] for s in starts]


def write_plain(source, out, weights):
    """SOURCE's directory with `weights` (name -> tensor) in fp32 in place of its own. fp32 so that nothing is rounded again."""
    from safetensors.torch import load_file, save_file
    source, out = pathlib.Path(source), pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for f in sorted(source.glob("*.safetensors")):
        tensors |= load_file(str(f))
    unknown = [n for n in weights if n not in tensors]
    assert not unknown, unknown
    changed = 0
    for name, t in weights.items():
        assert t.shape == tensors[name].shape, (name, t.shape, tensors[name].shape)
        changed += int(not torch.equal(t.float(), tensors[name].float()))
        tensors[name] = t.float().contiguous()
    save_file({n: t.contiguous() for n, t in tensors.items()}, str(out / "model.safetensors"), metadata={"format": "pt"})
    for f in source.iterdir():
        if f.is_file() and f.suffix != ".safetensors" and not f.name.endswith("index.json"):
            shutil.copy(f, out / f.name)
    config = json.loads((out / "config.json").read_text())
    config.pop("quantization_config", None)
    (out / "config.json").write_text(json.dumps(config, indent=1))
    print(f"{out}: {changed} of {len(tensors)} tensors changed")


def linears_of(model):
    return {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".layers." in n}


def autoawq(a, tokenizer):
    import awq.quantize.quantizer as q
    from awq import AutoAWQForCausalLM
    calibration = [torch.tensor([w]) for w in windows(tokenizer, a.calibration, a.sequences, a.length)]
    q.get_calib_dataset = lambda **_: calibration
    q.clear_memory = lambda *_: None  # collects garbage dozens of times a layer
    # The scale search keeps the weights to go back to as v.cpu(), which on the CPU is no copy: they would be lost with the first trial.
    plain_cpu = torch.Tensor.cpu
    torch.Tensor.cpu = lambda t, *args, **kwargs: plain_cpu(t, *args, **kwargs).clone()
    model = AutoAWQForCausalLM.from_pretrained(a.model, torch_dtype=torch.float32, device_map="cpu", safetensors=True)
    # export_compatible leaves the scaled and clipped weights in floating point: they are rounded below, in fp32.
    made = {}

    class Keep(q.AwqQuantizer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made["quantizer"] = self

    model.quantize(tokenizer, quant_config={"zero_point": True, "q_group_size": a.group, "w_bit": 4, "version": "GEMM"}, calib_data="none",
                   export_compatible=True, quantizer_cls=Keep, max_calib_samples=a.sequences, max_calib_seq_len=a.length)
    hf = model.model
    out = {}
    for name, m in hf.named_modules():
        if isinstance(m, torch.nn.Linear) and ".layers." in name:
            out[name + ".weight"] = made["quantizer"].pseudo_quantize_tensor(m.weight.data.float())[0]
            if m.bias is not None:
                out[name + ".bias"] = m.bias.data
        elif "norm" in name and getattr(m, "weight", None) is not None and ".layers." in name:
            out[name + ".weight"] = m.weight.data
    return out


def unpack_gptq(t, prefix, bits=4):
    """Weights of one GPTQ linear, from the layout's description (optimizer.md 4.2), v2 zeros."""
    per = 32 // bits
    words = lambda name: t[prefix + name].numpy().view(np.uint32)
    qweight, qzeros = words("qweight"), words("qzeros")
    codes = np.stack([(qweight >> (bits * j)) & 15 for j in range(per)], 1).reshape(-1, qweight.shape[1])          # [k, n]
    zeros = np.stack([(qzeros >> (bits * j)) & 15 for j in range(per)], 2).reshape(qzeros.shape[0], -1)             # [groups, n]
    scales, g = t[prefix + "scales"].float().numpy(), t[prefix + "g_idx"].numpy()
    return torch.from_numpy(((codes.astype(np.float32) - zeros[g]) * scales[g]).T.copy())


def gptqmodel(a, tokenizer):
    from gptqmodel import GPTQModel
    from gptqmodel.quantization import FORMAT, QuantizeConfig
    from safetensors.torch import load_file
    kwargs = dict(bits=4, group_size=a.group, sym=a.sym, desc_act=a.desc_act, damp_percent=a.damp, format=FORMAT.GPTQ_V2, device="cpu")
    if a.desc_act:
        kwargs["act_group_aware"] = False
    model = GPTQModel.load(a.model, QuantizeConfig(**kwargs), dtype=torch.float32)
    model.quantize([{"input_ids": torch.tensor([w]), "attention_mask": torch.ones(1, len(w), dtype=torch.long)} for w in
                    windows(tokenizer, a.calibration, a.sequences, a.length)], batch_size=1)
    packed = a.out + "-packed"
    model.save(packed)
    tensors = {}
    for f in pathlib.Path(packed).glob("*.safetensors"):
        tensors |= load_file(str(f))
    print(json.dumps(json.loads((pathlib.Path(packed) / "config.json").read_text())["quantization_config"]))
    return {n[:-len("qweight")] + "weight": unpack_gptq(tensors, n[:-len("qweight")]) for n in tensors if n.endswith(".qweight")}


def llmcompressor(a, tokenizer, method):
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from datasets import Dataset
    from llmcompressor import oneshot
    from transformers import AutoModelForCausalLM
    torch.Tensor.pin_memory = lambda t, *_, **__: t  # asks for a GPU
    model = AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32)
    rows = windows(tokenizer, a.calibration, a.sequences, a.length)
    data = Dataset.from_dict({"input_ids": rows, "attention_mask": [[1] * len(r) for r in rows]})
    groups = {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "symmetric": a.sym, "strategy": "group", "group_size": a.group}}}
    if method == "gptq":
        from llmcompressor.modifiers.gptq import GPTQModifier as Modifier
        recipe = Modifier(config_groups=groups, ignore=["lm_head"], dampening_frac=a.damp)
    else:
        from llmcompressor.modifiers.awq import AWQModifier as Modifier
        recipe = Modifier(config_groups=groups, ignore=["lm_head"])
    oneshot(model=model, dataset=data, recipe=recipe, max_seq_length=a.length, num_calibration_samples=len(rows), shuffle_calibration_samples=False)
    out = {}
    for name, m in model.named_modules():
        if hasattr(m, "weight_scale"):
            out[name + ".weight"] = fake_quantize(m.weight.data, m.weight_scale, getattr(m, "weight_zero_point", None), m.quantization_scheme.weights,
                                                  g_idx=getattr(m, "weight_g_idx", None)).detach()
        elif "norm" in name and ".layers." in name and getattr(m, "weight", None) is not None:
            out[name + ".weight"] = m.weight.data
    return out


def check_nf4():
    import bitsandbytes.functional as F
    from quant_oracle import dynamic_map, nf4
    rng = np.random.default_rng(5)
    w = torch.tensor(rng.standard_normal((512, 576)) * 0.04, dtype=torch.bfloat16)
    want = nf4(w.float().numpy(), 64)
    plain, state = F.quantize_4bit(w, blocksize=64, quant_type="nf4", compress_statistics=False)
    bytes_ = plain.numpy().ravel()
    codes = np.stack([bytes_ >> 4, bytes_ & 15], 1).ravel()
    assert np.array_equal(codes, want["codes"]), "codes"
    assert np.array_equal(state.absmax.numpy(), np.array(want["absmax"], np.float32)), "absmax"
    assert np.array_equal(F.create_dynamic_map().numpy(), dynamic_map()), "dynamic map"
    _, nested = F.quantize_4bit(w, blocksize=64, quant_type="nf4", compress_statistics=True)
    assert np.array_equal(nested.state2.absmax.numpy(), np.array(want["nested"], np.float32)), "nested absmax"
    assert float(nested.offset) == want["offset"], "offset"
    # The CPU library finds nested codes in a table that is coarser than the midpoints its CUDA kernel compares with.
    different = int((nested.absmax.numpy() != np.array(want["scale_codes"])).sum())
    back = F.dequantize_blockwise(torch.tensor(want["scale_codes"], dtype=torch.uint8), nested.state2) + nested.offset
    assert np.array_equal(back.numpy(), np.array(want["scales"], np.float32)), "scales as bitsandbytes dequantizes them"
    print(f"nf4: {len(codes)} codes, {len(want['absmax'])} scales, map, nested scales and offset are bitsandbytes'; {different} nested codes differ from its CPU library's")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("library")
    p.add_argument("model", nargs="?")
    p.add_argument("calibration", nargs="?")
    p.add_argument("out", nargs="?")
    p.add_argument("--group", type=int, default=128)
    p.add_argument("--sequences", type=int, default=64)
    p.add_argument("--length", type=int, default=256)
    p.add_argument("--damp", type=float, default=0.05)
    p.add_argument("--sym", action="store_true")
    p.add_argument("--desc-act", action="store_true")
    a = p.parse_args()
    if a.library == "check-nf4":
        return check_nf4()
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(a.model)
    run = {"autoawq": autoawq, "gptqmodel": gptqmodel, "llmcompressor-gptq": lambda *x: llmcompressor(*x, "gptq"),
           "llmcompressor-awq": lambda *x: llmcompressor(*x, "awq")}[a.library]
    write_plain(a.model, a.out, run(a, tokenizer))


if __name__ == "__main__":
    main()
