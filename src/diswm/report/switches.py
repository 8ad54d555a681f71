"""The section on what changed in mid-training: what each switch cost, how soon it was made good, and what was forgotten."""

from __future__ import annotations

import itertools

from diswm.metrics.recovery import recovery
from diswm.metrics.scores import bootstrap_difference
from diswm.report import words
from diswm.report.figures import eval_points
from diswm.report.reading import Run
from diswm.report.words import esc

HEADS = ("At frame", "From", "To", "Return before", "Return after", "Drop", "Frames to recover")


def section(run: Run) -> str:
    """A table of the switches and a line on the old set; empty for a run whose distractions stayed as they were."""
    phases = [phase for phase in run.evaluation.get("phases") or [] if isinstance(phase, dict)]
    budget = run.setting("train.frames")
    if len(phases) < 2 or not isinstance(budget, int | float):
        return ""
    points = eval_points(run, "seen")
    frames, means = [point[0] for point in points], [point[1] for point in points]
    rows = ""
    for old, new in itertools.pairwise(phases):
        start, end = (budget * float(new[name]) for name in ("start", "end"))
        found = recovery(frames, means, start, end)
        cells = [words.count(start), esc(_name(old)), esc(_name(new))]
        if found is None:
            cells += [words.MISSING] * 4
        else:
            cells += [words.number(value) for value in (found.before, found.after, found.drop)]
            cells.append("not within this run" if found.frames is None else words.count(found.frames))
        kinds = ("num", "", "", "num", "num", "num", "num")
        rows += "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, cells, strict=True)) + "</tr>"
    head = "".join(f'<th scope="col">{name}</th>' for name in HEADS)
    caption = (
        "Mean returns of the evaluations next to each switch. Recovered: the first evaluation that lacks less than a tenth of the "
        "return before."
    )
    table = f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table}</div>{_forgotten(run)}'


def _name(phase: dict[str, object]) -> str:
    said = [str(phase[word]) for word in ("colours", "texture") if phase.get(word)]
    return ", ".join([*said, *map(str, phase.get("distractions") or [])])  # type: ignore[call-overload]


def _forgotten(run: Run) -> str:
    """The final agent on the set before the last switch, beside the last set."""
    old, new = run.returns("earlier"), run.returns("seen")
    if min(len(old), len(new)) < 2:
        return ""
    gap = bootstrap_difference(old, new)
    told = "it is better there still" if gap.low > 0 else "no difference from the new set can be claimed"
    told = "it has forgotten" if gap.high < 0 else told
    mean = sum(old) / len(old)
    return (
        f'<p class="lead after">Back on the set before the last switch, the final agent has a return of <b>{words.number(mean)}</b>, '
        f"{words.number(gap.mean)} against the new set (95% interval {words.interval(gap.low, gap.high)}): {told}.</p>"
    )
