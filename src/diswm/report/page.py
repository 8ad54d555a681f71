"""The page of one run, or of several held against each other: no network, no script, numbers and pictures beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diswm.contract import DiswmError
from diswm.report import codes, comparison, robustness, sections, shell, switches, words
from diswm.report.reading import Run
from diswm.report.study import find_runs, make_study
from diswm.report.summary import find_source, find_teacher, find_videos, summary_of
from diswm.report.unlike import policy, what_differs
from diswm.report.words import esc

Runs = str | Path | Sequence[str | Path]


def write_report(
    runs: Runs,
    *,
    teacher: Path | None = None,
    videos: Path | None = None,
    out: Path | None = None,
    totals: dict[str, Any] | None = None,
    title: str | None = None,
    baseline: str | None = None,
) -> Path:
    """Write the page of a run or, for several (run folders, folders of runs), one that compares them; return the page's path.

    `out` is the page (a .html file) or the folder that gets a report.html; unless given the run's folder, or the one that holds all that
    was named; there a page about other runs is not written over. summary.json goes beside it, and figures (PNG) and numbers (CSV) into
    figures/; all of a page of another name into <name>_files/.

    Of several runs, `baseline` is the group that others are compared with, the first one unless given. Of one run, `teacher` and `videos`
    default to what its config names; `totals` may replace `seconds` and `peak_rss_bytes` by those of all stages and may bring `stages`, a
    list of {"name", "seconds", "note"}.
    """
    paths = [Path(runs)] if isinstance(runs, str | Path) else [Path(path) for path in runs]
    found, problems = find_runs(paths)
    agents = [run for run in found if run.kind != "pretrain"]
    if len(found) > 1 and len(paths) == 1 and len(agents) == 1:
        found = agents  # a demo, say: its teacher is on the agent's page
    if len(found) == 1:
        if baseline is not None:
            raise DiswmError(f"{found[0].path} is one run, and a baseline is for several: name more runs, or leave --baseline out")
        return _write_one(found[0], teacher, videos, shell.target(found[0].path, out, [found[0].path], [found[0].path]), totals, title)
    folder = paths[0] if len(paths) == 1 else Path(os.path.commonpath([path.absolute() for path in paths]))
    about = [run.path for run in found]
    page = shell.target(folder, out, about, paths)
    study = make_study(found, problems, baseline)
    options = {"--baseline": baseline, "--out": out, "--title": title}
    named = [*map(str, paths), *(str(part) for pair in options.items() if pair[1] for part in pair)]
    try:
        comparison.write(study, page, title, named, shell.subject(page, about))
    except OSError as error:
        raise shell.unwritable(page, error) from error
    return page


def _write_one(run: Run, teacher: Path | None, videos: Path | None, page: Path, totals: dict[str, Any] | None, title: str | None) -> Path:
    taught, no_teacher = find_teacher(run, teacher)
    folders, no_videos = find_videos(run, taught, videos)
    summary = summary_of(run, find_source(run, taught, videos), totals)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        stages = list((totals or {}).get("stages") or [])
        body = _body(run, taught, no_teacher, folders, no_videos, summary, stages, page)
        name = title or f"{summary['task']} · {summary['method']} · DisWM report"
        shell.write(page, shell.document(name, f"{_header(run, summary, title)}{body}", shell.subject(page, [run.path])), summary)
    except OSError as error:
        raise shell.unwritable(page, error) from error
    return page


def _body(
    run: Run,
    teacher: Run | None,
    no_teacher: str,
    folders: list[Path],
    no_videos: str,
    summary: dict[str, Any],
    stages: list[dict[str, Any]],
    page: Path,
) -> str:
    figures = shell.beside(page)
    parts: list[tuple[str, str, str, str]] = []
    where = "" if run.absent("unseen") else f", on the {what_differs(run)} of training and on {what_differs(run)} never met"
    if run.kind != "pretrain":
        parts += [
            ("learning", "Learning", "Return against experience, in simulator frames.", sections.curve(run, figures)),
            ("returns", "Returns", f"The final policy against a random one{where}.", sections.returns(run, figures)),
            ("episodes", "Episodes", "What the numbers look like.", sections.episodes(run)),
        ]  # fmt: skip
        if changes := switches.section(run):
            parts.append(("switches", "Switches", "What changed in mid-training, and what that cost.", changes))
        if matrix := robustness.section(run, figures):
            parts.append(("robustness", "Robustness", "The final policy under every distraction, met in training or not.", matrix))
    lead = "The model sees a few frames, then dreams on: in open loop nothing corrects it."
    dreams = sections.imagination(run, figures, "this run's model")
    if teacher:
        dreams += f"<h3>The teacher, on its videos</h3>{sections.imagination(teacher, figures, 'the teacher', 'teacher_')}"
    elif run.kind != "pretrain":
        dreams += sections.missing(f"No teacher is shown: {no_teacher}")
    scored = codes.section(run, figures)
    parts += [
        ("imagination", "Imagination", lead, dreams),
        ("code", "Code", "What each number of the frame's code stands for.", sections.traversal(run, teacher, figures)),
        *([("factors", "Factors", "The code against what truly varies in its world.", scored)] if scored else []),
        (
            "videos",
            "Videos",
            "Where the knowledge came from, and where it had to go.",
            sections.videos(run, teacher, folders, no_videos, figures),
        ),
        ("losses", "Losses", "The terms that were minimised.", sections.training(run, teacher, figures)),
        ("cost", "Cost", "What it took.", sections.cost(run, summary, stages)),
        ("settings", "Settings", "Everything needed to run it again.", sections.settings(run, teacher)),
    ]
    problems = run.problems + [f"teacher: {problem}" for problem in (teacher.problems if teacher else [])]
    return shell.sections(parts) + _footer(run, problems, page)


def _header(run: Run, summary: dict[str, Any], title: str | None) -> str:
    if run.kind == "pretrain":
        heading, eyebrow = summary["source"], "DisWM · video pretraining"
        route = f"<b>{esc(summary['method'])}</b> learns to predict action-free videos"
    else:
        heading, eyebrow = summary["task"], "DisWM · run report"
        origin = f"videos of <b>{esc(summary['source'])}</b>" if summary["source"] != "unknown" else "<b>no known videos</b>"
        target = f"control of <b>{esc(summary['task'])}</b>"
        route = f'<b>{esc(summary["method"])}</b> · {origin}<span class="arrow" role="img" aria-label="to">→</span>{target}'
    seed = run.setting("seed")
    route += f" · seed {esc(seed)}" if seed is not None else ""
    head = f'<p class="eyebrow">{eyebrow}</p><h1>{esc(title or heading)}</h1><p class="route">{route}</p>'
    return f'<header>{head}</header><div class="top">{_headline(run, summary)}{_verdict(run)}</div>'


def _headline(run: Run, summary: dict[str, Any]) -> str:
    cards = []
    if run.kind != "pretrain":
        for key, split in (("trained_seen", "seen"), ("trained_unseen", "unseen"), ("random", "random")):
            got = summary["returns"][key]
            several = f"95% interval {words.interval(got['low'], got['high'])}<br>{words.plural(got['episodes'], 'episode')}"
            none = esc(run.absent(split)) or "not evaluated"
            sub = several if got["episodes"] > 1 else "1 episode, no interval" if got["episodes"] else none
            cards.append((split, f"Return, {policy(run, split)}", words.number(got["mean"]), sub))
    frames, updates = words.count(summary["frames"]), words.count(summary["updates"])
    cards += [
        ("", "Experience", frames, "frames (simulator steps)") if summary["frames"] else ("", "Learning", updates, "updates"),
        ("", "Wall time", words.duration(summary["seconds"]), f"{updates} updates"),
        ("", "Peak memory", words.size(summary["peak_rss_bytes"]), f"on {esc(run.cost.get('device') or 'an unknown device')}"),
    ]
    return shell.cards(cards)


def _verdict(run: Run) -> str:
    """What the intervals allow to be said, and what they do not."""
    if run.kind == "pretrain":
        return ""
    said, what = [], what_differs(run)
    gain, gap = sections.difference(run, "seen", "random"), sections.difference(run, "unseen", "seen")
    if gain is not None:
        ends = f"{words.number(gain.mean)} (95% interval {words.interval(gain.low, gain.high)})"
        said.append(
            f"On the {what} of training, the policy <b>beats the random one</b>: return higher by {ends}." if gain.low > 0
            else f"On the {what} of training, the policy is <b>worse than the random one</b>: difference {ends}." if gain.high < 0
            else f"On the {what} of training, <b>no difference from the random policy</b> can be claimed: {ends}."
        )  # fmt: skip
    if gap is not None:
        ends = f"{words.number(gap.mean)} (95% interval {words.interval(gap.low, gap.high)})"
        said.append(
            f"On unseen {what} it <b>loses return</b>: difference {ends}." if gap.high < 0
            else f"On unseen {what} it scores <b>higher</b> than on seen ones: difference {ends}." if gap.low > 0
            else f"Between seen and unseen {what} <b>no difference</b> can be claimed: {ends}."
        )  # fmt: skip
    if why := run.absent("unseen"):
        said.append(f"<b>{esc(why.capitalize())}.</b> Nothing can be said of generalisation.")
    if not said:
        return ""
    fine = (
        "Intervals come from resampling evaluation episodes of this one training run. They say nothing about other seeds: "
        "for a claim about the method, train several."
    )
    return f'<div class="verdict">{"".join(f"<p>{line}</p>" for line in said)}<p class="fine">{fine}</p></div>'


def _footer(run: Run, problems: list[str], page: Path) -> str:
    return shell.footer(
        problems,
        f"Made from <code>{esc(run.path)}</code> by diswm {esc(run.version)}; again with <code>diswm report {esc(run.path)}</code>. "
        f"Figures as PNG and their numbers as CSV in <code>{esc(shell.beside(page).name)}/</code>, the summary in "
        f"<code>{esc(shell.summary_file(page).relative_to(page.parent))}</code>, both beside this page.",
    )
