#!/usr/bin/env bash
# The paper's ablations at a scale of your choice: Figure 7 (without distillation, without disentanglement; weight of the distillation;
# beta), Figure I (dimensions of the code) and Figure 8 (videos of several tasks), and the kinds of distillation.
# Days on two cores at `cpu`, minutes at `tiny`; stopped, the same command goes on. -> results/ablations.{md,csv,png}, FOLDER/report.html
#
#   recipes/ablations.sh [FOLDER]    PANELS="ablation distill beta code kind source"  SOURCE=walker_walk  TARGET=cheetah_run
#                                    SOURCES="finger_spin reacher_easy walker_walk hopper_stand"  SOURCES_TARGET=cartpole_swingup
#                                    DISTILL="0.01 1"  BETA="0.0015 0.15 1.5"  CODE="5 10 50"  KINDS="softmax_sample softmax_mean mse_mean"
#                                    NAME=ablations  and what recipes/study.sh names
#
# The grids of values are ours: the paper's are in its pictures alone. 0 of DISTILL is no_distill, 0 of BETA no_disentangle.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-runs/ablations}
. recipes/study.sh
source=${SOURCE:-walker_walk}
target=${TARGET:-cheetah_run}
panels=" ${PANELS:-ablation distill beta code kind source} "

has() { [[ $panels == *" $1 "* ]]; }

# own NAME[=VALUE] SEED: diswm with an ablation of the agent alone, taught by diswm's teacher
own() {
  agent "$out/$target/$1" diswm "$target" "$2" --teacher "$out/teachers/diswm" --ablate "$1"
}

# both NAME[=VALUE] SEED: diswm with an ablation of both stages
both() {
  teacher "$1" diswm "$source" --ablate "$1"
  agent "$out/$target/$1" diswm "$target" "$2" --teacher "$out/teachers/$1" --ablate "$1"
}

main_panels() {
  local seed=$1 value
  films "$source"
  teacher diswm diswm "$source"
  agent "$out/$target/diswm" diswm "$target" "$seed" --teacher "$out/teachers/diswm"
  if has ablation || has distill; then agent "$out/$target/no_distill" diswm "$target" "$seed" --ablate no_distill; fi
  if has ablation || has beta; then both no_disentangle "$seed"; fi
  if has distill; then for value in ${DISTILL:-0.01 1}; do own "distill=$value" "$seed"; done; fi
  if has beta; then for value in ${BETA:-0.0015 0.15 1.5}; do both "beta=$value" "$seed"; done; fi
  if has code; then for value in ${CODE:-5 10 50}; do both "code=$value" "$seed"; done; fi
  if has kind; then for value in ${KINDS:-softmax_sample softmax_mean mse_mean}; do own "distill_kind=$value" "$seed"; done; fi
}

source_panel() {
  local seed=$1 task goal=${SOURCES_TARGET:-cartpole_swingup}
  for task in ${SOURCES:-finger_spin reacher_easy walker_walk hopper_stand}; do
    films "$task"
    teacher "source=$task" diswm "$task"
    agent "$out/$goal/source=$task" diswm "$goal" "$seed" --ablate "source=$out/teachers/source=$task"
  done
  agent "$out/$goal/dreamerv2" dreamerv2 "$goal" "$seed"
}

for seed in $seeds; do
  if [ "$panels" != " source " ]; then main_panels "$seed"; fi
  if has source; then source_panel "$seed"; fi
  .venv/bin/python recipes/ablations.py "$out" --results "$results" --name "${NAME:-ablations}" \
    --command "$(called PANELS SOURCE TARGET SOURCES SOURCES_TARGET DISTILL BETA CODE KINDS)"
  $diswm report "$out"
done
