"""Published numbers to hold a run against, by task: along training (anchors.csv; frames are true simulator steps), and under
distractions that were never trained on (zero_shot.csv; the distraction is ours that comes nearest)."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("anchors.csv")
ZERO_SHOT = FILE.with_name("zero_shot.csv")
NAMES = {
    "diswm": "DisWM", "dreamerv2": "DreamerV2", "dv2_finetune": "DreamerV2 finetuned", "dreamerv3": "DreamerV3", "drqv2": "DrQ-v2",
    "tdmpc2": "TD-MPC2", "contextwm": "ContextWM", "svea": "SVEA",
}  # fmt: skip


class Source(NamedTuple):
    """Where a number was published: a word for labels, and the whole of it."""

    word: str
    about: str


SOURCES = {
    "figure4": Source(
        "paper",
        "DisWM paper (arXiv 2503.08751), Figure 4, read off the picture (some 10 off, 3 on Pusher): colours vary, and switch half-way",
    ),
    "table_a": Source("paper", "DisWM paper (arXiv 2503.08751), Table A: colours vary; at the paper's budget"),
    "table_b": Source("paper", "DisWM paper (arXiv 2503.08751), Table B: textures vary; at the paper's budget"),
    "clean": Source("clean", "score files that the authors of DreamerV3 publish: without any distraction, mean of 10 seeds"),
    "dmc_gb": Source(
        "DMControl-GB",
        "SVEA paper (arXiv 2107.00644): trained for 500,000 steps without distraction, then evaluated under that benchmark’s own colours "
        "(color_hard) and films (video_easy)",
    ),
}


class Anchor(NamedTuple):
    """One published number; `frames` is None where it stands at the budget of its paper."""

    method: str
    frames: int | None
    value: float
    unit: str
    source: str

    @property
    def label(self) -> str:
        """DreamerV3, clean."""
        return f"{NAMES.get(self.method, self.method)}, {SOURCES[self.source].word}"


def published(task: str) -> list[Anchor]:
    """What is known of a task; nothing for most."""
    return _all().get(task, [])


def curves(task: str, frames: float) -> dict[str, list[tuple[int, float]]]:
    """Label -> published (frames, return), of the curves that begin within a budget."""
    found: dict[str, list[tuple[int, float]]] = {}
    for anchor in published(task):
        if anchor.frames is not None and anchor.unit == "return":
            found.setdefault(anchor.label, []).append((anchor.frames, anchor.value))
    return {label: points for label, points in found.items() if points[0][0] <= frames}


def nearest(task: str, frames: float) -> list[Anchor]:
    """Of each published curve the number nearest to a budget, and all that have no frames."""
    best: dict[str, Anchor] = {}
    for anchor in published(task):
        old = best.get(anchor.label)
        if anchor.frames is not None and (old is None or abs(anchor.frames - frames) < abs((old.frames or 0) - frames)):
            best[anchor.label] = anchor
    return [*best.values(), *(anchor for anchor in published(task) if anchor.frames is None)]


@functools.cache
def zero_shot(task: str) -> dict[str, Anchor]:
    """Of a task, by distraction as `--distract` takes it: what an agent that never met it was published to reach."""
    with ZERO_SHOT.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["task"] == task]
    return {row["distraction"]: Anchor(row["method"], None, float(row["value"]), "return", row["source"]) for row in rows}


def about(known: Iterable[Anchor]) -> str:
    """Where published numbers are from, and that they are no fair comparison."""
    sources = dict.fromkeys(SOURCES[anchor.source].about for anchor in known)
    return f"Published: {'; '.join(sources)}. Other conditions than here: an anchor, no fair comparison."


@functools.cache
def _all() -> dict[str, list[Anchor]]:
    table: dict[str, list[Anchor]] = {}
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            frames = int(row["frames"]) if row["frames"] else None
            table.setdefault(row["task"], []).append(Anchor(row["method"], frames, float(row["value"]), row["unit"], row["source"]))
    return table
