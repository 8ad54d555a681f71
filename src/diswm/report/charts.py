"""The charts of several runs: learning curves, each seed's numbers at the budget, paired differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from diswm.metrics.scores import Interval, bootstrap_interval
from diswm.report import anchors, words
from diswm.report.canvas import (
    AMBER,
    BROWN,
    INK,
    KEPT,
    MUTED,
    NARROW,
    OPEN,
    PAPER,
    RANDOM,
    SEEN,
    UNSEEN,
    VIOLET,
    WIDE,
    Drawing,
    new_figure,
    plain,
)
from diswm.report.tables import Numbers
from diswm.report.trials import MEASURES, Trial, finished, mean_curve
from diswm.report.unlike import what_differs

Groups = Mapping[str, Sequence[Trial]]
Estimate = Callable[[Sequence[float]], Interval]


class Look(NamedTuple):
    """How a group is drawn everywhere: told apart by colour, by marker, and from the fifth on by dashes too."""

    colour: str
    marker: str
    dashes: Any


_COLOURS = (SEEN, UNSEEN, KEPT, OPEN, AMBER, VIOLET, BROWN, INK)
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "p")
_ANCHOR_MARKERS = ("D", "s", "^", "v", "o")


def looks(names: Sequence[str]) -> dict[str, Look]:
    """The look of each group, by its place: from the ninth on the colours come again, with other markers."""
    count = len(_COLOURS)
    return {
        name: Look(_COLOURS[place % count], _MARKERS[(place + place // count) % count], "-" if place < 4 else (0, (5, 1.5)))
        for place, name in enumerate(names)
    }


# ---- learning curves


def draw_curves(axes: Axes, groups: Groups, styles: Mapping[str, Look] | None = None) -> None:
    """Each seed as a thin line; over the frames that all seeds reached their mean, with its interval from two seeds on."""
    styles = styles or looks(list(groups))
    for name, trials in groups.items():
        look, curves = styles[name], [trial.curve for trial in trials if trial.curve]
        for trial in (t for t in trials if t.curve):
            axes.plot(list(trial.curve), list(trial.curve.values()), color=look.colour, alpha=0.4, linewidth=0.8, zorder=2)
            if not trial.finished:
                end = max(trial.curve)
                axes.scatter([end], [trial.curve[end]], s=34, facecolors=PAPER, edgecolors=look.colour, linewidths=1.3, zorder=5)
        grid, found = mean_curve(trials)
        if not grid:
            continue
        if len(curves) > 1:
            axes.fill_between(grid, found[:, 1], found[:, 2], color=look.colour, alpha=0.14, linewidth=0, zorder=2)
        edge: dict[str, Any] = {"markeredgecolor": PAPER, "markeredgewidth": 0.8, "markevery": max(1, len(grid) // 12)}
        rest = sum(not trial.finished for trial in trials)
        label = f"{name} ({words.plural(len(curves), 'seed')}{f', {rest} unfinished' if rest else ''})"
        axes.plot(grid, found[:, 0], color=look.colour, linestyle=look.dashes, linewidth=2.2, marker=look.marker, markersize=6,
                  label=label, zorder=4, **edge)  # fmt: skip
    randoms = [trial.at_budget("random") for trials in groups.values() for trial in trials if trial.run.returns("random")]
    if randoms:
        axes.axhline(float(np.mean(randoms)), color=RANDOM, linestyle=(0, (5, 3)), linewidth=1.2, label="random policy", zorder=1)
    plain(axes).set(xlabel="frames (simulator steps)", ylabel="return, worlds of training")
    axes.xaxis.set_major_formatter(FuncFormatter(words.short))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}".replace("-", "−")))


def draw_anchors(axes: Axes, task: str, frames: float, *, named: bool) -> None:
    """Published returns within the budget, dashed lines between them; `named` at the right edge, else in the legend."""
    right = axes.get_xlim()[1]
    ends = []
    for marker, (label, points) in zip(itertools.cycle(_ANCHOR_MARKERS), anchors.curves(task, frames).items(), strict=False):
        x, y = np.array(points, float).T
        inside = x <= frames
        end = float(np.interp(right, x, y))
        style: dict[str, Any] = {"color": MUTED, "linestyle": (0, (3, 2)), "linewidth": 1.0, "zorder": 3}
        axes.plot([*x[inside], right], [*y[inside], end], marker=marker, markersize=5.5, markerfacecolor=PAPER, markeredgewidth=1.2,
                  markevery=range(int(inside.sum())), label=None if named else label, **style)  # fmt: skip
        ends.append((end, label))
    axes.set_xlim(0, right)
    if named and ends:
        low, high = axes.get_ylim()
        for (end, label), height in zip(ends, apart([end for end, _ in ends], (high - low) * 0.05), strict=True):
            thread = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 2, "shrinkB": 0}
            axes.annotate(label, (right, end), xytext=(1.025, height), textcoords=("axes fraction", "data"), color=MUTED, fontsize=9,
                          va="center", arrowprops=thread)  # fmt: skip


def anchor_note(task: str, frames: float) -> str:
    """What a caption says of them; empty where none is drawn."""
    if not anchors.curves(task, frames):
        return ""
    return " Grey marks: published numbers, dashed between; “paper”: DisWM’s, under varying colours; “clean”: without any distraction."


def apart(heights: Sequence[float], least: float) -> list[float]:
    """The heights moved as little as it takes for any two to be `least` apart; their order is kept."""
    order = np.argsort(heights, kind="stable")
    moved = np.asarray(heights, float)[order]
    for _ in range(100):
        gaps = np.diff(moved)
        close = np.flatnonzero(gaps < least - 1e-9)
        if not len(close):
            break
        for at in close:
            need = max(0.0, least - (moved[at + 1] - moved[at])) / 2
            moved[at], moved[at + 1] = moved[at] - need, moved[at + 1] + need
    back = np.empty_like(moved)
    back[order] = moved
    return [float(value) for value in back]


def learning_curves(task: str, groups: Groups, styles: Mapping[str, Look], name: str) -> Drawing | None:
    """Mean returns of all groups against frames; None where no run was evaluated."""
    last = max((max(t.curve) for trials in groups.values() for t in trials if t.curve), default=0)
    if not last:
        return None

    drawn = list(anchors.curves(task, last))

    def draw(narrow: bool) -> Figure:
        rows = len(groups) + 1 + len(drawn)
        figure = new_figure(NARROW, 3.2 + 0.21 * rows) if narrow else new_figure(WIDE, 4.6)
        axes = figure.add_subplot()
        draw_curves(axes, groups, styles)
        axes.set_xlim(0, 1.015 * last)
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8))
        draw_anchors(axes, task, last, named=not narrow)
        legend(figure, narrow)
        return figure

    note = " An open circle ends a run that is not finished." if any(not t.finished for trials in groups.values() for t in trials) else ""
    note += anchor_note(task, last)
    rows = [[task, name_, t.seed, frames, value] for name_, trials in groups.items() for t in trials for frames, value in t.curve.items()]
    ends = [f"{name_} ends at {words.number(found[-1, 0])}" for name_, trials in groups.items() for g, found in [mean_curve(trials)] if g]
    return Drawing(
        name,
        "Evaluations in the worlds of training. Thin lines: single seeds. Thick line: their mean, over the frames that all seeds of the "
        f"group have reached. Band: 95% bootstrap interval of that mean over seeds; a group of one seed has none.{note}",
        f"Learning curves on {task} over {words.count(last)} frames: {words.listing(ends) or 'single seeds only'}.",
        draw,
        Numbers(("task", "group", "seed", "frames", "mean_return"), rows),
    )


def legend(figure: Figure, narrow: bool) -> None:
    """Above the chart, in as many columns as fit."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        labels = [words.wrapped(label, 44 if narrow else 110) for label in labels]
        columns = _fitting([0.072 * max(map(len, label.split("\n"))) + 0.62 for label in labels], NARROW if narrow else WIDE)
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, handlelength=2.2, columnspacing=1.6)


