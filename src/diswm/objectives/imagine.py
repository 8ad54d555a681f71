"""Learning behaviour in imagination (Dreamer). Axes: H imagined states, N starts, F feature."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diswm.model import products
from diswm.model.dists import normal_nll
from diswm.model.heads import AnyActor
from diswm.model.rssm import RSSM, Latent


class Trajectory(NamedTuple):
    """H states of which the first is the start, and what was done in each of the first H - 1."""

    feature: Tensor  # (H, N, F)
    action: Tensor  # (H - 1, N, A)
    entropy: Tensor  # (H - 1, N)


def imagine(rssm: RSSM, actor: AnyActor, start: Latent, action_noise: Tensor, state_noise: Tensor) -> Trajectory:
    """Unroll the prior under the actor from N detached starts.

    action_noise (H - 1, N, A), state_noise (H - 1, N, Z). The actor sees each feature without gradient: it learns
    through its actions' effect on the states that follow. Actions are clipped to [-1, 1] or one-hot, straight through.
    """
    state, features, actions, spreads = start, [start.feature], [], []
    net = actor.net.in_steps() if products.launches_bind(start.deter) else actor.net
    for noise_a, noise_s in zip(action_noise.unbind(0), state_noise.unbind(0), strict=True):
        action, spread = actor.act(features[-1].detach(), noise_a, net)
        state = rssm.imagine_step(state, action, noise_s)
        features.append(state.feature)
        actions.append(action)
        spreads.append(spread)
    return Trajectory(torch.stack(features), torch.stack(actions), actor.entropy(torch.stack(spreads)))


def lambda_return(reward: Tensor, value: Tensor, discount: Tensor, lam: float) -> Tensor:
    """TD(lambda) returns in forward time order (DreamerV2, eq. 4): (H, N) each -> (H - 1, N).

    G[i] = reward[i] + discount[i] ((1 - lam) value[i + 1] + lam G[i + 1]), with G[H - 1] = value[H - 1].
    """
    known, share = reward[:-1] + discount[:-1] * (1 - lam) * value[1:], lam * discount[:-1]
    returns = [value[-1]]
    for known_i, share_i in zip(reversed(known.unbind(0)), reversed(share.unbind(0)), strict=True):
        returns.append(torch.addcmul(known_i, share_i, returns[-1]))
    return torch.stack(returns[:0:-1])


def path_weights(discount: Tensor) -> Tensor:
    """Probability, times discount, of reaching each state: (H, N) -> (H, N), 1 at the start, without gradient."""
    return torch.cumprod(torch.cat([torch.ones_like(discount[:1]), discount[:-1]]), 0).detach()


def actor_loss(returns: Tensor, entropy: Tensor, weight: Tensor, entropy_scale: float) -> Tensor:
    """-mean of weight (return + entropy_scale x entropy): gradients flow through the dynamics. (H - 1, N) each."""
    return -(weight * (returns + entropy_scale * entropy)).mean()


def critic_loss(value: Tensor, returns: Tensor, weight: Tensor) -> Tensor:
    """mean of weight x -log N(return; value, 1), returns without gradient. (H - 1, N) each."""
    return (weight * normal_nll(returns.detach(), value)).mean()
