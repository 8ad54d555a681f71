"""The released networks and losses against ours, in numbers: same weights, same inputs, every draw at its mean.

The reference numbers lie outside the repository, in ``../shared/golden``; without them these tests skip. The keys are
those of ``golden.npz``. Three conventions differ, and are put right here in plain sight:

* the release adds 5e-7 to the KL of each of the 20 code dimensions: 1e-5 on ``loss/beta_kl``;
* its distillation divides by the batch alone: our ``distill_reduction="batch"``;
* its imagination draws a 15th action in the last state, whose effect nobody sees: ours has 14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diswm.agents import Dreamer, DreamerConfig, LearnerConfig
from diswm.agents.learner import _TERMS, TermContext
from diswm.model import ModelConfig, WorldModel
from diswm.model.dists import normal_entropy, normal_kl, normal_nll
from diswm.objectives import total
from diswm.objectives.imagine import actor_loss, critic_loss, imagine, lambda_return, path_weights

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"
pytestmark = pytest.mark.skipif(not (GOLDEN / "golden.npz").is_file(), reason=f"no reference numbers in {GOLDEN}")

WEIGHTS = {"image": 1.0, "reward": 2.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015, "distill": 0.1}
LEARNER = LearnerConfig(precision="float32", distill_kind="softmax_mean", distill_reduction="batch")
RELEASE_KL = 20 * 5e-7

# Released prefix -> (our part, our prefix), for the parts whose layers are not numbered alike.
RSSM = {
    "_inp_layers.0": "inp",
    "_cell._layer": "cell.linear",
    "_cell._norm": "cell.norm",
    "_img_out_layers.0": "prior_hidden",
    "_ims_stat_layer": "prior_stats",
    "_obs_out_layers.0": "post_hidden",
    "_obs_stat_layer": "post_stats",
}


def load(part: str, names: dict[str, str]) -> dict[str, Tensor]:
    """A released state dict with our names."""
    found = torch.load(GOLDEN / f"{part}.pt", weights_only=True)
    return {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value for key, value in found.items()}


def encoder(part: str) -> dict[str, Tensor]:
    return load(part, {**{f"encoder.{i}": f"convs.{i}" for i in (0, 2, 4, 6, 8)}, "dis_encoder.0": "stats"})


def decoder() -> dict[str, Tensor]:
    convs = {f"decoder.{3 + i}": f"convs.{i}" for i in (0, 2, 4, 6, 8)}
    return load("decoder", {"feat_to_decoder.0": "stem.0", "decoder.0": "stem.2", **convs})


def released_agent() -> Dreamer:
    """Our agent with the released weights."""
    agent = Dreamer(ModelConfig(), 4, LEARNER, DreamerConfig(), WEIGHTS, seed=0)
    agent.world.encoder.load_state_dict(encoder("encoder"))
    agent.world.decoder.load_state_dict(decoder())
    agent.world.rssm.load_state_dict(load("rssm", RSSM))
    agent.world.heads["reward"].load_state_dict(load("reward", {f"_mean_layers.{i}": f"net.{i}" for i in (0, 2, 4)}))
    agent.critic.load_state_dict(load("value", {f"_mean_layers.{i}": f"net.{i}" for i in (0, 2, 4, 6)}))
    agent.slow_critic.load_state_dict(agent.critic.state_dict())
    actor = {**{f"_pre_layers.{i}": f"net.{i}" for i in (0, 2, 4, 6)}, "_dist_layer": "net.8"}
    agent.actor.load_state_dict(load("actor", actor))
    return agent


def released_video_model() -> WorldModel:
    """Our action-free model with the released weights: the columns of the actions fall away."""
    video = WorldModel(ModelConfig(), 0)
    video.encoder.load_state_dict(encoder("encoder"))
    video.decoder.load_state_dict(decoder())
    rssm = load("rssm", RSSM)
    rssm["inp.weight"] = rssm["inp.weight"][:, :50]
    video.rssm.load_state_dict(rssm)
    return video


Comparison = tuple[str, Tensor, Tensor]


class Parity:
    """Pairs of (ours, theirs) by the keys of golden.npz."""

    def __init__(self) -> None:
        with np.load(GOLDEN / "golden.npz") as file:
            self.golden = {key: torch.from_numpy(file[key]) for key in file}
        self.agent = released_agent()
        self.world = self.agent.world
        teacher = WorldModel(ModelConfig(), 0)
        teacher.encoder.load_state_dict(encoder("teacher_encoder"))
        code = teacher.encode(self.golden["in/image"])
        self.data = {
            "image": self.golden["in/image"],
            "action": self.golden["in/action"],
            "reward": self.golden["in/reward"],
            "teacher_mean": code.mean.detach().unflatten(0, (3, 6)),
            "teacher_logvar": code.logvar.detach().unflatten(0, (3, 6)),
        }
        self.obs = self.world.observe(self.data["image"], self.data["action"], None)

    def pair(self, key: str, ours: Tensor) -> Comparison:
        return key, ours.detach(), self.golden[key]

    def codes(self) -> Iterator[Comparison]:
        yield self.pair("encoder/mean", self.obs.code.mean)
        yield self.pair("encoder/logvar", self.obs.code.logvar)
        yield self.pair("teacher/mean", self.data["teacher_mean"])
        yield self.pair("teacher/logvar", self.data["teacher_logvar"])

    def latents(self) -> Iterator[Comparison]:
        for side in ("post", "prior"):
            for part in ("mean", "std", "stoch", "deter"):
                yield self.pair(f"rssm/{side}_{part}", getattr(getattr(self.obs, side), part))
        yield self.pair("feat", self.obs.post.feature)
        start = self.obs.post.map(lambda part: part[:, 2])
        ahead = self.world.rssm.imagine(start, self.data["action"][:, 3:], torch.zeros(3, 3, 50))
        for part in ("mean", "std", "deter"):
            yield self.pair(f"imagine/{part}", getattr(ahead, part))

    def heads(self) -> Iterator[Comparison]:
        feature, action = self.obs.post.feature, self.data["action"]
        yield self.pair("decoder/image", self.world.decode(feature).movedim(-3, -1))
        yield self.pair("reward/mode", self.world.heads["reward"](feature)[..., None])
        mean, std = self.agent.actor(feature)
        yield self.pair("actor/mean", mean)
        yield self.pair("actor/std", std)
        log_prob = -(normal_nll(action / std, mean / std) + std.log()).sum(-1)
        yield self.pair("actor/log_prob_of_in_action", log_prob)

    def losses(self) -> Iterator[Comparison]:
        context = TermContext(self.agent, self.data, self.obs)
        terms = {name: _TERMS[name](context) for name in WEIGHTS}
        post, prior = self.obs.post, self.obs.prior
        yield self.pair("loss/kl_value", normal_kl(post.mean, post.std, prior.mean, prior.std))
        yield self.pair("loss/kl", 0.8 * terms["dyn"].mean() + 0.2 * terms["rep"].mean())
        yield self.pair("loss/image", terms["image"].mean())
        yield self.pair("loss/reward", terms["reward"].mean())
        yield self.pair("loss/beta_kl", terms["beta"].mean() + RELEASE_KL)
        yield self.pair("loss/distill_released", terms["distill"].mean())
        loss = total(terms, WEIGHTS)
        yield self.pair("total/loss", loss + 0.015 * RELEASE_KL)
        self.world.zero_grad()
        loss.backward(retain_graph=True)
        world = self.world
        for name, part in (("encoder", world.encoder), ("decoder", world.decoder), ("rssm", world.rssm), ("reward", world.heads["reward"])):
            yield self.pair(f"total/grad_norm_{name}", nn.utils.get_total_norm([p.grad for p in part.parameters() if p.grad is not None]))

    def pretraining(self) -> Iterator[Comparison]:
        video = released_video_model()
        obs = video.observe(self.data["image"], torch.zeros(3, 6, 0), None)
        for side in ("post", "prior"):
            for part in ("mean", "std", "deter"):
                yield self.pair(f"rssm_action_free/{side}_{part}", getattr(getattr(obs, side), part))
        learner = self.agent
        context = TermContext(learner, self.data, obs)
        context.world = video
        weights = {"image": 1.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015}
        terms = {name: _TERMS[name](context) for name in weights}
        yield self.pair("loss/kl_action_free", 0.8 * terms["dyn"].mean() + 0.2 * terms["rep"].mean())
        yield self.pair("loss/image_action_free", terms["image"].mean())
        yield self.pair("loss/pretrain_total", total(terms, weights) + 0.015 * RELEASE_KL)

    def behaviour(self) -> Iterator[Comparison]:
        c, agent = self.agent.dreamer, self.agent
        start = self.obs.post.map(lambda part: part.detach().flatten(0, 1))
        path = imagine(self.world.rssm, agent.actor, start, torch.zeros(14, 18, 4), torch.zeros(14, 18, 50))
        reward, value = self.world.heads["reward"](path.feature), agent.slow_critic(path.feature)
        discount = torch.full_like(reward, c.discount)
        returns, weight = lambda_return(reward, value, discount, c.lam), path_weights(discount)
        yield self.pair("behaviour/feat", path.feature)
        last, _ = agent.actor(path.feature[-1])
        yield self.pair("behaviour/action", torch.cat([path.action, last[None]]))
        yield self.pair("behaviour/reward", reward[..., None])
        yield self.pair("behaviour/target", returns[..., None])
        yield self.pair("behaviour/weights", weight[..., None])
        _, std = agent.actor(path.feature)
        yield self.pair("behaviour/actor_entropy", normal_entropy(std))
        yield self.pair("behaviour/actor_loss", actor_loss(returns, path.entropy, weight[:-1], c.entropy))
        yield self.pair("behaviour/value_loss", critic_loss(agent.critic(path.feature[:-1].detach()), returns, weight[:-1]))
        parts = (self.golden[f"lambda_return/{name}"][..., 0] for name in ("reward", "value", "discount"))
        yield self.pair("lambda_return/out", lambda_return(*parts, 0.95)[..., None])


GROUPS: dict[str, Callable[[Parity], Iterator[Comparison]]] = {
    "codes": Parity.codes,
    "latents": Parity.latents,
    "heads": Parity.heads,
    "losses": Parity.losses,
    "pretraining": Parity.pretraining,
    "behaviour": Parity.behaviour,
}


def error(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, relative to the largest number."""
    return float((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max())


@pytest.fixture(scope="module")
def parity() -> Parity:
    return Parity()


@pytest.mark.parametrize("group", GROUPS)
def test_our_numbers_are_the_released_ones(parity: Parity, group: str) -> None:
    for key, ours, theirs in GROUPS[group](parity):
        assert ours.shape == theirs.shape, key
        tolerance = 1e-4 if key.startswith(("loss/", "total/", "behaviour/actor_loss", "behaviour/value_loss")) else 1e-5
        assert error(ours, theirs) < tolerance, key


def test_the_whole_update_takes_these_losses(parity: Parity) -> None:
    """The same numbers out of the agent's own update, with all noise at zero."""
    agent, golden = released_agent(), parity.golden
    agent.world.noise = lambda generator, *shape: torch.zeros(shape)  # type: ignore[method-assign]
    start = parity.obs.post.map(lambda part: part.detach().flatten(0, 1))
    behaviour = agent._update_behaviour(start)
    world = agent.update_world(parity.data, 0)[1]
    norms = [float(golden[f"total/grad_norm_{part}"]) for part in ("encoder", "decoder", "rssm", "reward")]
    expected = {
        "loss/total": float(golden["total/loss"]),
        "grad_norm/model": float(np.linalg.norm(norms)),
        "actor/loss": float(golden["behaviour/actor_loss"]),
        "critic/loss": float(golden["behaviour/value_loss"]),
    }
    found = {name: float((world | behaviour)[name]) for name in expected}
    assert found == pytest.approx(expected, rel=1e-4)
