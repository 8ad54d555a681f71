"""Presets: named sets of changes to the configs, per verb. The configs' own defaults are the paper's sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diswm.config import unknown

Preset = Mapping[str, Mapping[str, Any]]

_SMALL_LEARNER = {"learner.lr": 6e-4, "model.units": 256, "model.depth": 16}

PRESETS: dict[str, Preset] = {
    "paper": {},
    # Two CPU cores: smaller batches and heads, twice the learning rates, as many updates per frame as the paper.
    "cpu": {
        "collect": {"collect.frames": 50_000},
        "pretrain": {**_SMALL_LEARNER, "pretrain.updates": 5_000, "pretrain.batch": 16, "pretrain.length": 32},
        "train": {
            **_SMALL_LEARNER,
            "train.frames": 100_000,
            "train.batch": 16,
            "train.length": 32,
            "train.replay_rows": 60_000,
            "train.replay_gb": 1.0,
            "dreamer.units": 256,
            "dreamer.starts": 256,
            "dreamer.actor_lr": 1.6e-4,
            "dreamer.critic_lr": 1.6e-4,
        },
    },
}


def preset(name: str, verb: str) -> Mapping[str, Any]:
    """The changes of this preset for `collect`, `pretrain` or `train`. DiswmError for an unknown name."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name].get(verb, {})
