"""What is held out of training for the evaluation: the other one of train and test sets, another texture."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from diswm.contract import DiswmError
from diswm.envs import patterns
from diswm.envs.factors import BASE_COLOURS, SPLITS, ColourConfig
from diswm.envs.specs import cut, distracted, kind_of, parts, split_phases


def held_out_layers(distractions: Sequence[str], phases: Sequence[str]) -> tuple[str, ...]:
    """The distractions with the other sets in the place of train and test sets, and of named textures, those of the phases too.

    With phases the distractions are those of the last. Raises DiswmError where textures of both sets are named: then none is held out.
    """
    texts = [*distractions, *(text for item in phases for _, _, found in split_phases(item) for text in found)]
    named = {value for kind, value, _ in (parts(text) for text in texts if text != "none") if kind == "texture" and value not in SPLITS}
    held = [_swapped(text) for text in lasting(distractions, phases)]
    if not named:
        return tuple(held)
    sets = patterns.TABLE_SETS if named <= {*patterns.TABLES} else patterns.FLOOR_SETS
    if named & {*sets["test"]} and named & {*sets["train"]}:
        raise DiswmError(f"The agent trains on the textures {', '.join(sorted(named))}, of both sets: none stay unseen. Leave some out.")
    split = "train" if named & {*sets["test"]} else "test"
    texture = sets[split][0] if len(sets[split]) == 1 else split
    return (*(text for text in held if kind_of(text) != "texture"), f"texture:{texture}")


def lasting(distractions: Sequence[str], phases: Sequence[str]) -> tuple[str, ...]:
    """The distractions other than colour that hold at the end of a run."""
    texts = _last(phases)
    own = [text for text in texts if kind_of(text) != "colour"]
    kept = () if "none" in texts else distractions
    return (*(text for text in kept if kind_of(text) not in {kind_of(one) for one in own}), *own)


def lasting_colour(colour: ColourConfig, phases: Sequence[str]) -> ColourConfig:
    """The colours that hold at the end of a run whose own are these."""
    texts = _last(phases)
    found, _ = distracted(colour, texts)
    return dataclasses.replace(colour, colours="none") if "none" in texts else found


def _last(phases: Sequence[str]) -> list[str]:
    return split_phases(phases[-1])[-1][2] if phases else []


def share(first: str, second: str) -> bool:
    """Whether two boxes of colours, called as in `ColourConfig.colours`, are the same in whole or in part."""
    return bool(_halves(first) & _halves(second))


def _halves(colours: str) -> set[str]:
    """Of all colours set 1 lies in the half of little green, set 2 in that of much; boxes around own colours are not compared to them."""
    if colours in BASE_COLOURS:
        return {"any_train" if colours == "set1" else "any_test"}
    return {f"{colours}_train", f"{colours}_test"} if colours in ("own", "any") else {colours}


def _swapped(text: str) -> str:
    """The distraction with its test set in the place of its train set, or the other way about."""
    other = {"train": "test", "test": "train"}
    first, *options = cut(text, ",")
    words = [other.get(option.strip(), option) for option in options]
    return ",".join([re.sub(r"^(\w+:\s*)(train|test)\s*$", lambda found: found[1] + other[found[2]], first), *words])
