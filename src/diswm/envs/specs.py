"""Distractions as text, and the plan of an environment: which distractions hold in which part of a run.

A distraction is KIND:VALUE[,OPTION...]: ``colour:set1``, ``camera:easy,moving``, ``background:video,dynamic,folder=DAVIS``,
``light:medium``, ``texture:train``, ``texture:marble``. A folder whose name has a comma, a plus or a quote stands in double quotes, one
inside twice: ``folder="a, b"``. Phases are ``0:set1, 0.5:set2`` (fractions of the budget of frames; abrupt) or
``0:set1, 0.4-0.6:set2+camera:easy`` (gradual: the share of episodes under the new distractions grows from 0 to 1).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from diswm import contract
from diswm.contract import DiswmError
from diswm.envs import patterns
from diswm.envs.factors import (
    BASE_COLOURS,
    GREEN_SETS,
    LEVELS,
    SPLITS,
    BackgroundConfig,
    CameraConfig,
    ColourConfig,
    Layer,
    LightConfig,
    TextureConfig,
)

KINDS = ("colour", "camera", "background", "light", "texture")
_COLOURS: dict[str, dict[str, Any]] = {
    # The released DisWM code: a walk at every frame. TED (Dunion et al. 2023) has the same bases, a smaller box and no walk.
    **{name: {"colours": name} for name in ("none", *BASE_COLOURS)},
    "ted1": {"colours": "set1", "max_delta": 0.1, "step_std": 0.0},
    "ted2": {"colours": "set2", "max_delta": 0.1, "step_std": 0.0},
    # The Distracting Control Suite: around each material's own colour; with `moving` a walk of 3% of the box.
    **{name: {"colours": "own", "max_delta": scale, "step_std": 0.0} for name, scale in LEVELS.items()},
    # After the DMControl Generalization Benchmark (Hansen & Wang 2021): one draw an episode, near the own colours or any.
    "color_easy": {"colours": "own", "max_delta": 0.15, "step_std": 0.0},
    "color_hard": {"colours": "any", "step_std": 0.0},
}
COLOUR_NAMES = tuple(_COLOURS)
unknown = functools.partial(contract.unknown, cutoff=0.4)  # names are short here
_MOVES = {"moving": True, "dynamic": True, "static": False}
_UNQUOTED = r'(?=(?:[^"]*"[^"]*")*[^"]*$)'  # behind what is matched quotes come in pairs: it stands in none
_QUOTE = 'A folder whose name has a comma, a plus or a quote stands in double quotes, one inside twice: folder="a, b".'


@dataclasses.dataclass(frozen=True)
class Phase:
    """From ``start`` on, wholly from ``end`` on (fractions of the budget), these distractions hold."""

    start: float
    end: float
    colour: ColourConfig
    layers: tuple[Layer, ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The phases of a run, in the order of their starts; the first starts at 0."""

    phases: tuple[Phase, ...]

    def kinds(self) -> set[str]:
        """What any of the phases asks of a scene."""
        found = {layer.kind for phase in self.phases for layer in phase.layers}
        return found | {"colour" for phase in self.phases if phase.colour.colours != "none"}

    def at(self, progress: float, chance: np.ndarray) -> int:
        """The phase of an episode that starts at ``progress``; ``chance`` (number of phases,) uniform in [0, 1), its own draw."""
        current = 0
        for index, phase in enumerate(self.phases):
            if progress >= phase.end or (progress > phase.start and chance[index] < (progress - phase.start) / (phase.end - phase.start)):
                current = index
        return current


def plan(colour: ColourConfig, distractions: Sequence[str], phases: Sequence[str]) -> Plan:
    """The plan of an environment. The kinds that a phase names replace those of the run, ``none`` all of them.

    Raises DiswmError for text that cannot be read, for a kind that is named twice, and for phases that do not start at 0.
    """
    named, layers = distracted(colour, distractions)
    if named is not colour:
        raise DiswmError("distractions: colours are set by env.distract, or by `--distract colour:...` on the command line.")
    if not phases:
        return Plan((Phase(0.0, 0.0, colour, layers),))
    found = []
    for start, end, texts in (item for text in phases for item in split_phases(text)):
        here, own = distracted(colour, texts)
        bare = "none" in texts
        here = dataclasses.replace(colour, colours="none") if bare else here
        kept = () if bare else tuple(layer for layer in layers if layer.kind not in {one.kind for one in own})
        found.append(Phase(start, end, here, (*kept, *own)))
    starts = [phase.start for phase in found]
    if starts[0] != 0.0 or starts != sorted(set(starts)) or any(not p.start <= p.end <= 1.0 for p in found) or found[0].end:
        said = ", ".join(f"{p.start:g}" if p.start == p.end else f"{p.start:g}-{p.end:g}" for p in found)
        raise DiswmError(f"phases start at {said}: expected 0, then rising fractions of the budget up to 1, as `0:set1, 0.5:set2`.")
    return Plan(tuple(found))


