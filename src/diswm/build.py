"""Reading runs back: agents, video models and their counts."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from diswm.agents import Dreamer, WorldLearner
from diswm.config import PretrainRun, TrainRun, flat, from_dict
from diswm.contract import DiswmError
from diswm.hub import WEIGHTS, local
from diswm.methods import method
from diswm.model.encoder import GaussianEncoder, PlainEncoder
from diswm.model.world import ModelConfig, WorldModel
from diswm.trainers.checkpoint import last_checkpoint, load_model, load_networks
from diswm.trainers.run import read_config


def load(run: Path | str, device: str = "cpu") -> Dreamer:
    """The agent of a run of `diswm train`: ``agent.reset(); action = agent.act(image)``.

    image uint8 (64, 64, 3) -> action float32 (A,) in [-1, 1] or one-hot. ``run`` may be what `diswm export` made of one, also on a
    model hub: ``hub:user/name``. DiswmError where there is no trained agent.
    """
    folder = local(run)
    head = read_config(folder, "train")
    config = from_dict(TrainRun, head["config"])
    weights = _whole(folder)
    with _fitting(folder):
        agent = Dreamer(
            config.model, _actions(weights, config.model), config.learner, config.dreamer, config.weights, config.anneal,
            discrete=head.get("discrete", False), seed=config.seed, device=device,
        )  # fmt: skip
        agent.load_networks(weights)
    return agent


_SAID = 160
"""Characters of a message about weights that are shown."""


@contextlib.contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    """DiswmError where weights do not fit the networks that their config describes."""
    try:
        yield
    except (KeyError, RuntimeError) as error:
        lines = [line.strip() for line in f"{error}\n{type(error).__name__}".splitlines() if line.strip()]
        said = lines[lines[0].startswith("Error(s) in loading")][:_SAID]  # PyTorch's first line only names the class
        raise DiswmError(f"{folder}: its weights are not those of its config.json ({said}). Take both from one run.") from error


def networks(folder: Path) -> dict[str, Any]:
    """The networks' state dicts of a run, or of what `diswm export` made of one."""
    exported = folder / WEIGHTS
    return load_networks(exported) if exported.is_file() else load_model(checkpoint(folder))


def _whole(folder: Path) -> dict[str, Any]:
    """The networks of a run that has a whole world model. DiswmError where a part of it is missing."""
    found = networks(folder)
    if missing := _missing(found):
        raise DiswmError(
            f"{folder}: its weights have no {' and no '.join(missing)}, so that nothing can be drawn or predicted. An encoder alone can be "
            "scored (`diswm metrics`); for all else take a whole run."
        )
    return found


def _missing(found: dict[str, Any]) -> list[str]:
    """The parts of a video model that these weights have not."""
    there = {name.partition(".")[0] for name in found.get("world", {})}
    return [part for part in _VIDEO_PARTS if part not in there]


def checkpoint(folder: Path) -> Path:
    """The newest checkpoint of a run. DiswmError where there is none."""
    path = last_checkpoint(folder / "checkpoints")
    if path is None:
        raise DiswmError(f"{folder}: has no checkpoint yet. Let the run go on until it saves (every few minutes, and at Ctrl-C).")
    return path


def load_video_model(run: Path | str, device: str = "cpu") -> WorldModel:
    """The video model of a run of `diswm pretrain`, or the one inside an imported agent (its actions fall away), frozen."""
    folder = local(run)
    found = read_config(folder)
    if "imported" not in found:
        found = read_config(folder, "pretrain")
    model = _model(found)
    world, whole = WorldModel(model, 0), _whole(folder)["world"]
    with _fitting(folder):
        weights = {name: value for name, value in whole.items() if not name.startswith("heads.")}
        weights["rssm.inp.weight"] = weights["rssm.inp.weight"][:, : model.stoch]
        world.load_state_dict(weights)
    return world.to(device).eval().requires_grad_(False)


def check_teacher(world: WorldModel, model: ModelConfig, folder: Path, *, whole: bool) -> None:
    """DiswmError unless the teacher's code (or with ``whole`` the entire video model) fits the student."""
    for name in ("encoder", "z_dim", *(("stoch", "deter", "hidden", "depth", "layer_norm") if whole else ())):
        there, here = getattr(world.config, name), getattr(model, name)
        if there != here:
            flag = f"--model.{name.replace('_', '-')} {there}"
            other = "another teacher (`diswm pretrain METHOD` makes that of a method)"
            raise DiswmError(f"{folder}: the teacher has {name} {there}, this run {here}. Use {flag}, or {other}.")


def load_teacher(config: TrainRun, device: str) -> WorldModel:
    """The video model that a run names as its teacher, if it fits. DiswmError otherwise."""
    if config.teacher is None:
        raise DiswmError(f"The method {config.method} needs a video model: pretrain one with `diswm pretrain` and name it with --teacher.")
    world = load_video_model(config.teacher, device)
    check_teacher(world, config.model, config.teacher, whole=bool(method(config.method).init))
    return world


_VIDEO_PARTS = ("encoder", "decoder", "rssm")
_WORLD_SIZES = tuple(f"model.{name}" for name in ("encoder", "z_dim", "stoch", "deter", "hidden", "depth", "layer_norm"))
_HEAD_SIZES = ("model.reward_layers", "model.units", "model.continues", "dreamer.actor_layers", "dreamer.critic_layers", "dreamer.units")


