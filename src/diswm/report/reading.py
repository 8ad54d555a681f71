"""A run folder as it lies on disk, read with patience.

A folder that is no run is refused. Everything else may be missing or cut short (a killed run, a stage not yet done):
what could not be read is collected in `problems`, which the page prints.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from diswm.contract import Array, DiswmError

FORMAT = 1
Row = dict[str, Any]


@dataclasses.dataclass
class Run:
    """What one `diswm train` or `diswm pretrain` left behind."""

    path: Path
    kind: str
    version: str
    config: dict[str, Any]
    rows: list[Row]
    evaluation: dict[str, Any]
    cost: dict[str, Any]
    problems: list[str]

    def of(self, kind: str) -> list[Row]:
        """The rows of metrics.jsonl of one kind, in order."""
        return [row for row in self.rows if row.get("kind") == kind]

    def setting(self, dotted: str, default: Any = None) -> Any:
        """config["a"]["b"] for "a.b"; `default` where any part of it is missing."""
        value: Any = self.config
        for name in dotted.split("."):
            if not isinstance(value, dict) or name not in value:
                return default
            value = value[name]
        return value

    def text(self, dotted: str, default: str) -> str:
        """A setting as text; `default` where it is missing or empty."""
        value = self.setting(dotted)
        return str(value) if value not in (None, "", [], {}) else default

    def arrays(self, name: str, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Array] | None:
        """The named arrays of media/<name>, the optional ones where it has them; None when the file is absent, and a problem when it is
        damaged."""
        path = self.path / "media" / name
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                return {key: file[key] for key in (*keys, *(key for key in optional if key in file.files))}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            self.problems.append(f"media/{name} could not be read: {error}")
            return None

    def evals(self, split: str) -> list[tuple[float, list[float]]]:
        """Frames and episode returns of every evaluation on `split`, in order; of several at one count of frames the last one."""
        found: dict[float, list[float]] = {}
        for row in self.of("eval"):
            returns = finite_list(row.get("returns"))
            if row.get("split") == split and returns and isinstance(row.get("frames"), int | float):
                found[float(row["frames"])] = returns
        return sorted(found.items())

    def returns(self, name: str) -> list[float]:
        """The episode returns of one entry of evaluation.json; empty when there is none or one is no finite number."""
        return finite_list(self.evaluated(name).get("returns"))

    def absent(self, name: str) -> str:
        """Why there is no such evaluation; empty where there is one, or none yet."""
        return str(self.evaluated(name).get("absent", ""))

    def evaluated(self, name: str) -> dict[str, Any]:
        """One entry of evaluation.json; empty when it is missing."""
        entry = self.evaluation.get(name)
        return entry if isinstance(entry, dict) else {}

    def latest(self, key: str, default: int = 0) -> int:
        """A counter at the end of the run: from cost.json, else from the last row that has it."""
        if isinstance(self.cost.get(key), int | float):
            return int(self.cost[key])
        return max((int(row[key]) for row in self.rows if isinstance(row.get(key), int | float)), default=default)


def read_run(path: Path) -> Run:
    """The run at `path`; DiswmError when there is none."""
    path = Path(path)
    wanted = "expected the folder that `diswm train` or `diswm pretrain` wrote, with a config.json in it"
    if not path.is_dir():
        raise DiswmError(f"{path} is not a folder: {wanted}")
    file = path / "config.json"
    if not file.is_file():
        raise DiswmError(f"{path} is not a run folder (it has no config.json): {wanted}")
    try:
        head = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DiswmError(f"{file} cannot be read ({error}): {wanted}") from error
    if not isinstance(head, dict) or not isinstance(head.get("config"), dict):
        raise DiswmError(f'{file} has no "config" section: {wanted}')
    if head.get("format") != FORMAT:
        raise DiswmError(f"{file} has format {head.get('format')!r}, this version reads format {FORMAT}: use the diswm that wrote it")
    problems: list[str] = []
    return Run(
        path=path,
        kind=str(head.get("kind", "train")),
        version=str(head.get("version", "?")),
        config=head["config"],
        rows=_read_rows(path / "metrics.jsonl", problems),
        evaluation=read_object(path / "evaluation.json", problems),
        cost=read_object(path / "cost.json", problems),
        problems=problems,
    )


def finite_list(values: Any) -> list[float]:
    """`values` as floats when it is a list of finite numbers, else nothing: one NaN return spoils the whole mean."""
    try:
        numbers = np.asarray(values if values is not None else [], dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        return []
    return [float(v) for v in numbers] if np.isfinite(numbers).all() else []


def read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    """A JSON object; empty where there is none, and a problem where it cannot be read."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problems.append(f"{path.name} could not be read: {error}")
        return {}
    if not isinstance(value, dict):
        problems.append(f"{path.name} is no JSON object")
        return {}
    return value


def _read_rows(path: Path, problems: list[str]) -> list[Row]:
    if not path.is_file():
        problems.append("metrics.jsonl is missing: there are no curves")
        return []
    rows: list[Row] = []
    broken = dropped = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError:
            broken += 1
            continue
        if isinstance(row, dict):
            dropped += _drop_superseded(rows, row)
            rows.append(row)
    if broken:
        problems.append(f"metrics.jsonl has {broken} unreadable line(s), as a killed run leaves; they were skipped")
    if dropped:
        problems.append(
            f"{dropped} row(s) of metrics.jsonl came after the checkpoint that the run resumed from, and were lived again: skipped"
        )
    return rows


def _drop_superseded(rows: list[Row], new: Row) -> int:
    """Forget the rows ahead of `new`: a resumed run lives through those frames again, and a curve must not fold back."""

    def ahead(row: Row) -> bool:
        pairs = [(row.get(clock), new.get(clock)) for clock in ("frames", "updates")]
        return any(isinstance(old, int | float) and isinstance(now, int | float) and old > now for old, now in pairs)

    if new.get("kind") == "note":
        return 0
    before = len(rows)
    while rows and rows[-1].get("kind") != "note" and ahead(rows[-1]):
        rows.pop()
    return before - len(rows)
