"""Configs: to JSON and back, dotted changes, help for every setting, and words for what does not fit."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import typing
from pathlib import Path
from typing import Any

import pytest
import small

from diswm.config import CollectRun, PretrainRun, TrainRun, check_numbers, flat, from_dict, merge, read_yaml, to_dict
from diswm.contract import DiswmError
from diswm.methods import METHODS, check_terms, for_pretraining, for_training
from diswm.objectives import Anneal

CONFIGS = [
    CollectRun(),
    PretrainRun(),
    TrainRun(),
    small.collect_config(Path("x"), env__distract__colours="set2"),
    *(for_pretraining(merge(PretrainRun(), {"videos": ["a", "b"], "out": "c"}), name) for name in METHODS),
    *(for_training(merge(TrainRun(), {"teacher": "t", "train.frames": 7, "unseen": "set1"}), name) for name in METHODS),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{type(config).__name__}-{getattr(config, 'method', '')}")
def test_through_json_and_back(config: Any) -> None:
    text = json.dumps(to_dict(config))
    again = from_dict(type(config), json.loads(text))
    assert again == config
    assert {name: type(value) for name, value in flat(again).items()} == {name: type(value) for name, value in flat(config).items()}


def test_merge_takes_dotted_and_nested_changes() -> None:
    base = TrainRun()
    dotted = merge(base, {"train.frames": 5, "env.distract.colours": "set2", "model.z_dim": 3})
    nested = merge(base, {"train": {"frames": 5}, "env": {"distract": {"colours": "set2"}}, "model": {"z_dim": 3}})
    mixed = merge(base, {"train": {"frames": 5}, "env": {"distract.colours": "set2"}, "model.z_dim": 3})
    assert dotted == nested == mixed
    assert (dotted.train.frames, dotted.env.distract.colours, dotted.model.z_dim) == (5, "set2", 3)
    assert dotted.train.batch == base.train.batch
    assert base == TrainRun(), "the old one is as it was"


def test_merge_reads_numbers_as_yaml_gives_them() -> None:
    found = merge(TrainRun(), {"train.frames": "1e5", "learner.lr": "3e-4", "learner.clip": 100, "train.batch": 4.0})
    assert (found.train.frames, found.learner.lr, found.learner.clip, found.train.batch) == (100_000, 3e-4, 100.0, 4)
    assert isinstance(found.train.frames, int)
    assert isinstance(found.learner.clip, float)
    assert isinstance(found.train.batch, int)


def test_weights_and_schedules_are_tables() -> None:
    config = merge(for_training(TrainRun(), "diswm"), {"weights.beta": 2, "anneal.distill.over": 9})
    assert config.weights["beta"] == 2.0
    assert config.weights["image"] == 1.0
    assert config.anneal["distill"] == Anneal(0, 9, 0.1)
    assert merge(config, {"anneal": {"beta": {"floor": 1}}}).anneal["beta"].floor == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trian": 1}, "no setting 'trian'. Did you mean train"),
        ({"train.frame": 1}, r"no setting 'train.frame'. Did you mean train.frames"),
        ({"env": {"distract": {"colour": "set1"}}}, r"env.distract.colour'. Did you mean env.distract.colours"),
        ({"train": 3}, "train has settings of its own"),
        ({"train.frames": "many"}, "train.frames='many' must be a whole number"),
        ({"train.frames": 1.5}, "train.frames=1.5 must be a whole number"),
        ({"train.frames": True}, "must be a whole number"),
        ({"train.frames": None}, "must be a whole number"),
        ({"train.frames": "inf"}, "must be a whole number"),
        ({"train.frames": [1]}, "must be a whole number"),
        ({"learner.lr": "fast"}, "learner.lr='fast' must be a number"),
        ({"wandb": "yes"}, "wandb='yes' must be true or false"),
        ({"out": 3}, "out=3 must be a path"),
        ({"unseen": "set9"}, "unseen='set9' is unknown. auto, set1, set2, none are possible"),
        ({"weights": 3}, "weights must be a table"),
        ({"weights": {"image": "x"}}, "weights.image='x' must be a number"),
        ({"train": {"frames": {"a": 1}}}, "must be a whole number"),
        ({"seed": 1, "seed.x": 2}, "exclude each other"),
        ({"env.image_size": 4}, "image_size=4 must be an integer from 8 to 480"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DiswmError) as told:
        merge(TrainRun(), changes)
    assert words in str(told.value)


def test_videos_must_be_a_list() -> None:
    assert merge(PretrainRun(), {"videos": "one"}).videos == (Path("one"),)
    assert merge(PretrainRun(), {"videos": ["one", "two"]}).videos == (Path("one"), Path("two"))
    for wrong in (3, None, [3]):
        with pytest.raises(DiswmError, match="videos"):
            merge(PretrainRun(), {"videos": wrong})


@pytest.mark.parametrize(
    ("name", "value"),
    [("train.batch", 0), ("train.update_every", 0), ("train.eval_every", 0), ("eval.episodes", 0), ("eval.at_once", -1),
     ("train.frames", -5),
     ("learner.lr", float("nan")), ("weights.image", float("inf")), ("weights.image", -1.0), ("seed", -1), ("model.z_dim", 0),
     ("dreamer.horizon", 1), ("threads", -1), ("train.replay_gb", 0.0), ("train.patience", 0)],
)  # fmt: skip
def test_numbers_that_mean_nothing_are_refused(name: str, value: float) -> None:
    with pytest.raises(DiswmError, match=f"^{name}="):
        check_numbers(merge(for_training(TrainRun(), "diswm"), {name: value}))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{type(config).__name__}-{getattr(config, 'method', '')}")
def test_defaults_are_good_numbers(config: Any) -> None:
    check_numbers(config)


def test_terms_must_be_those_of_the_method() -> None:
    weights = METHODS["dreamerv2"].weights
    check_terms("dreamerv2", weights, weights, {})
    for wrong in ({**weights, "distill": 0.1}, {"image": 1.0}, {}):
        with pytest.raises(DiswmError, match="The method dreamerv2 has the terms image, reward, dyn, rep"):
            check_terms("dreamerv2", wrong, weights, {})
    with pytest.raises(DiswmError, match="schedules without a term: distill"):
        check_terms("dreamerv2", weights, weights, {"distill": Anneal()})


def test_yaml(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("train: {frames: 100}\nmodel.z_dim: 5\n")
    assert read_yaml(path) == {"train": {"frames": 100}, "model.z_dim": 5}
    with pytest.raises(DiswmError, match=r"nothing.yaml: cannot be read"):
        read_yaml(tmp_path / "nothing.yaml")
    for text in ("a: [1", "\x00", "a: !!python/object/apply:os.system [x]", "- 1", "", "3"):
        path.write_text(text)
        with pytest.raises(DiswmError, match=r"run.yaml: (cannot be read|expected settings)") as told:
            read_yaml(path)
        assert "\n" not in str(told.value)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DiswmError, match="cannot be read"):
        read_yaml(path)


# ---- every setting explains itself


def dataclasses_of(kind: type) -> set[type]:
    """A config and all that it is made of."""
    found = {kind}
    for hint in typing.get_type_hints(kind).values():
        for part in (hint, *typing.get_args(hint)):
            if isinstance(part, type) and dataclasses.is_dataclass(part):
                found |= dataclasses_of(part)
    return found


ALL = sorted(dataclasses_of(CollectRun) | dataclasses_of(PretrainRun) | dataclasses_of(TrainRun), key=lambda kind: kind.__name__)


def undocumented(kind: type) -> list[str]:
    """Fields without a text below them; those that are configs themselves carry their own."""
    source = ast.parse(inspect.getsource(importlib.import_module(kind.__module__)))
    body = next(node for node in ast.walk(source) if isinstance(node, ast.ClassDef) and node.name == kind.__name__).body
    hints = typing.get_type_hints(kind)
    missing = []
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not dataclasses.is_dataclass(hints[node.target.id]):
            text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
            if not text:
                missing.append(node.target.id)
    return missing


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_setting_has_a_help_text(kind: type) -> None:
    assert kind.__doc__
    assert undocumented(kind) == []


def test_the_parts_are_found() -> None:
    assert {"TrainRun", "EnvConfig", "ColourConfig", "ModelConfig", "Anneal", "CollectConfig"} <= {kind.__name__ for kind in ALL}
