"""The sections of the page of several runs that show results: each task, all tasks, pictures, robustness."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diswm.metrics.embedding import NEIGHBOURS
from diswm.report import anchors, charts, panels, readable, tables, tally, words
from diswm.report.canvas import Drawing, variable
from diswm.report.sections import missing
from diswm.report.study import Groups, Study
from diswm.report.tables import Column, Estimate, estimates, num
from diswm.report.trials import LEAST, finished, verdict
from diswm.report.unlike import what_differs
from diswm.report.words import esc

GLYPHS = {"o": "●", "^": "▲", "s": "■", "D": "◆", "v": "▼", "P": "✚", "X": "✖", "p": "⬟"}
SPREAD = (
    "With few seeds such an interval reaches from about the worst seed to the best: read it as their spread. Of a group with one finished "
    "seed it is over evaluation episodes, which says nothing about other seeds."
)


class Writer:
    """Puts figures and tables of one study into `folder`, and gives back what stands on the page; figures go by way of `publish`."""

    def __init__(self, study: Study, folder: Path, publish: Callable[[Drawing, Path], str]) -> None:
        self.study, self.folder, self._publish = study, folder, publish
        self.looks = charts.looks(study.groups)
        self.group = Column("Group", ("group",), self.tag)

    def figure(self, drawing: Drawing | None, otherwise: str = "") -> str:
        """A figure, or what is said in its place."""
        return self._publish(drawing, self.folder) if drawing else missing(otherwise) if otherwise else ""

    def side(self, drawings: Sequence[Drawing]) -> str:
        """Small figures beside each other."""
        return f'<div class="side">{"".join(map(self.figure, drawings))}</div>'

    def table(self, name: str, columns: Sequence[Column], rows: Sequence[Sequence[Any]], caption: str = "") -> str:
        """A table, and its numbers as <name>.csv."""
        tables.write_csv(self.folder / f"{name}.csv", tables.numbers(columns, rows))
        return tables.table(columns, rows, caption)

    def tag(self, group: str) -> str:
        """A group's name with its mark, as in the charts."""
        look = self.looks[group]
        tone = f"color:var({variable(look.colour)})"
        return f'<span class="tag"><span style="{tone}" aria-hidden="true">{GLYPHS[look.marker]}</span><span>{esc(group)}</span></span>'

    def by_task(self, make: Callable[[str, Groups], str]) -> str:
        """What is there for each task, under the task's name where there are several."""
        found = {task: html for task, groups in self.study.tasks.items() if (html := make(task, groups))}
        return "".join(f"<h3>{esc(task)}</h3>{html}" if len(self.study.tasks) > 1 else html for task, html in found.items())


def slug(task: str) -> str:
    """A task as a part of a file's name."""
    return re.sub(r"[^\w.-]", "_", task)


# ---- one task


def task(writer: Writer, task: str) -> str:
    """Curves, returns at the budget, differences from the baseline, published numbers."""
    groups, name, base = writer.study.tasks[task], slug(task), writer.study.baseline
    what = what_differs(*(trial.run for trials in groups.values() for trial in trials))
    curves = charts.learning_curves(task, groups, writer.looks, f"curves_{name}")
    html = writer.figure(curves, "No learning curve: no run was evaluated yet")
    if any(finished(trials) for trials in groups.values()):
        html += _returns(writer, groups, name, what) + writer.figure(charts.at_budget(task, groups, writer.looks, f"returns_{name}"))
    else:
        html += missing("No returns at the budget: no run has used all of its frames and was evaluated there")
    if len(groups) > 1 and base in groups:
        gaps = {group: tally.gaps(writer.study, task, group) for group in groups if group != base}
        drawing = charts.differences(task, gaps, base, writer.looks, f"differences_{name}", what)
        html += f"<h3>Differences from {esc(base)}</h3>"
        html += (
            _differences(writer, gaps, name, what) + writer.figure(drawing) if drawing
            else missing(f"No difference can be taken: no seed has finished in {base} and, with the same budget, in another group")
        )  # fmt: skip
    return html + _codes(writer, groups, task, name) + _published(writer, task, max(t.budget for trials in groups.values() for t in trials))


