#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a bare Debian 12 to the running program: installs what is missing, builds, and opens tenpak-studio on the bundled
# sample. With --headless, or where there is no display, it does the same job on the console and says where the results are.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
headless=0
for a in "$@"; do
  case "$a" in
    --headless) headless=1 ;;
    -h | --help) sed -n '3,4s/^# //p' "$0"; echo "Usage: packaging/run.sh [--headless]"; exit 0 ;;
    *) echo "run.sh: unknown option $a (there is --headless)" >&2; exit 2 ;;
  esac
done
if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && [ $headless = 0 ]; then
  echo "No display here: doing the journey on the console." >&2
  headless=1
fi

preset=release
if [ $headless = 1 ]; then
  "$root/packaging/install-dependencies.sh" --no-gui
  preset=core
else
  "$root/packaging/install-dependencies.sh"
fi
cd "$root"
cmake --preset $preset -DTENPAK_TESTS=OFF -DTENPAK_BENCH=OFF -DTENPAK_WERROR=OFF > /dev/null
if [ $headless = 0 ]; then
  cmake --build build/$preset --target tenpak tenpak-studio
  exec "build/$preset/bin/tenpak-studio" --sample
fi
cmake --build build/$preset --target tenpak

tenpak=$root/build/$preset/bin/tenpak
sample=$root/resources/sample
out=${TENPAK_RESULTS:-$root/build/results}
rm -rf "$out"
mkdir -p "$out"
step() { echo; echo "== $*"; }

step "How small is the fine-tune as a difference from its base?"
"$tenpak" delta estimate "$sample/base" "$sample/finetune"
step "Store it, signed by a key of your own"
"$tenpak" artifact keygen -o "$out/key"
"$tenpak" delta compress "$sample/base" "$sample/finetune" -o "$out/finetune.tnpk"
"$tenpak" artifact sign "$out/finetune.tnpk" --key "$out/key/tenpak.key"
step "Rebuild it and compare every file"
"$tenpak" delta reconstruct "$sample/base" "$out/finetune.tnpk" -o "$out/finetune-rebuilt" --verify full
(cd "$sample/finetune" && find . -type f -print0 | sort -z | xargs -0 sha256sum) > "$out/original.sha256"
(cd "$out/finetune-rebuilt" && sha256sum --quiet -c "$out/original.sha256") && echo "Every file has the same SHA-256."
step "Find the cheapest candidate whose perplexity rises by at most 2 %"
"$tenpak" optimize "$sample/base" --max-ppl-delta 2 --store "$out/jobs.sqlite" --json > "$out/sweep.json"
winner=$(sed -n '/"winner"/,/}/s/.*"candidate": "\([^"]*\)".*/\1/p' "$out/sweep.json" | head -n 1)
echo "Winner: $winner (all candidates: $out/sweep.json)"
step "Export the winner as a signed artifact"
"$tenpak" quantize "$sample/base" --candidate "$winner" -o "$out/winner"
"$tenpak" artifact pack "$out/winner" -o "$out/winner.tnpk"
"$tenpak" artifact sign "$out/winner.tnpk" --key "$out/key/tenpak.key"
"$tenpak" artifact verify "$out/winner.tnpk" --public-key "$out/key/tenpak.pub"
echo
echo "Results: $out"
