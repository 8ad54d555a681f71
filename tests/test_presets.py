"""Presets fit the configs of their verbs, with every method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diswm import envs
from diswm.config import CollectRun, PretrainRun, TrainRun, check_numbers, flat, merge
from diswm.contract import DiswmError
from diswm.methods import METHODS, for_pretraining, for_training
from diswm.presets import DEFAULT, PRESETS, apply_preset, apply_task, preset
from diswm.trainers.finetune import updates_due

VERBS = ("collect", "pretrain", "train")


def config(verb: str, method: str) -> Any:
    if verb == "collect":
        return CollectRun()
    return for_pretraining(PretrainRun(), method) if verb == "pretrain" else for_training(TrainRun(), method)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_every_verb(name: str, verb: str) -> None:
    method = "diswm"  # its schedule is what the demo preset shortens
    found = apply_preset(config(verb, method), name, verb)
    check_numbers(found)
    changed = preset(name, verb)
    assert {key: flat(found)[key] for key in changed} == dict(changed)
    if verb != "pretrain":
        assert found.env.task in envs.tasks()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_every_method(name: str, method: str) -> None:
    for verb in ("pretrain", "train"):
        found = apply_preset(config(verb, method), name, verb)
        assert not getattr(found, "anneal", {}).keys() - found.weights.keys(), "a schedule without a term"


def test_the_paper_preset_adds_its_switch_of_colours_to_the_configs_own_defaults() -> None:
    probes = {"probe.every", "probe.optional"}  # they watch a run and change nothing of it
    changed = {verb: set(preset("paper", verb)) - probes for verb in VERBS}
    assert changed == {"collect": set(), "pretrain": set(), "train": {"env.phases", "unseen"}}
    plan = apply_preset(for_training(TrainRun(), "diswm"), "paper", "train").env.plan()
    phases = [plan.at(progress, np.zeros(2)) for progress in (0.0, 0.499, 0.5, 1.0)]
    assert [plan.phases[phase].colour.colours for phase in phases] == ["set1", "set1", "set2", "set2"]


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(DiswmError, match=r"no preset 'dmo'. Did you mean demo"):
        preset("dmo", "train")


@pytest.mark.parametrize("name", ["cpu", "demo", "tiny"])
def test_presets_learn_before_they_end(name: str) -> None:
    train = merge(for_training(TrainRun(), "diswm"), preset(name, "train"))
    steps = train.train.frames // train.env.action_repeat
    assert updates_due(train.train, steps) > 0
    assert train.train.frames >= train.train.eval_every
    assert train.env.time_limit // train.env.action_repeat + 1 >= train.train.length
    assert train.train.prefill_steps >= train.env.time_limit // train.env.action_repeat, "an episode is there when learning begins"
    model = merge(for_pretraining(PretrainRun(), "diswm"), preset(name, "pretrain")).model
    assert model.z_dim == train.model.z_dim, "the teacher of a preset fits its student"


@pytest.mark.parametrize("name", ["cpu", "paper"])
@pytest.mark.parametrize("verb", ["pretrain", "train"])
def test_runs_are_scored_on_the_way_where_that_can_be(name: str, verb: str) -> None:
    found = apply_preset(config(verb, "diswm"), name, verb)
    steps = 0 if verb == "pretrain" else found.train.frames // found.env.action_repeat
    updates = found.pretrain.updates if verb == "pretrain" else updates_due(found.train, steps)
    assert found.probe.optional
    assert 10 <= updates // found.probe.every <= 150, "points enough for a curve"
    assert found.probe.share == 0.03


def test_the_default_is_a_preset() -> None:
    assert DEFAULT in PRESETS


@pytest.mark.parametrize("task", ["pusher", "drawer_open", "drawer_close"])
def test_the_papers_other_worlds_are_distilled_late(task: str) -> None:
    """Spec C3: a teacher of the suite's videos begins to teach there at 50,000 steps."""
    train = apply_preset(for_training(TrainRun(), "diswm"), "paper", "train")
    assert apply_task(train, task, "train", False, "paper").anneal["distill"].begin == 50_000
    assert apply_task(train, task, "train", False, "cpu").anneal["distill"].begin == 0
    assert apply_task(train, "walker_walk", "train", False, "paper").anneal["distill"].begin == 0
    alone = apply_preset(for_training(TrainRun(), "no_distill"), "paper", "train")
    assert apply_task(alone, task, "train", False, "paper").anneal == {}


def test_a_task_has_the_last_word_unless_the_user_has_it() -> None:
    train = apply_preset(for_training(TrainRun(), "diswm"), "paper", "train")
    assert apply_task(train, "walker_walk", "train", False) == train
    assert apply_task(train, "gym/CartPole-v1", "train", False).env.phases == (), "its colours cannot switch"
    assert apply_task(train, "drawer_open", "train", False).env.phases == ("0:texture:grid, 0.5:texture:wood",)
    for task in ("gym/CartPole-v1", "drawer_open"):
        assert apply_task(train, task, "train", True).env.phases == train.env.phases