def distracted(colour: ColourConfig, texts: Iterable[str]) -> tuple[ColourConfig, tuple[Layer, ...]]:
    """The distractions of some texts; ``colour`` is the configuration that a text about colour changes. DiswmError as `plan`."""
    found: dict[str, Layer] = {}
    named = colour
    for text in (text for text in texts if text != "none"):
        kind, value, options = parts(text)
        if kind in found or (kind == "colour" and named is not colour):
            raise DiswmError(f"{text!r}: the distraction {kind} is named twice. Name it once.")
        if kind == "colour":
            named = _colour(text, value, options, colour)
        else:
            found[kind] = _LAYERS[kind](text, value, options)
    return named, tuple(found.values())


def kind_of(text: str) -> str:
    """The kind of a distraction. DiswmError for one that there is not."""
    return parts(text)[0]


def parts(text: str) -> tuple[str, str, list[str]]:
    """``camera:easy,moving`` -> camera, easy, [moving]; a set of colours alone is one of colour."""
    _check_quotes(text)
    kind, colon, rest = str(text).strip().partition(":")
    kind = {"color": "colour"}.get(kind, kind)
    if not colon and kind.split(",")[0] in _COLOURS:
        kind, rest = "colour", text.strip()
    if kind not in KINDS:
        raise unknown("distraction", kind, KINDS)
    value, *options = (word.strip() for word in cut(rest, ","))
    return kind, value, options


def cut(text: str, mark: str) -> list[str]:
    """The pieces of a text between marks; those in double quotes part nothing."""
    return re.split(re.escape(mark) + _UNQUOTED, text)


def _check_quotes(text: str) -> None:
    if str(text).count('"') % 2:
        raise DiswmError(f"{text!r}: a double quote is not closed. {_QUOTE}")


def _colour(text: str, value: str, options: list[str], base: ColourConfig) -> ColourConfig:
    if value not in _COLOURS:
        raise unknown(f"value of the distraction colour ({text!r}):", value, _COLOURS)
    found: dict[str, Any] = dict(_COLOURS[value])
    for name, given in _options(text, options, ("delta", "std", "per", *_MOVES, *SPLITS)).items():
        if name in SPLITS and name != "all":
            if found["colours"] not in GREEN_SETS:
                raise DiswmError(f"{text!r}: set1 is the set for training and set2 the one for testing; {name!r} belongs to own colours.")
            found["colours"] += f"_{name}"
        elif name in _MOVES:
            own = found["colours"].startswith("own")
            std = 0.03 * found.get("max_delta", base.max_delta) if own else base.step_std
            found |= {"step_std": std if _MOVES[name] else 0.0}
            if _MOVES[name] and base.per != "step":
                found.setdefault("per", "frame")
        elif name != "all":
            found[{"delta": "max_delta", "std": "step_std"}.get(name, name)] = given if name == "per" else _number(text, name, given)
    return dataclasses.replace(base, **found)


def _scaled(kind: type[CameraConfig] | type[LightConfig], words: tuple[str, ...]) -> Callable[[str, str, list[str]], Layer]:
    def read(text: str, value: str, options: list[str]) -> Layer:
        if value in LEVELS:
            scale = LEVELS[value]
        elif re.fullmatch(r"\d*\.?\d+", value):
            scale = float(value)
        else:
            raise unknown(f"value of the distraction {kind.kind} ({text!r}):", value, (*LEVELS, "or a number"))
        most = 1.0 if kind is CameraConfig else 0.45  # brighter by twice that, darker by as much: never black
        if not 0.0 <= scale <= most:
            raise DiswmError(f"{text!r}: the strength must lie in [0, {most:g}]; easy, medium and hard are 0.1, 0.2 and 0.3.")
        given = _options(text, options, (*_MOVES, *SPLITS, *words))
        found: dict[str, Any] = {"scale": scale, **_common(given)}
        if parts := tuple(word for word in words if word in given):
            found["parts"] = parts
        return kind(**found)

    return read


