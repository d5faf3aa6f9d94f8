#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the reference tool of OpenSSF Model Signing accepts what tenpak signs, and that each refuses what was changed.

Needs: model-signing (1.1.1) and pyopenssl from PyPI, and a built tenpak.

    python3 tests/oracle/check_model_signing.py --tenpak build/dev/bin/tenpak [--model resources/sample/finetune --base resources/sample/base]

Packs (with --base as a delta), signs, unpacks, verifies by both tools; then changes a file, adds one, removes one, and verifies
with another key: both tools must refuse each. Then the other way round: what the reference tool signs, tenpak verifies.
Exit code 0: all as expected; 1: not; 77: model-signing is not installed.
"""
import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

failures = 0


def expect(what, ok):
    global failures
    print(("ok      " if ok else "FAILED  ") + what)
    failures += not ok


def run(*args):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True)


def main():
    here = pathlib.Path(__file__).resolve().parents[2]
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tenpak", default=here / "build/dev/bin/tenpak")
    p.add_argument("--model", default=here / "resources/sample/finetune")
    p.add_argument("--base", default=here / "resources/sample/base")
    a = p.parse_args()
    try:
        import model_signing._cli  # noqa: F401  (the tool itself, with all that it needs)
    except ImportError as e:
        print(f"SKIPPED: model-signing cannot be imported ({e})")
        return 77
    oms = [sys.executable, "-m", "model_signing"]

    with tempfile.TemporaryDirectory() as t:
        t = pathlib.Path(t)

        def tenpak(*args):
            r = run(a.tenpak, "--quiet", *args)
            return r

        def must(*args):
            r = tenpak(*args)
            if r.returncode != 0:
                sys.exit(f"tenpak {' '.join(map(str, args))}: exit code {r.returncode}: {r.stderr}")

        def both(folder, key):
            """Exit codes of the reference tool and of tenpak."""
            ref = run(*oms, "verify", "key", folder, "--signature", folder / "model.sig", "--public_key", key)
            return ref.returncode, tenpak("artifact", "verify", folder, "--public-key", key).returncode

        must("artifact", "keygen", "-o", t / "k")
        must("artifact", "keygen", "-o", t / "k2")
        for form in ("file", "dir"):
            x, out = t / f"{form}.tnpk", t / f"out-{form}"
            must("artifact", "pack", a.model, "--base", a.base, "-o", x, "--form", form)
            must("artifact", "sign", x, "--key", t / "k/tenpak.key")
            must("artifact", "unpack", x, "-o", out, "--base", a.base)
            expect(f"{form}: both tools accept the unpacked model", both(out, t / "k/tenpak.pub") == (0, 0))
            expect(f"{form}: both tools refuse another key", both(out, t / "k2/tenpak.pub") == (1, 3))

            copy = t / "copy"
            for what in ("changed", "added", "removed", "renamed"):
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(out, copy)
                some = sorted(f for f in copy.iterdir() if f.name not in ("model.sig",))[0]
                if what == "changed":
                    some.write_bytes(some.read_bytes() + b"x")
                elif what == "added":
                    (copy / "extra").write_text("x")
                elif what == "removed":
                    some.unlink()
                else:
                    some.rename(copy / "other-name")
                expect(f"{form}: both tools refuse a model with a file {what}", both(copy, t / "k/tenpak.pub") == (1, 3))

        # Names that sort differently by code points and by path parts.
        odd = t / "odd"
        (odd / "a").mkdir(parents=True)
        shutil.copy(a.model / "model.safetensors", odd / "model.safetensors")
        for name in ("a-b", "a/b", "a.b", "Z", "\u00fc", "empty"):
            (odd / name).write_text("" if name == "empty" else name)
        must("artifact", "pack", odd, "-o", t / "odd.tnpk")
        must("artifact", "sign", t / "odd.tnpk", "--key", t / "k/tenpak.key")
        must("artifact", "unpack", t / "odd.tnpk", "-o", t / "odd-out")
        expect("names whose order is disputed", both(t / "odd-out", t / "k/tenpak.pub") == (0, 0))

        theirs = t / "theirs"
        shutil.copytree(a.model, theirs)
        r = run(*oms, "sign", "key", theirs, "--signature", theirs / "model.sig", "--private_key", t / "k/tenpak.key")
        expect("the reference tool signs with tenpak's key" + ("" if r.returncode == 0 else ": " + r.stderr[-300:]), r.returncode == 0)
        expect("both tools accept the reference tool's signature", both(theirs, t / "k/tenpak.pub") == (0, 0))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
