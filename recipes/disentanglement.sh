#!/usr/bin/env bash
# The kinds of the constraint on the code: all of them by all scores on three worlds with known factors, and whether the scores of codes
# and the returns of agents that exist move together; other strengths of the kinds, some of them on one seed alone. About three hours on
# two quiet cores, 1 GiB; stopped, the same command goes on.
# -> results/disentanglement.{md,csv,png}
#
#   recipes/disentanglement.sh [FOLDER] [RUNS...]    RUNS: agents or folders of them (results/runs); those with a checkpoint are scored
#                                                    SEEDS=3  WORKERS=2  FLAGS="--tiny"  RESULTS=results
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-runs/disentanglement}
shift || true
[ $# -gt 0 ] || set -- results/runs
defaults="beta_vae annealed_capacity beta_tcvae factor_vae dip_vae_i dip_vae_ii none untrained pixels"
tried="beta_tcvae@5 factor_vae@3 factor_vae@10 dip_vae_i@5 dip_vae_ii@5 annealed_capacity@20"
once="beta_vae@4 beta_vae@16 beta_tcvae@1 dip_vae_ii@20"
words=""
for name in SEEDS WORKERS FLAGS; do [ -z "${!name:-}" ] || words+="$name=${!name@Q} "; done

# shellcheck disable=SC2086
run() { .venv/bin/python benchmarks/regularisers.py --out "$out" ${WORKERS:+--workers "$WORKERS"} ${FLAGS:-} --seeds "$1" --kinds $2; }
run "${SEEDS:-3}" "$defaults $tried"
run 1 "$once"
.venv/bin/python recipes/disentanglement.py "$out" --runs "$@" --results "${RESULTS:-results}" --command "${words}recipes/disentanglement.sh"
