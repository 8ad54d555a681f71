#!/usr/bin/env bash
# `make demo` over several seeds -> results/demo.md: returns with intervals, time and memory.
#
#   recipes/demo.sh [FOLDER]             SEEDS="0 1 2"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-runs/demos}
for seed in ${SEEDS:-0 1 2}; do .venv/bin/diswm demo --seed "$seed" --out "$out/$seed"; done
.venv/bin/python recipes/demo_table.py "$out"
.venv/bin/diswm report "$out"
