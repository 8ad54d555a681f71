"""THE loop: act, store, learn, evaluate, save. Every world-model method is trained by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diswm.agents.dreamer import Dreamer, PolicyState
from diswm.contract import FACTOR_PREFIX, Array, DiswmError, Env
from diswm.data.replay import Replay
from diswm.model.rssm import Latent
from diswm.model.world import WorldModel
from diswm.trainers.ahead import Ahead
from diswm.trainers.evaluate import Abandoned, Diverged, Evaluation, Watch
from diswm.trainers.meter import DIVERGED, Meter, Stall
from diswm.trainers.probe import Probe
from diswm.trainers.progress import Bar, Interrupt, console, progress
from diswm.trainers.rollout import RandomPolicy, Rollout
from diswm.trainers.run import Run
from diswm.trainers.seeds import generator


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Budgets and clocks of online training. The defaults are the paper's."""

    frames: int = 1_000_000
    """Budget, in simulator steps."""
    prefill_steps: int = 2500
    """Agent steps with uniform random actions before learning."""
    first_updates: int = 100
    """Updates at the end of the prefill."""
    update_every: int = 5
    """Agent steps per update."""
    batch: int = 50
    """Windows per batch."""
    length: int = 50
    """Steps per window."""
    eval_every: int = 10_000
    """Frames between evaluations on the training colours."""
    log_every: int = 100
    """Updates between lines of metrics."""
    save_every_seconds: float = 300.0
    """Seconds between checkpoints."""
    patience: int = 20
    """Updates in a row that may be skipped because of NaN before training stops."""
    replay_rows: int = 501_000
    """Capacity of the replay, in rows: the agent steps and the first frame of each episode."""
    replay_gb: float = 8.0
    """Largest size of the replay on disk, in GB; lowers the capacity."""


def updates_due(config: TrainConfig, steps: int) -> int:
    """Updates that should have happened after this many agent steps: a pure function, so that a resumed run keeps it."""
    if steps < config.prefill_steps:
        return 0
    return config.first_updates + (steps - config.prefill_steps) // config.update_every


def teacher_codes(teacher: WorldModel, image: Array, chunk: int = 256) -> dict[str, Array]:
    """The frozen teacher's code of an episode's frames (L, H, W, C): columns of (L, E) for the replay."""
    device = next(teacher.parameters()).device
    with torch.no_grad():
        codes = [teacher.encode(torch.from_numpy(image[i : i + chunk]).to(device)) for i in range(0, len(image), chunk)]
    return {
        "teacher_mean": torch.cat([code.mean for code in codes]).cpu().numpy(),
        "teacher_logvar": torch.cat([code.logvar for code in codes]).cpu().numpy(),
    }


