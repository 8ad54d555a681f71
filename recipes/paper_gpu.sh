#!/usr/bin/env bash
# A whole run of the paper on one GPU, and several seeds that share it, a process each -> results/paper_gpu.md: time, updates a second,
# runs an hour. Stopped, the same command goes on.
#
#   recipes/paper_gpu.sh [FOLDER]    SOURCE=cheetah_run  TARGET=walker_walk  DEVICE=cuda
#                                    AT_ONCE="1 2 4"   seeds at once, each number a row
#                                    FRAMES=50000      a stretch of each run alone; what the table makes of it for the whole is marked
#                                    and VIDEO_FRAMES, UPDATES, PRESET, TRAIN_FLAGS, VIDEO_FLAGS and RESULTS of recipes/study.sh
#
# Processes take turns on a GPU unless NVIDIA's multi-process service runs (nvidia-cuda-mps-control -d).
# A stretch takes 20,000 frames of videos and 2,000 updates of the video model unless told otherwise.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PRESET=${PRESET:-paper}
if [ -n "${FRAMES:-}" ]; then
  VIDEO_FRAMES=${VIDEO_FRAMES:-20000}
  UPDATES=${UPDATES:-2000}
fi
out=${1:-runs/paper_gpu${FRAMES:+_$FRAMES}}
. recipes/study.sh
source=${SOURCE:-cheetah_run}
target=${TARGET:-walker_walk}
device=${DEVICE:-cuda}

# together N: seeds 0 to N - 1 at once -> $out/at_once/N/SEED
together() {
  local count=$1 folder=$out/at_once/$1 seed threads pids=()
  threads=$(($(nproc) / count))
  mkdir -p "$folder"
  for ((seed = 0; seed < count; seed++)); do
    agent "$folder" diswm "$target" "$seed" --teacher "$out/teachers/diswm" --device "$device" --threads "$((threads > 1 ? threads : 1))" \
      >"$folder/$seed.log" 2>&1 &
    pids+=($!)
  done
  for seed in "${!pids[@]}"; do
    wait "${pids[$seed]}" || { cat "$folder/$seed.log" >&2; exit 1; }
  done
}

films "$source"
teacher diswm diswm "$source" --device "$device"
for count in ${AT_ONCE:-1 2 4}; do together "$count"; done
.venv/bin/python recipes/paper_gpu.py "$out" --results "$results" --command "$(called SOURCE TARGET DEVICE AT_ONCE)"
