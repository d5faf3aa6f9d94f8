#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An independent rendering of the base's transforms (core/delta/FORMAT.md "Predictions") in numpy, and what bitsandbytes makes of
the same weights.

    python3 tests/oracle/check_transforms.py

1. Prints the hashes that tests/core/delta/transform_test.cpp (GoldenResults) holds, and fails where they are not in that file.
2. Where torch and bitsandbytes are installed: NF4 of random tensors as bitsandbytes' CPU library quantizes and dequantizes them.
   Limit: NF4 with fp32 magnitudes equal bit by bit; with nested magnitudes, at most 0.6 % of the weights differ (its CPU library
   finds the nearest of the 256 levels through a table that misses a neighbour now and then).
"""
import hashlib
import pathlib
import sys

import numpy as np

f32, f64 = np.float32, np.float64
LEVELS = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534,
                   0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0], f32)


def middles(levels):
    return ((levels[1:].astype(f64) + levels[:-1]) / 2).astype(f32)


def nested_levels():
    out = []
    for decade in range(7):
        steps = 2 ** decade
        step = f32(f32(1) - f32(0.1)) / f32(steps)
        j = np.arange(steps + 1)
        bound = np.where(j < (steps + 1) // 2, f64(f32(0.1)) + f64(step) * j, 1.0 - f64(step) * (steps - j)).astype(f32)
        value = f32(10.0 ** (decade - 6)) * ((bound[:-1] + bound[1:]) / f32(2))
        out += [value, -value]
    return np.sort(np.concatenate(out + [np.array([0, 1], f32)]).astype(f32))


def magnitudes(w, block):
    groups = -(-w.size // block)
    padded = np.zeros(groups * block, f32)
    padded[:w.size] = np.abs(w)
    return padded.reshape(groups, block).max(1)


def nf4(w, block=64, nested=0, mean=0.0):
    m = magnitudes(w, block)
    padded = np.zeros(m.size * block, f32)
    padded[:w.size] = w
    with np.errstate(all="ignore"):
        x = padded.reshape(m.size, block) * (f32(1) / m)[:, None]
    scale = m
    if nested:
        codes, mid = nested_levels(), middles(nested_levels())
        centred = m - f32(mean)
        most = magnitudes(centred, nested)
        padded_m = np.zeros(most.size * nested, f32)
        padded_m[:m.size] = centred
        y = padded_m.reshape(most.size, nested) * (f32(1) / most)[:, None]
        index = (y[:, :, None] > mid).sum(-1)
        scale = ((codes[index] * most[:, None]).reshape(-1)[:m.size] + f32(mean)).astype(f32)
    level = (x[:, :, None] > middles(LEVELS)).sum(-1)
    out = (LEVELS[level] * scale[:, None]).astype(f32)
    out[m == 0] = 0
    return out.reshape(-1)[:w.size]


def to_bf16(x):
    """Bits, to nearest even, from fp32 (finite)."""
    u = np.ascontiguousarray(x, f32).view(np.uint32)
    return ((u + 0x7fff + (u >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(f32)


def once_to_bf16(x):
    """From binary64, rounded once: numpy has no bf16, so the number is cut at the eighth bit by exact arithmetic."""
    m, e = np.frexp(x)
    return to_bf16(np.ldexp(np.rint(m * 256), e - 8).astype(f32))


def golden():
    x, w = 12345, []
    for _ in range(40000):
        x = (x * 1664525 + 1013904223) % 2 ** 32
        w.append(np.ldexp(f32((x >> 25) - 64), -10 - (x >> 10 & 7)))
    w = from_bf16(to_bf16(np.array(w, f32)))
    return [("BF16>F16", w.astype(np.float16)), ("BF16>F32", w), ("BF16*0x1.6a09e667f3bcdp-1>BF16", once_to_bf16(w.astype(f64) * float.fromhex("0x1.6a09e667f3bcdp-1"))),
            ("BF16>NF4/64>BF16", to_bf16(nf4(w))), ("BF16>NF4/128>F16", nf4(w, 128).astype(np.float16)),
            ("BF16>NF4/64/256+0x1.8c8p-6>F32", nf4(w, 64, 256, float.fromhex("0x1.8c8p-6")))]


def against_bitsandbytes():
    try:
        import torch
        import bitsandbytes.functional as bf
    except ImportError as e:
        print(f"not compared with bitsandbytes: {e}")
        return True
    torch.manual_seed(0)
    good = np.array_equal(bf.create_dynamic_map().numpy(), nested_levels())
    print("levels of nested magnitudes:", "equal" if good else "DIFFERENT")
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        for n in (64 * 1000, 64 * 300 + 17, 16384 * 20 + 64 * 7):
            w = (torch.randn(n) * 0.02).to(dtype)
            w[128:192] = 0
            for nested in (False, True):
                q, state = bf.quantize_4bit(w, blocksize=64, quant_type="nf4", compress_statistics=nested)
                theirs = bf.dequantize_4bit(q, state)
                mean = f32(magnitudes(w.float().numpy(), 64).astype(f64).mean())
                ours = torch.from_numpy(nf4(w.float().numpy(), 64, 256 if nested else 0, mean)).to(dtype)
                different = int((ours != theirs).sum())
                limit = 0.006 * n if nested else 0
                print(f"{dtype} {n} weights, {'nested' if nested else 'plain'}: {different} differ")
                good &= different <= limit
    return good


if __name__ == "__main__":
    test = (pathlib.Path(__file__).parent.parent / "core/delta/transform_test.cpp").read_text()
    ok = True
    for text, result in golden():
        digest = hashlib.sha256(result.tobytes()).hexdigest()[:16]
        known = f'{{"{text}", "{digest}"}}' in test
        print(text, digest, "" if known else "NOT IN transform_test.cpp")
        ok &= known
    ok &= against_bitsandbytes()
    sys.exit(0 if ok else 1)
