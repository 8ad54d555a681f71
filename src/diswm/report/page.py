"""One run as one HTML file: no network, no script, nothing beside it but summary.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from diswm.contract import DiswmError
from diswm.report import codes, robustness, sections, switches, words
from diswm.report.reading import Run, read_run
from diswm.report.style import CSS
from diswm.report.summary import find_source, find_teacher, find_videos, summary_of
from diswm.report.words import esc


def write_report(
    run: Path,
    *,
    teacher: Path | None = None,
    videos: Path | None = None,
    out: Path | None = None,
    totals: dict[str, Any] | None = None,
) -> Path:
    """Write the page of `run`, summary.json beside it and the figures under <run>/figures/; return the page's path.

    `teacher` and `videos` default to what the run's config names. `out` is the page (a .html file) or the folder that gets a
    report.html; the run folder if not given. `totals` may replace `seconds` and `peak_rss_bytes` by those of all stages
    and may bring `stages`, a list of {"name", "seconds", "note"}.
    """
    loaded = read_run(Path(run))
    taught, no_teacher = find_teacher(loaded, teacher)
    folders, no_videos = find_videos(loaded, taught, videos)
    summary = summary_of(loaded, find_source(loaded, taught, videos), totals)
    page = _target(loaded, out)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        body = _body(loaded, taught, no_teacher, folders, no_videos, summary, list((totals or {}).get("stages") or []))
        _write(page, _document(loaded, summary, body))
        numbers = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        _write(page.with_name("summary.json"), numbers + "\n")
    except OSError as error:
        raise DiswmError(f"the report could not be written to {page.parent} ({error}): expected a folder that can be written") from error
    return page


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a full disk leaves the page that was there."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _target(run: Run, out: Path | None) -> Path:
    if out is None:
        return run.path / "report.html"
    out = Path(out)
    return out if out.suffix.lower() in (".html", ".htm") else out / "report.html"


def _body(
    run: Run,
    teacher: Run | None,
    no_teacher: str,
    folders: list[Path],
    no_videos: str,
    summary: dict[str, Any],
    stages: list[dict[str, Any]],
) -> str:
    figures = run.path / "figures"
    parts: list[tuple[str, str, str, str]] = []  # (anchor, title, lead, html)
    if run.kind != "pretrain":
        parts += [
            ("learning", "Learning", "Return against experience, in simulator frames.", sections.curve(run, figures)),
            ("returns", "Returns", "The final policy against a random one, on the colours of training and on colours never met.",
             sections.returns(run, summary, figures)),
            ("episodes", "Episodes", "What the numbers look like.", sections.episodes(run)),
        ]  # fmt: skip
        if changes := switches.section(run):
            parts.append(("switches", "Switches", "What changed in mid-training, and what that cost.", changes))
        if matrix := robustness.section(run, figures):
            parts.append(("robustness", "Robustness", "The final policy under what it never met.", matrix))
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
        ("videos", "Videos", "Where the knowledge came from, and where it had to go.", sections.videos(run, folders, no_videos, figures)),
        ("losses", "Losses", "The terms that were minimised.", sections.training(run, teacher, figures)),
        ("cost", "Cost", "What it took.", sections.cost(run, summary, stages)),
        ("settings", "Settings", "Everything needed to run it again.", sections.settings(run, teacher)),
    ]
    links = "".join(f'<li><a href="#{anchor}-section">{title}</a></li>' for anchor, title, _, _ in parts)
    html = "".join(
        f'<section id="{anchor}-section"><h2>{title}</h2><p class="lead">{lead}</p>{inner}</section>'
        for anchor, title, lead, inner in parts
    )
    problems = run.problems + [f"teacher: {problem}" for problem in (teacher.problems if teacher else [])]
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{html}</main>{_footer(run, problems)}'


def _document(run: Run, summary: dict[str, Any], body: str) -> str:
    title = f"{summary['task']} · {summary['method']} · DisWM report"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{esc(title)}</title><style>{CSS}</style></head><body>'
        f"{_header(run, summary)}{body}</body></html>\n"
    )


def _header(run: Run, summary: dict[str, Any]) -> str:
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
    head = f'<p class="eyebrow">{eyebrow}</p><h1>{esc(heading)}</h1><p class="route">{route}</p>'
    return f'<header>{head}</header><div class="top">{_headline(run, summary)}{_verdict(run)}</div>'


def _headline(run: Run, summary: dict[str, Any]) -> str:
    cards = []
    if run.kind != "pretrain":
        for key, split, label in (("trained_seen", "seen", "Return, seen colours"), ("trained_unseen", "unseen", "Return, unseen colours"),
                                  ("random", "random", "Return, random policy")):  # fmt: skip
            got = summary["returns"][key]
            several = f"95% interval {words.interval(got['low'], got['high'])}<br>{words.plural(got['episodes'], 'episode')}"
            sub = several if got["episodes"] > 1 else "1 episode, no interval" if got["episodes"] else "not evaluated"
            cards.append((split, label, words.number(got["mean"]), sub))
    frames, updates = words.count(summary["frames"]), words.count(summary["updates"])
    cards += [
        ("", "Experience", frames, "frames (simulator steps)") if summary["frames"] else ("", "Learning", updates, "updates"),
        ("", "Wall time", words.duration(summary["seconds"]), f"{updates} updates"),
        ("", "Peak memory", words.size(summary["peak_rss_bytes"]), f"on {esc(run.cost.get('device') or 'an unknown device')}"),
    ]
    drawn = (
        f'<div class="{tone}"><dt>{label}</dt><dd><div class="big">{big}</div><div class="sub">{sub}</div></dd></div>'
        for tone, label, big, sub in cards
    )
    return f'<dl class="headline">{"".join(drawn)}</dl>'


def _verdict(run: Run) -> str:
    """What the intervals allow to be said, and what they do not."""
    if run.kind == "pretrain":
        return ""
    said = []
    gain, gap = sections.difference(run, "seen", "random"), sections.difference(run, "unseen", "seen")
    if gain is not None:
        ends = f"{words.number(gain.mean)} (95% interval {words.interval(gain.low, gain.high)})"
        said.append(
            f"On the colours of training, the policy <b>beats the random one</b>: return higher by {ends}." if gain.low > 0
            else f"On the colours of training, the policy is <b>worse than the random one</b>: difference {ends}." if gain.high < 0
            else f"On the colours of training, <b>no difference from the random policy</b> can be claimed: {ends}."
        )  # fmt: skip
    if gap is not None:
        ends = f"{words.number(gap.mean)} (95% interval {words.interval(gap.low, gap.high)})"
        said.append(
            f"On unseen colours it <b>loses return</b>: difference {ends}." if gap.high < 0
            else f"On unseen colours it scores <b>higher</b> than on seen ones: difference {ends}." if gap.low > 0
            else f"Between seen and unseen colours <b>no difference</b> can be claimed: {ends}."
        )  # fmt: skip
    if not said:
        return ""
    fine = (
        "Intervals come from resampling evaluation episodes of this one training run. They say nothing about other seeds: "
        "for a claim about the method, train several."
    )
    return f'<div class="verdict">{"".join(f"<p>{line}</p>" for line in said)}<p class="fine">{fine}</p></div>'


def _footer(run: Run, problems: list[str]) -> str:
    listed = f"<p>While reading the run:</p><ul>{''.join(f'<li>{esc(p)}</li>' for p in dict.fromkeys(problems))}</ul>" if problems else ""
    return (
        f"<footer>{listed}<p>Made from <code>{esc(run.path)}</code> by diswm {esc(run.version)}; "
        f"again with <code>diswm report {esc(run.path)}</code>. "
        "Figures as PNG in <code>figures/</code> of the run, numbers in <code>summary.json</code> beside this page.</p></footer>"
    )
