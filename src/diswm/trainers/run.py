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

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from diswm import __version__
from diswm.contract import Counters, DiswmError, places
from diswm.data.disk import make_folder, write_atomically, write_error
from diswm.trainers.checkpoint import last_checkpoint, load_checkpoint, save_checkpoint
from diswm.trainers.curves import Curves
from diswm.trainers.progress import console

FORMAT = 1
_ADVICE = "Free some space or choose another folder with --out."
MAY_CHANGE = (
    *("train.frames", "pretrain.updates", "train.save_every_seconds", "pretrain.save_every_seconds"),
    *("wandb", "threads", "eval.workers", "out", "probe.every", "probe.points", "probe.factors", "probe.share", "probe.optional"),
    *("teacher", "videos", "learner.graph"),
)
"""Settings that a resumed run may change; all others make another run. Teacher and videos may have moved: what they hold is compared."""
LATER: dict[str, Any] = {
    "learner.disentangle": "beta_vae",
    "learner.capacity": 25.0,
    "learner.capacity_over": 50_000,
    "learner.discriminator_lr": 1e-4,
    "learner.discriminator_units": 256,
    "env.drawer_reward": "v3",
}
"""Settings that older runs do not name, and what they were: such runs go on."""


def write_json(path: Path, value: Any) -> None:
    """Write atomically. DiswmError for a full disk and a folder that may not be written to."""
    data = (json.dumps(value, indent=1) + "\n").encode()
    write_atomically(path, lambda file: file.write(data), need=len(data), advice=_ADVICE)


def read_config(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """The ``config.json`` of a run. DiswmError where the folder is no run, or one of another kind."""
    try:
        found = json.loads((folder / "config.json").read_text())
        if not isinstance(found["config"], dict) or found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}, expected {FORMAT}")
        if found["kind"] not in ("pretrain", "train"):
            raise ValueError(f"kind {found['kind']}, expected pretrain or train")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DiswmError(f"{folder}: is not a run ({error}). Expected a folder that `diswm pretrain` or `diswm train` wrote.") from error
    if kind and found["kind"] != kind:
        raise DiswmError(f"{folder}: is a run of `diswm {found['kind']}`. Expected one of `diswm {kind}`.")
    return found


def beside(folder: Path, named: Path | str) -> Path:
    """A path that the config of the run in ``folder`` names, where it lies now; as it stands where it lies nowhere."""
    return next((path for path in places(folder, named) if path.exists()), Path(named))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts -> dotted keys, without those of empty dicts and lists."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        elif value != []:
            flat[prefix + key] = value
    return flat


def check_folder(folder: Path, kind: str, config: Mapping[str, Any]) -> None:
    """DiswmError unless ``folder`` is absent, empty, or a run of this kind and config. Changes nothing."""
    if (folder / "config.json").exists():
        found = read_config(folder, kind)
        if "imported" in found:
            raise DiswmError(
                f"{folder}: holds imported weights, which other runs start from (--start) or learn from (--teacher). "
                "Choose another folder with --out."
            )
        before, now = flatten(found["config"]), flatten(config)
        before = {key: value for key, value in LATER.items() if key in now} | before
        differing = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key) and key not in MAY_CHANGE)
        if differing:
            shown = "; ".join(f"{key} is {before.get(key)!r} there, {now.get(key)!r} here" for key in differing[:4])
            more = f"; {len(differing) - 4} more differ" if len(differing) > 4 else ""
            advice = "Choose another folder with --out, or the same settings."
            raise DiswmError(f"{folder}: holds a run of another config: {shown}{more}. {advice}")
    elif folder.exists() and (not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir())):
        raise DiswmError(f"{folder}: is neither an empty folder nor a run. Choose another folder with --out.")


