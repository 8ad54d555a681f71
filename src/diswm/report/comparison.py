"""Several runs as one HTML file: what is at the top, which sections follow, what goes beside it."""

from __future__ import annotations

import shlex
from pathlib import Path

from diswm.metrics.scores import bootstrap_interval
from diswm.report import chapters, ledger, shell, tally, words
from diswm.report.canvas import publish
from diswm.report.chapters import Writer
from diswm.report.study import Study
from diswm.report.trials import LEAST, machines, seed_order
from diswm.report.words import esc

AREA = "area under the curve"


def write(study: Study, page: Path, title: str | None, named: list[str], about: str) -> None:
    """The page of a study, its summary and the folder of figures and tables beside it. `named` are the words that lead to it, `about` is
    its `shell.subject`."""
    name = title or _title(study)
    folder = shell.beside(page)
    folder.mkdir(parents=True, exist_ok=True)
    parts = _parts(Writer(study, folder, publish))
    problems = [*study.problems, *(f"{run.path}: {p}" for run in [*(t.run for t in study.trials), *study.teachers] for p in run.problems)]
    again = shlex.join(["diswm", "report", *named])
    origin = (
        f"Made by diswm from {words.plural(len(study.trials) + len(study.teachers), 'run')}; again with <code>{esc(again)}</code>. Every "
        f"figure as PNG and all numbers as CSV in <code>{esc(folder.name)}/</code>, the summary in "
        f"<code>{esc(shell.summary_file(page).relative_to(page.parent))}</code>, both beside this page."
    )
    body = f"{_header(study, title)}{shell.sections(parts)}{shell.footer(problems, origin)}"
    shell.write(page, shell.document(f"{name} · DisWM report", body, about), tally.summary(study, name))


def _parts(writer: Writer) -> list[tuple[str, str, str, str]]:
    """The sections that there is something for: (anchor, title, lead, html)."""
    trials = writer.study.trials
    parts = [
        (f"task{place}", esc(task), "Returns against experience, and at the end of it.", chapters.task(writer, task))
        for place, task in enumerate(writer.study.tasks)
    ]
    parts += [
        ("overall", "All tasks", "What the groups are worth over all tasks together.", chapters.overall(writer)),
        ("pictures", "Pictures", "One run of each group: what its model predicts, and what its code holds.", chapters.pictures(writer)),
        ("robustness", "Robustness", "The final policies under every distraction, met in training or not.", chapters.robustness(writer)),
        ("models", "Video models", "The teachers among these runs.", ledger.models(writer)),
    ]
    if trials:
        parts += [
            ("cost", "Cost", f"On {esc(words.listing(machines(trials)) or 'an unknown machine')}.", ledger.cost(writer)),
            ("runs", "Runs", "Every run, and how far it is.", ledger.runs(writer)),
            ("settings", "Settings", "What sets the groups apart, and all the rest.", ledger.settings(writer)),
        ]
    return [part for part in parts if part[3]]


def _title(study: Study) -> str:
    tasks = list(study.tasks)
    return words.listing(tasks) if 0 < len(tasks) <= 3 else f"{len(tasks)} tasks" if tasks else "Video models"


def _header(study: Study, title: str | None) -> str:
    groups = " · ".join(f"<b>{esc(name)}</b>" for name in study.groups)
    head = f'<p class="eyebrow">DisWM · comparison</p><h1>{esc(title or _title(study))}</h1><p class="route">{groups}</p>'
    return f'<header>{head}</header><div class="top">{_cards(study)}{_verdict(study)}</div>'


def _cards(study: Study) -> str:
    trials = study.trials
    if not trials:
        return ""
    done = sum(trial.finished for trial in trials)
    seeds = sorted({trial.seed for trial in trials}, key=seed_order)
    spent = [seconds for trial in trials if (seconds := tally.seconds(trial.run.cost))]
    rest = len(trials) - done
    few = ", ".join(map(esc, seeds[:8])) + (", …" if len(seeds) > 8 else "")
    return shell.cards([
        ("", "Runs", str(len(trials)), f"{done} finished" + (f", <b>{rest} unfinished</b>" if rest else "")),
        ("", "Compared", words.plural(len(study.groups), "group"), f"on {words.plural(len(study.tasks), 'task')}, seeds {few}"),
        ("", "Experience", words.short(sum(trial.frames for trial in trials)), f"frames, {words.duration(sum(spent))} in all"),
    ])  # fmt: skip


def _verdict(study: Study) -> str:
    """What the paired differences allow to be said, task by task."""
    lines = []
    for task, groups in study.tasks.items():
        for name in groups:
            values = tally.gaps(study, task, name)[AREA] if name != study.baseline and study.baseline in groups else []
            if len(values) < LEAST:
                continue
            got = bootstrap_interval(values)
            ends = f"(95% interval {words.interval(got.low, got.high)}, {len(values)}&nbsp;pairs)"
            size = f"{words.number(abs(got.mean))} {ends}"
            who, other = f"<b>{esc(name)}</b>", esc(study.baseline)
            lines.append(
                f"{esc(task)}: {who} is <b>above</b> {other} in area under the curve by {size}." if got.low > 0
                else f"{esc(task)}: {who} is <b>below</b> {other} in area under the curve by {size}." if got.high < 0
                else f"{esc(task)}: between {who} and {other} <b>no difference</b> in area under the curve can be claimed: "
                f"{words.number(got.mean)} {ends}."
            )  # fmt: skip
    if not lines and len(study.groups) < 2:
        return ""
    fine = (
        f"Differences are taken seed by seed from the baseline, {esc(study.baseline)}; with fewer than {LEAST} pairs nothing is said. "
        "Intervals are over seeds: seeds that share a teacher leave the teacher's own chance out."
    )
    if not lines:
        lines = [f"No group has {LEAST} finished seeds in common with the baseline yet: <b>nothing can be claimed</b>."]
    return f'<div class="verdict">{"".join(f"<p>{line}</p>" for line in lines)}<p class="fine">{fine}</p></div>'