def _fitting(widths: Sequence[float], room: float) -> int:
    """The most columns that fit; entries fill one after the other, and the first columns take what is left over, as matplotlib has it."""
    for columns in range(len(widths), 1, -1):
        if sum(float(part.max()) for part in np.array_split(widths, columns)) <= room:
            return columns
    return 1


# ---- numbers at the budget


def dots(axes: Axes, rows: Mapping[str, Sequence[float]], styles: Mapping[str, Look], estimate: Estimate = bootstrap_interval) -> None:
    """One line a group, from the top: each seed as a mark, the estimate as a diamond, its interval as a bar."""
    plain(axes, grid="x")
    for place, (name, values) in enumerate(rows.items()):
        if not values:
            continue
        found, look = estimate(values), styles[name]
        if len(values) > 1:
            axes.plot([found.low, found.high], [place, place], color=look.colour, linewidth=6, alpha=0.35, solid_capstyle="butt", zorder=2)
        axes.scatter(values, [place] * len(values), color=look.colour, marker=look.marker, s=26, alpha=0.75, linewidths=0, zorder=3)
        axes.scatter([found.mean], [place], color=look.colour, marker="D", s=72, edgecolors=PAPER, linewidths=1.4, zorder=4)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.spines[["left"]].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}".replace("-", "−")))


