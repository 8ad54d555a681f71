"""What a report shows of a code beyond one batch: what a change of colours does to it, and clips of old beside clips of new.

Arrays go to media/, as those of `trainers.media`, and the report draws them. What cannot be made is left out, with a line that says why.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diswm.build import check_taught, last_state, load_encoder
from diswm.contract import Array, DiswmError
from diswm.data.convert import video_folder
from diswm.data.episodes import list_episodes, load_episode
from diswm.data.replay import Replay
from diswm.envs.posing import FactorWorld
from diswm.factorsets import env_of
from diswm.hub import local
from diswm.model.dists import standard_kl
from diswm.model.encoder import Code
from diswm.trainers.media import save_arrays
from diswm.trainers.probe import codes_of, encode
from diswm.trainers.progress import console
from diswm.trainers.run import beside, read_config
from diswm.trainers.seeds import generator

CHANGES, CLIPS = "changes.npz", "clips.npz"
LOOKS = ("camera", "light", "texture", "background")
POSES = 128
"""Pairs of frames from which a change is measured."""
COUNT = 384
"""Clips of either source, offline and online, at most: as many as find room beside each other, as clips that share frames are each other's
neighbours whatever they show."""
SPAN, EVERY = 16, 2
"""Rows that a clip takes, where windows of training are as long, and how many of them make one encoded frame."""
EPISODES = 48
"""Files of videos that are opened for them, at most: videos may be many."""


def closeups(folder: Path, encoder: torch.nn.Module, replay: Replay | None = None, videos: Path | None = None) -> None:
    """Write media/changes.npz of a run, and media/clips.npz of one with a teacher; ``videos`` in place of those that taught it."""
    head = read_config(folder)
    taught = head["kind"] == "train" and head["config"].get("teacher")
    if not getattr(encoder, "noise_size", 0):
        return  # an embedding that is no code has no dimensions to look at
    made = {CHANGES: ("what a change of colours does to the code", lambda: changes(folder, head, encoder))}
    if taught:
        made[CLIPS] = ("the map of offline and online clips", lambda: clips(folder, head, encoder, replay, videos))
    for name, (what, make) in made.items():
        try:
            save_arrays(folder / "media" / name, make())
        except (DiswmError, ImportError) as error:
            console.print(f"left out {what}: {error}")


# ---- what a change does


@torch.no_grad()
def changes(folder: Path, head: dict[str, Any], encoder: torch.nn.Module) -> dict[str, Any]:
    """How much of each dimension of the code comes from each group of factors.

    share (G, E): half the mean square by which the code's mean moves when the factors of the group are drawn anew and all others stay,
    over the variance of the aggregate posterior: the total-effect index of Jansen (1999), 1 for a dimension that nothing else moves and
    that has no noise. groups (G,) their names; images (1 + G, H, W, C) a frame, and it with each group drawn anew; kl (E,).
    DiswmError for worlds without known factors, and where nothing but the pose varies.
    """
    world = FactorWorld(env_of(head, folder))
    try:
        columns = groups([one.column for one in world.factors])
        if not columns.keys() - {"pose"}:
            raise DiswmError("nothing but the pose varies in its world.")
        values, other = np.split(world.sample(2 * POSES, generator(head["config"]["seed"], "media")), 2)
        before = _drawn(world, values)
        code = Code(*(torch.cat(part).float().cpu() for part in zip(*encode(encoder, before), strict=True)))
        mean, noise = code.mean.numpy(), code.logvar.exp().mean(0).numpy()
        share, images = [], [before[0]]
        for chosen in columns.values():
            changed = values.copy()
            changed[:, chosen] = other[:, chosen]
            frames = _drawn(world, changed)
            images.append(frames[0])
            moved = codes_of(encoder, frames)
            share.append(((moved - mean) ** 2).mean(0) / 2 / (np.concatenate([mean, moved]).var(0) + noise))
    finally:
        world.close()
    return {
        "groups": np.array(list(columns)),
        "share": np.clip(np.stack(share), 0.0, 1.0).astype(np.float32),  # chance lifts some a little beyond 1
        "images": np.stack(images),
        "kl": standard_kl(*code).mean(0).numpy(),
        "poses": np.array(POSES),
    }


def groups(columns: Sequence[str]) -> dict[str, list[int]]:
    """Factors that are drawn anew together, by a name to read: each material's colour, all of them, camera, light, ..., the pose."""
    found: dict[str, list[int]] = {}
    for index, column in enumerate(columns):
        kind, _, part = column.partition(".")
        if kind == "colour":
            found.setdefault(f"colour of {part}", []).append(index)
    if len(found) > 1:
        found["all colours"] = [index for chosen in found.values() for index in chosen]
    for index, column in enumerate(columns):
        kind = column.partition(".")[0]
        if kind != "colour":
            found.setdefault(kind if kind in LOOKS else "pose", []).append(index)
    return found


