"""The numbers of a run as a dictionary: what the page leads with and what summary.json holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diswm.contract import DiswmError, places
from diswm.metrics.scores import bootstrap_interval
from diswm.report.reading import Run, finite_list, read_run

UNKNOWN = "unknown"
SPLITS = {"random": "random", "trained_seen": "seen", "trained_unseen": "unseen"}
"""Name in summary.json -> name in evaluation.json."""


def summarise(
    run: Path, *, teacher: Path | None = None, videos: Path | None = None, totals: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Returns with 95% intervals, success, cost, and what was trained from what; `totals` replaces `seconds` and `peak_rss_bytes`."""
    loaded = read_run(run)
    return summary_of(loaded, find_source(loaded, find_teacher(loaded, teacher)[0], videos), totals)


def summary_of(run: Run, source: str, totals: dict[str, Any] | None = None) -> dict[str, Any]:
    """`summarise` for a run already read."""
    totals = totals or {}
    measured = finite_list(run.cost.get("seconds")) or finite_list([row["seconds"] for row in run.rows if "seconds" in row][-1:])
    return {
        "task": run.text("env.task", UNKNOWN),
        "method": _method(run),
        "source": source,
        "returns": {name: described(run.returns(key)) for name, key in SPLITS.items()},
        **_successes(run),
        **({"no_unseen": why} if (why := run.absent("unseen")) else {}),
        "frames": run.latest("frames"),
        "updates": run.latest("updates"),
        "seconds": totals.get("seconds", measured[0] if measured else None),
        "peak_rss_bytes": totals.get("peak_rss_bytes", run.cost.get("peak_rss_bytes")),
    }


def _method(run: Run) -> str:
    """The method, with what was ablated: "diswm, beta=0"."""
    changes = run.setting("ablate", [])
    return ", ".join([run.text("method", UNKNOWN), *map(str, changes if isinstance(changes, list) else [changes])])


def find_teacher(run: Run, given: Path | None) -> tuple[Run | None, str]:
    """The video model that taught this run, and, where there is none, the reason in words."""
    named = given if given is not None else run.setting("teacher")
    if not named:
        return None, "this run had no teacher"
    last = ""
    for path in places(run.path, str(named)):
        try:
            return read_run(path), ""
        except DiswmError as error:
            last = str(error)
    return None, f"the teacher's run could not be read: {last}"


def find_videos(run: Run, teacher: Run | None, given: Path | None) -> tuple[list[Path], str]:
    """The folders of source videos that can be reached, and, where there is none, the reason in words."""
    named = [given] if given is not None else _listed(teacher) or _listed(run)
    found = [next((path for path in places(run.path, str(name)) if path.is_dir()), None) for name in named]
    folders = [path for path in found if path is not None]
    if folders:
        return folders, ""
    return [], f"the video folder {named[0]} is not on this disk" if named else "no video folder is known to this run"


def find_source(run: Run, teacher: Run | None, videos: Path | None) -> str:
    """The task (or, failing that, the folder name) of the videos: every name once, in order."""
    folders, _ = find_videos(run, teacher, videos)
    names = [task_of(folder) or folder.name for folder in folders]
    if not names:
        names = [Path(str(name)).name for name in (_listed(teacher) or _listed(run))]
    return " + ".join(dict.fromkeys(names)) or UNKNOWN


def task_of(folder: Path) -> str | None:
    """The task that the manifest of a video folder (or of its train_eps) names."""
    for path in (folder / "manifest.json", folder / "train_eps" / "manifest.json"):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        task = manifest.get("task") if isinstance(manifest, dict) else None
        if isinstance(task, str) and task:
            return task
    return None


def _listed(run: Run | None) -> list[Any]:
    names = run.setting("videos") if run else None
    return [names] if isinstance(names, str) and names else [n for n in names if n] if isinstance(names, list) else []


def described(values: list[float]) -> dict[str, Any]:
    """Returns with their mean and its 95% interval; without numbers where there are none."""
    if not values:
        return {"mean": None, "low": None, "high": None, "episodes": 0, "values": []}
    mean, low, high = bootstrap_interval(values)
    return {"mean": mean, "low": low, "high": high, "episodes": len(values), "values": values}


def _successes(run: Run) -> dict[str, Any]:
    """The share of episodes with success, by policy; nothing where the task knows no success."""
    found = {name: run.evaluated(key).get("successes") for name, key in SPLITS.items()}
    shares = {name: sum(map(bool, values)) / len(values) for name, values in found.items() if isinstance(values, list) and values}
    return {"success": shares} if shares else {}