def _background(text: str, value: str, options: list[str]) -> Layer:
    sources = ("video", "image", "shapes", "noise", "plain")
    clips = {"easy": 4, "medium": 8, "hard": 0}  # the suite's numbers of videos; hard has all
    if value not in (*sources, *clips):
        raise unknown(f"value of the distraction background ({text!r}):", value, (*sources, *clips))
    given = _options(text, options, ("folder", "clips", "ground", *_MOVES, *SPLITS))
    found: dict[str, Any] = {"source": value if value in sources else "video", "clips": clips.get(value, 0), **_common(given)}
    if "folder" in given:
        found["folder"] = given["folder"]
    if "clips" in given:
        if not given["clips"].isdecimal():
            raise DiswmError(f"{text!r}: clips={given['clips']!r} must be a whole number; 0 is all of them.")
        found["clips"] = int(given["clips"])
    if "ground" in given:
        found["ground"] = _number(text, "ground", given["ground"])
        if found["ground"] > 1.0:
            raise DiswmError(f"{text!r}: ground={given['ground']} is the opacity of the floor and must lie in [0, 1].")
    if found.get("moving") and found["source"] == "image":
        raise DiswmError(f"{text!r}: an image does not move. Use background:video,dynamic.")
    return BackgroundConfig(**found)


def _texture(text: str, value: str, options: list[str]) -> Layer:
    names = (*patterns.FLOORS, *patterns.TABLES)
    if value not in (*SPLITS, *names):
        raise unknown(f"value of the distraction texture ({text!r}):", value, (*SPLITS, *names))
    _options(text, options, ())
    return TextureConfig(name=value) if value in names else TextureConfig(split=value)  # type: ignore[arg-type]


_LAYERS: dict[str, Callable[[str, str, list[str]], Layer]] = {
    "camera": _scaled(CameraConfig, ("position", "roll", "zoom")),
    "light": _scaled(LightConfig, ()),
    "background": _background,
    "texture": _texture,
}


def _common(given: dict[str, str]) -> dict[str, Any]:
    """Whether it moves, and its set."""
    found: dict[str, Any] = {}
    for name in given:
        found |= {"moving": _MOVES[name]} if name in _MOVES else {"split": name} if name in SPLITS else {}
    return found


def _options(text: str, options: list[str], known: tuple[str, ...]) -> dict[str, str]:
    """Words and NAME=VALUE; DiswmError for one that there is not, and for words that exclude each other."""
    given: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if name not in known and "folder" in given:
            raise DiswmError(f"{text!r}: there is no option {name!r}.{contract.did_you_mean(name, known, 3, 0.4)} {_QUOTE}")
        if name not in known:
            raise (
                unknown(f"option of {text!r}:", name, known) if known else DiswmError(f"{text!r}: takes no option {name!r}. Leave it out.")
            )
        valued = name in ("delta", "std", "per", "folder", "clips", "ground")
        if bool(equals) != valued or (valued and not value):
            raise DiswmError(f"{text!r}: {name} {f'needs a value: {name}=...' if valued else 'takes no value'}.")
        given[name] = value[1:-1].replace('""', '"') if re.fullmatch('".+"', value) else value
    for words in (tuple(_MOVES), SPLITS):
        if sum(word in given for word in words) > 1:
            raise DiswmError(f"{text!r}: {' and '.join(word for word in words if word in given)} exclude each other. Name one.")
    return given


def _number(text: str, name: str, value: str) -> float:
    if not re.fullmatch(r"\d*\.?\d+(e-?\d+)?", value):
        raise DiswmError(f"{text!r}: {name}={value!r} must be a number from 0.")
    return float(value)


def split_phases(text: str) -> list[tuple[float, float, list[str]]]:
    """``0:set1, 0.4-0.6:set2+camera:easy`` -> start, end and distractions of each."""
    _check_quotes(text)
    pieces = re.split(r"(?:^|,)\s*(\d*\.?\d+)(?:-(\d*\.?\d+))?:" + _UNQUOTED, str(text).strip())
    if pieces[0].strip() or len(pieces) == 1:
        raise DiswmError(f"phases={text!r} cannot be read. Expected `0:set1, 0.5:set2`, or gradual `0:set1, 0.4-0.6:set2+camera:easy`.")
    starts, ends, bodies = pieces[1::3], pieces[2::3], pieces[3::3]
    return [(float(start), float(end or start), together(body)) for start, end, body in zip(starts, ends, bodies, strict=True)]


def together(text: str) -> list[str]:
    """``set2+camera:easy`` -> its distractions. DiswmError where it cuts a folder's name."""
    parts = [part.strip() for part in cut(text, "+")]
    for before, part in itertools.pairwise(parts):
        if "folder=" in before and part.split(":")[0] not in (*KINDS, "color", *COLOUR_NAMES):
            raise DiswmError(f"{text!r}: {part!r} is no distraction. {_QUOTE}")
    return parts
