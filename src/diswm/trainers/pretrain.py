"""Pretraining: the action-free video model learns from distracting videos."""

from __future__ import annotations

import dataclasses

from diswm.agents.learner import WorldLearner
from diswm.data.videos import Videos
from diswm.trainers.ahead import Ahead
from diswm.trainers.meter import Meter
from diswm.trainers.probe import Probe
from diswm.trainers.progress import Interrupt, progress
from diswm.trainers.run import Run
from diswm.trainers.seeds import generator


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """Budgets and clocks of pretraining. The defaults are the paper's."""

    updates: int = 100_000
    """Budget, in updates (the authors' release stops at 20,000)."""
    batch: int = 50
    """Windows per batch."""
    length: int = 50
    """Frames per window."""
    log_every: int = 100
    """Updates between lines of metrics."""
    save_every_seconds: float = 300.0
    """Seconds between checkpoints."""
    patience: int = 20
    """Updates in a row that may be skipped because of NaN before training stops."""
    ram_gb: float = 2.0
    """Videos beyond this size are read from a cache on disk."""


def pretrain(run: Run, learner: WorldLearner, videos: Videos, config: PretrainConfig, seed: int, probe: Probe | None = None) -> bool:
    """Run until the budget of updates is spent (True) or an interrupt (False); both save. ``probe`` scores the code on the way."""
    batches = Ahead(
        lambda rng: videos.sample(rng, config.batch, config.length),
        generator(seed, "replay"),
        learner.stage,
        early=learner.device.type == "cuda",
    )
    c, meter, note = run.counters, Meter(config.patience), ""
    if state := run.last_state:
        learner.load_state_dict(state["agent"])
        batches.restore(state["sampler"])
        meter.restore(state["meter"])
        if probe:
            probe.restore(state.get("probe"))

    def save() -> None:
        run.save(
            {
                "agent": learner.state_dict(),
                "sampler": batches.state,
                "meter": meter.state(),
                "videos": {"hash": videos.hash, "rows": videos.rows},
                **({"probe": probe.state()} if probe else {}),
            }
        )

    happened = False
    with Interrupt() as stop, progress("pretrain", config.updates, "updates", done=c.updates) as bar:
        saved = run.seconds
        while c.updates < config.updates and not stop.requested:
            if probe:
                with bar.aside():
                    probe.due(c.updates)
            metrics = learner.update(batches.take(), updates=c.updates)
            batches.prepare()  # before the metrics, which a GPU has only when it is done
            taken = meter.add(metrics)
            happened = True
            c.updates += 1
            c.skipped_updates += not taken
            if c.updates % config.log_every == 0:
                values = meter.mean()
                run.log("update", **values)
                note = "  ".join(f"{name} {values[f'loss/{name}']:.1f}" for name in learner.weights if f"loss/{name}" in values)
            bar.update(c.updates, note)
            # While updates are skipped the weights may be what is wrong: the checkpoint before them must stay.
            if run.seconds - saved > config.save_every_seconds and not meter.in_a_row:
                save()
                saved = run.seconds
        if probe and happened and c.updates >= config.updates:
            probe.due(c.updates, final=True)
    if happened:
        save()
    return c.updates >= config.updates and not stop.requested
