#!/usr/bin/env bash
# Does pretraining with distillation help? One target under colour distraction, a teacher of another task's videos, the same seeds for
# each variant: diswm, without distillation, without disentanglement, DreamerV2; on demand diswm with other kinds of distillation, or of
# the constraint on the code (in teacher and agent).
# Hours on two cores; stopped, the same command goes on. -> results/transfer.{md,csv,png} and a page, FOLDER/report.html
#
#   recipes/transfer.sh [FOLDER]     METHODS="diswm no_distill no_disentangle dreamerv2"  KINDS="mse_mean=0.2 softmax_sample" (=WEIGHT)
#                                    CONSTRAINTS="beta_tcvae"
#                                    SOURCE=cheetah_run  TARGET=walker_walk  NAME=transfer  and what recipes/study.sh names
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-runs/transfer}
. recipes/study.sh
source=${SOURCE:-cheetah_run}
target=${TARGET:-walker_walk}
methods=${METHODS:-diswm no_distill no_disentangle dreamerv2}

films "$source"
for seed in $seeds; do
  for method in $methods; do
    trial "$method" "$source" "$target" "$seed"
  done
  for kind in ${KINDS:-}; do
    teacher diswm diswm "$source"
    flags=(--teacher "$out/teachers/diswm" --ablate "distill_kind=${kind%%=*}")
    [ "${kind#*=}" = "$kind" ] || flags+=(--ablate "distill=${kind#*=}")
    agent "$out/${kind/=/@}" diswm "$target" "$seed" "${flags[@]}"
  done
  for kind in ${CONSTRAINTS:-}; do
    teacher "$kind" diswm "$source" --ablate "disentangle=$kind"
    agent "$out/$kind" diswm "$target" "$seed" --teacher "$out/teachers/$kind" --ablate "disentangle=$kind"
  done
  # After each round of seeds, so that there is something to look at; the page says what is not finished.
  .venv/bin/python recipes/transfer.py "$out" --results "$results" --name "${NAME:-transfer}" --command "$(called METHODS KINDS CONSTRAINTS SOURCE TARGET)"
  $diswm report "$out"
done
