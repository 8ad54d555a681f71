"""What is held out of training for the evaluation: test sets for train sets, another texture."""

from __future__ import annotations

import re
from collections.abc import Sequence

from diswm.contract import DiswmError
from diswm.envs import patterns
from diswm.envs.factors import SPLITS
from diswm.envs.specs import cut, kind_of, parts, split_phases


def held_out_layers(distractions: Sequence[str], phases: Sequence[str]) -> tuple[str, ...]:
    """The distractions with test sets in the place of train sets, and of named textures, those of the phases too.

    With phases the distractions are those of the last. Raises DiswmError where textures of both sets are named: then none is held out.
    """
    texts = [*distractions, *(text for item in phases for _, _, found in split_phases(item) for text in found)]
    named = {value for kind, value, _ in (parts(text) for text in texts if text != "none") if kind == "texture" and value not in SPLITS}
    held = [_tested(text) for text in lasting(distractions, phases)]
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
    if not phases:
        return tuple(distractions)
    _, _, texts = split_phases(phases[-1])[-1]
    if "none" in texts:
        return ()
    own = [text for text in texts if kind_of(text) != "colour"]
    return (*(text for text in distractions if kind_of(text) not in {kind_of(one) for one in own}), *own)


def _tested(text: str) -> str:
    """The distraction with its test set in the place of its train set."""
    first, *options = cut(text, ",")
    words = ["test" if option.strip() == "train" else option for option in options]
    return ",".join([re.sub(r"^(\w+:\s*)train\s*$", r"\1test", first), *words])
