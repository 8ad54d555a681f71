"""The pictures of several runs, side by side: one run of each group stands for it; scores are of all its runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from diswm.contract import Array, DiswmError
from diswm.metrics.video import psnr, ssim
from diswm.report import effects, maps, robustness, strips, words
from diswm.report.canvas import INK, NARROW, WIDE, Drawing, new_figure, plain
from diswm.report.charts import Groups, Look, legend
from diswm.report.reading import Row, Run
from diswm.report.tables import Numbers
from diswm.report.trials import Trial

Media = dict[str, Array]
DIMS, CLIPS = 5, 4
UNITS = ("PSNR (dB)", "SSIM")


def predictions(groups: Groups, name: str) -> list[Drawing]:
    """The strip of the first run of each group that kept a prediction."""
    return _firsts(groups, strips.prediction_media, lambda media, place: strips.prediction_strip(media, f"{name}_{place}"))


def traversals(groups: Groups, name: str) -> list[Drawing]:
    """The traversal of the first run of each group that kept one: the most used dimensions."""
    return _firsts(groups, strips.traversal_media, lambda media, place: strips.traversal_grid(media, f"{name}_{place}", DIMS))


def changes(groups: Groups, name: str) -> list[Drawing]:
    """What a change of colours does to the code of the first run of each group that kept it."""
    return _firsts(groups, effects.effect_media, lambda media, place: effects.effect(media, f"{name}_{place}"))


def clips(groups: Groups, name: str) -> list[Drawing]:
    """The map of offline and online clips of the first run of each group that kept one that varies. ImportError without scikit-learn."""

    def kept(run: Run) -> Media | None:
        media = maps.clips_media(run)
        return media if media and all(np.ptp(media[code], axis=(0, 1)).any() for code in maps.CODES) else None

    return _firsts(groups, kept, lambda media, place: maps.plane(media, 0, f"{name}_{place}"))


def _firsts(groups: Groups, kept: Callable[[Run], Media | None], draw: Callable[[Media, int], Drawing]) -> list[Drawing]:
    """What is drawn of the first run of each group that kept something to draw."""
    found = []
    for place, (group, trials) in enumerate(groups.items()):
        for trial in trials:
            media = kept(trial.run)
            if media is not None:
                found.append(_small(draw(media, place), group, trial))
                break
    return found


def matrices(groups: Groups, name: str) -> list[Drawing]:
    """The heat maps of the groups with a robustness matrix, all shaded on one scale; of several seeds the means."""
    cells = {group: rows for group, trials in groups.items() if (rows := _cells(trials))}
    ends = robustness.shades(row for rows in cells.values() for row in rows)
    found = []
    for place, (group, rows) in enumerate(cells.items()):
        drawing = robustness.heat_map(rows, f"{name}_{place}", ends)
        if drawing:
            count = sum((trial.run.path / "matrix.json").is_file() for trial in groups[group])
            caption = f"<b>{words.esc(group)}</b>, {words.plural(count, 'seed')}"
            found.append(dataclasses.replace(drawing, caption=caption, alt=f"{group}: {drawing.alt}", small=True))
    return found


def _cells(trials: Sequence[Trial]) -> list[Row]:
    """The cells of a group: of one run its episodes, of several each run's mean as one value."""
    tables = []
    for trial in trials:
        if (trial.run.path / "matrix.json").is_file():
            try:
                tables.append(robustness.read_cells(trial.run.path / "matrix.json"))
            except DiswmError as error:
                trial.run.problems.append(str(error))
    if len(tables) < 2:
        return tables[0] if tables else []
    merged: dict[tuple[str, str], Row] = {}
    for cell in (cell for table in tables for cell in table):
        row = merged.setdefault((cell["distraction"], cell["level"]), {**cell, "returns": [], "successes": []})
        for kind in ("returns", "successes"):
            row[kind] += [float(np.mean(cell[kind]))] if cell.get(kind) else []
    return list(merged.values())


def _small(drawing: Drawing, group: str, trial: Trial) -> Drawing:
    caption = f"<b>{words.esc(group)}</b>, seed {words.esc(trial.seed)}"
    return dataclasses.replace(drawing, caption=caption, alt=f"{group}: {drawing.alt}", small=True)


# ---- how good the predictions are


def quality(task: str, groups: Groups, styles: Mapping[str, Look], name: str) -> Drawing | None:
    """PSNR and SSIM of the open-loop prediction a frame, mean over the runs of each group; None where no run kept any."""
    scores: dict[str, Array] = {}
    context, length = -1, -1
    for group, trials in groups.items():
        found = []
        for media in (strips.prediction_media(trial.run) for trial in trials):
            if media is None or (context >= 0 and (int(media["context"]), media["real"].shape[1]) != (context, length)):
                continue
            context, length = int(media["context"]), media["real"].shape[1]
            real, other = media["real"][:CLIPS], media["prediction"][:CLIPS]
            found.append([psnr(real, other).mean(0), ssim(real, other).mean(0)])
        if found:
            scores[group] = np.mean(found, 0)  # (2, T)
    if not scores or context >= length:
        return None

    def draw(narrow: bool) -> Figure:
        figure = new_figure(NARROW, 4.6 + 0.19 * len(scores)) if narrow else new_figure(WIDE, 3.3)
        for place, unit in enumerate(UNITS):
            axes = plain(figure.add_subplot(2, 1, place + 1) if narrow else figure.add_subplot(1, 2, place + 1))
            for group, table in scores.items():
                look = styles[group]
                axes.plot(np.arange(context, length), table[place, context:], color=look.colour, linestyle=look.dashes, linewidth=1.8,
                          marker=look.marker, markersize=4.5, markevery=max(1, (length - context) // 8), label=group)  # fmt: skip
            axes.set_title(unit, color=INK)
            axes.set_xlabel("frame of the clip")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        legend(figure, narrow)
        return figure

    rows = [[task, g, t, *map(float, table[:, t])] for g, table in scores.items() for t in range(context, length)]
    ends = [f"{group} {words.number(table[0, context:].mean())} dB" for group, table in scores.items()]
    return Drawing(
        name,
        f"Open loop, from frame {context} on: mean over the runs of a group, at most {CLIPS} clips each. Clips differ between runs, so "
        "look at how fast the lines fall rather than at small gaps between them.",
        f"PSNR and SSIM of predicted frames. {words.listing(ends)}.",
        draw,
        Numbers(("task", "group", "frame", "psnr_db", "ssim"), rows),
    )
