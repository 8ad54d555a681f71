"""A run folder such as the trainers leave, made of numbers: small for the tests, larger to look at the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SET1 = np.array([[188, 120, 60], [70, 110, 170], [90, 150, 90], [150, 80, 140]], np.float32)
SET2 = np.array([[60, 160, 170], [200, 90, 90], [190, 170, 70], [110, 110, 120]], np.float32)


def scene(phase: float, palette: np.ndarray, *, shift: float = 0.0, blur: float = 0.0, grow: float = 1.0) -> np.ndarray:
    """A checkered floor, a sky and a two-link leg swinging with `phase`: enough to see a pose and colours in."""
    y, x = np.mgrid[:64, :64].astype(np.float32)
    image = np.where(
        (y > 44)[..., None],
        palette[1] * (0.75 + 0.25 * (((x + 8 * shift) // 8 + y // 6) % 2))[..., None],
        palette[0] * (0.6 + 0.4 * y / 64)[..., None],
    )
    hip = np.array([32 + 6 * np.sin(phase) + 4 * shift, 20])
    knee = hip + 14 * grow * np.array([np.sin(0.8 * np.sin(phase)), np.cos(0.8 * np.sin(phase))])
    foot = knee + 14 * grow * np.array([np.sin(1.1 * np.sin(phase + 0.9)), np.cos(1.1 * np.sin(phase + 0.9))])
    for start, end, colour, radius in ((hip, knee, palette[2], 4.5), (knee, foot, palette[3], 3.5)):
        along = np.clip(((x - start[0]) * (end - start)[0] + (y - start[1]) * (end - start)[1]) / ((end - start) ** 2).sum(), 0, 1)
        distance = np.hypot(x - start[0] - along * (end - start)[0], y - start[1] - along * (end - start)[1])
        cover = np.clip((radius + blur - distance) / (1 + 2 * blur), 0, 1)[..., None]
        image = image * (1 - cover) + colour * cover
    return image.clip(0, 255).astype(np.uint8)


def write_metrics(path: Path, *, frames: int, evals: int, updates: int, rng: np.random.Generator) -> None:
    rows: list[dict[str, Any]] = [{"kind": "note", "text": "started", "seconds": 0.0, "frames": 0, "updates": 0}]
    for i in range(updates):
        t = (i + 1) / updates
        row = {"kind": "update", "frames": int(frames * t), "steps": int(frames * t) // 2, "updates": 5 * (i + 1), "seconds": 3600.0 * t}
        for name, start, end in (("image", 2200, 60), ("reward", 1.2, 0.92), ("dyn", 4.0, 1.6), ("rep", 1.0, 0.4), ("beta", 0.5, 9.0),
                                 ("distill", 3.0, 0.3), ("total", 2230, 72)):  # fmt: skip
            row[f"loss/{name}"] = float(end + (start - end) * np.exp(-6 * t) * (1 + 0.1 * rng.normal()) + 0.03 * end * rng.normal())
        row |= {
            "actor/loss": float(-20 * t + rng.normal()),
            "critic/loss": float(2 - t + 0.1 * rng.normal()),
            "weight/distill": 0.1 * (1 - t),
        }
        row |= {"grad_norm/model": float(40 * np.exp(-3 * t) + 4 + rng.random()), "updates_per_second": 8.1}
        rows.append(row)
    for i in range(max(4, 4 * evals)):
        t = (i + 1) / max(4, 4 * evals)
        rows.append(
            {
                "kind": "episode",
                "frames": int(frames * t),
                "updates": int(5 * updates * t),
                "return": skill(t) * 0.9 + 45 * rng.normal(),
                "length": 251,
            }
        )
    for i in range(evals):
        t = i / (evals - 1) if evals > 1 else 1.0
        for split, factor in (("seen", 1.0), ("unseen", 0.8)):
            returns = [factor * skill(t) + 35 * (0.3 + t) * rng.normal() for _ in range(10)]
            rows.append({"kind": "eval", "split": split, "frames": int(frames * t), "updates": int(5 * updates * t), "returns": returns})
    rows.sort(key=lambda row: (row["frames"], row["updates"]))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def skill(t: float) -> float:
    return 40 + 620 / (1 + np.exp(-9 * (t - 0.45)))


def write_prediction(path: Path, palette: np.ndarray, *, clips: int, length: int, context: int) -> None:
    phases = np.arange(length) * 0.32
    real = np.stack([[scene(p + c, palette) for p in phases] for c in range(clips)])
    reconstruction = np.stack([[scene(p + c, palette, blur=0.6) for p in phases] for c in range(clips)])
    drift = np.maximum(0, np.arange(length) - context + 1) * 0.03
    prediction = np.stack([[scene(p + c - d, palette, blur=0.6 + d) for p, d in zip(phases, drift, strict=True)] for c in range(clips)])
    np.savez(path, real=real, reconstruction=reconstruction, prediction=prediction, context=context)


def write_traversal(path: Path, *, dims: int, columns: int) -> None:
    values = np.linspace(-3, 3, columns)
    moves: list[Callable[[float], np.ndarray]] = [
        lambda v: scene(v / 2, SET1), lambda v: scene(1, SET1 + np.array([v * 20, 0, -v * 20])), lambda v: scene(1, SET1, shift=v),
        lambda v: scene(1, SET1, grow=1 + v / 12), lambda v: scene(1, SET1 + np.array([0, v * 15, 0])),
    ]  # fmt: skip
    images = np.stack([[moves[d](v) if d < len(moves) else scene(1, SET1) for v in values] for d in range(dims)])
    kl = np.where(np.arange(dims) < len(moves), 4.0 / (1 + np.arange(dims)), 0.004)
    np.savez(path, images=images, values=values, kl=kl, base=scene(1, SET1))


def write_gif(path: Path, palette: np.ndarray, length: int) -> None:
    images = [Image.fromarray(scene(0.3 * t, palette)) for t in range(length)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=60, loop=0)


def write_videos(path: Path, *, episodes: int, length: int, rng: np.random.Generator) -> Path:
    path.mkdir(parents=True)
    for i in range(episodes):
        palette = rng.uniform(40, 220, (4, 3)).astype(np.float32)
        np.savez_compressed(path / f"{i:04d}.npz", image=np.stack([scene(0.3 * t + i, palette, grow=0.85) for t in range(length)]))
    (path / "manifest.json").write_text(json.dumps({"task": "reacher_easy", "episodes": episodes}))
    return path


def fake_run(
    root: Path, *, frames: int = 20_000, evals: int = 3, updates: int = 12, length: int = 8, columns: int = 3, dims: int = 3
) -> Path:
    """A folder with `run`, its `teacher` and its `videos`; returns the run."""
    rng = np.random.default_rng(7)
    videos = write_videos(root / "videos", episodes=3, length=length, rng=rng)
    teacher, run = root / "teacher", root / "run"
    for path in (teacher, run):
        (path / "media").mkdir(parents=True)
        write_metrics(
            path / "metrics.jsonl", frames=0 if path is teacher else frames, evals=0 if path is teacher else evals, updates=updates, rng=rng
        )
        write_prediction(
            path / "media" / "prediction.npz", SET2 if path is teacher else SET1, clips=2, length=length, context=max(1, length // 4)
        )
    write_traversal(run / "media" / "traversal.npz", dims=dims, columns=columns)
    for split, palette in (("random", SET1), ("seen", SET1), ("unseen", SET2)):
        write_gif(run / "media" / f"eval_{split}.gif", palette, length)
    config = {
        "method": "diswm",
        "seed": 3,
        "teacher": str(teacher),
        "env": {"task": "walker_walk", "action_repeat": 2, "distract": {"colours": "set1"}},
    }
    write_config(teacher, "pretrain", {"method": "diswm", "seed": 3, "videos": [str(videos)], "steps": 500})
    write_config(run, "train", config)
    returns = {
        "random": {"returns": [30.0, 50.0, 40.0, 36.0, 44.0], "colours": "set1"},
        "seen": {"returns": [600.0, 640.0, 660.0, 700.0, 650.0], "colours": "set1"},
        "unseen": {"returns": [500.0, 540.0, 420.0, 560.0, 480.0], "colours": "set2"},
        "frames": frames,
    }
    (run / "evaluation.json").write_text(json.dumps(returns))
    cost = {
        "frames": frames,
        "updates": 5 * updates,
        "seconds": 3725.0,
        "peak_rss_bytes": 3 * 2**30,
        "device": "cpu",
        "threads": 2,
        "machine": "x86_64, 2 cores",
    }
    (run / "cost.json").write_text(json.dumps(cost))
    return run


def write_config(path: Path, kind: str, config: dict[str, Any]) -> None:
    (path / "config.json").write_text(json.dumps({"format": 1, "kind": kind, "version": "0.1.0", "config": config}))
