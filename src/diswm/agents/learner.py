"""Learning a world model from batches: one optimiser, and a dict of named terms with weights of the same names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import Tensor

from diswm.agents.captured import Graph, Readings, Runner, stage
from diswm.agents.optimiser import Optimiser
from diswm.contract import Batch, DiswmError
from diswm.model.discriminator import Discriminator
from diswm.model.encoder import Code
from diswm.model.world import ModelConfig, Observation, WorldModel, windows_at_a_time
from diswm.objectives import Anneal, total, weights_at
from diswm.objectives.disentangle import (
    STRENGTH,
    Codes,
    DisentangleKind,
    Draw,
    beta_term,
    capacity_at,
    discriminator_loss,
    disentangle_term,
    permute_dimensions,
)
from diswm.objectives.distill import CodePair, DistillKind, Reduction, distill_term
from diswm.objectives.prediction import FreeNats, continue_term, image_term_in_parts, kl_terms, reward_term

Precision = Literal["auto", "float32", "bfloat16"]

CAPACITY = "code/capacity"
DRAWN = 256  # frames of a batch that an estimate of total correlation compares with each other: its cost grows with their square


@dataclasses.dataclass(frozen=True)
class LearnerConfig:
    """How a world model is trained. The defaults are the paper's."""

    lr: float = 3e-4
    """Adam's learning rate for the world model."""
    eps: float = 1e-5
    """Adam's epsilon."""
    clip: float = 100.0
    """Largest global norm of the gradients."""
    free_nats: float = 1.0
    """Floor of the KL between posterior and prior, in nats."""
    free_nats_on: FreeNats = "mean"
    """Apply the floor to the `mean` over the batch (DreamerV2) or at every `step`."""
    distill_kind: DistillKind = "gaussian_kl"
    """How student and teacher codes are compared; `softmax_sample` is what the authors' release does."""
    distill_reduction: Reduction = "batch_time"
    """Average the distillation over batch and time, or over the `batch` alone as the authors' release does."""
    disentangle: DisentangleKind = "beta_vae"
    """Kind of the constraint on the code, the term `beta`; its scale is `weights.beta`."""
    disentangle_strength: float | None = None
    """What the kind adds to the KL: gamma, beta - 1 or lambda of its paper. None: the kind's own, which config.json then has."""
    capacity: float = 25.0
    """Nats that the code comes to hold (`annealed_capacity`)."""
    capacity_over: int = 50_000
    """Agent steps, in pretraining updates, until the code may hold them (`annealed_capacity`)."""
    discriminator_lr: float = 1e-4
    """Adam's learning rate for the discriminator (`factor_vae`)."""
    discriminator_units: int = 256
    """Units of each of the discriminator's six hidden layers (`factor_vae`; its paper has 1000)."""
    precision: Precision = "auto"
    """Arithmetic of convolutions and products. `auto`: bfloat16 where the machine has units for it."""
    graph: Graph = "auto"
    """Record an update, and acting while training, as CUDA graphs. `auto`: on a GPU, where it can be done; `on`: or fail; `off`."""

    def settled(self) -> LearnerConfig:
        """With the kind's own strength written out, so that a run goes on with the one that it was begun with."""
        own = STRENGTH.get(self.disentangle) if self.disentangle_strength is None else self.disentangle_strength
        return dataclasses.replace(self, disentangle_strength=own)


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of products and convolutions; float32 where the device has no bfloat16 units."""
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and able) else torch.float32


class RatioEstimator:
    """FactorVAE's discriminator with an optimiser of its own, which the code's term reads and does not train."""

    def __init__(self, size: int, config: LearnerConfig, device: torch.device) -> None:
        self.net = Discriminator(size, config.discriminator_units).to(device)
        self.optimiser = Optimiser(self.net, config.discriminator_lr, 1e-8, config.clip, betas=(0.5, 0.9))

    def __call__(self, sample: Tensor) -> Tensor:
        """log q(z) - sum_j log q(z_j) as it stands: (N, E) -> (N,)."""
        ratio: Tensor = self.net(sample)
        return ratio

    def loss(self, sample: Tensor, generator: torch.Generator) -> Tensor:
        """How badly it tells these samples (N, E) from themselves with permuted dimensions."""
        sample = sample.detach()
        return discriminator_loss(self.net(sample), self.net(permute_dimensions(sample, generator)))

    def step(self, loss: Tensor, allowed: Tensor | None = None) -> dict[str, Tensor]:
        """One step of its own optimiser on that loss, but not where ``allowed`` is False."""
        norm, _ = self.optimiser.step(loss, allowed)
        return {"discriminator/loss": loss.detach(), "discriminator/grad_norm": norm}


class WorldLearner:
    """A world model, its optimiser and its terms.

    ``weights`` names the terms: image, reward, continue, dyn, rep, beta, distill. ``anneal`` schedules some of them on
    the live count of agent steps.
    """

    def __init__(
        self,
        model: ModelConfig,
        act_dim: int,
        config: LearnerConfig,
        weights: Mapping[str, float],
        anneal: Mapping[str, Anneal] | None = None,
        *,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self.config, self.weights, self.anneal = config, dict(weights), dict(anneal or {})
        self.device = torch.device(device)
        self.dtype = resolve_precision(config.precision, self.device)
        with torch.random.fork_rng(devices=[]):  # layers draw their first weights from PyTorch's own generator
            torch.manual_seed(seed)
            self.world = WorldModel(model, act_dim)
            self._build_more()
            # Last, so that the networks above have the same first weights whatever the kind.
            self.discriminator = RatioEstimator(model.z_dim, config, self.device) if config.disentangle == "factor_vae" else None
        self.world.to(self.device)
        self.runner = Runner(torch.Generator(self.device).manual_seed(seed), config.graph)
        self.distill = distill_term(config.distill_kind, config.distill_reduction)
        self.disentangle = disentangle_term(config.disentangle, config.disentangle_strength)
        self.optimiser = Optimiser(self.world, config.lr, config.eps, config.clip)
        self._check_terms()

    @property
    def generator(self) -> torch.Generator:
        """All that learning and acting draw comes from it."""
        return self.runner.generator

    def _build_more(self) -> None:
        """For agents: networks beside the world model, drawn from the same seed."""

    def _check_terms(self) -> None:
        weights_at(self.weights, self.anneal, 0)
        if unknown := sorted(set(self.weights) - set(_TERMS)):
            raise KeyError(f"unknown terms {unknown}; there are {sorted(_TERMS)}")
        if "beta" not in self.weights and (self.config.disentangle, self.config.disentangle_strength) != ("beta_vae", None):
            raise DiswmError("learner.disentangle is a kind of the term beta, which this method does not have. Leave it out.")

    def autocast(self) -> AbstractContextManager[Any]:
        """Products and convolutions in the chosen precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def scheduled(self, steps: int, updates: int) -> dict[str, float]:
        """What the counts decide, by name: weights that have a schedule, and the nats that a growing code may hold.

        The count of updates is the clock of a model without actions, which takes no steps.
        """
        weights, config = weights_at(self.weights, self.anneal, steps), self.config
        values = {f"weight/{name}": weights[name] for name in self.anneal}
        if config.disentangle == "annealed_capacity":
            values[CAPACITY] = capacity_at(steps if self.world.act_dim else updates, config.capacity, config.capacity_over)
        return values

    def update_world(self, data: dict[str, Tensor]) -> tuple[Observation, dict[str, Tensor]]:
        """One step on a batch of tensors (B, T, ...) with what is scheduled. Returns what was filtered, and metrics: `skipped` 0 or 1."""
        self.world.train()
        with self.autocast():
            obs = self.world.observe(data["image"], self.actions(data), self.generator)
            context = TermContext(self, data, obs)
            terms = {name: _TERMS[name](context) for name in self.weights}
        loss = total(terms, {name: data.get(f"weight/{name}", weight) for name, weight in self.weights.items()})
        norm, taken = self.optimiser.step(loss)
        metrics = {f"loss/{name}": term.detach().mean() for name, term in terms.items()}
        metrics |= {"loss/total": loss.detach(), "grad_norm/model": norm, "skipped": (~taken).float()}
        if self.config.disentangle != "beta_vae" and obs.code.logvar.shape[-1]:
            metrics["code/kl"] = beta_term(obs.code.mean, obs.code.logvar).detach().mean()
        if self.discriminator:
            with self.autocast():
                loss = self.discriminator.loss(context.drawn, self.generator)
            metrics |= self.discriminator.step(loss, taken)
        return obs, metrics

    def actions(self, data: dict[str, Tensor]) -> Tensor:
        """The actions (B, T, A); for the action-free model (B, T, 0)."""
        return data["action"] if self.world.act_dim else data["image"].new_empty(*data["image"].shape[:2], 0, dtype=torch.float32)

    def update(self, batch: Batch | Mapping[str, Tensor], *, steps: int = 0, updates: int = 0) -> Mapping[str, float]:
        """One optimiser step on one batch at these counts. A GPU may still be at work on it then: the first look at the metrics waits."""
        self._before(updates)
        scheduled = self.scheduled(steps, updates)
        data = self.stage(batch) | {name: torch.tensor(value) for name, value in scheduled.items()}
        return Readings(self.runner(self.compute, data), {name: value for name, value in scheduled.items() if name != CAPACITY})

    def _before(self, updates: int) -> None:
        """For agents: what happens before some updates alone, and is in no recording."""

    def compute(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """One update as work of the device alone: tensors on it in, the batch and what is scheduled, metrics out; no value is read."""
        return self.update_world(data)[1]

    def stage(self, batch: Batch | Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The batch made ready for `update`, which does it itself otherwise; a GPU may be at work meanwhile."""
        return stage(batch, self.device)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on, as nested dicts of tensors and numbers."""
        state: dict[str, Any] = {
            "model": {"world": self.world.state_dict()},
            "optimiser": {"world": self.optimiser.adam.state_dict()},
            "generator": self.generator.get_state(),
        }
        if self.discriminator:
            state["model"]["discriminator"] = self.discriminator.net.state_dict()
            state["optimiser"]["discriminator"] = self.discriminator.optimiser.adam.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave. DiswmError where that was on a GPU and this is a CPU, or the other way round."""
        self.runner.forget()
        self.world.load_state_dict(state["model"]["world"])
        self.optimiser.load(state["optimiser"]["world"])
        self.runner.draw_on(state["generator"])
        if self.discriminator:
            self.discriminator.net.load_state_dict(state["model"]["discriminator"])
            self.discriminator.optimiser.load(state["optimiser"]["discriminator"])


class TermContext:
    """What terms are made of; the parts that two terms share are computed once."""

    def __init__(self, learner: WorldLearner, data: dict[str, Tensor], obs: Observation) -> None:
        self.learner, self.world, self.data, self.obs = learner, learner.world, data, obs
        self.feature = obs.post.feature
        self._kl: dict[str, Tensor] = {}
        self.drawn = obs.code.mean.new_empty(0)

    def image(self) -> Tensor:
        """Of the decoded features."""
        image, world = self.data["image"], self.world
        return image_term_in_parts(world.decode, world.decoder, self.feature, image, windows_at_a_time(image))

    def kl(self, name: str) -> Tensor:
        """`dyn` or `rep`."""
        if not self._kl:
            config = self.learner.config
            self._kl = kl_terms(self.obs.post, self.obs.prior, config.free_nats, config.free_nats_on)
        return self._kl[name]

    def codes(self) -> CodePair:
        """Student and teacher, with fresh samples of each."""
        code, generator = self.obs.code, self.learner.generator
        mean, logvar = self.data["teacher_mean"], self.data["teacher_logvar"]
        noise = self.world.noise(generator, 2, *mean.shape)
        return CodePair(code.mean, code.logvar, code.sample(noise[0]), mean, logvar, Code(mean, logvar).sample(noise[1]))

    def draw(self) -> Draw:
        """A sample of each of at most ``DRAWN`` frames; which ones is drawn too, as neighbours in a window are alike."""
        generator = self.learner.generator
        mean, logvar = (part.flatten(0, 1) for part in self.obs.code)
        chosen = torch.randperm(len(mean), generator=generator, device=mean.device)[:DRAWN]
        mean, logvar = mean[chosen], logvar[chosen]
        sample = Code(mean, logvar).sample(self.world.noise(generator, *mean.shape))
        self.drawn = sample
        return Draw(mean, logvar, sample)

    def disentangle(self) -> Tensor:
        """The constraint on the code. In float32: covariances and densities are differences of large numbers."""
        with torch.autocast(self.learner.device.type, enabled=False):
            return self.learner.disentangle(Codes(*self.obs.code, self.draw, self.ratio, self.data.get(CAPACITY, 0.0)))

    def ratio(self, sample: Tensor) -> Tensor:
        """The discriminator's view of samples (N, E) -> (N,)."""
        assert self.learner.discriminator
        with self.learner.autocast():
            return self.learner.discriminator(sample)


_TERMS = {
    "image": lambda c: c.image(),
    "reward": lambda c: reward_term(c.world.heads["reward"](c.feature), c.data["reward"]),
    "continue": lambda c: continue_term(c.world.heads["continue"](c.feature), c.data["is_terminal"]),
    "dyn": lambda c: c.kl("dyn"),
    "rep": lambda c: c.kl("rep"),
    "beta": lambda c: c.disentangle(),
    "distill": lambda c: c.learner.distill(c.codes()),
}
