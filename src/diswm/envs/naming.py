"""Distractions in words, as `specs` reads them but with spaces: ``colours set1``, ``camera easy moving``."""

from __future__ import annotations

import itertools

from diswm.contract import DiswmError
from diswm.envs.factors import LEVELS, BackgroundConfig, CameraConfig, ColourConfig, Layer, LightConfig
from diswm.envs.specs import COLOUR_NAMES, Phase, distracted

_OPTIONS = ("", ",moving", ",train", ",moving,train", ",test", ",moving,test")


def in_words(phase: Phase) -> list[str]:
    """Every distraction of a phase, the colours first."""
    return [f"colours {_colour(phase.colour)}", *(f"{layer.kind} {_layer(layer)}" for layer in phase.layers)]


def _colour(colour: ColourConfig) -> str:
    """The text that gives exactly these colours; where none does, their box."""
    if colour.colours == "none":
        return "none"
    base = ColourConfig(per=colour.per)
    for name, options in itertools.product(COLOUR_NAMES, _OPTIONS):
        try:
            if distracted(base, [f"colour:{name}{options}"])[0] == colour:
                return f"{name}{options}".replace(",", " ")
        except DiswmError:  # this name does not take these options
            continue
    return f"{colour.colours.replace('_', ' ')} delta={colour.max_delta:g} std={colour.step_std:g}"


def _layer(layer: Layer) -> str:
    if isinstance(layer, CameraConfig | LightConfig):
        words = [next((name for name, scale in LEVELS.items() if scale == layer.scale), f"{layer.scale:g}")]
    elif isinstance(layer, BackgroundConfig):
        words = [layer.source]
    else:
        return layer.name or layer.split
    words += ["moving"] * layer.moving + [layer.split] * (layer.split != "all")
    if isinstance(layer, CameraConfig) and layer.parts != CameraConfig().parts:
        words += layer.parts
    if isinstance(layer, BackgroundConfig):
        words += [f"folder={layer.folder}"] * bool(layer.folder) + [f"clips={layer.clips}"] * bool(layer.clips)
        words += [f"ground={layer.ground:g}"] if layer.ground is not None else []
    return " ".join(words)
