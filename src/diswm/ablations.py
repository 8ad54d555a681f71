"""Ablations: one named change to a method each. A run's config records them, so that it says what was changed.

``--ablate beta=0`` goes with `diswm pretrain` and `diswm train` alike; a change of both stages is held against the teacher's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from diswm.config import PretrainRun, TrainRun, flat, merge
from diswm.contract import DiswmError, unknown
from diswm.methods import Method, method

Stage = TypeVar("Stage", PretrainRun, TrainRun)


@dataclasses.dataclass(frozen=True)
class Ablation:
    """Either a term that is left out, or a setting of each verb (its dotted name, empty where it has none) that takes a value."""

    about: str
    needs: str
    """What it changes, which must be there: a term, "code" or "teacher"."""
    drops: str = ""
    pretrain: str = ""
    train: str = ""


ABLATIONS: dict[str, Ablation] = {
    "no_distill": Ablation("without the teacher", "distill", drops="distill"),
    "no_disentangle": Ablation("without the constraint on the code, in both stages", "beta", drops="beta"),
    "beta": Ablation("weight of the constraint on the code, in both stages", "beta", pretrain="weights.beta", train="weights.beta"),
    "disentangle": Ablation(
        "kind of the constraint on the code, in both stages", "beta", pretrain="learner.disentangle", train="learner.disentangle"
    ),
    "distill": Ablation("first weight of the distillation", "distill", train="weights.distill"),
    "distill_kind": Ablation("how student and teacher are compared", "distill", train="learner.distill_kind"),
    "code": Ablation("dimensions of the code, in both stages", "code", pretrain="model.z_dim", train="model.z_dim"),
    "source": Ablation("the videos; for an agent, the teacher that saw them", "teacher", pretrain="videos", train="teacher"),
}


def ablate(config: Stage, changes: Iterable[str]) -> Stage:
    """The config with these changes, each ``NAME`` or ``NAME=VALUE``, and with a record of them.

    DiswmError for a name that there is not, and for a change to what this method or verb does not have.
    """
    for text in changes:
        name, value = _parse(text)
        if name in (_parse(other)[0] for other in config.ablate):
            raise DiswmError(f"--ablate {name} is given twice. Give each ablation once.")
        chosen = ABLATIONS[name]
        if not _has(config, chosen.needs):
            raise DiswmError(
                f"--ablate {text} changes nothing: `diswm {_verb(config)} {config.method}` has no {chosen.needs} "
                f"(its terms: {', '.join(_terms(config))}). Leave it out, or choose another method."
            )
        config = _drop(config, chosen.drops) if chosen.drops else merge(config, {_setting(config, chosen): value})
        config = dataclasses.replace(config, ablate=(*config.ablate, text))
    return config


def method_of(config: PretrainRun | TrainRun) -> Method:
    """The config's method, less the terms that its ablations leave out."""
    found = method(config.method)
    for text in config.ablate:
        if gone := ABLATIONS[_parse(text)[0]].drops:
            tables: dict[str, Any] = {name: _without(getattr(found, name), gone) for name in ("weights", "video_weights", "anneal")}
            found = dataclasses.replace(found, **tables)
    return found


def check_record(config: PretrainRun | TrainRun) -> None:
    """DiswmError where another setting contradicts an ablation: the record of a run must be true."""
    for text in config.ablate:
        name, value = _parse(text)
        setting = _setting(config, ABLATIONS[name])
        found = flat(config).get(setting)
        if setting and _said(flat(merge(config, {setting: value}))[setting]) != _said(found):  # as texts: NaN is not itself
            raise DiswmError(f"--ablate {text} and {setting}={_said(found)} exclude each other. Leave one of them out.")


def check_teacher_record(config: TrainRun, teacher: PretrainRun) -> None:
    """DiswmError where an ablation of both stages was not made in the teacher's. (``--weights.beta`` is of one stage alone.)"""
    for text in config.ablate:
        chosen = ABLATIONS[_parse(text)[0]]
        setting = chosen.pretrain or f"weights.{chosen.drops}"
        if chosen.needs == "teacher" or not (chosen.pretrain or chosen.drops in method(config.method).video_weights):
            continue
        there, wanted = flat(teacher).get(setting, 0.0), flat(config).get(setting, 0.0)
        if there != wanted:
            raise DiswmError(
                f"{config.teacher}: --ablate {text} is of both stages, and this teacher was pretrained with {setting}={_said(there)}. "
                f"Pretrain one with `diswm pretrain {config.method} --ablate {text}`."
            )


def teacher_note(config: TrainRun, teacher: PretrainRun) -> str:
    """What to say where a teacher has other terms than this method's own, as `no_disentangle` is of both stages. Empty otherwise."""
    there, wanted = (set(terms) for terms in (teacher.weights, method_of(config).video_weights))
    if "distill" not in config.weights or there == wanted:
        return ""
    found = [f"{word} {', '.join(sorted(terms))}" for word, terms in (("with", there - wanted), ("without", wanted - there)) if terms]
    return (
        f"note: {config.teacher} was pretrained {' and '.join(found)}, unlike the teacher of {config.method}, "
        f"which `diswm pretrain {config.method}` makes"
    )


def slug(config: PretrainRun | TrainRun) -> str:
    """The ablations as a part of a folder's name: ``_beta-0``; empty without any."""
    return "".join("_" + "".join(c if c.isalnum() or c in "._" else "-" for c in text) for text in config.ablate)


def _parse(text: str) -> tuple[str, str]:
    """``NAME=VALUE`` -> both. DiswmError where that is no ablation."""
    name, _, value = text.partition("=")
    if name not in ABLATIONS:
        raise unknown("ablation", name, ABLATIONS)
    if bool(ABLATIONS[name].drops) == ("=" in text) or (not ABLATIONS[name].drops and not value):
        wanted = f"--ablate {name}" if ABLATIONS[name].drops else f"a value, such as --ablate {name}=..."
        raise DiswmError(f"--ablate {text}: {ABLATIONS[name].about}. Expected {wanted}.")
    return name, value


def _verb(config: PretrainRun | TrainRun) -> str:
    return "train" if isinstance(config, TrainRun) else "pretrain"


def _setting(config: PretrainRun | TrainRun, chosen: Ablation) -> str:
    return chosen.train if isinstance(config, TrainRun) else chosen.pretrain


def _terms(config: PretrainRun | TrainRun) -> Mapping[str, float]:
    found = method_of(config)
    return found.weights if isinstance(config, TrainRun) else found.video_weights


def _has(config: PretrainRun | TrainRun, what: str) -> bool:
    if what == "code":
        return config.model.encoder == "gaussian"
    return method_of(config).teacher if what == "teacher" else what in _terms(config)


def _drop(config: Stage, term: str) -> Stage:
    tables: dict[str, Any] = {name: _without(getattr(config, name), term) for name in ("weights", "anneal") if hasattr(config, name)}
    return dataclasses.replace(config, **tables)


def _without(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != name}


def _said(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