class Trainer:
    """The parts of one online run; ``train`` is the loop over them.

    ``evaluate(agent, watch, progress)`` plays the evaluation episodes under the distractions that hold at this part of the
    budget, and leaves the agent as it was.
    What is due next follows from the counters alone, so that a run may be stopped between any two acts and updates.
    """

    def __init__(
        self,
        run: Run,
        agent: Dreamer,
        env: Env,
        config: TrainConfig,
        seed: int,
        *,
        teacher: WorldModel | None,
        evaluate: Callable[[Dreamer, Watch, float], Evaluation],
        probe: Probe | None = None,
    ) -> None:
        self.probe = probe
        self.run, self.agent, self.config, self.teacher, self.evaluate = run, agent, config, teacher, evaluate
        self.rollout = Rollout(env, seed, "train_env")
        self.prefill = RandomPolicy(generator(seed, "prefill"), self.rollout.act_dim, agent.discrete)
        self.batches = Ahead(
            lambda rng: self.replay.sample(rng, config.batch, config.length),
            generator(seed, "replay"),
            agent.stage,
            early=agent.device.type == "cuda",
            held=lambda: self.replay.added,
        )
        self.acting: PolicyState | None = None
        self.meter, self.stall = Meter(config.patience), Stall()
        self.evaluations = 0
        """Evaluations that are done, of one every ``eval_every`` frames."""
        self.final_frames = -1
        """Frames at which the final evaluation was made; set by the caller."""
        extras = {"teacher_mean": teacher.encoder.size, "teacher_logvar": teacher.encoder.size} if teacher else {}
        labels = {name: value.shape[1] for name, value in self.rollout.builder.episode().items() if name.startswith(FACTOR_PREFIX)}
        if run.last_state:  # an older replay has none, and goes on without
            labels = {name: size for name, size in labels.items() if name in run.last_state["replay"]["extras"]}
        self._replay_args: dict[str, Any] = {
            "capacity": config.replay_rows,
            "action_dim": self.rollout.act_dim,
            "image_shape": self.rollout.image.shape,
            "extras": extras | labels,
            "disk_bytes": int(config.replay_gb * 1e9),
        }
        self.replay = self._resume(run.last_state) if run.last_state else Replay(self._folder, overwrite=True, **self._replay_args)

    @property
    def _folder(self) -> Path:
        return self.run.folder / "replay"

    @property
    def progress(self) -> float:
        """The part of the budget of frames that is spent."""
        return self.run.counters.frames / self.config.frames

    def train(self) -> bool:
        """Run until the budget of frames is spent (True) or an interrupt (False); both save, unless nothing happened."""
        c, config = self.run.counters, self.config
        happened = False
        with Interrupt() as stop, progress("train", config.frames, "frames", done=c.frames) as bar:
            saved = self.run.seconds
            while not stop.requested and (due := self._due()):
                due(bar, stop)
                happened = True
                # While updates are skipped the weights may be what is wrong: the checkpoint before them must stay.
                if self.run.seconds - saved > config.save_every_seconds and not self.meter.in_a_row:
                    self.save()
                    saved = self.run.seconds
                bar.update(c.frames)
            if self.probe and happened and self._due() is None:
                self.probe.due(c.updates, final=True)
        if happened:
            self.save()
        return self._due() is None and not stop.requested

    def _due(self) -> Callable[[Bar, Interrupt], None] | None:
        """What comes next: an update, an evaluation, a step or, at the end of the budget, nothing."""
        c, config = self.run.counters, self.config
        if c.updates < updates_due(config, c.steps) and self.replay.episodes:
            return self.learn
        if self.evaluations < c.frames // config.eval_every:
            return self.log_evaluation
        return self.act if c.frames < config.frames else None

    def act(self, bar: Bar, stop: Interrupt) -> None:
        """One agent step; a finished episode enters the replay, with the values of its factors and the teacher's codes."""
        c, rollout = self.run.counters, self.rollout
        action = self._action()
        taken = rollout.step(action)
        c.steps += 1
        c.frames += taken.frames
        if taken.done:
            c.episodes += 1
            self.run.log("episode", **{"return": round(rollout.score, 3), "length": len(rollout.actions)})
            episode = rollout.finish(self.progress)
            columns = episode | (teacher_codes(self.teacher, episode["image"]) if self.teacher else {})
            self.batches.settle()
            self.replay.add(columns)

    def _action(self) -> Array:
        if self.run.counters.steps < self.config.prefill_steps:
            return self.prefill.act(self.rollout.image)
        first = np.array([self.rollout.is_first])
        action, self.acting = self.agent.policy(self.rollout.image[None], first, self.acting, sample=True)
        if not np.isfinite(action).all():
            raise DiswmError(f"The agent's actions are not finite after {self.run.counters.updates} updates. {DIVERGED}")
        return action[0]

    def learn(self, bar: Bar, stop: Interrupt) -> None:
        """One update on one batch."""
        c = self.run.counters
        if self.probe:
            with bar.aside():
                self.probe.due(c.updates)
        metrics = self.agent.update(self.batches.take(), steps=c.steps, updates=c.updates)
        self.batches.prepare()  # before the metrics, which a GPU has only when it is done
        taken = self.meter.add(metrics)
        c.updates += 1
        c.skipped_updates += not taken
        if c.updates in (1, self.config.first_updates):
            bar.restart()  # in between no frame comes, and from then on they come at another rate
        if c.updates % self.config.log_every == 0:
            values = self.meter.mean()
            self.run.log("update", **values)
            if words := self.stall.add(values):
                console.print(words)
            shown = {"image": "loss/image", "kl": "loss/dyn", "imagined return": "imagined/return"}
            bar.update(c.frames, "  ".join(f"{word} {values[name]:.4g}" for word, name in shown.items() if name in values))

    def log_evaluation(self, bar: Bar, stop: Interrupt) -> None:
        """Evaluate on the training colours; an interrupt abandons it, to be made anew when the run goes on.

        What fails in a world of evaluation takes nothing from the training, which is saved before the error goes on.
        """
        c = self.run.counters

        def watch(episodes: int, steps: int) -> None:
            bar.update(c.frames, f"evaluating: {episodes} episodes done, {steps} steps into the others")
            if stop.requested:
                raise Abandoned

        try:
            with bar.aside():
                result = self.evaluate(self.agent, watch, self.progress)
        except Abandoned:
            return
        except DiswmError as error:
            if isinstance(error, Diverged) or self.meter.in_a_row:  # the weights may be what is wrong: see `train`
                raise
            self.save()
            raise DiswmError(
                f"{error} It happened in an evaluation: the training is saved at {c.frames:,} frames and goes on there."
            ) from error
        self.evaluations = c.frames // self.config.eval_every
        self.run.log("eval", split="seen", **result.record())
        mean = sum(result.returns) / len(result.returns)
        console.print(f"frames {c.frames:>9,}  updates {c.updates:>7,}  eval return {mean:8.1f}  {self.run.seconds / 60:6.1f} min")

    # ---- checkpoint

    def save(self) -> None:
        """Everything that the next step depends on."""
        acting = self.acting
        self.batches.settle()  # a draw may find an episode damaged and drop it
        self.run.save(
            {
                "agent": self.agent.state_dict(),
                "replay": self.replay.state(),
                "rollout": self.rollout.state(),
                "acting": None if acting is None else {"latent": list(acting.latent), "action": acting.action},
                "sampler": self.batches.state,
                "prefill": self.prefill.rng.bit_generator.state,
                "meter": self.meter.state(),
                "evaluations": self.evaluations,
                "final_frames": self.final_frames,
                **({"probe": self.probe.state()} if self.probe else {}),
            }
        )

    def _resume(self, state: dict[str, Any]) -> Replay:
        self.agent.load_state_dict(state["agent"])
        replay = Replay.restore(self._folder, state["replay"], **self._replay_args)
        if replay.dropped_episodes:
            console.print(f"the replay lost {replay.dropped_episodes} episodes that were overwritten after the checkpoint")
        self.rollout.restore(state["rollout"])
        if state["acting"] is not None:
            device = self.agent.device
            latent = Latent(*(part.to(device) for part in state["acting"]["latent"]))
            self.acting = PolicyState(latent, state["acting"]["action"].to(device))
        self.batches.restore(state["sampler"])
        self.prefill.rng.bit_generator.state = state["prefill"]
        self.meter.restore(state["meter"])
        if self.probe:
            self.probe.restore(state.get("probe"))
        self.evaluations, self.final_frames = state["evaluations"], state["final_frames"]
        return replay
