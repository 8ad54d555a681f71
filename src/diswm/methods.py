"""Every method and ablation as a value: which encoder, which terms at which weight, what a teacher gives.

Two methods can be compared as data; nothing else in the package asks for a method's name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from diswm.config import PretrainRun, TrainRun, merge
from diswm.contract import DiswmError, unknown
from diswm.objectives import Anneal

_DREAMER = {"image": 1.0, "reward": 2.0, "dyn": 0.8, "rep": 0.2}
_VIDEO = {"image": 1.0, "dyn": 0.8, "rep": 0.2}
_GAUSSIAN = {"model.encoder": "gaussian"}
_PLAIN = {"model.encoder": "plain"}
_FADE = {"distill": Anneal(begin=0, over=50_000, floor=0.1)}  # the paper's in-domain transfer: 0.1 -> 0.01 at 45,000 agent steps


@dataclasses.dataclass(frozen=True)
class Method:
    """What makes a method. ``settings`` are changes to a run's config, as presets are."""

    about: str
    settings: Mapping[str, Any]
    weights: Mapping[str, float]
    video_weights: Mapping[str, float]
    anneal: Mapping[str, Anneal] = dataclasses.field(default_factory=dict)
    init: tuple[str, ...] = ()
    """Parts of the world model that start from the teacher's."""

    @property
    def teacher(self) -> bool:
        """Whether it needs a pretrained video model."""
        return "distill" in self.weights or bool(self.init)


_DISWM = Method(
    "beta-VAE code, distilled from a frozen video model",
    _GAUSSIAN,
    {**_DREAMER, "beta": 0.015, "distill": 0.1},
    {**_VIDEO, "beta": 0.015},
    _FADE,
)


def _without(weights: Mapping[str, float], *names: str) -> dict[str, float]:
    return {name: weight for name, weight in weights.items() if name not in names}


METHODS: dict[str, Method] = {
    "diswm": _DISWM,
    "paper": dataclasses.replace(
        _DISWM,
        about="as the paper's text has it: reward weight 1 and a continue head (eq. 5)",
        settings={**_GAUSSIAN, "model.continues": True},
        weights={**_DISWM.weights, "reward": 1.0, "continue": 1.0},
    ),
    "no_distill": dataclasses.replace(_DISWM, about="diswm without its teacher", weights=_without(_DISWM.weights, "distill"), anneal={}),
    "no_disentangle": dataclasses.replace(
        _DISWM,
        about="diswm without the constraint on the code, in both stages",
        weights=_without(_DISWM.weights, "beta"),
        video_weights=_without(_DISWM.video_weights, "beta"),
    ),
    "dreamerv2": Method("DreamerV2 with Gaussian latents, from scratch", _PLAIN, _DREAMER, _VIDEO),
    "dv2_finetune": Method(
        "DreamerV2 that starts from a video model's encoder, decoder and dynamics",
        _PLAIN,
        _DREAMER,
        _VIDEO,
        init=("encoder", "decoder", "rssm"),
    ),
}


def method(name: str) -> Method:
    """The method of this name. DiswmError with the nearest ones where there is none."""
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]


def check_terms(name: str, weights: Mapping[str, float], expected: Mapping[str, float], anneal: Mapping[str, Anneal]) -> None:
    """DiswmError unless the weights are those of the method's terms and each schedule has a weight."""
    if weights.keys() != expected.keys():
        raise DiswmError(
            f"The method {name} has the terms {', '.join(expected)}; the weights name {', '.join(weights) or 'none'}. "
            "Take out what is not the method's; in Python, start from methods.for_training or for_pretraining."
        )
    if lonely := sorted(anneal.keys() - weights.keys()):
        raise DiswmError(f"There are schedules without a term: {', '.join(lonely)}. The method {name} has {', '.join(weights)}.")


def for_training(config: TrainRun, name: str) -> TrainRun:
    """The config with a method's encoder, terms and schedules."""
    chosen = method(name)
    fresh = dataclasses.replace(config, method=name, weights=dict(chosen.weights), anneal=dict(chosen.anneal))
    return merge(fresh, chosen.settings)


def for_pretraining(config: PretrainRun, name: str) -> PretrainRun:
    """The config of the video model that this method's teacher is."""
    chosen = method(name)
    fresh = dataclasses.replace(config, method=name, weights=dict(chosen.video_weights))
    return merge(fresh, {key: value for key, value in chosen.settings.items() if key != "model.continues"})
