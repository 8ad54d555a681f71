"""Dreamer: a world model, and an actor and critic that learn in its imagination. Every world-model method is this."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diswm.agents.learner import LearnerConfig, WorldLearner
from diswm.agents.optimiser import Optimiser
from diswm.contract import IMAGE_SHAPE, Array, DiswmError
from diswm.model.heads import Actor, AnyActor, OneHotActor, ScalarHead
from diswm.model.rssm import Latent
from diswm.model.world import ModelConfig
from diswm.objectives import Anneal
from diswm.objectives.imagine import Trajectory, actor_loss, critic_loss, imagine, lambda_return, path_weights


@dataclasses.dataclass(frozen=True)
class DreamerConfig:
    """Behaviour learning. The defaults are the paper's."""

    horizon: int = 15
    """Imagined states per start, the start included."""
    discount: float = 0.99
    """Discount per step."""
    lam: float = 0.95
    """Lambda of the returns."""
    entropy: float = 1e-4
    """Weight of the actor's entropy."""
    actor_layers: int = 4
    """Hidden layers of the actor."""
    critic_layers: int = 3
    """Hidden layers of the critic."""
    units: int = 400
    """Hidden units of actor and critic."""
    actor_lr: float = 8e-5
    """Adam's learning rate for the actor."""
    critic_lr: float = 8e-5
    """Adam's learning rate for the critic."""
    eps: float = 1e-5
    """Adam's epsilon."""
    clip: float = 100.0
    """Largest global norm of the gradients."""
    slow_every: int = 100
    """Updates between copies of the critic into the slow critic."""
    starts: int = 0
    """Imagine from this many states of a batch, drawn at random. 0: from all."""


class PolicyState(NamedTuple):
    """What acting remembers of N environments."""

    latent: Latent
    action: Tensor  # (N, A)


