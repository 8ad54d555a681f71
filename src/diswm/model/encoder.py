"""Encoders: one frame in, one embedding out, before time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from diswm.model.layers import ELU, OutputLinear, WholeConv, kaiming_


class Code(NamedTuple):
    """What an encoder says of N frames. A plain encoder has no variance: its logvar is empty, (N, 0)."""

    mean: Tensor  # (N, E)
    logvar: Tensor  # (N, E)

    def sample(self, noise: Tensor) -> Tensor:
        """mean + std * noise, (N, E)."""
        return self.mean + torch.exp(0.5 * self.logvar) * noise


class GaussianEncoder(nn.Module):
    """The beta-VAE encoder of DisWM: 64 x 64 x 3 -> mean and log-variance of a code with `size` dimensions."""

    def __init__(self, size: int, depth: int = 32) -> None:
        super().__init__()
        d = depth
        self.size, self.noise_size = size, size
        self.convs = nn.Sequential(
            nn.Conv2d(3, d, 4, 2, 1), ELU(),
            nn.Conv2d(d, d, 4, 2, 1), ELU(),
            nn.Conv2d(d, 2 * d, 4, 2, 1), ELU(),
            nn.Conv2d(2 * d, 2 * d, 4, 2, 1), ELU(),
            WholeConv(2 * d, 8 * d, 4), ELU(),
        )  # fmt: skip
        self.stats = OutputLinear(8 * d, 2 * size)
        kaiming_(self)

    def forward(self, x: Tensor) -> Code:
        """x (N, 3, 64, 64) -> Code, in float32."""
        mean, logvar = self.stats(self.convs(x).flatten(1)).chunk(2, -1)
        return Code(mean, logvar.clamp(-20, 20))


class PlainEncoder(nn.Module):
    """DreamerV2's encoder: 64 x 64 x 3 -> a deterministic embedding of 32 x depth numbers."""

    def __init__(self, depth: int = 32) -> None:
        super().__init__()
        d = depth
        self.size, self.noise_size = 32 * d, 0
        self.convs = nn.Sequential(
            nn.Conv2d(3, d, 4, 2), ELU(),
            nn.Conv2d(d, 2 * d, 4, 2), ELU(),
            nn.Conv2d(2 * d, 4 * d, 4, 2), ELU(),
            nn.Conv2d(4 * d, 8 * d, 4, 2), ELU(),
        )  # fmt: skip
        kaiming_(self)

    def forward(self, x: Tensor) -> PlainCode:
        """x (N, 3, 64, 64) -> PlainCode, in float32."""
        mean = self.convs(x).flatten(1).float()
        return PlainCode(mean, mean[:, :0])


class PlainCode(Code):
    """A code without noise: its sample is its mean."""

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean
