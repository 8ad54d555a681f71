"""The strengths that each kind of the constraint was tried at, and the rule that chooses one: a section of results/disentanglement.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import study

from diswm.objectives.disentangle import STRENGTH
from diswm.report import words

REFERENCE = "beta_vae"
DEFAULTS: dict[str, float] = {REFERENCE: 1.0, **{str(kind): value for kind, value in STRENGTH.items()}}
"""What the code has; of `beta_vae` what its weight is multiplied by."""
COLLAPSED = 0.5
"""Nats below which a code carries nothing worth a score."""
IMAGE_GROWTH = 0.1
RULE = (
    "The rule, written after one strength of each kind and before the others: of a kind's strengths those count whose code collapses in no "
    f"run (below {COLLAPSED} nats) and whose image error is no more than {IMAGE_GROWTH:.0%} above that of `{REFERENCE}` at its own weight; "
    "of these the one with the highest sum score is taken. Where none counts, the one with the least image error. Scores and errors are "
    "those of the worlds and seeds that all strengths of a kind have; a collapse counts in any run."
)
Run = dict[str, Any]


class Tried(NamedTuple):
    """One strength of a kind, over worlds and seeds."""

    strength: float
    runs: int
    sum: float
    probe: float
    image: float
    """What the image error is above the reference's, as a share."""
    nats: float
    """The least of a run, of all that there are."""

    @property
    def counts(self) -> bool:
        """Whether the rule looks at its sum score."""
        return self.nats >= COLLAPSED and self.image <= IMAGE_GROWTH


def is_default(run: Run) -> bool:
    """Whether a run has the strength that its kind has in the code; baselines and kinds without one always do."""
    return run["strength"] is None or run["strength"] == DEFAULTS.get(run["kind"])


def place(run: Run) -> tuple[str, int]:
    """What runs must share to be compared."""
    return run["world"], run["seed"]


def tried(runs: Iterable[Run]) -> dict[str, list[Tried]]:
    """Kind -> its strengths in rising order, of kinds with several, over the worlds and seeds that all of them and the reference have."""
    whole: dict[str, dict[float, dict[tuple[str, int], Run]]] = {}
    for run in runs:
        if run["kind"] in DEFAULTS and "sum" in run["scores"]:
            strength = DEFAULTS[run["kind"]] if run["strength"] is None else run["strength"]
            whole.setdefault(run["kind"], {}).setdefault(strength, {})[place(run)] = run
    reference = whole.get(REFERENCE, {}).get(DEFAULTS[REFERENCE], {})
    found = {}
    for kind, strengths in whole.items():
        shared = set(reference).intersection(*strengths.values())
        if len(strengths) > 1 and shared:
            places = sorted(shared)
            found[kind] = [
                _tried(strength, [own[at] for at in places], [reference[at] for at in places], own.values())
                for strength, own in sorted(strengths.items())
            ]
    return found


def _tried(strength: float, runs: Sequence[Run], reference: Sequence[Run], every: Iterable[Run]) -> Tried:
    def mean(name: str) -> float:
        return float(np.mean([run["scores"][name] for run in runs]))

    image = np.mean([own["scores"]["image"] / one["scores"]["image"] - 1 for own, one in zip(runs, reference, strict=True)])
    return Tried(strength, len(runs), mean("sum"), mean("ridge_r2"), float(image), min(run["scores"]["code_kl"] for run in every))


def chosen(of_kind: Sequence[Tried]) -> Tried:
    """What the rule takes."""
    counting = [one for one in of_kind if one.counts]
    return max(counting, key=lambda one: one.sum) if counting else min(of_kind, key=lambda one: one.image)


def section(runs: Iterable[Run]) -> str:
    """The table and what the rule says; empty where no kind has several strengths."""
    found = tried(runs)
    rows, other = [], []
    for kind, strengths in found.items():
        best = chosen(strengths)
        if best.strength != DEFAULTS[kind]:
            other.append(f"`{kind}` {best.strength:g} (the code has {DEFAULTS[kind]:g})")
        for one in strengths:
            said = ["**taken**"] * (one is best) + ["collapses"] * (one.nats < COLLAPSED) + ["image"] * (one.image > IMAGE_GROWTH)
            image = f"{one.image:+.1%}".replace("-", "−")
            cells = (words.number(one.sum), words.number(one.probe), image, words.number(one.nats), ", ".join(said))
            rows.append([f"`{kind}`", f"{one.strength:g}", str(one.runs), *cells])
    if not rows:
        return ""
    heads = ["kind", "strength", "runs", "sum score", "linear probe", f"image error over {REFERENCE}'s", "least nats of a run", ""]
    told = f"It would take another than the code has: {words.listing(other)}." if other else "The code has what it takes."
    told += " What was chosen on is among the seeds of the comparison above, which flatters it a little."
    return "\n\n".join(["## At which strength", RULE, told, study.markdown(heads, rows)])
