"""A run folder explains itself: what it is, what happened, how to go on, without a flag.

::

    config.json      what was asked for, resolved
    metrics.jsonl    one event a line; also as TensorBoard files in tensorboard/
    checkpoints/     the newest checkpoint
    replay/          the frames that the agent learned from (train)
    media/           predictions, traversals, episodes
    evaluation.json  cost.json
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from diswm import __version__
from diswm.contract import Counters, DiswmError
from diswm.trainers.checkpoint import last_checkpoint, load_checkpoint, save_checkpoint
from diswm.trainers.progress import console

FORMAT = 1
MAY_CHANGE = ("train.frames", "pretrain.updates", "train.save_every_seconds", "pretrain.save_every_seconds", "wandb", "threads", "out")
"""Settings that a resumed run may change; all others make another run."""


def write_json(path: Path, value: Any) -> None:
    """Write atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(temporary, path)


def read_config(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """The ``config.json`` of a run. DiswmError where the folder is no run, or one of another kind."""
    try:
        found = json.loads((folder / "config.json").read_text())
        if not isinstance(found["config"], dict) or found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}, expected {FORMAT}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DiswmError(f"{folder}: is not a run ({error}). Expected a folder that `diswm pretrain` or `diswm train` wrote.") from error
    if kind and found["kind"] != kind:
        raise DiswmError(f"{folder}: is a run of `diswm {found['kind']}`. Expected one of `diswm {kind}`.")
    return found


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts -> dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


class Run:
    """An open run folder: counters, clock, sinks and checkpoint. Opening a folder that holds a run resumes it."""

    def __init__(self, folder: Path, kind: str, config: dict[str, Any], *, wandb: bool = False) -> None:
        self.folder, self.kind = Path(folder), kind
        self.counters = Counters()
        self._seconds_before = 0.0
        self._began = time.monotonic()
        self.config = json.loads(json.dumps(config))
        self.resumed = self._open()
        self.last_state = self._load() if self.resumed else None
        self._metrics = (self.folder / "metrics.jsonl").open("a", buffering=1)
        from torch.utils.tensorboard import SummaryWriter

        self._tensorboard = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.counters.frames or None)
        self._wandb = _start_wandb(self.folder, self.config) if wandb else None

    def _open(self) -> bool:
        path = self.folder / "config.json"
        if path.exists():
            found = read_config(self.folder, self.kind)["config"]
            before, now = flatten(found), flatten(self.config)
            differing = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key) and key not in MAY_CHANGE)
            if differing:
                shown = "; ".join(f"{key} is {before.get(key)!r} there, {now.get(key)!r} here" for key in differing[:4])
                advice = "Choose another folder with --out, or the same settings."
                raise DiswmError(f"{self.folder}: holds a run of another config: {shown}. {advice}")
        elif self.folder.exists() and any(p for p in self.folder.iterdir() if not p.name.startswith(".")):
            raise DiswmError(f"{self.folder}: is neither empty nor a run. Choose another folder with --out.")
        try:
            (self.folder / "media").mkdir(parents=True, exist_ok=True)
            write_json(path, {"format": FORMAT, "kind": self.kind, "version": __version__, "config": self.config})
        except OSError as error:
            advice = "Free some space or choose another folder with --out."
            raise DiswmError(f"{self.folder}: cannot be written ({error.strerror}). {advice}") from error
        return last_checkpoint(self.folder / "checkpoints") is not None

    def _load(self) -> dict[str, Any]:
        path = last_checkpoint(self.folder / "checkpoints")
        assert path is not None
        state = load_checkpoint(path)
        self.counters = Counters(**state["counters"])
        self._seconds_before = state["seconds"]
        self._cut_metrics()
        c = self.counters
        console.print(f"resuming {self.folder} at {c.frames:,} frames, {c.updates:,} updates ({self.seconds / 60:.0f} min so far)")
        return state

    def _cut_metrics(self) -> None:
        """Drop what was logged after the checkpoint: it happens again."""
        path = self.folder / "metrics.jsonl"
        if path.exists():
            kept = [line for line in path.read_text().splitlines() if _not_after(line, self.counters)]
            path.write_text("".join(line + "\n" for line in kept))

    @property
    def seconds(self) -> float:
        """Wall time of this run, over all its sessions."""
        return self._seconds_before + time.monotonic() - self._began

    def log(self, kind: str, **values: Any) -> None:
        """One line of ``metrics.jsonl``; numbers also go to TensorBoard (and W&B), over frames or, without any, updates."""
        c = self.counters
        event = {"kind": kind, "seconds": round(self.seconds, 2), **_counts(c), **values}
        self._metrics.write(json.dumps(event) + "\n")
        step = c.frames or c.updates
        numbers = {name if "/" in name else f"{kind}/{name}": float(v) for name, v in values.items() if isinstance(v, int | float)}
        for name, value in numbers.items():
            self._tensorboard.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log({**numbers, **_counts(c)})

    def save(self, state: dict[str, Any]) -> None:
        """Checkpoint ``state`` with the counters, atomically; also the cost so far."""
        c = self.counters
        full = {**state, "counters": dataclasses.asdict(c), "seconds": self.seconds}
        save_checkpoint(self.folder / "checkpoints", f"{c.updates:09d}-{c.steps:09d}", full)
        self.write_cost()

    def write_cost(self) -> None:
        """``cost.json``: what the run took so far."""
        write_json(self.folder / "cost.json", {**_counts(self.counters), "seconds": round(self.seconds, 1), **machine()})

    def close(self) -> None:
        """Close the sinks."""
        self._metrics.close()
        self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.finish()


def _counts(c: Counters) -> dict[str, int]:
    return {"steps": c.steps, "frames": c.frames, "updates": c.updates, "episodes": c.episodes}


def _not_after(line: str, counters: Counters) -> bool:
    try:
        event = json.loads(line)
    except ValueError:
        return False  # the line that a killed run was writing
    return bool(event.get("steps", 0) <= counters.steps and event.get("updates", 0) <= counters.updates)


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine() -> dict[str, Any]:
    """What the numbers of this run were measured on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "peak_rss_bytes": peak_rss_bytes(),
        "device": device,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
    }


def _start_wandb(folder: Path, config: dict[str, Any]) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise DiswmError("Weights & Biases is not installed: pip install 'diswm[wandb]', or leave --wandb out.") from error
    return wandb.init(dir=str(folder), name=folder.name, project="diswm", config=config, resume="allow")
