#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden values for tests/core/quant, from the published algorithms written down plainly in NumPy.

Independent of the engine on purpose: fp64 throughout, AWQ's losses from the outputs x W^T themselves (the engine uses
sum x x^T), GPTQ by explicit inverse and Cholesky as in the paper's code (the engine never forms the inverse).
    python3 tests/oracle/quant_oracle.py        writes tests/fixtures/quant/quantizers.json
"""
import json
import pathlib

import numpy as np

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "quant" / "quantizers.json"


def bf16(x):
    u = np.asarray(x, np.float32).view(np.uint32)
    return ((u + 0x7FFF + (u >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def bf16_bits(x):
    return (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(int).ravel().tolist()


def grid(w, bits, symmetric):
    """scale, zero of one group; scale in bf16, range widened to hold 0."""
    levels = 2**bits - 1
    low, high = min(float(w.min()), 0.0), max(float(w.max()), 0.0)
    if symmetric:
        return float(bf16(2 * max(-low, high) / levels)), 2 ** (bits - 1)
    scale = float(bf16((high - low) / levels))
    return scale, int(np.clip(np.round(-low / scale), 0, levels))


def encode(w, scale, zero, bits):
    return np.clip(np.round(w / scale) + zero, 0, 2**bits - 1)


def rtn(w, group, bits, symmetric):
    n, k = w.shape
    codes, scales, zeros = np.zeros((n, k)), np.zeros((n, k // group)), np.zeros((n, k // group))
    for r in range(n):
        for g in range(k // group):
            sl = slice(g * group, (g + 1) * group)
            s, z = grid(w[r, sl], bits, symmetric)
            codes[r, sl], scales[r, g], zeros[r, g] = encode(w[r, sl], s, z, bits), s, z
    return codes, scales, zeros


def dequantize(codes, scales, zeros, group):
    return (codes - np.repeat(zeros, group, 1)) * np.repeat(scales, group, 1)


NF4 = np.array([-1, -.6961928009986877, -.5250730514526367, -.39491748809814453, -.28444138169288635, -.18477343022823334, -.09105003625154495, 0,
                .07958029955625534, .16093020141124725, .24611230194568634, .33791524171829224, .44070982933044434, .5626170039176941,
                .7229568362236023, 1], np.float32)


def dynamic_map():
    """bitsandbytes' create_dynamic_map(signed=True), in its fp32 arithmetic (optimizer.md 4.6)."""
    data = [0.0, 1.0]
    for i in range(7):
        steps = 2**i
        step = np.float64((np.float32(1) - np.float32(.1)) / np.float32(steps))
        j = np.arange(steps + 1)  # as torch.linspace: from both ends to the middle
        bounds = np.where(j < (steps + 1) // 2, np.float64(np.float32(.1)) + step * j, 1 - step * (steps - j)).astype(np.float32)
        means = np.float32(10.0 ** (i - 6)) * ((bounds[:-1] + bounds[1:]) / np.float32(2))
        data += means.tolist() + (-means).tolist()
    return np.sort(np.array(data, np.float32))


def nf4(w, block):
    """Single precision, as bitsandbytes: every step rounds."""
    flat = w.astype(np.float32).reshape(-1, block)
    absmax = np.abs(flat).max(1)
    inverse = np.float32(1) / np.maximum(absmax, np.float32(1e-38))
    codes = np.searchsorted((NF4[:-1] + NF4[1:]) / np.float32(2), flat * inverse[:, None])
    offset = np.float32(absmax.astype(np.float64).mean())
    centred, levels = absmax - offset, dynamic_map()
    middles = (levels[:-1] + levels[1:]) / np.float32(2)
    nested, scale_codes, scales = [], [], []
    for i in range(0, len(absmax), 256):
        part = centred[i:i + 256]
        nested.append(np.abs(part).max())
        c = np.searchsorted(middles, part * (np.float32(1) / nested[-1]))
        scale_codes += c.tolist()
        scales += (levels[c] * nested[-1] + offset).tolist()
    return dict(codes=codes.astype(int).ravel().tolist(), absmax=absmax.tolist(), scale_codes=scale_codes, nested=[float(v) for v in nested],
                offset=float(offset), scales=scales)


def fp8(w):
    """Nearest of all e4m3 values, ties to the even code; as bits."""
    bits = np.arange(0x7F)
    exp, man = bits >> 3, bits & 7
    values = np.where(exp == 0, man * 2.0**-9, (8 + man) * 2.0 ** (exp - 10.0))
    scales = (np.abs(w).max(1) / 448).astype(np.float32)
    x = (w.astype(np.float32) / scales[:, None]).astype(np.float64)
    distance = np.abs(np.abs(x).ravel()[:, None] - values)
    nearest = distance.min(1, keepdims=True)
    choice = [min(np.flatnonzero(d == m), key=lambda c: (c & 1, c)) for d, m in zip(distance, nearest)]
    return dict(codes=(np.array(choice) + 128 * np.signbit(x).ravel()).astype(int).tolist(), scales=scales.tolist())


def awq(w, x, group, bits):
    """Scale search on the layer's own output, then clip search by group. Returns all that the test compares."""
    x_mean = np.abs(x).mean(0)
    n, k = w.shape
    top = np.abs(w.reshape(n, -1, group)).max(2, keepdims=True) + 1e-6
    w_mean = (np.abs(w.reshape(n, -1, group)) / top).reshape(n, k).mean(0)
    want = x @ w.T
    losses, trials = [], []
    for i in range(20):
        r = i / 20
        s = np.maximum(x_mean**r / (w_mean ** (1 - r) + 1e-4), 1e-4)
        s = s / np.sqrt(s.max() * s.min())
        q = dequantize(*rtn(w * s, group, bits, False), group) / s
        losses.append(float((((x @ q.T) - want) ** 2).sum()))
        trials.append(s)
    best = int(np.argmin(losses))
    s = trials[best]
    ws, xs = w * s, x / s
    clipped = ws.copy()
    for row in range(n):
        for g in range(k // group):
            sl = slice(g * group, (g + 1) * group)
            top, lowest = np.abs(ws[row, sl]).max(), np.inf
            for i in range(10):
                limit = top * (1 - i / 20)
                c = np.clip(ws[row, sl], -limit, limit)
                sc, z = grid(c, bits, False)
                e = (((encode(c, sc, z, bits) - z) * sc - ws[row, sl]) @ xs[:, sl].T) ** 2
                if e.sum() < lowest:
                    lowest = e.sum()
                    clipped[row, sl] = c
    codes, scales, zeros = rtn(clipped, group, bits, False)
    q = dequantize(codes, scales, zeros, group) / s
    return dict(best=best, losses=losses, input_scales=s.tolist(), codes=codes.astype(int).ravel().tolist(),
                error=float(((x @ q.T - want) ** 2).sum()))


def gptq(w, x, group, bits, symmetric, damp, order_by_group):
    n, k = w.shape
    h = x.T @ x
    dead = np.diag(h) == 0
    mean = np.diag(h).mean()
    perm = np.arange(k)
    if order_by_group:
        d = np.diag(h)
        inner = [g * group + np.argsort(-d[g * group:(g + 1) * group], kind="stable") for g in range(k // group)]
        outer = np.argsort([-d[i[0]] for i in inner], kind="stable")
        perm = np.concatenate([inner[g] for g in outer])
    h = h + np.eye(k) * damp * mean
    h[dead, dead] = 1
    h, wp = h[perm][:, perm], w[:, perm].copy()
    u = np.linalg.cholesky(np.linalg.inv(h)).T  # upper: h^-1 = u^T u
    codes, scales, zeros = np.zeros((n, k)), np.zeros((n, k // group)), np.zeros((n, k // group))
    for i in range(k):
        for r in range(n):
            g = perm[i] // group
            if i % group == 0:
                scales[r, g], zeros[r, g] = grid(wp[r, i:i + group], bits, symmetric)
            c = encode(wp[r, i], scales[r, g], zeros[r, g], bits)
            codes[r, perm[i]] = c
            e = (wp[r, i] - (c - zeros[r, g]) * scales[r, g]) / u[i, i]
            wp[r, i:] -= e * u[i, i:]
    q = dequantize(codes, scales, zeros, group)
    return dict(codes=codes.astype(int).ravel().tolist(), scales=scales.ravel().tolist(), zeros=zeros.astype(int).ravel().tolist(),
                error=float((((x @ (q - w).T)) ** 2).sum()))


def inputs(rng, tokens, k):
    """Correlated channels of very different size, one of them dead, as behind a norm layer."""
    x = rng.standard_normal((tokens, 6)) @ rng.standard_normal((6, k)) + rng.standard_normal((tokens, k)) * 0.5
    x *= np.exp(rng.standard_normal(k))
    x[:, 7] = 0
    return bf16(x).astype(np.float64)


def main():
    rng = np.random.default_rng(20260301)
    n, k, group = 12, 64, 32
    w = bf16(rng.standard_normal((n, k)) * 0.05).astype(np.float64)
    x = inputs(rng, 160, k)
    few = inputs(rng, 24, k)  # fewer tokens than channels: a rank-deficient Hessian
    out = dict(n=n, k=k, group=group, tokens=x.shape[0], few_tokens=few.shape[0], w=bf16_bits(w), x=bf16_bits(x), few=bf16_bits(few))
    for name, bits, sym in (("rtn_asym4", 4, False), ("rtn_sym4", 4, True), ("rtn_asym3", 3, False)):
        c, s, z = rtn(w, group, bits, sym)
        out[name] = dict(codes=c.astype(int).ravel().tolist(), scales=s.ravel().tolist(), zeros=z.astype(int).ravel().tolist(),
                         error=float(((x @ (dequantize(c, s, z, group) - w).T) ** 2).sum()))
    top = np.abs(w).max(1, keepdims=True)
    s8 = bf16(top / 127).astype(np.float64)
    out["int8"] = dict(codes=np.clip(np.round(w / s8), -127, 127).astype(int).ravel().tolist(), scales=s8.ravel().tolist())
    out["nf4"] = nf4(w, group)
    out["fp8"] = fp8(w)
    top32 = top.astype(np.float32)
    out["llm_int8"] = dict(codes=np.round(w.astype(np.float32) * (np.float32(127) / top32)).astype(int).ravel().tolist(),
                           scales=(top32 / np.float32(127)).ravel().tolist())
    out["awq4"] = awq(w, x, group, 4)
    out["awq3"] = awq(w, x, group, 3)
    out["gptq_sym4"] = gptq(w, x, group, 4, True, 0.05, True)
    out["gptq_asym4_plain_order"] = gptq(w, x, group, 4, False, 0.05, False)
    out["gptq_asym3_few"] = gptq(w, few, group, 3, False, 0.01, True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, errors",
          {k: round(v["error"], 4) for k, v in out.items() if isinstance(v, dict) and "error" in v})


if __name__ == "__main__":
    main()