def _panels(rows: Mapping[str, Mapping[str, Sequence[float]]], styles: Mapping[str, Look], narrow: bool, *, zero: bool) -> Figure:
    """A panel a measure, side by side or below each other; one line a group in each."""
    count, lines = len(rows), len(next(iter(rows.values())))
    labels = {name: words.wrapped(name, 16 if narrow else 22) for values in rows.values() for name in values}
    most = max(label.count("\n") + 1 for label in labels.values())
    height = 0.62 + max(0.4, 0.18 * most) * lines  # inches: a label of three lines needs the third
    figure = new_figure(NARROW, height * count + 0.2) if narrow else new_figure(WIDE, height + 0.35)
    figure.get_layout_engine().set(wspace=0.08, hspace=0.06)  # type: ignore[union-attr, call-arg]
    first: Axes | None = None
    for place, (title, values) in enumerate(rows.items()):
        axes = figure.add_subplot(count, 1, place + 1) if narrow else figure.add_subplot(1, count, place + 1)
        dots(axes, values, styles)
        if zero:
            axes.axvline(0, color=INK, linewidth=1, alpha=0.7, zorder=1)
        axes.set_title(title, color=INK)
        axes.set_yticks(range(lines), [labels[name] for name in values] if narrow or first is None else [""] * lines, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        first = first or axes
    return figure


def _title(measure: str, what: str) -> str:
    """A measure as its panel calls it; in files it has one name, whatever differs."""
    return measure.replace("colours", what)


def at_budget(task: str, groups: Groups, styles: Mapping[str, Look], name: str) -> Drawing | None:
    """The measures of the finished seeds; None where none is finished."""
    ends = {n: finished(trials) for n, trials in groups.items()}
    rows = {m: {n: [v for t in trials if not math.isnan(v := f(t))] for n, trials in ends.items()} for m, f in MEASURES.items()}
    what = what_differs(*(trial.run for trials in groups.values() for trial in trials))
    rows = {_title(measure, what): values for measure, values in rows.items() if any(values.values())}
    if not rows:
        return None
    numbers = [[task, n, t.seed, *(f(t) for f in MEASURES.values())] for n, trials in ends.items() for t in trials]
    return Drawing(
        name,
        "Small marks: seeds that finished. Diamond: their mean. Bar: its 95% bootstrap interval over seeds. The area under the curve is "
        "its mean height over the budget: it tells who learned sooner. Look for bars that do not overlap.",
        f"Each finished seed on {task}, by group: {words.listing(list(rows))}.",
        lambda narrow: _panels(rows, styles, narrow, zero=False),
        Numbers(("task", "group", "seed", *MEASURES), numbers),
    )


def differences(task: str, gaps: Mapping[str, Mapping[str, Sequence[float]]], baseline: str, styles: Mapping[str, Look],
                name: str, what: str = "colours") -> Drawing | None:  # fmt: skip
    """`gaps`: of each group, by measure, what it has more than the baseline, seed by seed; `what` differs in unseen worlds. None where
    there is no such pair."""
    known = {group: found for group, found in gaps.items() if any(found.values())}
    if not known:
        return None
    rows = {measure: {group: found[measure] for group, found in known.items()} for measure in MEASURES}
    rows = {_title(measure, what): values for measure, values in rows.items() if any(values.values())}
    return Drawing(
        name,
        f"Each group less {words.esc(baseline)}, seed by seed: a seed has the same first states and colours in every group. Right of the "
        "line is better. Bars: 95% bootstrap interval of the mean difference over pairs.",
        f"Paired differences from {baseline} on {task}: {words.listing(list(known))}.",
        lambda narrow: _panels(rows, styles, narrow, zero=True),
        Numbers(("task", "group", "baseline", *MEASURES), [[task, g, baseline, *pair] for g, found in known.items()
                                                           for pair in itertools.zip_longest(*found.values())]),
    )  # fmt: skip