def _returns(writer: Writer, groups: Groups, name: str, what: str) -> str:
    columns = [
        writer.group,
        Column("Seeds", ("seeds_finished", "seeds"), lambda n: str(n[0]) if n[0] == n[1] else f"{n[0]} of {n[1]}", lambda n: n, "num"),
        num("Frames", "budget_frames", words.count),
        estimates(f"Seen {what}", "seen"), estimates(f"Unseen {what}", "unseen"), estimates("Random policy", "random"),
        estimates("Area under curve", "area"),
    ]  # fmt: skip
    won = any(tally.success(trials, "seen") for trials in groups.values())
    rows = []
    for group, trials in groups.items():
        found = [tally.at_budget(trials, split) for split in ("seen", "unseen", "random")]
        shares = [tally.success(trials, "seen")] if won else []
        rows.append([group, (len(finished(trials)), len(trials)), max(t.budget for t in trials), *found, tally.areas(trials), *shares])
    caption = (
        "Mean return of the final evaluation, of the seeds that used their whole budget alone; below it the 95% bootstrap interval over "
        f"seeds. {SPREAD}"
    )
    if absent := sorted({trial.run.absent("unseen") for trials in groups.values() for trial in trials} - {""}):
        caption += f" {esc('; '.join(absent).capitalize())}."
    return writer.table(f"table_returns_{name}", columns + [estimates("Success", "success")] * won, rows, caption)


def _codes(writer: Writer, groups: Groups, task: str, name: str) -> str:
    """How readable true factors are in the codes: the scores of runs that were scored, and those along training beside the return."""
    html = ""
    if rows := readable.score_rows(groups):
        columns = [writer.group, num("Runs", "runs", str), *(estimates(head, score) for score, head in readable.TABLE.items())]
        caption = (
            "Scores of the code at the end, on frames whose factors were drawn independently (<code>diswm metrics</code>): 1 is best. "
            f"Below: the 95% bootstrap interval over seeds. {readable.CAUTION}"
        )
        html = writer.table(f"table_scores_{name}", columns, rows, caption)
    html += writer.figure(readable.along(task, groups, writer.looks, f"readable_{name}"))
    return f"<h3>Codes against true factors</h3>{html}" if html else ""


def _differences(writer: Writer, gaps: dict[str, dict[str, list[float]]], name: str, what: str) -> str:
    base = writer.study.baseline
    columns = [
        writer.group, num("Pairs", "pairs", str), estimates("Area under curve", "area", "pairs"),
        estimates(f"Seen {what}", "seen", "pairs"), estimates(f"Unseen {what}", "unseen", "pairs"), Column("In area", ("verdict_in_area",)),
    ]  # fmt: skip
    rows = []
    for group, by_measure in gaps.items():
        area, *rest = by_measure.values()
        found = tally.gap_of(area)
        told = verdict(area, found.found) if found else "no seed finished in both at one budget"
        rows.append([group, len(area), found, *map(tally.gap_of, rest), told])
    caption = (
        f"The group less {esc(base)}, seed by seed, from the seeds that both finished at the same budget; below it the 95% bootstrap "
        f"interval over pairs. From {LEAST} pairs on, an interval that leaves out 0 is called higher or lower."
    )
    return writer.table(f"table_differences_{name}", columns, rows, caption)


def _published(writer: Writer, task: str, budget: int) -> str:
    found = anchors.nearest(task, budget)
    if not found:
        return ""
    columns = [
        Column("Method", ("method",)), num("At frame", "frames", words.count), num("Value", "value"), Column("Unit", ("unit",)),
        Column("Where, and under what", ("source",), kind="list"),
    ]  # fmt: skip
    rows = [[a.label, a.frames, a.value, a.unit, anchors.SOURCES[a.source].about] for a in found]
    return (
        f'<details><summary>Published numbers on {esc(task)} ({len(found)})</summary><p class="lead after">For orientation: of each curve '
        f"the point nearest to {words.count(budget)} frames (simulator steps). Their conditions differ from those of these runs.</p>"
        f"{writer.table(f'table_published_{slug(task)}', columns, rows)}</details>"
    )