def _drawn(world: FactorWorld, values: Array) -> Array:
    frames = []
    for row in values:
        world.apply(row)
        frames.append(world.frame())
    return np.stack(frames)


# ---- old clips beside new ones


def clips(folder: Path, head: dict[str, Any], encoder: torch.nn.Module, replay: Replay | None, videos: Path | None) -> dict[str, Any]:
    """Codes of clips of the teacher's videos and of as many of the run's own replay, by the teacher and by the student.

    teacher (2N, T, D), student (2N, T, E) code means of T frames a clip, online (2N,) bool; rows, from a clip's first frame to its last.
    DiswmError where teacher, videos or replay are gone, and where another teacher is in the place of the run's.
    """
    rng = generator(head["config"]["seed"], "media")
    whose = beside(folder, local(str(head["config"]["teacher"])))
    check_taught(folder, whose)
    learned = head["config"].get("train", {}), read_config(whose)["config"].get("pretrain", {})
    span = min(SPAN, *(found.get("length", SPAN) for found in learned))  # each found windows as long to learn from
    old = clips_of(_videos(whose) if videos is None else [videos], whose.parent / "cache", COUNT, span, rng)
    with contextlib.nullcontext(replay) if replay is not None else replay_of(folder) as held:
        count = min(len(old), max(1, len(held) // span))
        new = held.sample(rng, count, span)["image"][:, ::EVERY]
    old = old[np.sort(rng.permutation(len(old))[:count])]
    image = np.concatenate([old, new])
    frames = image.reshape(-1, *image.shape[2:])
    device = next(encoder.parameters()).device
    return {
        "teacher": codes_of(load_encoder(whose, str(device)), frames).reshape(*image.shape[:2], -1),
        "student": codes_of(encoder, frames).reshape(*image.shape[:2], -1),
        "online": np.arange(len(image)) >= len(old),
        "rows": np.array(span),
    }


def _videos(teacher: Path) -> list[Path]:
    """The videos of a teacher's run that are still there."""
    named = [beside(teacher, path) for path in read_config(teacher)["config"].get("videos") or []]
    if not named:
        raise DiswmError(f"{teacher}: names no videos, as it was imported. Name some with `diswm traverse RUN --videos FOLDER`.")
    there = [path for path in named if path.exists()]
    if not there:
        raise DiswmError(f"{named[0]}: the teacher's videos are not there any more. Name them with `diswm traverse RUN --videos FOLDER`.")
    return there


def clips_of(folders: Sequence[Path], cache: Path, count: int, span: int, rng: np.random.Generator) -> Array:
    """At most ``count`` clips (N, T, H, W, C) of ``span`` rows of videos: as many from each of some files, or as many as find room in it.

    DiswmError where there are none."""
    files = [file for folder in folders for file in list_episodes(video_folder(folder, cache if cache.is_dir() else None))]
    chosen = [files[i] for i in rng.permutation(len(files))[:EPISODES]]
    found: list[Array] = []
    for file in chosen:
        try:
            image = load_episode(file, keys=["image"])["image"]
        except DiswmError:
            continue  # training has told of damaged files
        if len(image) >= span:
            starts = np.sort(rng.integers(len(image) - span + 1, size=min(-(-count // len(chosen)), len(image) // span)))
            found.append(image[starts[:, None] + np.arange(0, span, EVERY)])
    if not found:
        raise DiswmError(f"{folders[0]}: none of its {len(files)} episodes can be read and has {span} frames or more.")
    return np.concatenate(found)[:count]


@contextlib.contextmanager
def replay_of(folder: Path) -> Iterator[Replay]:
    """The replay of a run, as its newest checkpoint left it. DiswmError where it is gone."""
    state = last_state(folder).get("replay")
    if state is None or not (folder / "replay").is_dir():
        raise DiswmError(f"{folder}: its replay is not there any more.")
    sizes = {name: state[name] for name in ("capacity", "action_dim", "image_shape", "extras")}
    replay = Replay.restore(folder / "replay", state, **sizes)
    try:
        yield replay
    finally:
        replay.close()
