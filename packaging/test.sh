#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds everything with warnings as errors and runs every quick test; then builds engine and
# command line alone (no Qt) and runs their tests of the architecture. Usage: packaging/test.sh [ctest options]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/packaging/install-dependencies.sh" --tests
cd "$root"
export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-5G}
cmake --preset ci
cmake --build build/ci
# Without Qt first: it is quick, and its failure is the easier one to understand.
cmake --preset core -DTENPAK_TESTS=OFF -DTENPAK_BENCH=OFF
cmake --build build/core
build/core/bin/tenpak --version
ctest --test-dir build/ci --label-regex quick --output-on-failure --no-tests=error "$@"
