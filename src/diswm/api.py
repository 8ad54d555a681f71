"""The verbs as functions: they build the parts from a config and call the trainers."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diswm import envs
from diswm.ablations import check_record, check_teacher_record, method_of, teacher_note
from diswm.agents import Dreamer, WorldLearner
from diswm.agents.captured import check_graph
from diswm.build import (
    check_same_clips,
    check_same_teacher,
    check_same_videos,
    fingerprint,
    last_counters,
    load,
    load_learner,
    load_teacher,
    load_video_model,
    start_from,
)
from diswm.checks import NO_TASK, check_budget, check_images, check_task, check_unseen, check_window, say_left_seen, settled
from diswm.closeups import closeups, replay_of
from diswm.collecting import collect
from diswm.config import PretrainRun, TrainRun, check_numbers, from_dict, to_dict
from diswm.contract import DiswmError
from diswm.data.disk import open_folder
from diswm.data.videos import Videos
from diswm.datasets import converting, hashing, unpacking
from diswm.evaluations import Evaluations, evaluate_all
from diswm.exchange import export_checkpoint, import_checkpoint
from diswm.factorsets import prober
from diswm.hub import local
from diswm.matrix import evaluate_matrix
from diswm.methods import check_terms
from diswm.runtime import prepare
from diswm.trainers import media
from diswm.trainers.checkpoint import last_checkpoint
from diswm.trainers.finetune import Trainer
from diswm.trainers.pretrain import pretrain as run_pretrain
from diswm.trainers.progress import console, progress
from diswm.trainers.rollout import RandomPolicy, Rollout, action_size
from diswm.trainers.run import Run, beside, check_folder, read_config
from diswm.trainers.seeds import generator, seed_of

__all__ = [
    "collect", "evaluate", "export_checkpoint", "import_checkpoint", "load", "load_video_model", "pretrain", "train", "traverse",
]  # fmt: skip


# ---- the verbs


def pretrain(config: PretrainRun) -> bool:
    """Pretrain a video model on ``config.videos``; a run that was begun is resumed. False if it was interrupted."""
    check_numbers(config)
    config = dataclasses.replace(config, learner=config.learner.settled())
    check_terms(config.method, config.weights, method_of(config).video_weights, {})
    check_record(config)
    if not config.videos:
        raise DiswmError("There are no videos to learn from: name folders with --videos, or collect some with `diswm collect`.")
    device = prepare(config.device, config.threads)
    check_graph(config.learner.graph, device)
    check_folder(config.out, "pretrain", to_dict(config))
    c = config.pretrain
    videos = _videos(config.videos, length=c.length, cache=config.out.parent / "cache", ram_bytes=int(c.ram_gb * 2**30))
    check_same_videos(config, videos.hash, videos.rows)
    learner = WorldLearner(config.model, 0, config.learner, config.weights, seed=seed_of(config.seed, "torch"), device=device)
    if config.start and last_checkpoint(config.out / "checkpoints") is None:
        start_from(learner, config)
    run = Run(config.out, "pretrain", to_dict(config), wandb=config.wandb)
    try:
        _say(run, learner)
        before = run.counters.updates
        try:
            probe = prober(run, learner.world, config)
        except DiswmError:
            run.discard()
            raise
        done = run_pretrain(run, learner, videos, c, config.seed, probe)
        if done and (run.counters.updates > before or not (run.folder / "media" / "prediction.npz").exists()):
            media.look(run.folder, learner, videos.sample(generator(config.seed, "media"), 6, c.length))
            closeups(run.folder, learner.world.encoder)
    finally:
        run.close()
    _leave(run, done)
    return done


def _videos(folders: Sequence[Path], **settings: Any) -> Videos:
    """The videos, with progress while they are decoded; files that cannot be used are named."""
    with progress("read videos", 1, "files") as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what it warns of is said below

        def watch(done: int, total: int) -> None:
            bar.total = total
            bar.update(done, "decoding")

        shown = {"on_unpack": unpacking(bar), "on_clip": converting(bar), "on_hash": hashing(bar)}
        videos = Videos(folders, on_progress=watch, **shown, **settings)
    for line in videos.notes:
        console.print(line)
    for name, reason in videos.skipped[:5]:
        console.print(f"left out {name}: {reason}")
    if videos.skipped:
        console.print(f"left out {len(videos.skipped)} of {len(videos.skipped) + videos.episodes} video files; the others are used")
    check_images(videos.image_shape, f"the data set {', '.join(map(str, folders))}")
    return videos


def train(config: TrainRun) -> bool:
    """Train an agent online and evaluate it; a run that was begun is resumed. False if it was interrupted."""
    check_numbers(config)
    config = settled(config)
    chosen = method_of(config)
    check_terms(config.method, config.weights, chosen.weights, config.anneal)
    check_record(config)
    check_unseen(config)
    config = _with_ends(config)
    device = prepare(config.device, config.threads)
    check_graph(config.learner.graph, device)
    check_folder(config.out, "train", to_dict(config))
    check_budget(config)
    if config.teacher and not chosen.teacher:
        raise DiswmError(f"--teacher {config.teacher} changes nothing: this {config.method} has no teacher. Leave it out.")
    env = envs.make(config.env)
    check_images(env.observation_space.shape, f"the task {config.env.task}")
    check_window(env, config)
    say_left_seen(config)
    agent = Dreamer(
        config.model, action_size(env), config.learner, config.dreamer, config.weights, config.anneal,
        discrete=env.discrete, seed=seed_of(config.seed, "torch"), device=device,
    )  # fmt: skip
    if config.teacher:
        _check_teacher(config, local(config.teacher))
    teacher = load_teacher(config, device) if chosen.teacher else None
    facts: dict[str, Any] = {"discrete": True} if env.discrete else {}
    facts |= {"teacher": fingerprint(teacher)} if teacher else {}
    if clips := envs.clip_listings(config.env):
        check_same_clips(config, clips)
        facts["clips"] = clips
    if teacher is not None:
        check_same_teacher(config, facts["teacher"])
        if chosen.init:
            agent.world.start_from(teacher, chosen.init)
    if config.start and last_checkpoint(config.out / "checkpoints") is None:
        start_from(agent, config)
    run = Run(config.out, "train", to_dict(config), wandb=config.wandb, facts=facts)
    stages = Evaluations(config)
    try:
        _say(run, agent)
        distilled = teacher if "distill" in config.weights else None
        try:
            probe = prober(run, agent.world, config, distilled)
            trainer = Trainer(run, agent, env, config.train, config.seed, teacher=distilled, evaluate=stages.seen, probe=probe)
        except DiswmError:
            run.discard()
            raise
        done = trainer.train() and _finish(run, trainer, stages, config)
    finally:
        run.close()
        env.close()
        stages.close()
    _leave(run, done)
    return done


def _check_teacher(config: TrainRun, folder: Path) -> None:
    """DiswmError where an ablation of both stages was not made in the teacher's; a note where its method is another."""
    if "imported" in read_config(folder):
        return
    found = from_dict(PretrainRun, read_config(folder, "pretrain")["config"])
    check_teacher_record(config, found)
    if note := teacher_note(config, found):
        console.print(note)


