#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every delta benchmark in one go, as Markdown for RESULTS.md: half an hour on a quiet machine of two cores.
#   results.sh BIN WORK > delta.md
# BIN: folder of the built programs; WORK: a folder with 12 GB free, pairs made there are kept for the next run.
# Environment: TENPAK_SHARED_DATA, TENPAK_REAL_PAIRS, TENPAK_PEERS_PYTHON (see delta_bench.cpp). Progress and errors go to stderr.
set -u
bin=$1 work=$2
here=$(dirname "$(readlink -f "$0")")
mkdir -p "$work"
failed=0
section() {
    echo
    echo "### $1"
    shift
    echo
    echo "    $*" | sed "s#$bin#build/release/bin#g; s#$here#tests/bench#g; s#$work#WORK#g"
    echo
    "$@"
    local code=$?
    [ $code = 0 ] && return
    failed=1
    echo
    echo "(A figure above misses what it has to reach, or the program failed: exit code $code.)"
}
echo "$(date -u '+%-d %B %Y %H:%M UTC'), $(lscpu | sed -n 's/^Model name: *//p') (family $(lscpu | sed -n 's/^CPU family: *//p'), model $(lscpu | sed -n 's/^Model: *//p')), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg) at the start,"
echo "$(gcc --version | head -1), libzstd $(zstd --version 2>/dev/null | grep -o 'v[0-9.]*'), commit $(git -C "$here" rev-parse --short HEAD)."
section "The decoder alone" "$bin/tenpak_bench_decode" 15
section "Stored size and speed beside peers" "$bin/tenpak_bench_delta"
section "Rebuild, end to end" "$bin/tenpak_bench_rebuild" --disk "$work"
section "Estimate of the 2 GB full fine-tune, warm cache" "$bin/tenpak_check_estimate" "$work/full/base" "$work/full/ft" --within 2
section "Estimate of the 2 GB merged LoRA, warm cache" "$bin/tenpak_check_estimate" "$work/lora16/base" "$work/lora16/ft" --within 10
mkdir -p "$work/limit"
ln -sfn "$work/full" "$work/limit/full"
ln -sfn "$work/lora16" "$work/limit/lora"
section "Memory: a control group of 1 GiB without swap" "$here/memory_limit.sh" "$bin" "$work/limit"
exit $failed
