#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What needs a GPU, on the machine where it runs: carries built programs, needs nothing installed there but the driver.
#   tests/gpu/run.sh pack BUILD_DIR OUT_DIR   here: tenpak, the CUDA module and the shared libraries they need, and this script
#   OUT_DIR/run.sh probe                      there: prints the probe as JSON; fails unless the module opened and its self-test passed
#   OUT_DIR/run.sh weights [BLOCKS]           there: decodes the golden payloads and large blocks on the GPU, compares, prints rates
#   OUT_DIR/run.sh compute [DEVICE]           there: every operation and whole tiny models on the GPU against the CPU
#   OUT_DIR/run.sh bench [DEVICE]             there: decode against copy bandwidth, prefill against cuBLASLt in bf16
# libcublasLt.so.13 is not carried (half a gigabyte): it is taken from the CUDA toolkit there; without it dense prefill is slow.
set -euo pipefail

pack() {
    local build=$1 out=$2 lib p
    [ -x "$build/bin/tenpak" ] || { echo "no $build/bin/tenpak: build the target tenpak first" >&2; exit 1; }
    [ -f "$build/bin/tenpak_cuda.so" ] || { echo "no $build/bin/tenpak_cuda.so: nvcc was not found when it was configured" >&2; exit 1; }
    local programs=()
    for p in tenpak_gpu_weights tenpak_gpu_compute tenpak_gpu_bench; do
        [ -x "$build/bin/$p" ] || { echo "no $build/bin/$p: build that target first" >&2; exit 1; }
        programs+=("$build/bin/$p")
    done
    mkdir -p "$out/bin" "$out/lib"
    cp "$build/bin/tenpak" "$build/bin/tenpak_cuda.so" "${programs[@]}" "$out/bin/"
    cp "$(dirname "$0")/../fixtures/weights.golden" "$out/"
    # The C library stays behind: the other machine's is taken, and must be as new as the one built against.
    ldd "$build/bin/tenpak" "$build/bin/tenpak_cuda.so" "${programs[@]}" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u | while read -r lib; do
        case $(basename "$lib") in
            libc.so.* | libm.so.* | libpthread.so.* | libdl.so.* | librt.so.* | ld-linux*) ;;
            *) cp -L "$lib" "$out/lib/" ;;
        esac
    done
    cp "$0" "$out/run.sh"
    chmod +x "$out/run.sh"
    du -sh "$out"
}

probe() {
    local here answer
    here=$(cd "$(dirname "$0")" && pwd)
    answer=$(LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$here/bin/tenpak" worker --probe --json)
    echo "$answer"
    # "gpu": true is only said after the module's kernels gave the CPU's results.
    grep -q '"gpu": true' <<<"$answer" || { echo "FAILED: no GPU was used; see gpu_reason above" >&2; exit 1; }
    echo "passed: module opened, self-test passed"
}

weights() {
    local here
    here=$(cd "$(dirname "$0")" && pwd)
    LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$here/bin/tenpak_gpu_weights" "$here/weights.golden" "$@"
}

program() {
    local here name=$1
    shift
    here=$(cd "$(dirname "$0")" && pwd)
    LD_LIBRARY_PATH="$here/lib:${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64" "$here/bin/$name" "$@"
}

case ${1:-} in
    pack) [ $# -eq 3 ] || { echo "usage: run.sh pack BUILD_DIR OUT_DIR" >&2; exit 2; }; pack "$2" "$3" ;;
    probe) probe ;;
    weights) shift; weights "$@" ;;
    compute) shift; program tenpak_gpu_compute "$@" ;;
    bench) shift; program tenpak_gpu_bench "$@" ;;
    *) sed -n '3,10p' "$0"; exit 2 ;;
esac
