"""Heads on the feature: reward, continuation, value, action."""

from __future__ import annotations

from torch import Tensor, nn

from diswm.model.dists import squash_std
from diswm.model.layers import mlp


class ScalarHead(nn.Module):
    """One number per feature: the mean of a unit Gaussian (reward, value) or a logit (continue)."""

    def __init__(self, feature_size: int, layers: int, units: int) -> None:
        super().__init__()
        self.net = mlp([feature_size, *[units] * layers, 1])

    def forward(self, feature: Tensor) -> Tensor:
        """(..., F) -> (...)."""
        return self.net(feature).squeeze(-1)


class Actor(nn.Module):
    """Mean and std of the action's Gaussian, before it is clipped to [-1, 1] (DreamerV2)."""

    def __init__(self, feature_size: int, act_dim: int, layers: int, units: int) -> None:
        super().__init__()
        self.act_dim = act_dim
        self.net = mlp([feature_size, *[units] * layers, 2 * act_dim])

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """(..., F) -> mean in (-1, 1) and std in (0.1, 2.1), each (..., A)."""
        mean, raw = self.net(feature).chunk(2, -1)
        return mean.tanh(), squash_std(raw)
