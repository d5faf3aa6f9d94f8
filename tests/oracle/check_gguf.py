#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GGUF files against llama.cpp itself.

    pip install numpy gguf llama-cpp-python
    python3 tests/oracle/check_gguf.py --tenpak build/release/bin/tenpak --base resources/sample/base \
        --text resources/sample/text/base.txt [--files OF_LLAMA_CPP.gguf ...] [--architectures tests/fixtures/architectures]

Written files: for each candidate, (1) the gguf package dequantizes every weight to the values of the same candidate's
compressed-tensors export (decoded here from the packed words), rows of q and k in llama.cpp's order; (2) llama.cpp sees the
same tokens as tenpak in texts made to be awkward; (3) log-probabilities: of the file with its weights told as fp32, llama.cpp
in fp32 against tenpak on the packed weights, within --exact; of the file itself, where llama.cpp rounds activations to 8 bits
(16 for F16 and BF16), within --rounded in the mean divergence.
Read files: llama.cpp quantizes the model to each --types; (4) tenpak's values are those of the gguf package, bit for bit;
(5) log-probabilities as in (3), perplexity within --perplexity percent.
Architectures: every fixture that llama.cpp has a graph for, as in (3) and read back with the same logits.
Exit code 1 if anything differs.
"""
import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np

TEXTS = [
    "Once upon a time", " leading space", "trailing space ", "two  spaces   three\t\ttabs", "line\n\nbreaks\r\n and\n  indents\n",
    "it's we'll THEY'RE I'D", "12 345 6789 1,234.50 3.14e-10", "caf\u00e9 na\u00efve \u00df \u00d8 \u0141\u00f3d\u017a", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \ud55c\uad6d\uc5b4",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 emoji", "<|endoftext|>in the middle<|endoftext|>", "def f(x):\n    return x**2  # comment\n", "https://example.org/a?b=c&d=%20",
    "\u00a0no-break\u2003em\u3000ideographic", "\u0661\u0662\u0663 \u0967\u0968\u0969 \u216b \u00bd", "!!!...???---___***", "a", "", "\n", "x\u0301 combining", "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0442\u0435\u043a\u0441\u0442 \u0648\u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea",
]
FTYPES = {"F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_M": 12, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30, "BF16": 32}
failures = []


def check(ok, what):
    print(("ok   " if ok else "FAIL ") + what, flush=True)
    if not ok:
        failures.append(what)


def run(*command):
    p = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if p.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit code {p.returncode}\n{p.stderr}")
    return p.stdout


def safetensors(path):
    raw = pathlib.Path(path).read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name == "__metadata__":
            continue
        begin, end = t["data_offsets"]
        data = raw[8 + n + begin:8 + n + end]
        kind = {"BF16": "<u2", "F16": "<f2", "F32": "<f4", "I32": "<i4", "I64": "<i8", "I8": "i1"}[t["dtype"]]
        a = np.frombuffer(data, kind)
        if t["dtype"] == "BF16":
            a = (a.astype(np.uint32) << 16).view(np.float32)
        out[name] = a.reshape(t["shape"])
    return out


def decode(tensors, base):
    """Of a compressed-tensors directory, from the format's description alone. Exact: codes and zeros are small."""
    scale = tensors[base + ".weight_scale"].astype(np.float32)
    if base + ".weight" in tensors:
        return tensors[base + ".weight"].astype(np.float32) * scale
    n, k = tensors[base + ".weight_shape"]
    words = tensors[base + ".weight_packed"].astype(np.int64) & 0xFFFFFFFF
    bits = 4 if words.shape[1] == (k * 4 + 31) // 32 else 8
    codes = np.stack([(words >> (bits * j)) & (2**bits - 1) for j in range(32 // bits)], 2).reshape(n, -1)[:, :k] - 2**(bits - 1)
    groups = scale.shape[1]
    zero = np.zeros((n, groups), np.int64)
    if base + ".weight_zero_point" in tensors:
        z = tensors[base + ".weight_zero_point"].astype(np.int64) & 0xFFFFFFFF
        zero = np.stack([(z >> (4 * j)) & 15 for j in range(8)], 1).reshape(-1, groups)[:n] - 8
    return (codes - zero.repeat(k // groups, 1)).astype(np.float32) * scale.repeat(k // groups, 1)


def types_of(path):
    return {t.tensor_type.name for t in gguf.GGUFReader(path).tensors}


def dequantized(path):
    return {t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape(t.shape[::-1]) if t.tensor_type.name not in ("F32",) else np.array(t.data).reshape(t.shape[::-1])
            for t in gguf.GGUFReader(path).tensors}


def interleave(w, heads):
    """llama.cpp's order of the rows of q and k: halves of a head become neighbours."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def check_values(args, candidate, path, tmp):
    """(1), for Llama's names."""
    config = json.loads((args.base / "config.json").read_text())
    if candidate == "fp16":
        tensors = safetensors(args.base / "model.safetensors")
    else:
        folder = tmp / f"ct-{candidate}"
        extra = ["--calibration", args.calibration] if args.calibration else []
        run(args.tenpak, "quantize", args.base, "-c", candidate, "--layout", "compressed-tensors", "-o", folder, "--quiet", *extra)
        tensors = safetensors(folder / "model.safetensors")
    got, worst, step = dequantized(path), 0.0, 0.0
    for layer in range(config["num_hidden_layers"]):
        for hf, name in NAMES.items():
            base = f"model.layers.{layer}.{hf}"
            want = tensors[base + ".weight"] if candidate == "fp16" else decode(tensors, base)
            if name in ("attn_q", "attn_k"):
                want = interleave(want, config["num_attention_heads"] if name == "attn_q" else config["num_key_value_heads"])
            d = np.abs(got[f"blk.{layer}.{name}.weight"] - want).max()
            worst = max(worst, float(d))
            if candidate != "fp16":
                step = max(step, float(d / np.abs(tensors[base + ".weight_scale"]).max()))
    asymmetric = any(n.endswith("zero_point") for n in tensors)
    check(worst == 0 or (asymmetric and step < 15 / 2048), f"{candidate}: values are those of the packed words" + ("" if worst == 0 else f" but for minima in fp16: at most {step:.4f} of a step"))


def tokens_of(args, model, texts):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
        f.write("\n".join(json.dumps(t) for t in texts) + "\n")
        f.flush()
        return [json.loads(line)["ids"] for line in run(args.tenpak, "tokenize", model, "--lines", f.name).splitlines()]


def check_tokens(args, model, path, what):
    """(2)"""
    l = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    want = tokens_of(args, model, TEXTS)
    got = [l.tokenize(t.encode(), add_bos=True, special=True) for t in TEXTS]
    wrong = [t for t, a, b in zip(TEXTS, want, got) if a != b]
    check(not wrong, f"{what}: llama.cpp sees the same tokens in {len(TEXTS) - len(wrong)} of {len(TEXTS)} texts {wrong if wrong else ''}")


def reference_log(path):
    """What `tenpak eval --save-reference` keeps: per scored token its own and the likeliest tokens' log-probabilities."""
    raw = pathlib.Path(path).read_bytes()
    assert raw[:8] == b"TPREFLOG"
    n = struct.unpack("<I", raw[12:16])[0]
    header, at, rows = json.loads(raw[16:16 + n]), 16 + n, []
    for _ in range(header["rows"]):
        target, count, samples = struct.unpack_from("<fHH", raw, at)
        pairs = np.frombuffer(raw, np.dtype([("t", "<u4"), ("p", "<f4")]), count, at + 8)
        rows.append((target, pairs["t"], pairs["p"]))
        at += 8 + 8 * (count + samples)
    return header, rows


def ours(args, model, tmp, context, windows, text=None):
    path = tmp / "log.bin"
    result = json.loads(run(args.tenpak, "eval", model, "--text", text or args.text, "--context", context, "--eval-samples", windows, "--save-reference", path, "--json", "--quiet"))
    rows = reference_log(path)[1]
    path.unlink()
    return result, rows


def windows_of(tokens, context, windows):
    whole = len(tokens) // context
    return [tokens[(i * whole // windows) * context:][:context] for i in range(windows)]


def theirs(path, windows, exact):
    """Log-softmax of llama.cpp for each window. Keys and values in fp32, so that only the weights' format makes a difference."""
    l = llama_cpp.Llama(str(path), n_ctx=len(windows[0]), n_batch=len(windows[0]), logits_all=True, verbose=False, n_threads=2, type_k=0, type_v=0, flash_attn=False)
    out = []
    for w in windows:
        l.reset()
        l.eval(w)
        s = l.scores[:len(w)].astype(np.float64)
        top = s.max(1, keepdims=True)
        out.append(s - top - np.log(np.exp(s - top).sum(1, keepdims=True)))
    return out


def compare(rows, windows, logs):
    """Largest difference of log-probability of what tenpak finds likely (1 % and more), divergence over the likeliest tokens that
    the log keeps (the rest has next to no probability), llama.cpp's perplexity."""
    worst, kl, nll, at = 0.0, [], [], 0
    for w, log in zip(windows, logs):
        for i in range(len(w) - 1):
            target, likely, p = rows[at]
            at += 1
            d = p - log[i][likely]
            keep = p > np.log(0.01)
            worst = max(worst, float(np.abs(d[keep]).max()))
            kl.append(float((np.exp(p) * d).sum()))
            nll.append(-log[i][w[i + 1]])
    assert at == len(rows)
    return worst, float(np.mean(kl)), float(np.exp(np.mean(nll)))


def check_logits(args, model, path, tmp, what, text=None, context=None, factor=1):
    """(3): `model` as tenpak runs it, against `path` as llama.cpp does, and against its values in fp32."""
    context, count = context or args.context, args.windows
    result, rows = ours(args, model, tmp, context, count, text)
    tokens = tokens_of(args, model, [pathlib.Path(text or args.text).read_text()])[0]
    windows = windows_of(tokens, context, count)
    wide = tmp / "wide.gguf"
    if types_of(path) & {"F16", "BF16"}:
        widen(path, wide)
    else:
        run(args.tenpak, "quantize", path, "-c", "fp16", "--layout", "gguf", "-o", wide, "--quiet")
        widen(wide, wide)
    worst, kl, ppl = compare(rows, windows, theirs(wide, windows, True))
    wide.unlink()
    if factor == 1 and types_of(path) & {"Q8_0", "Q4_0", "Q6_K"}:
        factor = 5  # tenpak's kernels of packed weights round activations to 16 bits: 30 layers add up to 3e-3
    check(worst < factor * args.exact, f"{what}: as fp32, llama.cpp's log-probabilities differ by {worst:.2e} at most")
    worst, kl, ppl = compare(rows, windows, theirs(path, windows, False))
    percent = 100 * (ppl / result["perplexity"] - 1)
    check(abs(kl) < args.rounded and abs(percent) < args.perplexity * (3 if text else 1),
          f"{what}: as it is, by {worst:.2e} at most, divergence {kl:.2e}; perplexity llama.cpp {ppl:.4f}, tenpak {result['perplexity']:.4f} ({percent:+.3f} %)")


def widen(path, out):
    """The same file with every weight as fp32, by the gguf package: llama.cpp then computes in fp32 throughout."""
    r = gguf.GGUFReader(path)
    w = gguf.GGUFWriter(pathlib.Path(str(out) + ".part"), r.fields["general.architecture"].contents())
    for f in r.fields.values():
        if f.name.startswith("GGUF.") or f.name == "general.architecture":
            continue
        kind = f.types[0]
        w.add_key_value(f.name, f.contents(), kind, f.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    for t in r.tensors:
        data = gguf.quants.dequantize(t.data, t.tensor_type) if t.tensor_type.name != "F32" else np.array(t.data)
        w.add_tensor(t.name, np.ascontiguousarray(data.reshape(t.shape[::-1]).astype(np.float32)))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    pathlib.Path(str(out) + ".part").rename(out)


def check_import(args, path, tmp, what):
    """(4)"""
    out = tmp / "back.gguf"
    run(args.tenpak, "quantize", path, "-c", "fp16", "--layout", "gguf", "-o", out, "--quiet")
    want, got = dequantized(path), dequantized(out)
    types = types_of(path)
    out.unlink()
    same = set(want) == set(got) and all(np.array_equal(want[n].view(np.uint32), got[n].astype(np.float32).view(np.uint32)) for n in want)
    check(same, f"{what}: {len(want)} tensors ({', '.join(sorted(types))}) have the gguf package's values, bit for bit")


def quantize_with_llama(source, out, name):
    p = llama_cpp.llama_model_quantize_default_params()
    p.ftype, p.nthread, p.allow_requantize = FTYPES[name], 2, True
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(out).encode(), p)
    assert status == 0, name


def letters_tokenizer(size):
    """Byte-level BPE of as many characters as a tiny model has tokens."""
    chars = ["<s>", "</s>", "<unk>", "\u0120", "\u010a", "th"] + [chr(c) for c in range(ord("a"), ord("z") + 1)] + [chr(c) for c in range(ord("A"), ord("Z") + 1)] + list(".,'0123456789")
    assert len(chars) >= size
    return {"version": "1.0", "added_tokens": [{"id": 1, "content": "</s>", "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}], "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}, "post_processor": None, "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "unk_token": None, "fuse_unk": False, "byte_fallback": False, "vocab": {c: i for i, c in enumerate(chars[:size])}, "merges": ["t h"]}}


def check_architectures(args, tmp):
    rng = np.random.default_rng(7)
    text = tmp / "letters.txt"
    for i, fixture in enumerate(sorted(p.parent for p in args.architectures.glob("*/config.json"))):
        config = json.loads((fixture / "config.json").read_text())
        if config["model_type"] == "gemma2":
            config["query_pre_attn_scalar"] = config["head_dim"]  # what llama.cpp's graph has
        if config["model_type"] == "smollm3":
            config["no_rope_layers"] = [1, 1, 1, 0]
        folder = tmp / f"model{i}"  # llama.cpp takes some models' names as a sign of how to tokenize
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes((fixture / "model.safetensors").read_bytes())
        (folder / "tokenizer.json").write_text(json.dumps(letters_tokenizer(config["vocab_size"])))
        path = tmp / f"{fixture.name}.gguf"
        try:
            run(args.tenpak, "quantize", folder, "-c", "fp16", "--layout", "gguf", "-o", path, "--quiet")
        except RuntimeError as e:
            print(f"--   {fixture.name}: {str(e).splitlines()[-1]}")
            continue
        text.write_text("".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz  "), 400)))
        # Within sliding windows, which llama.cpp does not have in every architecture, and beyond LongRoPE's short contexts: its
        # own context is never below 256, and it chooses by that.
        context = 48 if "longrope" in fixture.name or fixture.name == "phi4_mini" else 24 if fixture.name == "gemma2" else 8 if "window" in json.dumps(config) else 24
        check_import(args, path, tmp, fixture.name)
        a, b = (json.loads(run(args.tenpak, "eval", m, "--text", text, "--context", context, "--json", "--quiet"))["perplexity"] for m in (folder, path))
        # llama.cpp has GELU by tanh, from a table in fp16.
        gelu = config["model_type"] in ("gpt2", "gpt_neox", "gemma2")
        check(abs(a / b - 1) < (1e-4 if gelu else 1e-6), f"{fixture.name}: read back, perplexity {a:.6f} and {b:.6f}")
        check_logits(args, folder, path, tmp, fixture.name, text=text, context=context, factor=10 if gelu else 1)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--tenpak", type=pathlib.Path, required=True)
    ap.add_argument("--base", type=pathlib.Path, required=True)
    ap.add_argument("--text", type=pathlib.Path, required=True)
    ap.add_argument("--calibration", type=pathlib.Path, help="for candidates that need one, where there is none beside the model")
    ap.add_argument("--candidates", default="fp16,int8_g128,rtn_g128,gptq_g128_sym")
    ap.add_argument("--types", default="Q8_0,Q4_0,Q4_1,Q5_0,Q5_1,Q2_K,Q3_K_M,Q4_K_M,Q5_K_M,Q6_K,IQ4_NL")
    ap.add_argument("--files", type=pathlib.Path, nargs="*", default=[], help="files that llama.cpp's converter made: (4) and (5)")
    ap.add_argument("--architectures", type=pathlib.Path)
    ap.add_argument("--context", type=int, default=256)
    ap.add_argument("--windows", type=int, default=4)
    ap.add_argument("--exact", type=float, default=1e-3, help="nats; both compute in fp32, but in another order (attention scores, exp)")
    ap.add_argument("--rounded", type=float, default=2e-2, help="nats")
    ap.add_argument("--perplexity", type=float, default=1.0, help="percent")
    args = ap.parse_args()
    with tempfile.TemporaryDirectory() as t:
        tmp = pathlib.Path(t)
        if args.architectures:
            check_architectures(args, tmp)
        for candidate in filter(None, args.candidates.split(",")):
            path = tmp / f"{candidate}.gguf"
            extra = ["--calibration", args.calibration] if args.calibration else []
            run(args.tenpak, "quantize", args.base, "-c", candidate, "--layout", "gguf", "-o", path, "--quiet", *extra)
            check_values(args, candidate, path, tmp)
            check_tokens(args, args.base, path, candidate)
            check_tokens(args, path, path, candidate + " read back")
            check_logits(args, path, path, tmp, candidate, factor=50 if "Q4_1" in types_of(path) else 1)  # whole zeros here, their products in fp16 there
        plain = tmp / "plain.gguf"
        run(args.tenpak, "quantize", args.base, "-c", "fp16", "--layout", "gguf", "-o", plain, "--quiet")
        for name in filter(None, args.types.split(",")):
            path = tmp / f"llama-{name}.gguf"
            quantize_with_llama(plain, path, name)
            check_import(args, path, tmp, "llama.cpp's " + name)
            check_logits(args, path, path, tmp, "llama.cpp's " + name)
            path.unlink()
        for path in args.files:
            check_import(args, path, tmp, path.name)
            check_tokens(args, path, path, path.name)
            check_logits(args, path, path, tmp, path.name)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
