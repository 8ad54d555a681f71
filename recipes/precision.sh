#!/usr/bin/env bash
# bfloat16 beside float32: the same seeds in both, `diswm` at the sizes of the demo (videos of Cheetah Run, 12,000 frames of Walker Stand),
# two runs at once in one thread each. About 35 minutes on two cores; stopped, the same command goes on.
# -> results/precision.{md,csv,png}
#
#   recipes/precision.sh [FOLDER]        SOURCE, TARGET: tasks   and what recipes/study.sh names
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-runs/precision}
PRESET=${PRESET:-demo}
. recipes/study.sh
source=${SOURCE:-cheetah_run}
target=${TARGET:-walker_stand}
pids=()

films "$source"
teacher diswm diswm "$source"
for seed in $seeds; do
  for precision in float32 bfloat16; do
    agent "$out/$precision" diswm "$target" "$seed" --teacher "$out/teachers/diswm" --learner.precision "$precision" --threads 1 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
  pids=()
done
.venv/bin/python recipes/precision.py "$out" --results "$results" --command "$(called SOURCE TARGET)"
