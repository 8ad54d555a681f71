#!/usr/bin/env bash
# The kinds of the constraint on the code: all of them by all scores on three worlds with known factors, and whether the scores of codes
# and the returns of agents that exist move together. About 90 minutes on two quiet cores, 1 GiB; stopped, the same command goes on.
# -> results/disentanglement.{md,csv,png}
#
#   recipes/disentanglement.sh [FOLDER] [RUNS...]    RUNS: agents or folders of them (results/runs); those with a checkpoint are scored
#                                                    SEEDS=3  WORKERS=2  FLAGS="--tiny"  RESULTS=results
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-runs/disentanglement}
shift || true
[ $# -gt 0 ] || set -- results/runs
words=""
for name in SEEDS WORKERS FLAGS; do [ -z "${!name:-}" ] || words+="$name=${!name@Q} "; done

# shellcheck disable=SC2086
.venv/bin/python benchmarks/regularisers.py --out "$out" --seeds "${SEEDS:-3}" ${WORKERS:+--workers "$WORKERS"} ${FLAGS:-}
.venv/bin/python recipes/disentanglement.py "$out" --runs "$@" --results "${RESULTS:-results}" --command "${words}recipes/disentanglement.sh"
