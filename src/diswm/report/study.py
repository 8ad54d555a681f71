"""From folders to a study: which runs lie there, and what sets them apart, by their configs alone."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from diswm.contract import DiswmError, unknown
from diswm.report.reading import Run, read_run
from diswm.report.trials import Trial, by_variant, seed_order, trial_of

Groups = dict[str, list[Trial]]
DEPTH = 4
"""Folders below a named one in which runs are looked for: runs/transfer/<variant>/<seed> and two more."""
NOT_COMPARED = (
    *("seed", "out", "device", "learner.graph", "threads", "wandb", "ablate", "method", "env.task", "videos"),
    *("probe.every", "probe.points", "probe.factors", "probe.share", "probe.optional"),  # they watch a run and change nothing of it
    *("eval.workers", "eval.at_once", "train.log_every", "train.save_every_seconds", "pretrain.save_every_seconds"),
)
"""Settings that name nothing: those that change no number, and those that stand in the name as the method."""
THE_METHODS = (
    *("weights.", "anneal.", "model.encoder", "model.continues", "model.z_dim"),
    *("learner.distill", "learner.disentangle", "teacher"),
)
"""Beginnings of settings that methods and ablations set: told only where they differ within one method."""
MAX_NAMED = 3


@dataclasses.dataclass
class Study:
    """Runs by task and group, in the order in which they were named."""

    tasks: dict[str, Groups]
    teachers: list[Run]
    baseline: str
    differing: list[str]
    """Settings that differ between groups of one task."""
    problems: list[str]

    @property
    def trials(self) -> list[Trial]:
        """All runs of agents."""
        return [trial for groups in self.tasks.values() for trials in groups.values() for trial in trials]

    @property
    def groups(self) -> list[str]:
        """The names of the groups, over all tasks."""
        return list(by_variant(self.trials))


def find_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """The runs at and below `paths`, each once, and what could not be read. DiswmError where a path leads to none."""
    found: dict[Path, Run] = {}
    problems: list[str] = []
    for path in map(Path, paths):
        if not path.is_dir() or (path / "config.json").is_file():
            found.setdefault(path.resolve(), read_run(path))
            continue
        below: list[Run] = []
        for folder in _folders(path):
            try:
                below.append(read_run(folder))
            except DiswmError as error:
                problems.append(str(error))
        for run in sorted(below, key=lambda run: len(_ablations(run))):  # what nothing was taken from first: it is the baseline
            found.setdefault(run.path.resolve(), run)
        if not below:
            reason = f" ({problems[-1]})" if problems else ""
            raise DiswmError(
                f"{path} is no run folder and holds none{reason}: expected the folder that `diswm train` or `diswm pretrain` wrote, "
                "with a config.json in it, or a folder of such folders"
            )
    return list(found.values()), problems


def _folders(path: Path) -> Iterable[Path]:
    """Folders with a config.json below `path`, in order; what lies in a run or in a data set is not looked at."""
    for folder, names, files in os.walk(path):
        deep = len(Path(folder).relative_to(path).parts)
        if "config.json" in files:
            yield Path(folder)
        if "config.json" in files or "manifest.json" in files or deep >= DEPTH:
            names.clear()
        names[:] = sorted((name for name in names if not name.startswith(".")), key=seed_order if _are_seeds(names) else None)


def _are_seeds(names: list[str]) -> bool:
    return all(name.isdigit() for name in names)


def make_study(runs: Sequence[Run], problems: Sequence[str] = (), baseline: str | None = None) -> Study:
    """Group the runs. DiswmError for a baseline that is no group."""
    agents = [run for run in runs if run.kind != "pretrain"]
    by_task: dict[str, list[Run]] = {}
    for run in agents:
        by_task.setdefault(run.text("env.task", "unknown task"), []).append(run)
    differing = sorted({name for members in by_task.values() for name in _differing(members)})
    shown = sorted({name for members in by_task.values() for name in _shown(members)})
    trials = [trial_of(run, name, str(run.setting("seed", run.path.name))) for run, name in zip(agents, _names(agents, shown), strict=True)]
    study = Study({task: {} for task in by_task}, [run for run in runs if run.kind == "pretrain"], "", differing, list(problems))
    for task, groups in study.tasks.items():
        members = [trial for trial in trials if trial.run.text("env.task", "unknown task") == task]
        for name, group in by_variant(members).items():
            groups[name] = _one_a_seed(group, study.problems)
    names = study.groups
    if baseline is not None and baseline not in names:
        raise unknown("group", baseline, names)
    study.baseline = baseline or (names[0] if names else "")
    return study


def _one_a_seed(trials: list[Trial], problems: list[str]) -> list[Trial]:
    """A run and its copy are one: of runs with the same config and seed the one that went furthest counts."""
    best: dict[str, Trial] = {}
    for trial in trials:
        other = best.get(trial.seed)
        if other:
            kept, left = (trial, other) if trial.frames > other.frames else (other, trial)
            problems.append(f"{left.run.path} has the settings and the seed of {kept.run.path}, which went as far or further: left out")
            trial = kept
        best[trial.seed] = trial
    return [best[seed] for seed in sorted(best, key=seed_order)]


# ---- names


def method_name(run: Run) -> str:
    """The method, with what was ablated: "diswm, beta=0"; a folder in it by its name."""
    parts = [run.text("method", "unknown"), *_ablations(run)]
    return ", ".join(f"source={Path(part[7:]).name}" if part.startswith("source=") else part for part in parts)


def _ablations(run: Run) -> list[str]:
    changes = run.setting("ablate", [])
    return list(map(str, changes if isinstance(changes, list) else [changes]))


def settings_of(run: Run) -> dict[str, str]:
    """Every setting that can set groups apart, by its dotted name, as words."""
    found = {name: said(value) for name, value in _flat(run.config).items() if name not in NOT_COMPARED}
    return found | {"teacher": _teacher(run)}


def said(value: Any) -> str:
    """A setting's value in words."""
    if isinstance(value, list):
        return " + ".join(map(said, value)) or "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _teacher(run: Run) -> str:
    """The name of the teacher's folder, less the seed: teachers of the same kind, one a seed, set no groups apart."""
    path = Path(str(run.setting("teacher") or "none"))
    seed = str(run.setting("seed", ""))
    if path.name == seed and path.parent.name:
        return path.parent.name
    return path.name.removesuffix(f"_{seed}") or path.name


