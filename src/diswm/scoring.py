"""`diswm metrics` as a function: how far the dimensions of a run's code are the factors of its world.

On frames whose factors were drawn independently of each other all scores have their meaning. On a run's own frames factors move
together: there the linear probes alone are given, with whole episodes split, drawn and shuffled as one.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diswm.build import load, load_encoder
from diswm.config import TrainRun, from_dict
from diswm.contract import FACTOR_PREFIX, Array, DiswmError
from diswm.data.factorset import Drawn, FactorSet, numbers, pick
from diswm.data.videos import Videos
from diswm.explorer.carriers import correlations
from diswm.explorer.frames import of_agent
from diswm.factorsets import POINTS, env_of, set_for
from diswm.runtime import prepare
from diswm.trainers.probe import codes_of, score_names, scores
from diswm.trainers.progress import console, progress
from diswm.trainers.run import beside, read_config, write_json
from diswm.trainers.seeds import generator

FILE = "metrics.json"
PROBES = ("mcc", "ridge_r2")
"""What may be said of frames whose factors move together, and of an embedding that is no code."""
FITTING = 8
"""Frames a number of the code, half of them to fit on, below which linear probes fit noise."""
_EPISODES, _EACH, _EVERY = 64, 16, 4
"""Episodes of videos that are looked at, and frames of each; an agent plays fewer, of which one frame in so many is taken."""
_PLAYED = 24


@dataclasses.dataclass(frozen=True)
class Scoring:
    """One table: codes against factors, with what limits it."""

    codes: Array
    drawn: Sequence[Drawn]
    values: Array
    group: int = 1


def score(
    run: Path | str,
    *,
    factors: Path | None = None,
    n: int = POINTS,
    on_policy: bool = True,
    reps: int = 20,
    device: str = "auto",
    out: Path | None = None,
) -> Path:
    """Score the code of a run against true factors and write metrics.json into its folder (or ``out``); returns the file.

    The labelled set is that of ``factors``, else the run's own ``factors/``, which is drawn (``n`` frames) if it is not there.
    ``reps`` resamples give the intervals. DiswmError for a set of another world, for too few points, and for a run that has no encoder.
    """
    if n < 1:
        raise DiswmError(f"n={n} must be a number of frames; some thousands are good.")
    folder = Path(run)
    head = read_config(folder)
    seed = int(head["config"]["seed"])
    encoder = load_encoder(folder, prepare(device))
    env = None if factors and head["kind"] == "pretrain" and not head["config"]["videos"] else env_of(head, folder)
    given = set_for(env, factors, folder / "factors", n, seed, str(folder)).first(n)
    plain = head["config"]["model"].get("encoder") == "plain"
    found: dict[str, Any] = {
        "run": folder.resolve().name,
        "task": given.about.get("task"),
        "world": given.world,
        "encoder": "plain" if plain else "gaussian",
        "seed": seed,
        "fixed": given.about["independent"].get("fixed", {}),
        "note": given.about["independent"].get("note", ""),
    }
    codes = codes_of(encoder, given.image)
    found["dimensions"] = codes.shape[1]
    with progress("score", 2, "tables") as bar:
        found["independent"] = {
            "source": f"{len(codes):,} frames with independent factors, drawn by {given.about.get('renderer')}",
            **_independent(codes, given, plain, reps, seed),
        }
        bar.update(1)
        found["on_policy"] = _on_policy(folder, head, encoder, given.drawn, reps, seed) if on_policy else {"missing": "was not asked for"}
        bar.update(2)
    target = (out or folder) / FILE
    write_json(target, found)
    for name in ("independent", "on_policy"):
        for note in found[name].get("notes", []):
            console.print(f"{name.replace('_', '-')}: {note}")
    return target


def table_of(
    codes: Array, given: FactorSet, seed: int, *, plain: bool = False, reps: int = 0, nulls: int = 3
) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of all scores of codes (N, E) on independent factors, and what they warn of.

    Scores from classes take angles as classes, linear ones as sine and cosine. Of a ``plain`` embedding there are linear ones alone.
    """
    options: dict[str, Any] = {"reps": reps, "nulls": nulls}
    names = [one.name for one in given.drawn for _ in one.numbers(given.values[:1, 0]).T]
    linear, notes = scores(codes, *given.for_probes(), generator(seed, "metrics"), only=PROBES, names=names, **options)
    if plain:
        return linear, notes
    only, names = [name for name in score_names() if name not in PROBES], [one.name for one in given.drawn]
    rows, notes = scores(codes, *given.for_scores(), generator(seed, "metrics"), only=only, names=names, **options)
    return rows + linear, notes


def _independent(codes: Array, given: FactorSet, plain: bool, reps: int, seed: int) -> dict[str, Any]:
    """All scores, each factor's probe, and what the dimensions tell of the factors."""
    rows, notes = table_of(codes, given, seed, plain=plain, reps=reps)
    if plain:
        notes.append(f"this encoder has no code but an embedding of {codes.shape[1]:,} numbers: only linear probes mean something of it")
    if len(codes) < FITTING * codes.shape[1]:
        notes.append(f"{len(codes):,} frames are few for {codes.shape[1]:,} numbers: probes fit noise, so read them beside chance")
    return {
        "points": len(codes),
        "rows": rows,
        "factors": _each(Scoring(codes, given.drawn, given.values), reps, seed),
        "notes": notes,
        **({} if plain else {"information": _information(codes, given, seed)}),
    }


