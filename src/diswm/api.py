"""The verbs as functions: they build the parts from a config and call the trainers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diswm import envs
from diswm.agents import Dreamer, WorldLearner
from diswm.build import last_counters, load, load_learner, load_teacher, load_video_model
from diswm.config import CollectRun, PretrainRun, TrainRun, from_dict, to_dict, unseen_colours
from diswm.contract import DiswmError, Policy
from diswm.data.manifest import VideoWriter
from diswm.data.videos import Videos
from diswm.methods import method
from diswm.runtime import prepare
from diswm.trainers import media
from diswm.trainers.collect import collect as run_collect
from diswm.trainers.evaluate import Evaluation, mean_actor, random_actor
from diswm.trainers.evaluate import evaluate as run_evaluate
from diswm.trainers.finetune import Trainer
from diswm.trainers.pretrain import pretrain as run_pretrain
from diswm.trainers.progress import console
from diswm.trainers.rollout import RandomPolicy, action_size
from diswm.trainers.run import Run, read_config, write_json
from diswm.trainers.seeds import generator, seed_of

__all__ = ["collect", "evaluate", "load", "load_video_model", "pretrain", "train", "traverse"]

TRAVERSAL = np.linspace(-3, 3, 9)


# ---- the verbs


def collect(config: CollectRun) -> bool:
    """Collect videos into ``config.out``; a folder that was begun is continued. False if it was interrupted."""
    env = envs.make(config.env)
    policy: Policy = RandomPolicy(generator(config.seed, "collect"), action_size(env))
    source = "random policy"
    if config.collect.policy != "random":
        policy, source = load(config.collect.policy), f"agent {config.collect.policy}"
    distraction = dataclasses.asdict(config.env.distract)
    manifest = {
        "task": config.env.task,
        "source": source,
        "renderer": env.renderer,
        "action_repeat": config.env.action_repeat,
        "frames_per_row": config.env.action_repeat,
        "seed": config.seed,
        "versions": _versions(),
        "distraction": distraction,
    }
    with VideoWriter(config.out, manifest) as writer:
        run_collect(env, policy, writer, config.collect.frames, config.seed)
        console.print(f"{config.out}: {writer.episodes} episodes, {writer.frames:,} frames of {config.env.task}, drawn by {env.renderer}")
        done = writer.frames >= config.collect.frames
    env.close()
    return done


def _versions() -> dict[str, str]:
    from importlib import metadata

    found = {}
    for name in ("diswm", "numpy", "mujoco", "dm_control", "mujoco-warp"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def pretrain(config: PretrainRun) -> bool:
    """Pretrain a video model on ``config.videos``; a run that was begun is resumed. False if it was interrupted."""
    if not config.videos:
        raise DiswmError("There are no videos to learn from: name folders with --videos, or collect some with `diswm collect`.")
    device = prepare(config.device, config.threads)
    c = config.pretrain
    videos = Videos(config.videos, length=c.length, cache=config.out.parent / "cache", ram_bytes=int(c.ram_gb * 2**30))
    _check_images(videos.image_shape, f"the videos {', '.join(map(str, config.videos))}")
    learner = WorldLearner(config.model, 0, config.learner, config.weights, seed=seed_of(config.seed, "torch"), device=device)
    run = Run(config.out, "pretrain", to_dict(config), wandb=config.wandb)
    _say(run, learner)
    done = run_pretrain(run, learner, videos, c, config.seed)
    if done:
        batch = videos.sample(generator(config.seed, "media"), 6, c.length)
        _look(run.folder, learner, batch)
    run.write_cost()
    run.close()
    _leave(run, done)
    return done


def train(config: TrainRun) -> bool:
    """Train an agent online and evaluate it; a run that was begun is resumed. False if it was interrupted."""
    chosen = method(config.method)
    device = prepare(config.device, config.threads)
    env = envs.make(config.env)
    _check_images(env.observation_space.shape, f"the task {config.env.task}")
    act_dim = action_size(env)
    agent = Dreamer(
        config.model, act_dim, config.learner, config.dreamer, config.weights, config.anneal,
        seed=seed_of(config.seed, "torch"), device=device,
    )  # fmt: skip
    teacher = load_teacher(config, device) if chosen.teacher else None
    if teacher is not None and chosen.init:
        agent.world.start_from(teacher, chosen.init)
    run = Run(config.out, "train", to_dict(config), wandb=config.wandb)
    _say(run, agent)
    stages = _Evaluations(config)
    trainer = Trainer(
        run, agent, env, config.train, config.seed, teacher=teacher if "distill" in config.weights else None, evaluate=stages.seen,
    )  # fmt: skip
    done = trainer.train()
    if done:
        _finish(run, trainer, stages, config)
    run.write_cost()
    run.close()
    env.close()
    stages.close()
    _leave(run, done)
    return done


def _check_images(shape: tuple[int, ...] | None, whose: str) -> None:
    if shape != (64, 64, 3):
        raise DiswmError(f"The networks take images of 64 x 64 x 3; {whose} has {shape}. Resize them, or use --env.image-size 64.")


class _Evaluations:
    """Evaluation environments, made when first needed and used again."""

    def __init__(self, config: TrainRun) -> None:
        self.config = config
        self._envs: dict[str, list[Any]] = {}

    def _make(self, split: str) -> list[Any]:
        if split not in self._envs:
            distract = unseen_colours(self.config) if split == "unseen" else self.config.env.distract
            env = dataclasses.replace(self.config.env, distract=distract)
            count = min(self.config.eval.at_once, self.config.eval.episodes)
            self._envs[split] = [envs.make(env) for _ in range(count)]
        return self._envs[split]

    def _seeds(self, component: str) -> list[int]:
        return [seed_of(self.config.seed, component, index) for index in range(self.config.eval.episodes)]

    def seen(self, agent: Dreamer) -> Evaluation:
        """On the training colours."""
        return run_evaluate(mean_actor(agent), self._make("seen"), self._seeds("eval_seen"))

    def unseen(self, agent: Dreamer) -> Evaluation:
        """On the colours never trained on."""
        return run_evaluate(mean_actor(agent), self._make("unseen"), self._seeds("eval_unseen"))

    def random(self, act_dim: int) -> Evaluation:
        """Random actions on the training colours."""
        actor = random_actor(generator(self.config.seed, "eval_random"), act_dim)
        return run_evaluate(actor, self._make("seen"), self._seeds("eval_seen"))

    def close(self) -> None:
        for made in self._envs.values():
            for env in made:
                env.close()


def _finish(run: Run, trainer: Trainer, stages: _Evaluations, config: TrainRun) -> None:
    """Final evaluation on both colour sets, and the pictures."""
    results = _evaluate_all(run.folder, trainer.agent, stages, config, run.counters.frames)
    run.log("eval", split="unseen", returns=results["unseen"].returns)
    _look(run.folder, trainer.agent, trainer.replay.sample(generator(config.seed, "media"), 6, config.train.length))


def _evaluate_all(folder: Path, agent: Dreamer, stages: _Evaluations, config: TrainRun, frames: int) -> dict[str, Evaluation]:
    results = {"random": stages.random(agent.world.act_dim), "seen": stages.seen(agent), "unseen": stages.unseen(agent)}
    colours = {"random": config.env.distract.colours, "seen": config.env.distract.colours, "unseen": config.unseen}
    for name, result in results.items():
        media.save_gif(folder / "media" / f"eval_{name}.gif", result.video)
        console.print(f"{name:>7}: return {np.mean(result.returns):7.1f} over {len(result.returns)} episodes on colours {colours[name]}")
    table = {name: {"returns": result.returns, "colours": colours[name]} for name, result in results.items()}
    write_json(folder / "evaluation.json", {**table, "frames": frames})
    return results


def evaluate(run: Path | str, *, episodes: int | None = None, device: str = "auto", out: Path | None = None) -> Path:
    """Evaluate the agent of a run on seen and unseen colours and against random actions; writes evaluation.json."""
    folder = Path(run)
    config = from_dict(TrainRun, read_config(folder, "train")["config"])
    if episodes:
        config = dataclasses.replace(config, eval=dataclasses.replace(config.eval, episodes=episodes))
    agent = load(folder, prepare(device))
    target = out or folder
    (target / "media").mkdir(parents=True, exist_ok=True)
    stages = _Evaluations(config)
    _evaluate_all(target, agent, stages, config, last_counters(folder)["frames"])
    stages.close()
    return target / "evaluation.json"


def traverse(run: Path | str, *, videos: Path | None = None, device: str = "auto") -> Path:
    """Decode what each dimension of the code changes, on frames of the run's own data (or of ``videos``)."""
    folder = Path(run)
    kind = read_config(folder)["kind"]
    where = prepare(device)
    batch = _frames_of(folder, kind, videos)
    if not _traversal(folder, load_learner(folder, where), batch["image"]):
        raise DiswmError(f"{folder}: its encoder has no Gaussian code to traverse. diswm, paper, no_distill and no_disentangle have one.")
    return folder / "media" / "traversal.npz"


