"""The evaluations of a run: on the training colours, on colours never trained on, with random actions, and on what each phase had."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from diswm import envs
from diswm.agents import Dreamer
from diswm.config import TrainRun
from diswm.data.disk import make_folder
from diswm.envs.factors import TextureConfig
from diswm.envs.naming import in_words
from diswm.envs.specs import Phase
from diswm.envs.vector import Vector, vector
from diswm.metrics.recovery import alone_at
from diswm.trainers import media
from diswm.trainers.evaluate import Abandoned, EvalConfig, Evaluation, Watch, evaluate, mean_actor, random_actor
from diswm.trainers.progress import Bar, Interrupt, console, progress
from diswm.trainers.run import write_json
from diswm.trainers.seeds import generator, seed_of

NO_UNSEEN = "no unseen world: the task has no distractions"


def side_by_side(env: envs.EnvConfig, config: EvalConfig) -> Vector:
    """As many copies of an environment as an evaluation plays at once. DiswmError where it cannot be made."""
    count = min(config.at_once, config.episodes)
    return vector(partial(envs.make, env), count, min(config.workers, count))


class Evaluations:
    """Evaluation environments, made when first needed and used again."""

    def __init__(self, config: TrainRun) -> None:
        self.config = config
        self._envs: dict[str, Vector] = {}

    def _make(self, split: str) -> Vector:
        if split not in self._envs:
            env = envs.unseen(self.config.env, self.config.unseen) if split == "unseen" else self.config.env
            self._envs[split] = side_by_side(env, self.config.eval)
        return self._envs[split]

    def _seeds(self, component: str) -> list[int]:
        return [seed_of(self.config.seed, component, index) for index in range(self.config.eval.episodes)]

    def seen(self, agent: Dreamer, watch: Watch, progress: float) -> Evaluation:
        """On the training colours and other distractions, those of this part of the run where they have phases."""
        return evaluate(mean_actor(agent), self._make("seen"), self._seeds("eval_seen"), watch, progress)

    def phase(self, index: int, agent: Dreamer, watch: Watch, progress: float) -> Evaluation:
        """On what one phase trained on, wherever the run is; the seeds are those of ``seen``."""
        whole = self.config.env.plan().phases[index].end
        return evaluate(mean_actor(agent), self._make("seen"), self._seeds("eval_seen"), watch, whole)

    def unseen(self, agent: Dreamer, watch: Watch, progress: float) -> Evaluation:
        """On the colours never trained on, and the test sets of the other distractions."""
        return evaluate(mean_actor(agent), self._make("unseen"), self._seeds("eval_unseen"), watch)

    @property
    def differ(self) -> bool:
        """Whether there is an unseen world: one without distractions, as Gymnasium's are, looks the same however it is evaluated."""
        env = self.config.env
        return bool(env.plan().kinds() or envs.unseen(env, self.config.unseen).plan().kinds())

    def random(self, agent: Dreamer, watch: Watch, progress: float) -> Evaluation:
        """Random actions of the agent's kind, where ``seen`` plays."""
        actor = random_actor(generator(self.config.seed, "eval_random"), agent.world.act_dim, agent.discrete)
        return evaluate(actor, self._make("seen"), self._seeds("eval_seen"), watch, progress)

    def close(self) -> None:
        """Close them."""
        for made in self._envs.values():
            made.close()


def evaluate_all(folder: Path, agent: Dreamer, stages: Evaluations, config: TrainRun, frames: int) -> dict[str, Evaluation] | None:
    """Write evaluation.json and the films; None if it was interrupted, then nothing is written."""
    results: dict[str, Evaluation] = {}
    done = frames / config.train.frames
    phases = _phases(config, done)
    windows = _windows(config.env.plan().phases)  # a phase that the next one overtook was never on alone
    earlier = {f"phase {i + 1}": i for i, phase in enumerate(phases[:-1]) if alone_at(windows, phase.end) == i}
    plays = {"random": stages.random, "seen": stages.seen} | ({"unseen": stages.unseen} if stages.differ else {})
    plays |= {name: partial(stages.phase, index) for name, index in earlier.items()}
    with Interrupt("stopping the evaluation; the same command makes it anew") as stop:
        for name, play in plays.items():
            with progress(f"evaluate, {name}", config.eval.episodes, "episodes") as bar:

                def watch(episodes: int, steps: int, bar: Bar = bar) -> None:
                    bar.update(episodes, f"step {steps}")
                    if stop.requested:
                        raise Abandoned

                try:
                    results[name] = play(agent, watch, done)
                except Abandoned:
                    return None
    looks = {"unseen": _look(envs.unseen(config.env, config.unseen).plan().phases[0])}
    looks |= {name: _look(phases[index]) for name, index in earlier.items()}
    table: dict[str, Any] = {}
    make_folder(folder / "media")
    for name, result in results.items():
        media.save_gif(folder / "media" / f"eval_{name.replace(' ', '_')}.gif", result.video)
        table[name] = {**result.record(), **(looks.get(name) or _now(phases, done))}
        console.print(_line(name, table[name]))
    if "unseen" not in results:
        table["unseen"] = {"returns": [], "absent": NO_UNSEEN}
        (folder / "media" / "eval_unseen.gif").unlink(missing_ok=True)  # of an evaluation that did not know
        console.print(NO_UNSEEN)
    table["phases"] = [{"start": phase.start, "end": phase.end, **_look(phase)} for phase in phases]
    write_json(folder / "evaluation.json", {**table, "frames": frames})
    return results


def _phases(config: TrainRun, done: float) -> list[Phase]:
    """The phases that a run has entered after this part of its budget."""
    return [phase for phase in config.env.plan().phases if phase.start < done or phase.end <= done]


def _windows(phases: Sequence[Phase]) -> list[tuple[float, float]]:
    return [(phase.start, phase.end) for phase in phases]


def _look(phase: Phase) -> dict[str, Any]:
    """What is said of a phase beside its results: the box of its colours, its texture, and all its distractions in words."""
    textures = [layer.name or layer.split for layer in phase.layers if isinstance(layer, TextureConfig)]
    return {"colours": phase.colour.colours, **({"texture": textures[0]} if textures else {}), "on": in_words(phase)}


def _now(phases: Sequence[Phase], done: float) -> dict[str, Any]:
    """What is said of the distractions of this part of a run."""
    mixed = alone_at(_windows(phases), done) is None
    return _look(phases[-1]) | ({"on": ["old and new distractions, mixed"]} if mixed else {})


def _line(name: str, found: dict[str, Any]) -> str:
    """One evaluation in a line."""
    returns, successes = found["returns"], found.get("successes")
    won = f", success {np.mean(successes):.0%}" if successes else ""
    return (
        f"{name:>7}: return {np.mean(returns):7.1f}{won} over {len(returns)} episode{'s' * (len(returns) > 1)} on {', '.join(found['on'])}"
    )
