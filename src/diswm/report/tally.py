"""The numbers of a study: estimates at the budget, over seeds where there are several; scores over tasks; summary.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from diswm.metrics.scores import Interval, bootstrap_interval, iqm, probability_of_improvement, stratified_bootstrap
from diswm.report.study import Study
from diswm.report.tables import Estimate
from diswm.report.trials import MEASURES, Trial, finished, paired, seed_order, verdict

SPLITS = {"trained_seen": "seen", "trained_unseen": "unseen", "random": "random"}


class Overall(NamedTuple):
    """One group over all tasks."""

    tasks: list[str]
    """Those whose scores are on one scale and that the group has finished seeds on."""
    seeds: int
    iqm: Interval | None
    improvement: Interval | None
    """Probability that a run of it beats one of the baseline."""
    compared: list[str]


def at_budget(trials: Sequence[Trial], split: str) -> Estimate | None:
    """Returns of the finished seeds on a split; None where there are none."""
    done = [trial for trial in finished(trials) if trial.run.returns(split)]
    if len(done) == 1:
        values = done[0].run.returns(split)
        return Estimate(bootstrap_interval(values), "episodes" if len(values) > 1 else "", values)
    values = [trial.at_budget(split) for trial in done]
    return Estimate(bootstrap_interval(values), "seeds", values) if values else None


def areas(trials: Sequence[Trial]) -> Estimate | None:
    """Areas under the curves of the finished seeds; of one seed there is no interval."""
    values = [trial.area for trial in finished(trials)]
    return Estimate(bootstrap_interval(values), "seeds" if len(values) > 1 else "", values) if values else None


def success(trials: Sequence[Trial], split: str) -> Estimate | None:
    """The share of episodes with success of the finished seeds; None where the task knows none."""
    found = [trial.run.evaluated(split).get("successes") for trial in finished(trials)]
    values = [sum(map(bool, shares)) / len(shares) for shares in found if isinstance(shares, list) and shares]
    return Estimate(bootstrap_interval(values), "seeds" if len(values) > 1 else "", values) if values else None


def gaps(study: Study, task: str, group: str) -> dict[str, list[float]]:
    """By measure the differences of a group from the baseline, seed by seed; empty where their budgets differ."""
    groups = study.tasks[task]
    ours, theirs = groups.get(group, []), groups.get(study.baseline, [])
    same = len({trial.budget for trial in [*ours, *theirs]}) == 1
    return {measure: paired(ours, theirs, measure) if same else [] for measure in MEASURES}


def gap_of(values: Sequence[float]) -> Estimate | None:
    """Paired differences as an estimate."""
    return Estimate(bootstrap_interval(values), "pairs" if len(values) > 1 else "", values) if values else None


def ceiling(trial: Trial) -> float | None:
    """The highest return that a task of the dm_control suite can give, 1 a frame; None for others, which have no such bound."""
    task, limit = trial.run.text("env.task", ""), trial.run.setting("env.time_limit")
    other = task in ("toy", "pusher") or task.startswith(("drawer_", "gym/")) or "_" not in task
    return float(limit) if isinstance(limit, int | float) and limit > 0 and not other else None


def overall(study: Study, group: str) -> Overall:
    """Scores of a group over tasks."""
    done = {task: finished(groups.get(group, [])) for task, groups in study.tasks.items()}
    scores = {task: [t.at_budget("seen") / c for t in trials if (c := ceiling(t))] for task, trials in done.items()}
    scores = {task: values for task, values in scores.items() if values}
    count = min(map(len, scores.values()), default=0)
    table = np.array([values[:count] for values in scores.values()]).T  # (runs, tasks)
    both = {task: finished(groups.get(study.baseline, [])) for task, groups in study.tasks.items() if done[task]}
    pairs = {task: others for task, others in both.items() if others} if group != study.baseline else {}
    better = None
    if pairs:
        ours = [[trial.at_budget("seen") for trial in done[task]] for task in pairs]
        better = probability_of_improvement(ours, [[trial.at_budget("seen") for trial in others] for others in pairs.values()])
    return Overall(list(scores), count, stratified_bootstrap(table, iqm, reps=20_000) if len(scores) > 1 else None, better, list(pairs))


def summary(study: Study, title: str) -> dict[str, Any]:
    """What summary.json holds for several runs."""
    tasks = {
        task: {"groups": {name: _group(trials) for name, trials in groups.items()},
               "differences": {name: _differences(study, task, name) for name in groups if name != study.baseline}}
        for task, groups in study.tasks.items()
    }  # fmt: skip
    runs = [
        {"path": str(t.run.path), "task": task, "group": t.variant, "seed": t.seed, "frames": t.frames, "budget": t.budget,
         "updates": t.run.latest("updates"), "seconds": seconds(t.run.cost), "peak_rss_bytes": t.run.cost.get("peak_rss_bytes"),
         "finished": t.finished}
        for task, groups in study.tasks.items() for trials in groups.values() for t in trials
    ]  # fmt: skip
    found = {"title": title, "baseline": study.baseline, "tasks": tasks, "runs": runs}
    if len(study.tasks) > 1:
        found["overall"] = {name: _overall(overall(study, name)) for name in study.groups}
    return found


def seconds(cost: dict[str, Any]) -> float | None:
    """The wall time of a run, where it is known."""
    value = cost.get("seconds")
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _group(trials: Sequence[Trial]) -> dict[str, Any]:
    returns = {name: _entry(at_budget(trials, split)) for name, split in SPLITS.items()}
    shares = {name: _entry(got) for name, split in SPLITS.items() if (got := success(trials, split))}
    return {
        "seeds": sorted((trial.seed for trial in trials), key=seed_order),
        "finished": len(finished(trials)),
        "budget": max(trial.budget for trial in trials),
        "returns": returns,
        **({"success": shares} if shares else {}),
        "area": _entry(areas(trials)),
    }


def _entry(got: Estimate | None) -> dict[str, Any]:
    mean, low, high = got.found if got else (None, None, None)
    return {"mean": mean, "low": low, "high": high, "over": got.over if got else "", "values": list(got.values) if got else []}


def _differences(study: Study, task: str, name: str) -> dict[str, Any]:
    found = {}
    for measure, values in gaps(study, task, name).items():
        got = gap_of(values)
        told = verdict(values, got.found) if got else ""
        found[measure] = {**{key: value for key, value in _entry(got).items() if key != "over"}, "verdict": told}
    return found


def _overall(found: Overall) -> dict[str, Any]:
    return {
        "iqm": found.iqm and found.iqm._asdict(),
        "probability_of_improvement": found.improvement and found.improvement._asdict(),
        "tasks": found.tasks,
        "compared_on": found.compared,
        "seeds": found.seeds,
    }
