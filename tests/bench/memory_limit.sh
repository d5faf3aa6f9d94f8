#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Compresses and rebuilds a 2 GB pair (a full fine-tune and a merged LoRA) inside a control group of 1 GiB without swap.
#   memory_limit.sh BIN WORK [BYTES [LIMIT]]
# BIN: folder of tenpak and tenpak_make_pair; WORK: a folder with 11 GB free, pairs made there are kept. Exit code 0: both succeeded
# and the rebuilt models are the same; 1: not; 77: no control group can be had here (root and a writable hierarchy are needed).
set -u
bin=$1 work=$2 bytes=${3:-2e9} limit=${4:-1073741824}
group=tenpak-memory-limit-$$
mkdir -p "$work"
say() { echo "memory_limit: $*" >&2; }

# The group: version 2 with the memory controller, else version 1.
dir='' version=''
for root in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    if grep -qw memory "$root/cgroup.controllers" 2>/dev/null && mkdir "$root/$group" 2>/dev/null; then
        echo +memory > "$root/cgroup.subtree_control" 2>/dev/null
        if [ -w "$root/$group/memory.max" ]; then dir=$root/$group version=2; break; fi
        rmdir "$root/$group"
    fi
done
if [ -z "$dir" ] && mkdir "/sys/fs/cgroup/memory/$group" 2>/dev/null; then
    dir=/sys/fs/cgroup/memory/$group version=1
fi
if [ -z "$dir" ]; then
    say "SKIPPED: no memory control group can be made here: NOTHING was checked"
    exit 77
fi
trap 'rmdir "$dir" 2>/dev/null' EXIT
if [ $version = 2 ]; then
    echo "$limit" > "$dir/memory.max"
    [ -e "$dir/memory.swap.max" ] && echo 0 > "$dir/memory.swap.max"
else
    echo "$limit" > "$dir/memory.limit_in_bytes"
    [ -e "$dir/memory.memsw.limit_in_bytes" ] && echo "$limit" > "$dir/memory.memsw.limit_in_bytes"
fi
set_to=$(cat "$dir/memory.max" "$dir/memory.limit_in_bytes" 2>/dev/null)
if [ "$set_to" != "$limit" ]; then
    say "SKIPPED: the limit could not be set ($set_to): NOTHING was checked"
    exit 77
fi

# Runs a command inside the group; prints its wall time and the peak of its anonymous memory (what cannot be dropped) sampled each
# 50 ms. The page cache of its files counts against the limit, too, but is dropped when room is needed.
inside() {
    local start peak=0 now key=anon code
    [ $version = 1 ] && key=total_rss
    start=$(date +%s.%N)
    bash -c 'echo $$ > "$0/cgroup.procs"; exec "$@"' "$dir" "$@" &
    local pid=$!
    while kill -0 $pid 2>/dev/null; do
        now=$(awk -v k=$key '$1 == k {print $2}' "$dir/memory.stat")
        [ "${now:-0}" -gt "$peak" ] && peak=$now
        sleep 0.05
    done
    wait $pid
    code=$?
    seconds=$(echo "$(date +%s.%N) - $start" | bc 2>/dev/null || awk "BEGIN {print $(date +%s.%N) - $start}")
    peak_mb=$((peak / 1000000))
    return $code
}

export XDG_CACHE_HOME=$work/cache
failed=0
echo "| pair, limit $((limit / 1048576)) MiB without swap (control group v$version) | step | | seconds | peak of its own memory, MB |"
echo "|---|---|---|---:|---:|"
for kind in full lora; do
    pair=$work/$kind
    if [ ! -d "$pair" ]; then
        options=(--bytes "$bytes")
        [ $kind = lora ] && options+=(--alpha .01 --lora 16 --seed 2)
        "$bin/tenpak_make_pair" "$pair.tmp" "${options[@]}" && mv "$pair.tmp" "$pair" || exit 1
    fi
    rm -rf "$work/x.tnpk" "$work/out"
    for step in compress reconstruct; do
        if [ $step = compress ]; then
            inside "$bin/tenpak" delta compress "$pair/base" "$pair/ft" -o "$work/x.tnpk" --quiet > "$work/log" 2>&1
        else
            inside "$bin/tenpak" delta reconstruct "$pair/base" "$work/x.tnpk" -o "$work/out" --quiet >> "$work/log" 2>&1
        fi
        code=$?
        verdict=PASS
        if [ $code != 0 ]; then
            verdict="**FAIL** (exit code $code)"
            failed=1
            cat "$work/log" >&2
        elif [ $step = reconstruct ] && ! diff -rq "$pair/ft" "$work/out" >&2; then
            verdict="**FAIL** (rebuilt model differs)"
            failed=1
        fi
        echo "| $kind, $(du -sb "$pair/ft" | awk '{printf "%.2f GB", $1 / 1e9}') | $step | $verdict | $(printf %.1f "$seconds") | $peak_mb |"
    done
    rm -rf "$work/x.tnpk" "$work/out"
done
exit $failed