def _with_ends(config: TrainRun) -> TrainRun:
    """Where episodes may end, the agent learns when: a continue head of weight 1, as the paper's text has it."""
    if config.model.continues or not envs.may_end(config.env.task):
        return config
    model = dataclasses.replace(config.model, continues=True)
    return dataclasses.replace(config, model=model, weights=config.weights | {"continue": 1.0})


def _finish(run: Run, trainer: Trainer, stages: Evaluations, config: TrainRun) -> bool:
    """Pictures, and the final evaluation on both colour sets, unless they are there. False if it was interrupted."""
    frames = run.counters.frames
    logged = trainer.final_frames == frames
    if logged and (run.folder / "evaluation.json").exists():
        console.print(f"{run.folder}: was trained and evaluated before; a larger --train.frames goes on from here")
        return True
    try:
        media.look(run.folder, trainer.agent, trainer.replay.sample(generator(config.seed, "media"), 6, config.train.length))
        closeups(run.folder, trainer.agent.world.encoder, trainer.replay)
    except DiswmError as error:  # a run so short that the replay holds no window
        console.print(f"no pictures: {error}")
    try:
        results = evaluate_all(run.folder, trainer.agent, stages, config, frames)
    except DiswmError as error:
        raise DiswmError(
            f"{error} It happened in the last evaluation: the training is done and saved; the same command evaluates."
        ) from error
    if results is None:
        return False
    if not logged:
        if frames % config.train.eval_every:  # else the loop has logged it
            run.log("eval", split="seen", **results["seen"].record())
        if "unseen" in results:
            run.log("eval", split="unseen", **results["unseen"].record())
        trainer.final_frames = frames
        trainer.save()
    return True