def start_from(learner: WorldLearner, config: PretrainRun | TrainRun) -> None:
    """Give a new learner the weights of the run ``config.start``: encoder, decoder and dynamics; an agent takes all networks of an agent.

    DiswmError where sizes or actions differ.
    """
    assert config.start is not None
    found = read_config(config.start)
    agent = learner if isinstance(learner, Dreamer) and found["kind"] == "train" else None
    there, here = flat(from_dict(TrainRun if found["kind"] == "train" else PretrainRun, found["config"])), flat(config)
    for name in (*_WORLD_SIZES, *(_HEAD_SIZES if agent else ())):
        if there[name] != here[name]:
            flag = f"--{name.replace('_', '-')} {there[name]}"
            raise DiswmError(f"{config.start}: has {name} {there[name]}, this run {here[name]}. Use {flag}, or start from another run.")
    if agent is None:
        learner.world.start_from(load_video_model(config.start), _VIDEO_PARTS)
        return
    weights = _whole(config.start)
    theirs, ours = (_actions(weights, config.model), found.get("discrete", False)), (agent.world.act_dim, agent.discrete)
    if theirs != ours:
        had, takes = (f"{count} {'choices' if discrete else 'actions'}" for count, discrete in (theirs, ours))
        raise DiswmError(
            f"{config.start}: its agent has {had}, this task takes {takes}. Start from an agent of the same body, or from a video model."
        )
    agent.load_networks(weights)


def _actions(weights: dict[str, Any], model: ModelConfig) -> int:
    columns: int = weights["world"]["rssm.inp.weight"].shape[1]
    return columns - model.stoch


def fingerprint(world: WorldModel) -> str:
    """A hash of all weights."""
    digest = hashlib.sha256()
    for name, value in world.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_same_teacher(config: TrainRun, found: str) -> None:
    """DiswmError where the run was begun with another teacher than the one with this fingerprint."""
    if not (config.out / "config.json").exists():
        return
    before = read_config(config.out).get("teacher", found)
    if before != found:
        raise DiswmError(
            f"{config.teacher}: its weights are not those that taught {config.out} so far ({found}, not {before}). "
            "Put the old teacher back, or choose another folder with --out."
        )


def check_taught(folder: Path, by: Path) -> None:
    """DiswmError where the video model in ``by`` is not the one that taught the run in ``folder``: another may lie there by now.

    Of an encoder that was kept alone that is not known, nor of runs that have no fingerprint of their teacher.
    """
    known = read_config(folder).get("teacher")
    if known and not _missing(networks(by)) and fingerprint(load_video_model(by)) != known:
        raise DiswmError(f"{by}: is not the video model that taught {folder}. Put that one there.")


def check_same_clips(config: TrainRun, found: dict[str, str]) -> None:
    """DiswmError where the run was begun with other clips in the folders of its backgrounds: their numbers would mean others."""
    if not (config.out / "config.json").exists():
        return
    before = read_config(config.out).get("clips", found)
    for folder, listing in found.items():
        if before.get(folder, listing) != listing:
            raise DiswmError(
                f"{folder}: its clips are not those that {config.out} was begun with ({before[folder]}, now {listing}). "
                "Put the old ones back, or choose another folder with --out."
            )


def check_same_videos(config: PretrainRun, found: str, rows: int) -> None:
    """DiswmError where the run was begun on other videos than those of this hash."""
    if last_checkpoint(config.out / "checkpoints") is None:
        return
    before = last_state(config.out)["videos"]
    if before["hash"] != found:
        raise DiswmError(
            f"{config.out}: was begun on other videos ({before['rows']:,} frames, now {rows:,}; or other pictures). "
            "Restore them, or choose another folder with --out."
        )


def _model(found: dict[str, Any]) -> ModelConfig:
    """The networks' sizes of a run, from its ``config.json``."""
    return (from_dict(TrainRun, found["config"]) if found["kind"] == "train" else from_dict(PretrainRun, found["config"])).model


def last_counters(folder: Path) -> dict[str, int]:
    """Steps, frames, updates and episodes at the last checkpoint."""
    found: dict[str, int] = last_state(folder)["counters"]
    return found


def last_state(folder: Path) -> dict[str, Any]:
    """What the newest checkpoint holds beside tensors. DiswmError where there is none or it is damaged."""
    path = checkpoint(folder)
    try:
        found: dict[str, Any] = json.loads((path / "state.json").read_text())["state"]
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DiswmError(f"{path}: is damaged ({error!r}). Take a copy of it, or train again in another folder.") from error


def load_encoder(folder: Path, device: str) -> torch.nn.Module:
    """The encoder of a run alone, frozen; a run without decoder or dynamics does as well. DiswmError where it does not fit."""
    found = read_config(folder)
    model = _model(found)
    weights = networks(folder).get("world", {})
    encoder = GaussianEncoder(model.z_dim, model.depth) if model.encoder == "gaussian" else PlainEncoder(model.depth)
    with _fitting(folder):
        encoder.load_state_dict({name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")})
    return encoder.to(device).eval().requires_grad_(False)


def load_learner(folder: Path, device: str) -> WorldLearner:
    """The agent or the video model of a run, with what it needs to look inside."""
    found = read_config(folder)
    if found["kind"] == "train":
        return load(folder, device)
    config = from_dict(PretrainRun, found["config"])
    learner = WorldLearner(config.model, 0, config.learner, config.weights, seed=config.seed, device=device)
    weights = _whole(folder)["world"]
    with _fitting(folder):
        learner.world.load_state_dict(weights)
    return learner
