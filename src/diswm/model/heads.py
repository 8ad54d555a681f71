"""Heads on the feature: reward, continuation, value, action."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from diswm.model import fused
from diswm.model.dists import categorical_entropy, normal_entropy, onehot_straight_through
from diswm.model.layers import MLP

Net = Callable[[Tensor], Tensor]


class ScalarHead(nn.Module):
    """One number per feature: the mean of a unit Gaussian (reward, value) or a logit (continue)."""

    def __init__(self, feature_size: int, layers: int, units: int) -> None:
        super().__init__()
        self.net = MLP([feature_size, *[units] * layers, 1])

    def forward(self, feature: Tensor) -> Tensor:
        """(..., F) -> (...)."""
        return self.net(feature).squeeze(-1)


class Actor(nn.Module):
    """Mean and std of the action's Gaussian, before it is clipped to [-1, 1] (DreamerV2)."""

    def __init__(self, feature_size: int, act_dim: int, layers: int, units: int) -> None:
        super().__init__()
        self.act_dim = act_dim
        self.net = MLP([feature_size, *[units] * layers, 2 * act_dim])

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """(..., F) -> mean in (-1, 1) and std in (0.1, 2.1), each (..., A)."""
        return fused.bounded_mean_std(self.net(feature))

    def act(self, feature: Tensor, noise: Tensor, net: Net | None = None) -> tuple[Tensor, Tensor]:
        """(..., F), standard normal noise (..., A) -> action (..., A), clipped straight through, and std (..., A). No noise: the mean.

        ``net`` is another form of the network.
        """
        return fused.action((net or self.net)(feature), noise)

    def entropy(self, std: Tensor) -> Tensor:
        """Of the actions that `act` drew: std (..., A) -> (...)."""
        return normal_entropy(std)


class OneHotActor(nn.Module):
    """Logits of a choice of one in A, which is taken as a one-hot vector (DreamerV2)."""

    def __init__(self, feature_size: int, act_dim: int, layers: int, units: int) -> None:
        super().__init__()
        self.act_dim = act_dim
        self.net = MLP([feature_size, *[units] * layers, act_dim])

    def forward(self, feature: Tensor) -> Tensor:
        """(..., F) -> logits (..., A), float32."""
        return self.net(feature).float()

    def act(self, feature: Tensor, noise: Tensor, net: Net | None = None) -> tuple[Tensor, Tensor]:
        """As `Actor.act`, with logits for the std; actions are one-hot, with the probabilities' gradients. No noise: the most likely."""
        logits = (net or self.net)(feature).float()
        return onehot_straight_through(logits, noise), logits

    def entropy(self, logits: Tensor) -> Tensor:
        """Of the choices that `act` drew: logits (..., A) -> (...)."""
        return categorical_entropy(logits)


AnyActor = Actor | OneHotActor