def _flat(values: dict[str, Any], head: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{head}{name}.") if isinstance(value, dict) else {head + name: value}
    return found


def _differing(runs: list[Run]) -> list[str]:
    """Settings with several values among the runs. One that some configs do not have is of another version, unless it is a weight."""
    tables = [settings_of(run) for run in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    known = [name for name in names if name.startswith(("weights.", "anneal.")) or all(name in table for table in tables)]
    return [name for name in known if len({table.get(name) for table in tables}) > 1]


def _shown(runs: list[Run]) -> list[str]:
    """Those of them that a name must tell: what the method and its ablations do not say already."""
    within = {name for members in _parted(runs, method_name) for name in _differing(members)}
    return [name for name in _differing(runs) if name in within or not name.startswith(THE_METHODS)]


def _parted(runs: Iterable[Run], key: Callable[[Run], str]) -> list[list[Run]]:
    parts: dict[str, list[Run]] = {}
    for run in runs:
        parts.setdefault(key(run), []).append(run)
    return list(parts.values())


def _names(runs: list[Run], shown: list[str]) -> list[str]:
    """The name of each run's group; a long one is cut and numbered."""
    names: dict[str, str] = {}
    keys = []
    for run in runs:
        table = settings_of(run)
        told = [f"{name}={table[name]}" for name in shown if name in table]
        keys.append(key := json.dumps([method_name(run), told]))
        if key not in names:
            rest = len(told) - MAX_NAMED
            name = ", ".join([method_name(run), *told[:MAX_NAMED], *([f"{rest} more"] if rest > 0 else [])])
            taken = sum(other == name or other.startswith(f"{name} #") for other in names.values())
            names[key] = f"{name} #{taken + 1}" if taken else name
    return [names[key] for key in keys]
