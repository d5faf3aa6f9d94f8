# SPDX-License-Identifier: Apache-2.0
"""What quantized checkpoints stand for, from the descriptions of their layouts alone: NumPy, no code of a quantization library,
none of this program. Every decoder returns the dense weight [N, K] in float64.

    python3 tests/oracle/layout_decoders.py    # checks the golden words
"""
import json
import struct

import numpy as np

NF4 = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
                0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0], np.float32)
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # column that nibble i of a word holds


def read_safetensors(path):
    """name -> array; bf16 as float32, float8 e4m3 as uint8 codes."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    kinds = {"F32": np.float32, "F16": np.float16, "I32": np.int32, "I64": np.int64, "I8": np.int8, "U8": np.uint8, "BF16": np.uint16, "F8_E4M3": np.uint8}
    out = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        begin, end = t["data_offsets"]
        a = np.frombuffer(raw[8 + size + begin : 8 + size + end], kinds[t["dtype"]]).reshape(t["shape"])
        if t["dtype"] == "BF16":
            a = (a.astype(np.uint32) << 16).view(np.float32)
        out[name] = a
    return out


def fields(words, bits, count):
    """[rows, words] of 32 bits -> [rows, count] values, the first in the lowest bits."""
    w = words.astype(np.int64) & 0xFFFFFFFF
    per = 32 // bits
    return np.stack([(w >> (bits * j)) & (2**bits - 1) for j in range(per)], 2).reshape(w.shape[0], -1)[:, :count]


def e4m3(codes):
    c = codes.astype(np.int64)
    sign, exponent, mantissa = np.where(c & 128, -1.0, 1.0), (c >> 3) & 15, c & 7
    value = np.where(exponent == 0, mantissa * 2.0**-9, (1 + mantissa / 8) * 2.0 ** (exponent - 7))
    return sign * value


def awq(t, module):
    """qweight [K, N/8]: words along the outputs."""
    def unpack(words):
        w = words.astype(np.int64) & 0xFFFFFFFF
        out = np.empty((w.shape[0], w.shape[1], 8), np.int64)
        for nibble, column in enumerate(AWQ_ORDER):
            out[:, :, column] = (w >> (4 * nibble)) & 15
        return out.reshape(w.shape[0], -1)

    q, z, s = unpack(t[module + ".qweight"]), unpack(t[module + ".qzeros"]), t[module + ".scales"].astype(np.float64)
    group = q.shape[0] // s.shape[0]
    return ((q - z.repeat(group, 0)) * s.repeat(group, 0)).T


def gptq(t, module, bits, v2):
    """qweight [K*b/32, N]: words along the inputs; zero points less one unless v2."""
    s = t[module + ".scales"].astype(np.float64)
    n = s.shape[1]
    words = t[module + ".qweight"]
    k = words.shape[0] * 32 // bits
    q = fields(np.ascontiguousarray(words.T), bits, k)
    z = fields(t[module + ".qzeros"], bits, n) + (0 if v2 else 1)
    index = t[module + ".g_idx"]
    return (q - z[index].T) * s[index].T


def compressed(t, module):
    scale = t[module + ".weight_scale"].astype(np.float64)
    if module + ".weight" in t:
        w = t[module + ".weight"]
        return (e4m3(w) if w.dtype == np.uint8 else w.astype(np.float64)) * scale
    n, k = t[module + ".weight_shape"].tolist()
    words = t[module + ".weight_packed"]
    bits = 4 if words.shape[1] == (k * 4 + 31) // 32 else 8
    q = fields(words, bits, k) - 2 ** (bits - 1)
    groups = scale.shape[1]
    index = t[module + ".weight_g_idx"] if module + ".weight_g_idx" in t else np.arange(k) // (k // groups)
    zero = np.zeros((n, groups), np.int64)
    if module + ".weight_zero_point" in t:
        zero = fields(np.ascontiguousarray(t[module + ".weight_zero_point"].T), bits, n).T - 2 ** (bits - 1)
    return (q - zero[:, index]) * scale[:, index]


def bitsandbytes(t, module):
    name = module + ".weight"
    if module + ".SCB" in t:
        return t[name].astype(np.float64) * (t[module + ".SCB"].astype(np.float64) / 127)[:, None]
    state = json.loads(bytes(t[name + ".quant_state.bitsandbytes__nf4"]))
    n, k = state["shape"]
    b = t[name].reshape(-1)
    codes = np.stack([b >> 4, b & 15], 1).reshape(n * k)
    absmax = t[name + ".absmax"]
    if "nested_blocksize" in state:
        nested = t[name + ".nested_absmax"].repeat(state["nested_blocksize"])[: absmax.size]
        absmax = t[name + ".nested_quant_map"][absmax] * nested + np.float32(state["nested_offset"])
    return (t[name + ".quant_map"].astype(np.float64)[codes] * absmax.astype(np.float64).repeat(state["blocksize"])).reshape(n, k)


def modules(tensors, config):
    """module -> dense weight, of every quantized module."""
    q = config["quantization_config"]
    method = q["quant_method"]
    if method == "awq":
        return {m: awq(tensors, m) for m in endings(tensors, ".qweight")}
    if method == "gptq":
        return {m: gptq(tensors, m, q["bits"], q["checkpoint_format"] == "gptq_v2") for m in endings(tensors, ".qweight")}
    if method == "compressed-tensors":
        return {m: compressed(tensors, m) for m in endings(tensors, ".weight_scale")}
    return {m: bitsandbytes(tensors, m) for m in endings(tensors, ".SCB" if q["load_in_8bit"] else ".weight.quant_map")}


def endings(tensors, suffix):
    return [t[: -len(suffix)] for t in tensors if t.endswith(suffix)]


def golden():
    i32 = lambda *v: np.array(v, np.uint32).view(np.int32)
    one = np.ones((1, 8), np.float16)
    # AWQ: columns 0 to 7 with codes 0 to 7, zeros 8.
    w = awq({"m.qweight": i32(0x75316420).reshape(1, 1), "m.qzeros": i32(0x88888888).reshape(1, 1), "m.scales": one}, "m")
    assert w[:, 0].tolist() == [c - 8 for c in range(8)]
    # GPTQ: rows 0 to 7 with codes 0 to 7, symmetric.
    for v2, zero in ((False, 0x77777777), (True, 0x88888888)):
        w = gptq({"m.qweight": i32(*[0x76543210] * 8).reshape(1, 8), "m.qzeros": i32(zero).reshape(1, 1), "m.scales": one, "m.g_idx": np.zeros(8, np.int32)}, "m", 4, v2)
        assert w[0].tolist() == [c - 8 for c in range(8)]
    w = gptq({"m.qweight": i32(*[0x03020100] * 4).reshape(1, 4), "m.qzeros": i32(0x7F7F7F7F).reshape(1, 1), "m.scales": one[:, :4], "m.g_idx": np.zeros(4, np.int32)}, "m", 8, False)
    assert w[0].tolist() == [-128, -127, -126, -125]
    # compressed-tensors: q = -8 to -1.
    w = compressed({"m.weight_packed": i32(0x76543210).reshape(1, 1), "m.weight_shape": np.array([1, 8]), "m.weight_scale": np.ones((1, 1), np.float32)}, "m")
    assert w[0].tolist() == list(range(-8, 0))
    # NF4: 1, -1, 0, 0.44 of the largest magnitude.
    state = np.frombuffer(b'{"blocksize":4,"shape":[1,4]}', np.uint8)
    w = bitsandbytes({"m.weight": np.array([[0xF0], [0x7C]], np.uint8), "m.weight.absmax": np.ones(1, np.float32), "m.weight.quant_map": NF4,
                      "m.weight.quant_state.bitsandbytes__nf4": state}, "m")
    assert w[0].tolist() == [1.0, -1.0, 0.0, float(NF4[12])]
    assert e4m3(np.array([0x7E, 0x38, 0x01, 0x88])).tolist() == [448.0, 1.0, 2.0**-9, -(2.0**-6)]


golden()
if __name__ == "__main__":
    print("golden words: ok")
