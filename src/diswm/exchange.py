"""Weights in and out: from the authors' release to a run folder of ours, and back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from diswm import __version__
from diswm.agents import Dreamer, WorldLearner
from diswm.build import checkpoint, load_learner
from diswm.checks import NO_TASK, check_actions
from diswm.config import PretrainRun, TrainRun, from_dict, merge, to_dict
from diswm.contract import Counters, DiswmError
from diswm.data.disk import require_free, whole_folder
from diswm.envs import EnvConfig, make, tasks
from diswm.methods import for_pretraining, for_training
from diswm.model.encoder import GaussianEncoder
from diswm.released import ACTIONS, NEEDED, Sizes, StateDict, depth_of, read_parts, sizes_of, to_ours, to_theirs, write_state
from diswm.trainers.checkpoint import load_model, save_checkpoint
from diswm.trainers.progress import console
from diswm.trainers.run import FORMAT, read_config, write_json

METHOD = "diswm"
_ADVICE = "Free some space or choose another folder with --out."


# ---------------------------------------------------------------- in


def import_checkpoint(folder: Path | str, *, out: Path | str, task: str | None = None) -> Path:
    """Read the weights that the authors' release saves in ``folder`` and write them as a run, ``out``.

    encoder.pt, decoder.pt and rssm.pt make a video model; with actor.pt too it is an agent of ``task``, whose actions must fit (value.pt
    and reward.pt start fresh where they are missing). Shapes decide all sizes. What our networks have no place for (teacher_encoder.pt,
    heads and actions of a video model) is kept aside for ``export_checkpoint``. Returns ``out``. DiswmError for files that are missing,
    damaged or do not fit, for a folder that is there already and for a full disk; then nothing is written.
    """
    source, out = Path(folder), Path(out)
    if task is not None and task not in tasks():
        make(EnvConfig(task=task)).close()  # raises, in the words that every verb uses
    parts = read_parts(source)
    sizes = sizes_of(source, parts)
    agent = "actor" in parts
    config = _train_config(sizes, out, task) if agent else _pretrain_config(sizes, out)
    learner = _agent(config, sizes) if isinstance(config, TrainRun) else _video(config)
    if task is not None and isinstance(learner, Dreamer):
        _check_task(source, learner, task)
    fresh = _fill(learner, parts)
    state = learner.state_dict()
    state["model"]["aside"] = aside = _aside(parts, sizes, agent)
    kind = "train" if agent else "pretrain"
    about = {"files": [f"{part}.pt" for part in parts], "fresh": fresh}
    head = {"format": FORMAT, "kind": kind, "version": __version__, "config": to_dict(config), "imported": about}
    need = _bytes(parts)
    require_free(out, need, "The run", _ADVICE)
    with whole_folder(out, need=need, advice=_ADVICE) as new:
        counters = dataclasses.asdict(Counters())
        save_checkpoint(new / "checkpoints", f"{0:09d}-{0:09d}", {"agent": state, "counters": counters, "imported": True})
        (new / "metrics.jsonl").touch()
        write_json(new / "config.json", head)
    what = f"an agent ({'no task named' if task is None else task})" if agent else "a video model"
    console.print(f"{out}: {what} with {sizes}, from {', '.join(about['files'])}")
    if fresh:
        console.print(f"{out}: {', '.join(fresh)} were not there: those networks hold random weights")
    if aside:
        kept = ["the columns of actions in rssm.pt" if part == "actions" else f"{part}.pt" for part in aside]
        console.print(f"{out}: kept aside for export: {', '.join(kept)}")
    return out


def _check_task(source: Path, agent: Dreamer, task: str) -> None:
    """DiswmError unless the actions fit the task; a note where a task that there is cannot be made on this machine."""
    try:
        env = make(EnvConfig(task=task))
    except DiswmError as error:
        if task not in tasks():
            raise
        console.print(f"{source}: whether its actions are those of {task} cannot be tried here: {error}")
        return
    env.close()
    check_actions(source, agent, task, env, "Name the task that it was trained on with --task, or none.")


def _bytes(parts: dict[str, StateDict]) -> int:
    """What they take on disk; the critic is there twice."""
    parts = {**parts, "slow": parts.get("value", {})}
    return 4 * sum(tensor.numel() for part in parts.values() for tensor in part.values())


def _pretrain_config(sizes: Sizes, out: Path) -> PretrainRun:
    config = merge(for_pretraining(PretrainRun(), METHOD), {"out": out})
    return dataclasses.replace(config, model=sizes.model)


def _train_config(sizes: Sizes, out: Path, task: str | None) -> TrainRun:
    policy = {"units": sizes.units, "actor_layers": sizes.actor_layers, "critic_layers": sizes.critic_layers}
    changes: dict[str, Any] = {"out": out, "dreamer": policy, "env.task": task or NO_TASK}
    return dataclasses.replace(merge(for_training(TrainRun(), METHOD), changes), model=sizes.model)


def _agent(config: TrainRun, sizes: Sizes) -> Dreamer:
    return Dreamer(config.model, sizes.act_dim, config.learner, config.dreamer, config.weights, config.anneal, seed=config.seed)


def _video(config: PretrainRun) -> WorldLearner:
    return WorldLearner(config.model, 0, config.learner, config.weights, seed=config.seed)


def _fill(learner: WorldLearner, parts: dict[str, StateDict]) -> list[str]:
    """Load the parts into their networks. Returns the files that were missing."""
    networks = _networks(learner)
    for part in networks.keys() & parts.keys():
        state = to_ours(part, parts[part])
        if part == "rssm":  # the video model's cell takes no actions, which were zeros when it was trained
            state["inp.weight"] = state["inp.weight"][:, : learner.world.rssm.stoch + learner.world.act_dim]
        networks[part].load_state_dict(state)
    if isinstance(learner, Dreamer):
        learner.slow_critic.load_state_dict(learner.critic.state_dict())
    return [f"{part}.pt" for part in networks if part not in parts]


def _networks(learner: WorldLearner) -> dict[str, torch.nn.Module]:
    """Our networks by the released part."""
    world = learner.world
    found: dict[str, torch.nn.Module] = {"encoder": world.encoder, "decoder": world.decoder, "rssm": world.rssm}
    if isinstance(learner, Dreamer):
        found |= {"reward": world.heads["reward"], "actor": learner.actor, "value": learner.critic}
    return found


def _aside(parts: dict[str, StateDict], sizes: Sizes, agent: bool) -> dict[str, StateDict]:
    """What our networks have no place for, under the released names."""
    kept = {part: parts[part] for part in parts if part == "teacher_encoder" or (not agent and part not in NEEDED)}
    if not agent and sizes.act_dim:
        kept["actions"] = {ACTIONS: parts["rssm"][ACTIONS][:, sizes.model.stoch :]}
    return kept


# ---------------------------------------------------------------- out


def export_checkpoint(run: Path | str, *, out: Path | str) -> Path:
    """Write the weights of a run of ours in the layout of the authors' release: ``out``/encoder.pt, decoder.pt, rssm.pt; of an agent
    also reward.pt, actor.pt, value.pt and, where it has a teacher, teacher_encoder.pt.

    What was imported is written as it was. Returns ``out``. DiswmError for a folder that is no run, networks that the layout has no
    names for (the plain encoder), a folder that is there already and a full disk; then nothing is written.
    """
    folder, out = Path(run), Path(out)
    head = read_config(folder)
    learner = load_learner(folder, "cpu")
    if learner.world.config.encoder != "gaussian":
        raise DiswmError(
            f"{folder}: has the encoder '{learner.world.config.encoder}'. The released layout has names for 'gaussian' only: "
            "export a run of diswm, paper, no_distill or no_disentangle."
        )
    if head.get("discrete"):
        raise DiswmError(f"{folder}: its agent makes choices. The released layout has names for actors of numbers only.")
    fresh = head.get("imported", {}).get("fresh", [])
    parts = {part: to_theirs(part, net.state_dict()) for part, net in _networks(learner).items() if f"{part}.pt" not in fresh}
    parts |= load_model(checkpoint(folder)).get("aside", {})
    if columns := parts.pop("actions", None):
        parts["rssm"][ACTIONS] = torch.cat([parts["rssm"][ACTIONS], columns[ACTIONS]], 1)
    if taught := _teacher(head):
        parts["teacher_encoder"] = taught
    with whole_folder(out, need=_bytes(parts), advice=_ADVICE) as new:
        for part, state in parts.items():
            write_state(new / f"{part}.pt", state)
    if "continue" in learner.world.heads:
        console.print(f"{out}: the layout has no continue head; it was left out")
    console.print(f"{out}: {', '.join(f'{part}.pt' for part in parts)} of {folder}")
    return out


def _teacher(head: dict[str, Any]) -> StateDict | None:
    """The encoder of the video model that taught this run, if it had one that is still there."""
    named = head["config"].get("teacher")
    if head["kind"] != "train" or not named:
        return None
    try:
        teacher = load_learner(Path(named), "cpu")
    except DiswmError as error:
        console.print(f"without teacher_encoder.pt: {error}")
        return None
    return to_theirs("teacher_encoder", teacher.world.encoder.state_dict()) if teacher.world.config.encoder == "gaussian" else None


def imported_teacher(run: Path | str) -> GaussianEncoder:
    """The teacher's encoder that was imported beside an agent, frozen. DiswmError where there was none."""
    folder = Path(run)
    config = from_dict(TrainRun, read_config(folder, "train")["config"])
    state = load_model(checkpoint(folder)).get("aside", {}).get("teacher_encoder")
    if state is None:
        raise DiswmError(f"{folder}: was imported without a teacher_encoder.pt. Put that file beside the others and import again.")
    encoder = GaussianEncoder(config.model.z_dim, depth_of(state))
    encoder.load_state_dict(to_ours("teacher_encoder", state))
    return encoder.eval().requires_grad_(False)
