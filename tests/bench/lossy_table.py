#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Table of the lossy modes: lossy_table.py TENPAK NAME BASE FINE_TUNE TEXT [options of delta compress …]"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

tenpak, name, base, fine_tune, text, *more = sys.argv[1:]
for mode in ["lossless", "int8", "int4", "bit1", "lowrank --rank 16", "lowrank --rank 64"]:
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run([tenpak, "--quiet", "--json", "delta", "compress", base, fine_tune, "-o", str(Path(folder) / "x.tnpk"), "--text", text, *more, "--mode", *mode.split()],
                             capture_output=True, text=True)
    if run.returncode != 0:
        print(f"| {name} | {mode} | failed: {run.stderr.strip()} |")
        continue
    j = json.loads(run.stdout)
    p = j["perplexity"]
    change = f"{p['change_percent']:+.3f} [{p['change_low']:+.3f}, {p['change_high']:+.3f}]" if p else "none: lossless"
    methods = ", ".join(f"{m} {n / 1e6:.2f} MB" for m, n in j["methods"].items() if n > 10_000)
    error = "0 | 0 | 0" if j["lossless"] else f"{j['max_abs_error']:.2g} | {100 * j['relative_error']:.3g} | {100 * j['delta_relative_error']:.3g}"
    print(f"| {name} | {mode} | {j['bits_per_weight']:.3f} | {error} | {change} | {methods} |", flush=True)
