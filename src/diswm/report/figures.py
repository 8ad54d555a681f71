"""The charts: the learning curve, the returns, the losses, the quality of the prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from diswm.contract import Array
from diswm.metrics.scores import bootstrap_interval
from diswm.metrics.video import psnr, ssim
from diswm.report import anchors, words
from diswm.report.canvas import INK, KEPT, MUTED, NARROW, OPEN, PAPER, RANDOM, RAW, SEEN, UNSEEN, WIDE, Drawing, new_figure, plain
from diswm.report.charts import anchor_note, draw_anchors, legend
from diswm.report.reading import Run, finite_list
from diswm.report.tables import Numbers
from diswm.report.unlike import policy

LOOKS = {"random": (RANDOM, "s"), "seen": (SEEN, "o"), "unseen": (UNSEEN, "^")}
MAX_DOTS, BINS, MAX_PANELS = 1500, 160, 16
Point = tuple[float, float, float, float]


def eval_points(run: Run, split: str) -> list[Point]:
    """(frames, mean, low, high) of every evaluation on `split`, one a frame count (the last one)."""
    return [(frames, *bootstrap_interval(returns, reps=2000)) for frames, returns in run.evals(split)]


def learning_curve(run: Run) -> Drawing | None:
    """Returns against frames; None when the run recorded neither an evaluation nor an episode."""
    curves = {split: eval_points(run, split) for split in ("seen", "unseen")}
    episodes = [(r["frames"], r["return"]) for r in run.of("episode") if finite_list([r.get("frames"), r.get("return")])]
    if not episodes and not any(curves.values()):
        return None

    task = run.text("env.task", "")

    def draw(narrow: bool) -> Figure:
        more = 0.21 * len(anchors.curves(task, run.latest("frames")))
        figure = new_figure(NARROW, 3.7 + more) if narrow else new_figure(WIDE, 4.3)
        axes = plain(figure.add_subplot())
        _training_dots(axes, episodes)
        _random_level(axes, run.returns("random"))
        for split, points in curves.items():
            _band(axes, points, split, policy(run, split))
        axes.set_xlabel("frames (simulator steps)")
        axes.set_ylabel("episode return")
        axes.set_xlim(0, 1.015 * max(run.latest("frames"), 1))
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8))
        axes.xaxis.set_major_formatter(FuncFormatter(words.short))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}".replace("-", "−")))
        draw_anchors(axes, task, run.latest("frames"), named=not narrow)
        legend(figure, narrow)
        return figure

    rows: list[list[Any]] = [[split, *point] for split, points in curves.items() for point in points]
    rows += [["training episode", *episode, None, None] for episode in episodes]
    ends = [f"{policy(run, s)}: from {words.number(p[0][1])} to {words.number(p[-1][1])}" for s, p in curves.items() if p]
    return Drawing(
        "learning_curve",
        "Lines are evaluation means with their 95% interval over episodes; faint dots are training episodes, which explore and so score "
        "differently. Look for the blue line leaving the dashed random level"
        f"{'.' if run.absent('unseen') else ', and for how closely the orange one follows it.'}"
        f"{anchor_note(task, run.latest('frames'))}",
        f"Learning curve over {words.count(run.latest('frames'))} frames. {'; '.join(ends) or 'Training episodes only'}.",
        draw,
        Numbers(("kind", "frames", "return", "low", "high"), rows),
    )


def _training_dots(axes: Axes, episodes: list[tuple[float, float]]) -> None:
    if episodes:
        thin = episodes[:: -(-len(episodes) // MAX_DOTS)]
        label = "training episodes" if len(thin) == len(episodes) else f"training episodes (1 in {-(-len(episodes) // MAX_DOTS)})"
        axes.scatter([x for x, _ in thin], [y for _, y in thin], s=9, color=RAW, alpha=0.45, linewidths=0, label=label, zorder=1)


def _random_level(axes: Axes, returns: list[float]) -> None:
    if returns:
        mean, low, high = bootstrap_interval(returns)
        axes.axhline(mean, color=RANDOM, linestyle=(0, (5, 3)), linewidth=1.4, label="random policy", zorder=2)
        axes.axhspan(low, high, color=RANDOM, alpha=0.12, linewidth=0, zorder=0)


def _band(axes: Axes, points: list[Point], split: str, label: str) -> None:
    if not points:
        return
    colour, marker = LOOKS[split]
    x, mean, low, high = np.asarray(points).T
    if len(points) == 1:  # a band has no width at one point: draw its interval as a bar
        axes.vlines(x, low, high, color=colour, linewidth=1.6)
    axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0, zorder=2)
    edge: dict[str, Any] = {"markeredgecolor": PAPER, "markeredgewidth": 0.8}
    axes.plot(x, mean, color=colour, linewidth=2, marker=marker, markersize=5, label=label, zorder=3, **edge)


def returns_strip(run: Run) -> Drawing | None:
    """Every evaluation episode as a dot, with the mean and its interval; None without an evaluation."""
    groups = {name: run.returns(name) for name in LOOKS if run.returns(name)}
    if not groups:
        return None
    names = {name: policy(run, name) for name in groups}

    def draw(narrow: bool) -> Figure:
        figure = new_figure(NARROW, 0.85 + 0.72 * len(groups)) if narrow else new_figure(WIDE, 0.75 + 0.62 * len(groups))
        axes = plain(figure.add_subplot(), grid="x")
        for row, (name, values) in enumerate(groups.items()):
            colour, marker = LOOKS[name]
            spread = 0.16 * np.sin(2.4 * np.arange(len(values)))  # apart, without chance
            axes.scatter(values, row + spread, s=26, color=colour, alpha=0.45, linewidths=0, marker=marker, zorder=2)
            mean, low, high = bootstrap_interval(values)
            axes.plot([low, high], [row, row], color=colour, linewidth=5, alpha=0.55, zorder=3)
            axes.scatter([mean], [row], s=90, marker="D", color=colour, edgecolors=PAPER, linewidths=1.6, zorder=4)
        axes.set_yticks(range(len(groups)), [names[name] for name in groups], color=INK)
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.spines[["left"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8))
        axes.set_xlabel("episode return")
        return figure

    said = "; ".join(f"{names[n]}: mean {words.number(np.mean(v))} over {words.plural(len(v), 'episode')}" for n, v in groups.items())
    return Drawing(
        "returns",
        "Each small mark is one evaluation episode, the diamond their mean, the bar its 95% interval. Look for bars that do not overlap, "
        "and for single episodes that carry a mean.",
        f"Returns of the evaluation episodes. {said}.",
        draw,
        Numbers(("policy", "episode", "return"), [[name, i, value] for name, values in groups.items() for i, value in enumerate(values)]),
    )


def losses(run: Run, name: str = "losses") -> Drawing | None:
    """Every loss term and a few gauges over updates, one small panel each; None when no update was logged."""
    rows = run.of("update")
    keys = sorted({k for row in rows for k in row if k.startswith("loss/")}, key=lambda k: (k != "loss/total", k))
    extra = sorted({k for row in rows for k in row if k.split("/")[0] in ("actor", "critic", "grad_norm", "weight")})
    series = {key: _series(rows, key) for key in (keys + extra)[:MAX_PANELS]}
    hidden = len(keys) + len(extra) - MAX_PANELS
    more = f" {hidden} more are in metrics.jsonl." if hidden > 0 else ""
    return _panels(
        name,
        series,
        "Blue: terms of the loss, means over frames before their weights (total: with them); green: what else was watched. Line: mean; "
        "band: smallest and largest value nearby; a log scale where a term spans more than a factor of 30. "
        f"Look for terms that still fall at the end, and for a KL (dyn, rep, beta) stuck at zero or at its floor.{more}",
        "Training curves over updates",
    )


def probes(run: Run) -> Drawing | None:
    """Every score of the code along training over updates; None when none was logged."""
    rows = run.of("probe")
    keys = list(dict.fromkeys(key for row in rows for key in row if key.startswith("probe/") and key != "probe/negative_transfer"))
    return _panels(
        "probes",
        {key: _series(rows, key) for key in keys[:MAX_PANELS]},
        "Scores of the code on the same frames with independent factors. Look for ridge r2 and mig that rise while returns do, and for a "
        "code that comes nearer to the teacher's (cka, matched) while ridge r2 falls: that transfer hurts.",
        "Scores along training over updates",
    )


def _panels(name: str, series: dict[str, Array], caption: str, alt: str) -> Drawing | None:
    """One small panel each; None without points."""
    series = {key: points for key, points in series.items() if len(points)}
    if not series:
        return None

    def draw(narrow: bool) -> Figure:
        columns = min(2 if narrow else 4, len(series))
        lines = -(-len(series) // columns)
        figure = new_figure(NARROW if narrow else WIDE, (1.42 if narrow else 1.6) * lines + 0.3)
        for place, (key, points) in enumerate(series.items()):
            axes = plain(figure.add_subplot(lines, columns, place + 1))
            _loss_panel(axes, key, points, SEEN if key.startswith("loss/") else KEPT)
            if place + columns < len(series):  # another one stands below
                axes.set_xticklabels([])
        figure.supxlabel("updates", color=MUTED, fontsize=9.5)
        return figure

    return Drawing(
        name,
        caption,
        f"{alt}: {words.listing([_term(key) for key in series])}.",
        draw,
        Numbers(("term", "updates", "value"), [[key, int(x), float(y)] for key, points in series.items() for x, y in points]),
    )


def _loss_panel(axes: Axes, key: str, points: Array, colour: str) -> None:
    x, mean, low, high = _binned(points)
    axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(x, mean, color=colour, linewidth=1.4)
    values = points[:, 1]
    if values.min() > 0 and values.max() > 30 * values.min():
        axes.set_yscale("log")
        axes.minorticks_off()
    else:
        axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(words.short))
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(words.short))
    axes.tick_params(labelsize=8)
    axes.set_title(_term(key), fontsize=9.5, color=INK)


def _term(key: str) -> str:
    head, _, tail = key.partition("/")
    return tail.replace("_", " ") if head in ("loss", "probe") else f"{head} {tail}".replace("_", " ")


def _series(rows: list[dict[str, Any]], key: str) -> Array:
    points = [(row["updates"], row[key]) for row in rows if finite_list([row.get("updates"), row.get(key)])]
    return np.asarray(points, dtype=np.float64).reshape(-1, 2)


def _binned(points: Array) -> list[Array]:
    """At most BINS groups of neighbours: x, mean, min, max of each."""
    groups = np.array_split(points, min(BINS, len(points)))
    return [np.array(column) for column in zip(*((g[-1, 0], g[:, 1].mean(), g[:, 1].min(), g[:, 1].max()) for g in groups), strict=True)]


def quality(media: dict[str, Array], name: str) -> Drawing:
    """PSNR and SSIM a frame of reconstruction and prediction, against repeating the last frame that the model saw."""
    real, context = media["real"], int(media["context"])
    still = np.broadcast_to(real[:, max(context - 1, 0)][:, None], real.shape)
    lines = {"reconstruction": (media["reconstruction"], KEPT, "-"), "open-loop prediction": (media["prediction"], OPEN, "-"),
             "last seen frame, repeated": (still, RANDOM, (0, (5, 3)))}  # fmt: skip
    scores = {label: (psnr(real, video).mean(axis=0), ssim(real, video).mean(axis=0)) for label, (video, _, _) in lines.items()}

    def draw(narrow: bool) -> Figure:
        figure = new_figure(NARROW, 4.6) if narrow else new_figure(WIDE, 3.1)
        for place, unit in enumerate(("PSNR (dB)", "SSIM")):
            axes = plain(figure.add_subplot(2, 1, place + 1) if narrow else figure.add_subplot(1, 2, place + 1))
            for label, (_, colour, style) in lines.items():
                start = 0 if label == "reconstruction" else max(context, 0)
                x = np.arange(real.shape[1])[start:]
                axes.plot(x, scores[label][place][start:], color=colour, linestyle=style, linewidth=1.8, label=label if not place else None)
            axes.axvline(context - 0.5, color=INK, linewidth=1, alpha=0.6)
            axes.set_title(unit, color=INK)
            axes.set_xlabel("frame of the clip")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        figure.legend(loc="outside upper left", ncols=1 if narrow else 3, handlelength=1.8, columnspacing=1.4)
        return figure

    rows = [[label, t, float(p), float(s)] for label, pair in scores.items() for t, (p, s) in enumerate(zip(*pair, strict=True))]
    end = {label: (pair[0][context:].mean(), pair[1][context:].mean()) for label, pair in scores.items() if len(pair[0]) > context}
    said = "; ".join(f"{label} {words.number(p)} dB, SSIM {words.number(s)}" for label, (p, s) in end.items())
    return Drawing(
        name,
        f"Mean over {words.plural(len(real), 'clip')}; the vertical line is where the model stops seeing frames. Look for the prediction "
        "staying above the dashed line: below it, repeating the last frame would have been the better guess.",
        f"PSNR and SSIM a frame. Averages after the context: {said or 'the clip ends with the context'}.",
        draw,
        Numbers(("video", "frame", "psnr_db", "ssim"), rows),
    )