def _frames_of(folder: Path, kind: str, videos: Path | None) -> dict[str, np.ndarray]:
    found = read_config(folder)["config"]
    rng = generator(found["seed"], "media")
    if kind == "pretrain" or videos:
        source = [videos] if videos else [Path(path) for path in found["videos"]]
        return Videos(source, length=8).sample(rng, 32, 8)
    config = from_dict(TrainRun, found)
    env = envs.make(config.env)
    actor = random_actor(rng, action_size(env))
    clip = run_evaluate(actor, [env], [seed_of(config.seed, "media")]).video
    env.close()
    return {"image": clip[None]}


def _look(folder: Path, learner: WorldLearner, batch: dict[str, np.ndarray]) -> None:
    context = min(5, batch["image"].shape[1] // 2)
    np.savez_compressed(folder / "media" / "prediction.npz", **media.predict(learner, batch, context))
    _traversal(folder, learner, batch["image"])


def _traversal(folder: Path, learner: WorldLearner, image: np.ndarray) -> bool:
    found = media.traverse(learner, image.reshape(-1, *image.shape[-3:]), TRAVERSAL)
    if found is not None:
        np.savez_compressed(folder / "media" / "traversal.npz", **found)
    return found is not None


def _say(run: Run, learner: WorldLearner) -> None:
    count = sum(param.numel() for param in learner.world.parameters()) / 1e6
    how = f"{learner.device}, {str(learner.dtype).removeprefix('torch.')}, {torch.get_num_threads()} threads"
    console.print(f"{run.folder}: world model of {count:.2f}M parameters on {how}")


def _leave(run: Run, done: bool) -> None:
    state = "finished" if done else "stopped and saved; the same command goes on"
    console.print(f"{run.folder}: {state} ({run.counters.frames:,} frames, {run.counters.updates:,} updates, {run.seconds / 60:.1f} min)")