def _information(codes: Array, given: FactorSet, seed: int) -> dict[str, Any]:
    """What each dimension tells of each factor: nats (E, F), the factors' entropies (F,), and the share of them that chance gives."""
    from diswm.metrics.disentangle import mutual_information, prepare

    factors, discrete = given.for_scores()
    varies = np.ptp(factors, axis=0) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a dead code: the scores have told
        points = prepare(codes, factors[:, varies], discrete[varies], generator(seed, "metrics"))
    nats, entropy = mutual_information(points)
    shuffled, _ = mutual_information(points.permuted(generator(seed, "metrics")))
    chance = float((shuffled / entropy).mean())  # of few points binned numbers seem to tell something
    names = [one.name for one, kept in zip(given.drawn, varies, strict=True) if kept]
    return {"factors": names, "nats": nats.round(6).tolist(), "entropy": entropy.round(6).tolist(), "chance": round(chance, 6)}


def _each(table: Scoring, reps: int, seed: int) -> list[dict[str, Any]]:
    """How well a line reads each factor from the code, and the dimension that goes along with it most."""
    found = []
    for one, value in zip(table.drawn, table.values.T, strict=True):
        if np.ptp(value) == 0:
            continue
        columns, discrete = numbers([one], value[:, None])
        ((row,), _) = scores(table.codes, columns, discrete, generator(seed, "metrics"), only=["ridge_r2"], reps=reps, group=table.group)
        each = (value[:, None] == np.unique(value)).astype(float) if one.kind == "discrete" else columns  # a class's number is no amount
        strength = np.abs(correlations(table.codes, each)).max(1)
        found.append({**row, "name": one.name, "kind": one.kind, "dimension": int(strength.argmax()), "correlation": float(strength.max())})
    return found


# ---- the run's own frames


def _on_policy(folder: Path, head: dict[str, Any], encoder: Any, drawn: Sequence[Drawn], reps: int, seed: int) -> dict[str, Any]:
    """Probes on the run's own frames, or why there are none."""
    try:
        image, labels, group, source = _of_agent(folder) if head["kind"] == "train" else _of_videos(folder, head)
        known, values = pick(drawn, labels)
        if not known:
            raise DiswmError("these frames have no labels of the factors")
        varying = np.ptp(values, axis=0) > 0
        constant = [one.name for one, moves in zip(known, varying, strict=True) if not moves]
        known, values = tuple(one for one, moves in zip(known, varying, strict=True) if moves), values[:, varying]
        if not known:
            raise DiswmError("none of the labelled factors varies in these frames")
        codes = codes_of(encoder, image)
        rows, notes = scores(codes, *numbers(known, values), generator(seed, "metrics"), only=PROBES, reps=reps, group=group)
        notes += [f"these factors do not vary and are left out: {', '.join(constant)}"] if constant else []
        missing = [one.name for one in drawn if one.name not in {*constant, *(known_one.name for known_one in known)}]
        notes += [f"these frames have no labels of {', '.join(missing)}"] if missing else []
        each = _each(Scoring(codes, known, values, group), reps, seed)
    except (DiswmError, ImportError) as error:
        return {"missing": str(error)}
    return {"source": source, "points": len(codes), "group": group, "rows": rows, "factors": each, "notes": notes}


def _of_agent(folder: Path) -> tuple[Array, dict[str, Array], int, str]:
    head = read_config(folder)
    frames = of_agent(from_dict(TrainRun, head["config"]), load(folder), _PLAYED, _EACH * _EVERY, _EVERY)
    return frames.image, frames.factors, frames.group, frames.source


def _of_videos(folder: Path, head: dict[str, Any]) -> tuple[Array, dict[str, Array], int, str]:
    """Frames spread over each of some episodes."""
    folders = [beside(folder, path) for path in head["config"]["videos"]]
    if not folders:
        raise DiswmError("it names no videos to take frames from, as it was imported")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        videos = Videos(folders, length=1, cache=folder.parent / "cache")
    order = generator(head["config"]["seed"], "metrics").permutation(videos.episodes)[:_EPISODES]
    episodes = [videos.episode(int(i)) for i in order]
    episodes = [episode for episode in episodes if len(episode["image"]) >= _EACH]
    if not episodes:
        raise DiswmError(f"its videos have no episode of {_EACH} frames")
    rows = [{name: value[np.linspace(0, len(value) - 1, _EACH).astype(int)] for name, value in episode.items()} for episode in episodes]
    table = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    labels = {name.removeprefix(FACTOR_PREFIX): value for name, value in table.items() if name.startswith(FACTOR_PREFIX)}
    return table["image"], labels, _EACH, f"{len(rows)} episodes of its videos, {_EACH} frames each"