class Run:
    """An open run folder: counters, clock, sinks and checkpoint. Opening a folder that holds a run resumes it.

    ``facts`` go to ``config.json`` beside the config. DiswmError for a folder of another run, and for one that is in use.
    """

    def __init__(
        self, folder: Path, kind: str, config: dict[str, Any], *, wandb: bool = False, facts: Mapping[str, Any] | None = None
    ) -> None:
        self.folder, self.kind = Path(folder), kind
        self.counters = Counters()
        self._seconds_before = 0.0
        self._began = time.monotonic()
        self.config = json.loads(json.dumps(config))
        check_folder(self.folder, kind, self.config)
        service = _import_wandb() if wandb else None
        self._new = not (self.folder / "config.json").exists()
        if self._new:  # before all else: if the rest fails, the folder holds a run that the same command begins
            self._write_config(facts or {})
        self._metrics = self._open_metrics()
        try:
            self._take_up()
        except BaseException as error:
            self._metrics.close()
            if isinstance(error, OSError):
                raise write_error(error, self.folder, 0, _ADVICE) from error
            raise
        own = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]  # a resumed run goes on with its own curves
        self._wandb = service and service.init(
            dir=str(folder), name=self.folder.name, project="diswm", config=self.config, id=own, resume="allow"
        )
        if not self._new:  # last of all: what cannot go on keeps its settings
            self._config_before = (self.folder / "config.json").read_bytes()
            self._write_config(facts or {})

    def _write_config(self, facts: Mapping[str, Any]) -> None:
        known = {} if self._new else read_config(self.folder)
        found = {**known, "format": FORMAT, "kind": self.kind, "version": __version__, "config": self.config, **facts}
        write_json(self.folder / "config.json", found)

    def _open_metrics(self) -> FileIO:
        make_folder(self.folder / "media")
        try:
            return (self.folder / "metrics.jsonl").open("a+b", buffering=0)
        except OSError as error:
            raise write_error(error, self.folder, 0, _ADVICE) from error

    def _take_up(self) -> None:
        """Alone in the folder: go on from the last checkpoint."""
        self._lock()
        path = last_checkpoint(self.folder / "checkpoints")
        self.resumed = path is not None
        self.last_state = self._load(path) if path else None
        there = os.fstat(self._metrics.fileno()).st_size
        if there and not self.resumed:
            console.print(f"{self.folder}: has no checkpoint, so it begins anew")
        there = min(there, self.last_state["metrics_bytes"] if self.last_state else 0)
        self._metrics.truncate(there)  # what came later comes again
        if there and os.pread(self._metrics.fileno(), 1, there - 1) != b"\n":  # it was cut in mid-line
            self._metrics.write(b"\n")
        self._curves = Curves(self.folder / "tensorboard", begin=self._step + 1 if self.resumed else 0)

    def _lock(self) -> None:
        """Be alone in the folder until `close` or the process's end."""
        try:
            fcntl.flock(self._metrics, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DiswmError(
                f"{self.folder}: another process is at work on this run. Wait for its end, or choose another --out."
            ) from error
        except OSError:  # some network file systems have no locks
            console.print(f"{self.folder}: this file system has no locks; do not start the run twice")

    def _load(self, path: Path) -> dict[str, Any]:
        state = load_checkpoint(path)
        c = self.counters = Counters(**state["counters"])
        self._seconds_before = state["seconds"]
        console.print(f"resuming {self.folder} at {c.frames:,} frames, {c.updates:,} updates ({self.seconds / 60:.0f} min so far)")
        return state

    def discard(self) -> None:
        """Close, and undo the making of a folder in which nothing has happened yet; one that was there keeps its settings."""
        self.close()
        if not self._new:
            write_json(self.folder / "config.json", json.loads(self._config_before))
            return
        for path in (self.folder / name for name in ("media", "tensorboard", "replay", "factors", "metrics.jsonl", "config.json")):
            path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # hidden files that were there before
            self.folder.rmdir()

    @property
    def _step(self) -> int:
        return self.counters.frames or self.counters.updates

    @property
    def seconds(self) -> float:
        """Wall time of this run, over all its sessions."""
        return self._seconds_before + time.monotonic() - self._began

    def log(self, kind: str, **values: Any) -> None:
        """One line of ``metrics.jsonl``; numbers also go to TensorBoard (and W&B), over frames or, without any, updates.

        Of a list of numbers its mean goes there, with the words of the event in its name: ``eval_seen/returns``.
        """
        c = self.counters
        event = {"kind": kind, "seconds": round(self.seconds, 2), **_counts(c), **values}
        line = (json.dumps(event) + "\n").encode()
        numbers = {name if "/" in name else f"{kind}/{name}": float(v) for name, v in values.items() if isinstance(v, int | float)}
        head = "_".join([kind, *(word for word in values.values() if isinstance(word, str))])
        numbers |= {f"{head}/{name}": fmean(v) for name, v in values.items() if isinstance(v, list) and v}
        try:
            written = self._metrics.write(line)
            if written < len(line):  # a disk that just became full
                self._metrics.write(line[written:])
            self._curves.add(numbers, self._step)
        except OSError as error:
            raise write_error(error, self.folder, len(line), _ADVICE) from error
        if self._wandb is not None:
            self._wandb.log({**numbers, **_counts(c)})

    def save(self, state: dict[str, Any]) -> None:
        """Checkpoint ``state`` with the counters, atomically; also the cost so far."""
        c = self.counters
        os.fsync(self._metrics.fileno())
        logged = os.fstat(self._metrics.fileno()).st_size
        full = {**state, "counters": dataclasses.asdict(c), "seconds": self.seconds, "metrics_bytes": logged}
        save_checkpoint(self.folder / "checkpoints", f"{c.updates:09d}-{c.steps:09d}", full)
        self.write_cost()

    def write_cost(self) -> None:
        """``cost.json``: what the run took so far."""
        write_json(self.folder / "cost.json", {**dataclasses.asdict(self.counters), "seconds": round(self.seconds, 1), **machine()})

    def close(self) -> None:
        """Close the sinks."""
        self._metrics.close()
        self._curves.close()
        if self._wandb is not None:
            self._wandb.finish()


def _counts(c: Counters) -> dict[str, int]:
    return {"steps": c.steps, "frames": c.frames, "updates": c.updates, "episodes": c.episodes}


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def machine() -> dict[str, Any]:
    """What the numbers of this run were measured on."""
    # Used by this process, not only there: Adam looks for a GPU, and so wakes it, in runs on a CPU too.
    gpu = torch.cuda.is_initialized() and torch.cuda.max_memory_reserved() > 0
    return {
        "peak_rss_bytes": peak_rss_bytes(),
        **({"peak_gpu_bytes": torch.cuda.max_memory_reserved()} if gpu else {}),
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "threads": torch.get_num_threads(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
    }


def _import_wandb() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise DiswmError("Weights & Biases is not installed: pip install 'diswm[wandb]', or leave --wandb out.") from error
    return wandb
