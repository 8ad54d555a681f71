"""What sets the worlds that agents trained in apart from those kept unseen, in words for labels and sentences."""

from __future__ import annotations

from typing import Any

from diswm.report import words
from diswm.report.reading import Run

WORLDS = "worlds"
"""Where nothing in particular can be named."""
_NOUNS = {"colours": "colours", "camera": "cameras", "background": "backgrounds", "light": "lights", "texture": "textures"}


def what_differs(*runs: Run) -> str:
    """``colours``, ``textures``, ``colours and cameras``: what differs between seen and unseen; `WORLDS` where that is nothing, is not
    known, or is not the same in all of the runs."""
    found = {_apart(run) for run in runs}
    return found.pop() if len(found) == 1 else WORLDS


def policy(run: Run, split: str) -> str:
    """Who played an evaluation, and where: ``random policy``, ``unseen colours``."""
    return "random policy" if split == "random" else f"{split} {what_differs(run)}"


def _apart(run: Run) -> str:
    if run.absent("unseen"):
        return WORLDS
    seen, unseen = (_by_kind(run.evaluated(split)) for split in ("seen", "unseen"))
    if not (seen and unseen):  # not evaluated yet
        return WORLDS if run.setting("env.distract.colours") == "none" else "colours"
    kinds = [kind for kind in {**_NOUNS, **seen, **unseen} if seen.get(kind) != unseen.get(kind)]
    return words.listing([_NOUNS[kind] for kind in kinds]) if kinds and {*kinds} <= {*_NOUNS} else WORLDS


def _by_kind(entry: dict[str, Any]) -> dict[str, str]:
    """The distractions of an entry of evaluation.json, by kind: ``{"colours": "set1", "camera": "easy moving"}``."""
    if isinstance(entry.get("on"), list):
        parts = (str(said).partition(" ") for said in entry["on"])
        return {kind: value for kind, _, value in parts}
    return {kind: str(entry[kind]) for kind in ("colours", "texture") if entry.get(kind)}  # of older runs