class Dreamer(WorldLearner):
    """Acts by filtering frames; learns the world from a replay and behaviour in imagination.

    As a policy: ``agent.reset(); action = agent.act(image)``, with means in place of samples. With ``discrete`` an action is a choice
    of one in ``act_dim``, a one-hot vector.
    """

    def __init__(
        self,
        model: ModelConfig,
        act_dim: int,
        learner: LearnerConfig,
        dreamer: DreamerConfig,
        weights: Mapping[str, float],
        anneal: Mapping[str, Anneal] | None = None,
        *,
        discrete: bool = False,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self.dreamer, self.discrete = dreamer, discrete
        super().__init__(model, act_dim, learner, weights, anneal, seed=seed, device=device)
        for net in (self.actor, self.critic):
            net.to(self.device)
        self.slow_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimiser = Optimiser(self.actor, dreamer.actor_lr, dreamer.eps, dreamer.clip)
        self.critic_optimiser = Optimiser(self.critic, dreamer.critic_lr, dreamer.eps, dreamer.clip)
        self._acting: PolicyState | None = None

    def _build_more(self) -> None:
        c, feature = self.dreamer, self.world.feature_size
        kind = OneHotActor if self.discrete else Actor
        self.actor: AnyActor = kind(feature, self.world.act_dim, c.actor_layers, c.units)
        self.critic = ScalarHead(feature, c.critic_layers, c.units)

    # ---- acting

    def reset(self) -> None:
        """Forget the episode."""
        self._acting = None

    def act(self, image: Array) -> Array:
        """One frame (64, 64, 3) uint8 in, one action (A,) out: the mean, or the most likely as one-hot. DiswmError for another image."""
        if image.dtype != np.uint8 or image.shape != IMAGE_SHAPE:
            raise DiswmError(f"The image is {image.dtype} {image.shape}. Expected uint8 {IMAGE_SHAPE}: height, width, RGB from 0 to 255.")
        first = np.array([self._acting is None])
        action, self._acting = self.policy(image[None], first, self._acting, sample=False)
        return action[0]

    @torch.no_grad()
    def policy(self, image: Array, is_first: Array, state: PolicyState | None, *, sample: bool) -> tuple[Array, PolicyState]:
        """Act in N environments: image (N, H, W, C) uint8, is_first (N,) bool -> action (N, A), in [-1, 1] or one-hot, and state.

        With ``sample`` code, latent and action are drawn (training); without, they are means (evaluation).
        """
        frames = torch.from_numpy(np.ascontiguousarray(image))
        if state is None:
            count = len(frames)
            state = PolicyState(self.world.rssm.initial(count), torch.zeros(count, self.world.act_dim, device=self.device))
        keep = torch.from_numpy(~np.asarray(is_first, bool))
        given = {"image": frames, "keep": keep, "action": state.action, **state.latent._asdict()}
        found = self.runner(self.draw_action, given) if sample else self._action(self.runner.there(given), None)
        action = found.pop("action")
        return action.cpu().numpy(), PolicyState(Latent(**found), action)

    def draw_action(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """One step of acting with samples, as work of the device alone: what `policy` gives, from frames, state and what of it to keep."""
        return self._action(given, self.generator)

    def _action(self, given: dict[str, Tensor], generator: torch.Generator | None) -> dict[str, Tensor]:
        keep = given["keep"][:, None]
        latent = Latent(*(given[name] * keep for name in Latent._fields))
        latent = self.world.step(given["image"], given["action"] * keep, latent, generator)
        action, _ = self.actor.act(latent.feature, self.world.noise(generator, len(keep), self.world.act_dim))
        return {"action": action, **latent._asdict()}

    # ---- learning

    def _before(self, updates: int) -> None:
        if updates % self.dreamer.slow_every == 0:
            self.slow_critic.load_state_dict(self.critic.state_dict())

    def compute(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """World model, then actor, then critic; where the first refuses its step, so do the others."""
        obs, metrics = self.update_world(data)
        return metrics | self.update_behaviour(obs.post, metrics["skipped"] == 0)

    def _starts(self, post: Latent) -> Latent:
        flat = post.map(lambda part: part.detach().flatten(0, 1))
        if not 0 < self.dreamer.starts < len(flat.stoch):
            return flat
        chosen = torch.randperm(len(flat.stoch), generator=self.generator, device=self.device)[: self.dreamer.starts]
        return flat.map(lambda part: part[chosen])

    def update_behaviour(self, post: Latent, allowed: Tensor | None = None) -> dict[str, Tensor]:
        """One step of the actor, then of the critic, in imagination from posterior states (B, T, ...); the world model stays as it is.

        No step is taken where ``allowed`` is False.
        """
        c, start = self.dreamer, self._starts(post)
        with self.autocast():
            path = self.dream(start)
            reward = self.world.heads["reward"](path.feature)
            value = self.slow_critic(path.feature)
            discount = self._discount(path.feature)
            returns = lambda_return(reward, value, discount, c.lam)
            weight = path_weights(discount)[:-1]
            loss = actor_loss(returns, path.entropy, weight, c.entropy)
            value_loss = critic_loss(self.critic(path.feature[:-1].detach()), returns, weight)
        actor_norm, actor_taken = self.actor_optimiser.step(loss, allowed)
        critic_norm, critic_taken = self.critic_optimiser.step(value_loss, allowed)
        return {
            "actor/loss": loss.detach(),
            "actor/entropy": path.entropy.detach().mean(),
            "actor/grad_norm": actor_norm,
            "critic/loss": value_loss.detach(),
            "critic/grad_norm": critic_norm,
            "imagined/reward": reward.detach().mean(),
            "imagined/return": returns.detach().mean(),
            "skipped": (~(actor_taken & critic_taken)).float(),
        }

    def dream(self, start: Latent) -> Trajectory:
        """Imagine ``horizon`` states from N starts under the actor."""
        shape = (self.dreamer.horizon - 1, len(start.stoch))
        noise = self.world.noise(self.generator, *shape, self.world.act_dim + self.world.rssm.stoch)
        return imagine(self.world.rssm, self.actor, start, noise[..., : self.world.act_dim], noise[..., self.world.act_dim :])

    def _discount(self, feature: Tensor) -> Tensor:
        constant = feature.new_full(feature.shape[:-1], self.dreamer.discount)
        return constant * torch.sigmoid(self.world.heads["continue"](feature)) if "continue" in self.world.heads else constant

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update or action depends on."""
        state = super().state_dict()
        state["model"] |= {name: net.state_dict() for name, net in self._nets()}
        state["optimiser"] |= {"actor": self.actor_optimiser.adam.state_dict(), "critic": self.critic_optimiser.adam.state_dict()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        super().load_state_dict(state)
        self.load_networks(state["model"])
        self.actor_optimiser.load(state["optimiser"]["actor"])
        self.critic_optimiser.load(state["optimiser"]["critic"])

    def load_networks(self, model: Mapping[str, Mapping[str, Tensor]]) -> None:
        """The networks alone, from ``state_dict()["model"]``."""
        for name, net in (("world", self.world), *self._nets()):
            net.load_state_dict(model[name])

    def _nets(self) -> list[tuple[str, torch.nn.Module]]:
        return [("actor", self.actor), ("critic", self.critic), ("slow_critic", self.slow_critic)]
