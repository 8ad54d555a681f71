#!/usr/bin/env bash
# The learning proof on two CPU cores: Walker Walk under colour distraction, 100,000 frames, `diswm` (teacher: videos of Cheetah Run)
# beside `dreamerv2`, three seeds each. Hours; stopped, the same command goes on. Its runs are those of recipes/transfer.sh, and
# are made once. -> results/learn_cpu.{md,csv,png} and a page, FOLDER/report.html
#
#   recipes/learn_cpu.sh [FOLDER]        METHODS="diswm dreamerv2"  and what recipes/study.sh names
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-runs/transfer}
. recipes/study.sh
methods=${METHODS:-diswm dreamerv2}

films cheetah_run
for seed in $seeds; do
  for method in $methods; do
    trial "$method" cheetah_run walker_walk "$seed"
  done
  # shellcheck disable=SC2086
  .venv/bin/python recipes/curves.py "$out" --name learn_cpu --results "$results" --methods $methods
  $diswm report "$out"
done
