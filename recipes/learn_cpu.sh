#!/usr/bin/env bash
# The learning proof on two CPU cores: Walker Walk under colour distraction, 100,000 frames, `diswm` (teacher: videos of
# Cheetah Run) beside `dreamerv2`, three seeds each. Hours; stopped, the same command goes on. Then the curves.
#
#   recipes/learn_cpu.sh [FOLDER]        SEEDS="0 1 2"  METHODS="diswm dreamerv2"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-runs/learn_cpu}
diswm=.venv/bin/diswm

$diswm collect --preset cpu --task cheetah_run --out "$out/videos"
for seed in ${SEEDS:-0 1 2}; do
  for method in ${METHODS:-diswm dreamerv2}; do
    teacher=()
    case $method in
      diswm | no_disentangle | dv2_finetune)
        $diswm pretrain "$method" --preset cpu --videos "$out/videos" --out "$out/teachers/$method"
        teacher=(--teacher "$out/teachers/$method")
        ;;
    esac
    $diswm train "$method" --preset cpu --task walker_walk --seed "$seed" "${teacher[@]}" --out "$out/$method/$seed"
  done
done
.venv/bin/python recipes/curves.py "$out" --name learn_cpu
