# Sourced by recipes that compare runs; they set $out first. What is finished is left alone, what was stopped goes on.
#
#   PRESET        cpu, paper, demo or tiny
#   FRAMES        budget of each agent            (the preset's unless given)
#   VIDEO_FRAMES  frames of each set of videos    (the preset's unless given)
#   UPDATES       updates of each video model     (the preset's unless given)
#   SEEDS         "0 1 2"
#   TRAIN_FLAGS   more settings for every agent, such as "--threads 1"
#   VIDEO_FLAGS   more settings for every video model
#   RESULTS       folder of the page               (results)
diswm=.venv/bin/diswm
preset=${PRESET:-cpu}
seeds=${SEEDS:-0 1 2}
results=${RESULTS:-results}

# alone NAME COMMAND...: one after the other where several seeds are started at once: they share videos and teachers.
alone() {
  local name=$1
  shift
  mkdir -p "$out"
  if command -v flock >/dev/null; then flock "$out/.$name.lock" "$@"; else "$@"; fi
}

# films TASK -> $out/videos/TASK
films() {
  alone "videos_$1" $diswm collect --preset "$preset" --task "$1" ${VIDEO_FRAMES:+--collect.frames "$VIDEO_FRAMES"} --out "$out/videos/$1"
}

# teacher NAME METHOD TASK [settings] -> $out/teachers/NAME, once for all seeds
teacher() {
  local name=$1 method=$2 task=$3
  shift 3
  # shellcheck disable=SC2086
  alone "teacher_$name" $diswm pretrain "$method" --preset "$preset" --videos "$out/videos/$task" ${UPDATES:+--pretrain.updates "$UPDATES"} ${VIDEO_FLAGS:-} \
    "$@" --out "$out/teachers/$name"
}

# agent FOLDER METHOD TASK SEED [settings] -> FOLDER/SEED
agent() {
  local folder=$1 method=$2 task=$3 seed=$4
  shift 4
  # shellcheck disable=SC2086
  $diswm train "$method" --preset "$preset" --task "$task" --seed "$seed" ${FRAMES:+--train.frames "$FRAMES"} ${TRAIN_FLAGS:-} \
    "$@" --out "$folder/$seed"
}

# trial METHOD SOURCE TARGET SEED -> $out/METHOD/SEED, with a teacher of its own kind from the videos of SOURCE where it needs one
trial() {
  local method=$1 source=$2 target=$3 seed=$4 flags=()
  case $method in
    diswm | paper | no_disentangle | dv2_finetune)
      teacher "$method" "$method" "$source"
      flags=(--teacher "$out/teachers/$method")
      ;;
  esac
  agent "$out/$method" "$method" "$target" "$seed" "${flags[@]}"
}

# How this study was called, for its page: the recipe with what was set.
called() {
  local name words=""
  for name in PRESET FRAMES VIDEO_FRAMES UPDATES SEEDS TRAIN_FLAGS VIDEO_FLAGS "$@"; do
    [ -z "${!name:-}" ] || words+="$name=${!name@Q} "
  done
  echo "${words}recipes/$(basename "$0")"
}