def evaluate(
    run: Path | str,
    *,
    matrix: bool = False,
    rows: Sequence[str] = (),
    episodes: int | None = None,
    device: str = "auto",
    out: Path | None = None,
) -> Path:
    """Evaluate the agent of a run on seen and unseen colours and against random actions; writes evaluation.json.

    A task without distractions has no unseen world, and that is written in its place.
    With ``matrix`` instead against every distraction at every strength, or ``rows`` of these and of your own (`matrix.chosen`); writes
    matrix.json. Raises KeyboardInterrupt for Ctrl-C; then nothing is written, but of a matrix the cells that are done.
    """
    if rows and not matrix:
        raise DiswmError("rows are those of the matrix: add --matrix (matrix=True), or leave --rows out.")
    folder = Path(run)
    head = read_config(folder, "train")
    config = from_dict(TrainRun, head["config"])
    if episodes is not None:
        config = dataclasses.replace(config, eval=dataclasses.replace(config.eval, episodes=episodes))
    check_numbers(config)
    agent = load(folder, prepare(device))
    if "imported" in head:
        check_task(folder, config, agent)
    target = out or folder
    for place in (target, target / "media"):
        open_folder(place)  # what cannot be written is said before episodes are played
    if matrix:
        if (path := evaluate_matrix(target, agent, config, last_counters(folder)["frames"], rows)) is None:
            raise KeyboardInterrupt
        return path
    stages = Evaluations(config)
    try:
        if evaluate_all(target, agent, stages, config, last_counters(folder)["frames"]) is None:
            raise KeyboardInterrupt
    finally:
        stages.close()
    return target / "evaluation.json"


def traverse(run: Path | str, *, videos: Path | None = None, device: str = "auto") -> Path:
    """Decode what each dimension of the code changes, on frames of the run's own data (or of ``videos``).

    Also what a change of colours does to each, and of a run with a teacher the codes of its videos beside those of the run's replay.
    """
    folder = Path(run)
    kind = read_config(folder)["kind"]
    where = prepare(device)
    batch = _frames_of(folder, kind, videos)
    learner = load_learner(folder, where)
    if not media.save_traversal(folder, learner, batch):
        raise DiswmError(f"{folder}: its encoder has no Gaussian code to traverse. diswm, paper, no_distill and no_disentangle have one.")
    closeups(folder, learner.world.encoder, videos=videos)
    return folder / "media" / "traversal.npz"


def _frames_of(folder: Path, kind: str, videos: Path | None) -> dict[str, np.ndarray]:
    found = read_config(folder)["config"]
    config = from_dict(TrainRun, found) if kind == "train" else from_dict(PretrainRun, found)
    rng = generator(config.seed, "media")
    own = [beside(folder, path) for path in config.videos] if isinstance(config, PretrainRun) else []
    source: Sequence[Path] = [videos] if videos else own
    if source or isinstance(config, PretrainRun):
        if not source:
            raise DiswmError(f"{folder}: names no videos to take frames from, as it was imported. Name some with --videos.")
        return _videos(source, length=8, cache=folder.parent / "cache").sample(rng, 32, 8)
    if config.env.task == NO_TASK:
        raise DiswmError(f"{folder}: was imported without a task to take frames from. Name videos with --videos, or import with --task.")
    with contextlib.suppress(DiswmError), replay_of(folder) as replay:
        return replay.sample(rng, 8, config.train.length)
    env = envs.make(config.env)
    try:
        rollout = Rollout(env, config.seed, "media", progress=1.0)
        policy = RandomPolicy(rng, rollout.act_dim, env.discrete)
        while not rollout.step(policy.act(rollout.image)).done:
            pass
        return {name: value[None] for name, value in rollout.finish(1.0).items()}
    finally:
        env.close()


def _say(run: Run, learner: WorldLearner) -> None:
    count = sum(param.numel() for param in learner.world.parameters()) / 1e6
    how = f"{learner.device}, {str(learner.dtype).removeprefix('torch.')}, {torch.get_num_threads()} threads"
    how += ", CUDA graphs" if learner.runner.tape else ""
    console.print(f"{run.folder}: world model of {count:.2f}M parameters on {how}")


def _leave(run: Run, done: bool) -> None:
    state = "finished" if done else "stopped and saved; the same command goes on"
    console.print(f"{run.folder}: {state} ({run.counters.frames:,} frames, {run.counters.updates:,} updates, {run.seconds / 60:.1f} min)")