# ---- all tasks


def overall(writer: Writer) -> str:
    """Interquartile means of normalised scores, and how often a group beats the baseline; empty for one task."""
    study = writer.study
    if len(study.tasks) < 2:
        return ""
    columns = [
        writer.group, Column("Scores", ("seeds", "tasks"), lambda n: f"{words.plural(n[0], 'seed')} × {words.plural(n[1], 'task')}",
                             lambda n: n),
        estimates("IQM", "iqm"), estimates(f"Beats {study.baseline}", "probability_of_improvement"),
        Column("Compared on", ("compared_on_tasks",), lambda n: words.plural(n, "task") if n else words.MISSING),
    ]  # fmt: skip
    rows = []
    for group in study.groups:
        found = tally.overall(study, group)
        means = [Estimate(got, "seeds") if got else None for got in (found.iqm, found.improvement)]
        rows.append([group, (found.seeds, len(found.tasks)), *means, len(found.compared)])
    caption = (
        "IQM: interquartile mean of the returns in seen worlds as shares of the highest possible (1 a frame; tasks without such a bound "
        f"are left out of it). Beats: the probability that a run has a higher return than one of {esc(study.baseline)}, mean over "
        "tasks, ties half. Below: 95% stratified bootstrap intervals, seeds resampled within each task."
    )
    return writer.table("table_overall", columns, rows, caption)


# ---- pictures, robustness


def pictures(writer: Writer) -> str:
    """Predictions, their scores, traversals, what changes do to codes, and maps of clips; empty where no run kept any."""

    def one(task: str, groups: Groups) -> str:
        name, html = slug(task), ""
        if films := panels.predictions(groups, f"prediction_{name}"):
            html += '<p class="lead">Open-loop prediction: right of the line the third row runs on without seeing.</p>'
            html += writer.side(films) + writer.figure(panels.quality(task, groups, writer.looks, f"prediction_quality_{name}"))
        if codes := panels.traversals(groups, f"traversal_{name}"):
            html += (
                '<p class="lead">The code, one dimension a row, most used first: its KL in nats, and how far it moves the picture, in grey '
                f"levels of 255. Columns: standard deviations of what all frames have.</p>{writer.side(codes)}"
            )
        if changes := panels.changes(groups, f"changes_{name}"):
            html += (
                '<p class="lead">What a change does: of the variance of each dimension (with its KL in nats) the share that comes of each '
                f"group of factors, drawn anew while all others stay.</p>{writer.side(changes)}"
            )
        return html + _clips(writer, groups, f"clips_{name}")

    return writer.by_task(one)


def _clips(writer: Writer, groups: Groups, name: str) -> str:
    try:
        found = panels.clips(groups, name)
    except ImportError as error:
        return missing(f"No maps of offline and online clips: {error}")
    lead = (
        "Clips of the teacher’s videos and of the agent’s replay, placed by t-SNE of the mean and the standard deviation of their codes. "
        f"Same source: of the {NEIGHBOURS} nearest codes the share that is of a clip’s own source, about half where a code cannot tell "
        "them apart."
    )
    return f'<p class="lead">{lead}</p>{writer.side(found)}' if found else ""


def robustness(writer: Writer) -> str:
    """Heat maps side by side; empty where no run has a matrix."""

    def one(task: str, groups: Groups) -> str:
        found = panels.matrices(groups, f"matrix_{slug(task)}")
        return f"{writer.side(found)}{_zero_shot(task)}" if found else ""

    html = writer.by_task(one)
    note = (
        '<p class="lead after">Mean return under each distraction, all groups of a task shaded on one scale: the stronger the colour, '
        "the higher. Intervals are in the CSV of each picture: over seeds, of one seed over episodes.</p>"
    )
    return html + note if html else ""


def _zero_shot(task: str) -> str:
    """What others published of agents that never met a distraction; empty where nothing is known."""
    known = anchors.zero_shot(task)
    told = ", ".join(f"{anchors.NAMES[a.method]} {a.value:.0f} (nearest here: {esc(text)})" for text, a in known.items())
    return f'<p class="lead after">{told}. {esc(anchors.about(known.values()))}</p>' if known else ""
