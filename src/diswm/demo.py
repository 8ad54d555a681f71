"""The whole job, small: collect, pretrain, distil, finetune, evaluate, report. Stopped, it goes on where it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diswm import api
from diswm.config import CollectRun, PretrainRun, TrainRun, check_numbers, merge
from diswm.contract import DiswmError
from diswm.methods import for_pretraining, for_training
from diswm.presets import apply_preset
from diswm.report import write_report
from diswm.trainers.progress import console
from diswm.trainers.run import peak_rss_bytes, write_json


class Stages:
    """What each stage took, kept in ``demo.json`` so that a demo that was stopped still sums up."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.path = folder / "demo.json"
        if not self.path.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise DiswmError(f"{folder}: is neither an empty folder nor a demo. Choose another folder with --out.")
        self.state: dict[str, Any] = {"settings": settings, "seconds": {}, "notes": {}, "done": [], "peak_rss_bytes": 0}
        if self.path.exists():
            try:
                self.state |= json.loads(self.path.read_text())
            except (OSError, ValueError, TypeError) as error:
                raise DiswmError(f"{self.path}: cannot be read ({error}). Remove {folder} and start the demo again.") from error
            if self.state["settings"] != settings:
                raise DiswmError(f"{folder}: holds a demo with {self.state['settings']}, not {settings}. Choose another folder with --out.")

    def run(self, name: str, note: str, stage: Callable[[], bool]) -> bool:
        """Run a stage unless it is done, and note its time; whether it is done now."""
        if name in self.state["done"]:
            console.print(f"{name}: done before", style="bold")
            return True
        console.print(f"{name}: {note}", style="bold")
        began = time.monotonic()
        try:
            done = stage()
        finally:
            self.state["seconds"][name] = round(self.state["seconds"].get(name, 0.0) + time.monotonic() - began, 1)
            self.state["peak_rss_bytes"] = max(self.state["peak_rss_bytes"], peak_rss_bytes())
            self.state["notes"][name] = note
            write_json(self.path, self.state)
        if done:
            self.state["done"].append(name)
            write_json(self.path, self.state)
        return done

    def totals(self) -> dict[str, Any]:
        """For the report."""
        seconds: dict[str, float] = self.state["seconds"]
        rows = [{"name": name, "seconds": took, "note": self.state["notes"][name]} for name, took in seconds.items()]
        return {"seconds": round(sum(seconds.values()), 1), "peak_rss_bytes": self.state["peak_rss_bytes"], "stages": rows}


def demo(out: Path, *, seed: int = 0, tiny: bool = False) -> bool:
    """Run the demo into ``out`` (report.html, summary.json, videos/, teacher/, agent/). False if it was interrupted."""
    name = "tiny" if tiny else "demo"
    videos, teacher, agent = out / "videos", out / "teacher", out / "agent"
    common = {"seed": seed}
    first = merge(apply_preset(CollectRun(), name, "collect"), {**common, "out": str(videos)})
    second = apply_preset(for_pretraining(PretrainRun(), "diswm"), name, "pretrain")
    second = merge(second, {**common, "videos": [str(videos)], "out": str(teacher)})
    third = apply_preset(for_training(TrainRun(), "diswm"), name, "train")
    third = merge(third, {**common, "teacher": str(teacher), "out": str(agent)})
    check_numbers(third)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiswmError(f"{out}: cannot be created ({error.strerror}). Choose another folder with --out.") from error
    stages = Stages(out, {"seed": seed, "tiny": tiny})
    source, target = first.env.task, third.env.task
    done = (
        stages.run("collect", f"{first.collect.frames:,} frames of {source}, colours changing at every frame", lambda: api.collect(first))
        and stages.run("pretrain", f"a video model learns what varies, {second.pretrain.updates:,} updates", lambda: api.pretrain(second))
        and stages.run("train", f"an agent learns {target} from {third.train.frames:,} frames, with the video model as teacher",
                       lambda: api.train(third))
    )  # fmt: skip
    if not done:
        console.print(f"stopped; the same command goes on: {out}")
        return False
    page = write_report(agent, teacher=teacher, videos=videos, out=out, totals=stages.totals())
    returns = json.loads((out / "summary.json").read_text())["returns"]
    labels = {"random": "random policy", "trained_seen": "trained, seen colours", "trained_unseen": "trained, unseen colours"}
    for key, label in labels.items():
        r = returns[key]
        console.print(f"{label:>24}: {r['mean']:6.1f}  (95% interval {r['low']:.1f} to {r['high']:.1f}, {r['episodes']} episodes)")
    console.print(f"page: {page}")
    return True
