"""The sections of the page of several runs that keep account: video models, cost, every run, settings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from diswm.report import figures, tally, words
from diswm.report.chapters import Writer
from diswm.report.sections import folded
from diswm.report.study import settings_of
from diswm.report.summary import summary_of
from diswm.report.tables import Column, num
from diswm.report.trials import Trial
from diswm.report.words import esc

TASK = Column("Task", ("task",))
DEVICE = Column("Device", ("device",))


def models(writer: Writer) -> str:
    """The video models among the runs: what they cost and how their losses fell; empty where there is none."""
    columns = [
        Column("Run", ("run",)), Column("Method", ("method",)), Column("Videos", ("videos",)), num("Updates", "updates", words.count),
        num("Wall time", "seconds", words.duration), num("Peak memory", "peak_rss_bytes", words.size),
    ]  # fmt: skip
    rows, drawn = [], ""
    for place, run in enumerate(writer.study.teachers):
        videos = run.setting("videos", [])
        source = ", ".join(Path(str(path)).name for path in videos) if isinstance(videos, list) and videos else "unknown"
        found = summary_of(run, source)
        rows.append([run.path.name, *(found[key] for key in ("method", "source", "updates", "seconds", "peak_rss_bytes"))])
        losses = figures.losses(run, f"video_model_losses_{place}")
        drawn += f"<h3>{esc(run.path.name)}</h3>{writer.figure(losses)}" if losses else ""
    more = f"<details><summary>Their losses</summary>{drawn}</details>" if drawn else ""
    return writer.table("table_video_models", columns, rows) + more if rows else ""


def cost(writer: Writer) -> str:
    """What a run of each group took."""
    columns = [
        TASK, writer.group, num("Runs", "runs", words.count), num("Time a run", "seconds_a_run", words.duration),
        num("Frames a second", "frames_a_second"), num("Updates a second", "updates_a_second"),
        num("Peak memory", "peak_rss_bytes", words.size), DEVICE,
    ]  # fmt: skip
    rows = []
    for task, groups in writer.study.tasks.items():
        for group, trials in groups.items():
            known = {id(trial): spent for trial in trials if (spent := tally.seconds(trial.run.cost))}
            told = [trial for trial in trials if id(trial) in known]
            total = sum(known.values())
            memory = max((trial.run.cost.get("peak_rss_bytes") or 0 for trial in told), default=0) or None
            rates = [
                sum(counts) / total if total else None for counts in ([t.frames for t in told], [t.run.latest("updates") for t in told])
            ]
            devices = ", ".join(sorted({str(trial.run.cost.get("device")) for trial in told})) or words.MISSING
            rows.append([task, group, len(told), float(np.mean(list(known.values()))) if known else None, *rates, memory, devices])
    caption = "Wall time: mean over the runs as far as they got, evaluations included. Memory: the largest of the group."
    return writer.table("table_cost", columns, rows, caption)


def runs(writer: Writer) -> str:
    """Every run, and whether it is finished."""
    columns = [
        TASK, writer.group, num("Seed", "seed", esc), num("Frames", "frames", words.count), num("Updates", "updates", words.count),
        num("Wall time", "seconds", words.duration), num("Peak memory", "peak_rss_bytes", words.size),
        num("Last return", "last_return_seen"),
        Column("State", ("state", "budget_frames"), _state, lambda t: ("finished" if t.finished else "unfinished", t.budget)),
    ]  # fmt: skip
    rows = []
    for task, groups in writer.study.tasks.items():
        for t in (trial for trials in groups.values() for trial in trials):
            last = t.curve[max(t.curve)] if t.curve else None
            rows.append([task, t.variant, t.seed, t.frames, t.run.latest("updates"), tally.seconds(t.run.cost),
                         t.run.cost.get("peak_rss_bytes"), last, t])  # fmt: skip
    caption = "Last return: the newest evaluation in the worlds of training, of whatever frame it is."
    return writer.table("table_runs", columns, rows, caption)


def _state(trial: Trial) -> str:
    """How far a run is."""
    if trial.finished:
        return "finished"
    if trial.frames < trial.budget:
        return f'<span class="open"><b>unfinished</b>, {trial.frames / trial.budget:.0%} of {words.count(trial.budget)} frames</span>'
    return '<span class="open"><b>not evaluated</b> at its budget</span>'


def settings(writer: Writer) -> str:
    """What differs between the groups, and the whole config of one run of each."""
    study = writer.study
    known = {group: [settings_of(t.run) for t in study.trials if t.variant == group] for group in study.groups}
    columns = [Column("Setting", ("setting",)), *(Column(group, (group,)) for group in known)]
    rows = [[name, *(" / ".join(dict.fromkeys(table.get(name, words.MISSING) for table in found)) for found in known.values())]
            for name in study.differing]  # fmt: skip
    caption = "Settings that differ between groups of a task; all others are the same within it."
    html = writer.table("table_settings", columns, rows, caption) if rows else ""
    firsts = {trial.variant: trial.run for trial in reversed(study.trials)}
    for group in study.groups:
        config = json.dumps(firsts[group].config, indent=2, ensure_ascii=False)
        html += folded(f"Configuration of {group}, seed {firsts[group].setting('seed')}", config)
    return html
