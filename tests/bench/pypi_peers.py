#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Delta compressors from PyPI on given pairs: zipnn (delta mode), lmzip, sparse-llm.

    python3 -m venv VENV && pypi_peers.py --install VENV      # what does not install is said, the others go on
    VENV/bin/python pypi_peers.py BASE FT [BASE FT]...        # folders or .safetensors files; prints Markdown rows
    VENV/bin/python pypi_peers.py --json BASE FT              # one JSON object: what delta_bench reads

Bytes are those of everything stored for the fine-tune given the base. Every result is decoded and compared byte by byte;
one that differs is "lossy" and counts for no comparison with lossless ones. Seconds are wall clock, one pass, from and to files.
"""
import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEERS = {"zipnn": ["zipnn"], "lmzip": ["lmzip"], "sparse-llm": ["sparse-llm", "accelerate"]}


def install(venv):
    ok = True
    for peer, packages in PEERS.items():
        r = subprocess.run([str(Path(venv) / "bin/pip"), "install", *packages], capture_output=True, text=True)
        lines = (r.stdout + r.stderr).strip().splitlines()
        print(f"{peer}: " + ("installed" if r.returncode == 0 else f"does NOT install: {lines[-1] if lines else 'no output'}"))
        ok = ok and r.returncode == 0
    return ok


def files_of(model):
    return [model] if model.is_file() else sorted(f for f in model.rglob("*") if f.is_file() and not f.name.startswith("."))


def header_of(path):
    raw = path.open("rb")
    size = int.from_bytes(raw.read(8), "little")
    return json.loads(raw.read(size))


def counterpart(file, ft, base):
    """The base's file for one of the fine-tune's: the same name, or the only weights file."""
    names = {f.name: f for f in files_of(base)}
    if file.name in names:
        return names[file.name]
    weights = [f for f in files_of(base) if f.suffix == ".safetensors"]
    return weights[0] if file.suffix == ".safetensors" and len(weights) == 1 else None


def zipnn(base, ft, work):
    """XOR of whole files, then zipnn: delta mode takes files of equal length only. Others are stored by zipnn without delta."""
    from zipnn import ZipNN
    total, encode_s, decode_s, notes = 0, 0.0, 0.0, []
    for f in files_of(ft):
        kinds = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
        if f.suffix != ".safetensors":
            total += min(f.stat().st_size, stored_zstd(f))
            continue
        dtypes = {t["dtype"] for n, t in header_of(f).items() if n != "__metadata__"} & kinds.keys()
        kind = kinds[min(dtypes)] if dtypes else "bfloat16"
        b = counterpart(f, ft, base)
        same = b is not None and b.stat().st_size == f.stat().st_size
        if not same:
            notes.append("lengths differ: no delta")
        make = lambda: ZipNN(input_format="byte", bytearray_dtype=kind, **({"delta_compressed_type": "byte"} if same else {}))
        start = time.perf_counter()
        # fresh copies: the extension changes its input in place
        packed = bytes(make().compress(bytearray(f.read_bytes()), **({"delta_second_data": bytearray(b.read_bytes())} if same else {})))
        (work / "zipnn.znn").write_bytes(packed)
        encode_s += time.perf_counter() - start
        start = time.perf_counter()
        back = bytes(make().decompress(bytearray((work / "zipnn.znn").read_bytes()),
                                       **({"delta_second_data": bytearray(b.read_bytes())} if same else {})))
        decode_s += time.perf_counter() - start
        if back != f.read_bytes():
            return {"bytes": total + len(packed), "exact": False, "note": "round trip differs", "encode_s": encode_s, "decode_s": decode_s}
        total += len(packed)
    return {"bytes": total, "exact": True, "encode_s": encode_s, "decode_s": decode_s, "note": "; ".join(sorted(set(notes)))}


def stored_zstd(f):
    """Side files cost every peer the same: zstd -19."""
    r = subprocess.run(["zstd", "-19", "-c", "-q", str(f)], capture_output=True)
    return len(r.stdout) if r.returncode == 0 else f.stat().st_size


def lmzip(base, ft, work):
    """lmz codes a tensor against the same tensor of an earlier file of the same archive: the fine-tune costs what the archive
    of base and fine-tune is larger than the archive of the base alone."""
    lmz = [sys.executable, "-m", "lmz"]

    def archive(name, models):
        folder = work / name
        for i, m in enumerate(models):
            at = folder / f"{i}"
            at.mkdir(parents=True)
            for f in files_of(m):
                target = at / (f.relative_to(m) if m.is_dir() else Path("model.safetensors"))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(f, target)
        out = work / f"{name}.lmz"
        start = time.perf_counter()
        r = subprocess.run([*lmz, "compress", "-q", "-f", str(folder), str(out)], capture_output=True, text=True)
        if r.returncode != 0:
            raise RuntimeError((r.stderr or r.stdout).strip().splitlines()[-1])
        return out, folder, time.perf_counter() - start
    both, folder, both_s = archive("both", [base, ft])
    alone, _, alone_s = archive("alone", [base])
    back = work / "back"
    start = time.perf_counter()
    r = subprocess.run([*lmz, "decompress", "-q", str(both), str(back)], capture_output=True, text=True)
    decode_s = time.perf_counter() - start
    if r.returncode != 0:
        raise RuntimeError((r.stderr or r.stdout).strip().splitlines()[-1])
    exact = tree(folder / "1") == tree(next(p for p in back.rglob("1") if p.is_dir()))
    return {"bytes": both.stat().st_size - alone.stat().st_size, "exact": exact, "encode_s": max(both_s - alone_s, 0.0), "decode_s": decode_s,
            "note": "archive of both less archive of the base"}


def tree(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def sparse_llm(base, ft, work):
    """Its "lossless" mode: sparse and INT8 deltas of the model loaded as fp16."""
    if not (base / "config.json").is_file() or not (ft / "config.json").is_file():
        raise RuntimeError("takes only models that transformers loads")
    from core.delta import compress_delta, reconstruct_from_delta
    from safetensors.torch import load_file
    out = work / "sparse"
    start = time.perf_counter()
    compress_delta(str(base), str(ft), str(out), device="cpu")
    encode_s = time.perf_counter() - start
    start = time.perf_counter()
    model = reconstruct_from_delta(str(base), str(out), device="cpu")
    decode_s = time.perf_counter() - start
    state, worst, exact = model.state_dict(), 0.0, True
    for f in files_of(ft):
        if f.suffix != ".safetensors":
            continue
        for name, want in load_file(f).items():
            got = state.get(name)
            if got is None:
                raise RuntimeError(f"{name} is missing from what it rebuilt")
            exact = exact and got.dtype == want.dtype and bool((got == want).all())
            worst = max(worst, (got.float().cpu() - want.float()).abs().max().item())
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    return {"bytes": size, "exact": exact, "encode_s": encode_s, "decode_s": decode_s, "note": "" if exact else f"largest error {worst:.2g}"}


def measure(base, ft):
    result = {}
    for peer, run in (("zipnn", zipnn), ("lmzip", lmzip), ("sparse-llm", sparse_llm)):
        with tempfile.TemporaryDirectory(prefix="tenpak-peers-") as work:
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    result[peer] = run(base, ft, Path(work))
            except ImportError as e:
                result[peer] = {"error": f"not installed ({e.name})"}
            except Exception as e:  # a peer that fails is a result
                result[peer] = {"error": f"{type(e).__name__}: {e}".splitlines()[0][:160]}
    return result


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--install", metavar="VENV")
    ap.add_argument("--json", action="store_true")
    ap.add_argument("models", nargs="*", type=Path)
    args = ap.parse_args()
    if args.install:
        sys.exit(0 if install(args.install) else 1)
    if not args.models or len(args.models) % 2:
        ap.error("give pairs: BASE FT")
    pairs = list(zip(args.models[::2], args.models[1::2]))
    if args.json:
        print(json.dumps(measure(*pairs[0])))
        return
    print("| pair | " + " | ".join(PEERS) + " |\n|---|" + "---:|" * len(PEERS))
    for base, ft in pairs:
        raw = sum(f.stat().st_size for f in files_of(ft))
        cells = []
        for peer, r in measure(base, ft).items():
            if "error" in r:
                cells.append(r["error"])
                continue
            kind = "exact" if r["exact"] else "LOSSY"
            cells.append(f"{r['bytes'] / raw:.4f} {kind}, {r['encode_s']:.1f} / {r['decode_s']:.1f} s" + (f" ({r['note']})" if r["note"] else ""))
        print(f"| {ft.name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
