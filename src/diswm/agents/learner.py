"""Learning a world model from batches: one optimiser, and a dict of named terms with weights of the same names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from diswm.contract import Batch
from diswm.model.world import ModelConfig, Observation, WorldModel
from diswm.objectives import Anneal, total, weights_at
from diswm.objectives.disentangle import beta_term
from diswm.objectives.distill import CodePair, DistillKind, Reduction, distill_term
from diswm.objectives.prediction import FreeNats, continue_term, image_term, kl_terms, reward_term

Precision = Literal["auto", "float32", "bfloat16"]


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
    precision: Precision = "auto"
    """Arithmetic of convolutions and products. `auto`: bfloat16 where the machine has units for it."""


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of products and convolutions; float32 where the device has no bfloat16 units."""
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and able) else torch.float32


def to_tensors(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """The same batch as tensors on the device."""
    return {name: torch.from_numpy(np.ascontiguousarray(value)).to(device, non_blocking=True) for name, value in batch.items()}


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """No gradients for these modules' weights inside the block; gradients still flow through them."""
    params = [param for module in modules for param in module.parameters() if param.requires_grad]
    for param in params:
        param.requires_grad_(False)
    try:
        yield
    finally:
        for param in params:
            param.requires_grad_(True)


class Optimiser:
    """Adam with a bound on the gradients' norm, that refuses a step which is not finite."""

    def __init__(self, module: nn.Module, lr: float, eps: float, clip: float) -> None:
        self.params = list(module.parameters())
        self.adam = torch.optim.Adam(self.params, lr=lr, eps=eps, fused=True)
        self.clip = clip

    def step(self, loss: Tensor) -> tuple[Tensor, bool]:
        """Backward, clip, step. Returns the gradients' norm and whether the step was taken."""
        self.adam.zero_grad(set_to_none=True)
        if not torch.isfinite(loss):
            return loss.new_tensor(float("nan")), False
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.params, self.clip, foreach=True)
        if not torch.isfinite(norm):
            return norm, False
        self.adam.step()
        return norm, True

    def load(self, state: dict[str, Any]) -> None:
        """Restore ``adam.state_dict()``; the moments take their weights' memory layout, as fused Adam walks through both as they lie."""
        self.adam.load_state_dict(state)
        for param, moments in self.adam.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                moments[name] = torch.empty_like(param).copy_(moments[name])


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
        self.world.to(self.device)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.distill = distill_term(config.distill_kind, config.distill_reduction)
        self.optimiser = Optimiser(self.world, config.lr, config.eps, config.clip)
        self._check_terms()

    def _build_more(self) -> None:
        """For agents: networks beside the world model, drawn from the same seed."""

    def _check_terms(self) -> None:
        weights_at(self.weights, self.anneal, 0)
        if unknown := sorted(set(self.weights) - set(_TERMS)):
            raise KeyError(f"unknown terms {unknown}; there are {sorted(_TERMS)}")

    def autocast(self) -> AbstractContextManager[Any]:
        """Products and convolutions in the chosen precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def update_world(self, data: dict[str, Tensor], steps: int) -> tuple[Observation, dict[str, Tensor | float]]:
        """One step on a batch of tensors (B, T, ...). Returns what was filtered, and metrics with `skipped` 0 or 1."""
        self.world.train()
        with self.autocast():
            obs = self.world.observe(data["image"], self.actions(data), self.generator)
            context = TermContext(self, data, obs)
            terms = {name: _TERMS[name](context) for name in self.weights}
        weights = weights_at(self.weights, self.anneal, steps)
        loss = total(terms, weights)
        norm, taken = self.optimiser.step(loss)
        metrics: dict[str, Tensor | float] = {f"loss/{name}": term.detach().mean() for name, term in terms.items()}
        metrics |= {"loss/total": loss.detach(), "grad_norm/model": norm, "skipped": float(not taken)}
        metrics |= {f"weight/{name}": weights[name] for name in self.anneal}
        return obs, metrics

    def actions(self, data: dict[str, Tensor]) -> Tensor:
        """The actions (B, T, A); for the action-free model (B, T, 0)."""
        return data["action"] if self.world.act_dim else data["image"].new_empty(*data["image"].shape[:2], 0, dtype=torch.float32)

    def update(self, batch: Batch, *, steps: int = 0, updates: int = 0) -> dict[str, Tensor | float]:
        """One optimiser step on one batch at these counts."""
        return self.update_world(to_tensors(batch, self.device), steps)[1]

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update depends on, as nested dicts of tensors and numbers."""
        return {
            "model": {"world": self.world.state_dict()},
            "optimiser": {"world": self.optimiser.adam.state_dict()},
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.world.load_state_dict(state["model"]["world"])
        self.optimiser.load(state["optimiser"]["world"])
        self.generator.set_state(state["generator"])


class TermContext:
    """What terms are made of; the parts that two terms share are computed once."""

    def __init__(self, learner: WorldLearner, data: dict[str, Tensor], obs: Observation) -> None:
        self.learner, self.world, self.data, self.obs = learner, learner.world, data, obs
        self.feature = obs.post.feature
        self._kl: dict[str, Tensor] = {}

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
        teacher = mean + torch.exp(0.5 * logvar) * noise[1]
        return CodePair(code.mean, code.logvar, code.sample(noise[0]), mean, logvar, teacher)


_TERMS = {
    "image": lambda c: image_term(c.world.decode(c.feature), c.data["image"]),
    "reward": lambda c: reward_term(c.world.heads["reward"](c.feature), c.data["reward"]),
    "continue": lambda c: continue_term(c.world.heads["continue"](c.feature), c.data["is_terminal"]),
    "dyn": lambda c: c.kl("dyn"),
    "rep": lambda c: c.kl("rep"),
    "beta": lambda c: beta_term(c.obs.code.mean, c.obs.code.logvar),
    "distill": lambda c: c.learner.distill(c.codes()),
}
