"""Presets: named sets of changes to the configs, per verb. The configs' own defaults are the paper's sizes and rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from diswm import envs
from diswm.config import merge
from diswm.contract import unknown

Config = TypeVar("Config")
Preset = Mapping[str, Mapping[str, Any]]

DEFAULT = "cpu"
METHOD = {"paper": "paper"}
"""The method that a preset trains where none is named, if it is not `diswm`."""

_SMALL_LEARNER = {"learner.lr": 6e-4, "model.units": 256, "model.depth": 16}
_SMALL_DREAMER = {"dreamer.units": 256, "dreamer.starts": 256, "dreamer.actor_lr": 1.6e-4, "dreamer.critic_lr": 1.6e-4}

_PROBES = {"probe.optional": True}
"""Scores of the code along training where the world's factors are known, and none where they are not."""

PRESETS: dict[str, Preset] = {
    # The paper's protocol beside its sizes: other colours from the middle of the budget on. They are trained on, so that what stays
    # unseen are the scene's own.
    "paper": {
        "pretrain": {**_PROBES, "probe.every": 1_000},
        "train": {**_PROBES, "probe.every": 1_000, "env.phases": ("0:set1", "0.5:set2"), "unseen": "none"},
    },
    # Two CPU cores, about an hour: smaller batches and networks, twice the learning rates, but more updates a frame than the paper.
    # Reward weighs 20: updates are few, and with 2 the model is slow to see rewards (LOG.md). The teacher fades over a fifth of the budget.
    "cpu": {
        "collect": {"collect.frames": 50_000},
        "pretrain": {
            **_SMALL_LEARNER,
            **_PROBES,
            "probe.every": 250,
            "pretrain.updates": 3_000,
            "pretrain.batch": 16,
            "pretrain.length": 32,
        },
        "train": {
            **_SMALL_LEARNER,
            **_SMALL_DREAMER,
            **_PROBES,
            "probe.every": 500,
            "dreamer.starts": 128,
            "weights.reward": 20.0,
            "train.frames": 100_000,
            "train.update_every": 3,
            "train.batch": 16,
            "train.length": 32,
            "train.replay_rows": 60_000,
            "train.replay_gb": 1.0,
            "anneal.distill.over": 10_000,
        },
    },
    # The tour of `make demo`: minutes on two cores, from videos to a policy that beats random actions.
    "demo": {
        "collect": {"collect.frames": 16_000, "env.task": "cheetah_run"},
        "pretrain": {**_SMALL_LEARNER, "pretrain.updates": 400, "pretrain.batch": 16, "pretrain.length": 16, "pretrain.log_every": 25},
        "train": {
            **_SMALL_LEARNER,
            **_SMALL_DREAMER,
            "dreamer.starts": 128,
            "weights.reward": 20.0,
            "env.task": "walker_stand",
            "train.frames": 12_000,
            "train.prefill_steps": 1_500,
            "train.update_every": 3,
            "train.batch": 16,
            "train.length": 32,
            "train.log_every": 25,
            "train.eval_every": 4_000,
            "train.replay_rows": 20_000,
            "train.replay_gb": 1.0,
            "anneal.distill.over": 6_000,
        },
    },
    # For continuous integration: a minute, everything runs, nothing is learned.
    "tiny": {
        "collect": {"collect.frames": 1_000, "env.task": "reacher_easy", "env.time_limit": 200},
        "pretrain": {**_SMALL_LEARNER, "pretrain.updates": 12, "pretrain.batch": 4, "pretrain.length": 8, "pretrain.log_every": 4},
        "train": {
            **_SMALL_LEARNER,
            "env.task": "walker_walk",
            "env.time_limit": 200,
            "train.frames": 1_000,
            "train.prefill_steps": 200,
            "train.first_updates": 4,
            "train.update_every": 25,
            "train.batch": 4,
            "train.length": 8,
            "train.log_every": 4,
            "train.eval_every": 500,
            "train.replay_rows": 1_000,
            "eval.episodes": 3,
            "eval.at_once": 3,
            "dreamer.units": 64,
            "dreamer.starts": 16,
        },
    },
}

_TABLE = {"env.distract.colours": "none", "env.phases": ["0:texture:grid, 0.5:texture:wood"]}
_DRAWER: Preset = {"collect": _TABLE, "train": {**_TABLE, "unseen": "none"}}
_GYM: Preset = {"train": {"env.phases": ()}}  # Gymnasium's worlds are shown as they are

TASKS: dict[str, Preset] = {"drawer_open": _DRAWER, "drawer_close": _DRAWER}
"""What a task changes: DrawerWorld distracts by the table's texture alone, grid then wood, and is evaluated on metal."""

_LATE = {"anneal.distill.begin": 50_000}
_PAPER_DRAWER: Preset = {"train": {**_LATE, "train.replay_rows": 506_000}}
PAPER_TASKS: dict[str, Preset] = {
    "pusher": {"train": {**_LATE, "train.replay_rows": 511_000}},
    "drawer_open": _PAPER_DRAWER,
    "drawer_close": _PAPER_DRAWER,
}
"""What a task also changes under the preset `paper`. Other worlds than the suite's are distilled late, as their teachers come from it, and
their shorter episodes give the replay more first frames."""


def preset(name: str, verb: str) -> Mapping[str, Any]:
    """The changes of this preset for `collect`, `pretrain` or `train`. DiswmError for an unknown name."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name].get(verb, {})


def apply_preset(config: Config, name: str, verb: str) -> Config:
    """The config with this preset's changes, less the schedules of terms that its method does not have."""
    return merge(config, _with_term(config, preset(name, verb)))


def _with_term(config: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Without the schedules of terms that the config's method does not have."""
    terms = getattr(config, "weights", {})
    return {key: value for key, value in changes.items() if not key.startswith("anneal.") or key.split(".")[1] in terms}


def apply_task(config: Config, task: str, verb: str, distracted: bool, name: str = DEFAULT) -> Config:
    """The config with what this task changes under the preset ``name``; no distractions where the user has ``distracted`` it already."""
    chosen = _GYM if task.startswith(envs.GYM) else TASKS.get(task, {})
    late = PAPER_TASKS.get(task, {}) if name == "paper" else {}
    changes = {key: value for key, value in chosen.get(verb, {}).items() if not (distracted and key == "env.phases")}
    return merge(config, {**changes, **_with_term(config, late.get(verb, {}))})
