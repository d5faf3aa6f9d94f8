#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that are missing. Usage: install-dependencies.sh [--no-gui] [--tests]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
gui=1 tests=0
for a in "$@"; do
  case "$a" in
    --no-gui) gui=0 ;;
    --tests) tests=1 ;;
    *) echo "install-dependencies.sh: unknown option $a" >&2; exit 2 ;;
  esac
done
missing=()
while read -r name tags; do
  case "$name" in '' | \#*) continue ;; esac
  [[ " $tags " == *" gui "* && $gui == 0 ]] && continue
  [[ " $tags " == *" test "* && $tests == 0 ]] && continue
  dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
done < "$here/debian-packages.txt"
[ ${#missing[@]} = 0 ] && exit 0

echo "Installing: ${missing[*]}" >&2
as_root=()
if [ "$(id -u)" != 0 ]; then
  if command -v sudo > /dev/null; then as_root=(sudo); else
    echo "These packages are missing and need root to install: ${missing[*]}" >&2
    exit 1
  fi
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"
