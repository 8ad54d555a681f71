"""The few distributions of the model, as functions of tensors. Events lie on the last axis."""

from __future__ import annotations

import math

import torch
from torch import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def normal_nll(value: Tensor, mean: Tensor) -> Tensor:
    """-log N(value; mean, 1) element by element, constant included."""
    return 0.5 * (value - mean).square() + HALF_LOG_TWO_PI


def normal_kl(mean_a: Tensor, std_a: Tensor, mean_b: Tensor, std_b: Tensor) -> Tensor:
    """KL(a || b) of diagonal Gaussians (..., Z) -> (...)."""
    ratio = std_a / std_b
    shift = (mean_a - mean_b) / std_b
    return (0.5 * (ratio.square() + shift.square() - 1) - torch.log(ratio)).sum(-1)


def standard_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)) by dimension: (..., E) -> (..., E). VAE, Kingma & Welling 2014, appendix B."""
    return 0.5 * (mean.square() + logvar.exp() - logvar - 1)


def normal_entropy(std: Tensor) -> Tensor:
    """Entropy of diagonal Gaussians (..., A) -> (...)."""
    return (torch.log(std) + HALF_LOG_TWO_PI + 0.5).sum(-1)


def squash_std(raw: Tensor) -> Tensor:
    """DreamerV2's standard deviation: 2 sigmoid(raw / 2) + 0.1, so from 0.1 to 2.1 and 1.1 at raw = 0."""
    return 2 * torch.sigmoid(raw / 2) + 0.1


def clip_straight_through(value: Tensor, limit: float = 1 - 1e-6) -> Tensor:
    """Clip to [-limit, limit], but let gradients pass as if nothing was clipped (DreamerV2's truncated normal)."""
    fixed = value.detach()
    return fixed.clamp(-limit, limit) + (value - fixed)  # the second part is exactly zero


def gumbel(noise: Tensor) -> Tensor:
    """Standard normal numbers as standard Gumbel ones: -log(-log u) with u = Phi(noise), which is uniform."""
    return -torch.log(-torch.special.log_ndtr(noise))


def onehot_straight_through(logits: Tensor, noise: Tensor) -> Tensor:
    """A draw of softmax(logits) (..., A) as a one-hot vector, by the largest of logits + Gumbel noise; gradients pass as if it
    were the probabilities (DreamerV2). ``noise`` is standard normal; without it (zeros) this is the most likely choice."""
    probs = logits.softmax(-1)
    choice = (logits + gumbel(noise)).argmax(-1, keepdim=True)
    return torch.zeros_like(probs).scatter(-1, choice, 1.0) + (probs - probs.detach())  # the second part is exactly zero


def categorical_entropy(logits: Tensor) -> Tensor:
    """Entropy of softmax(logits) (..., A) -> (...)."""
    logs = logits.log_softmax(-1)
    return -(logs.exp() * logs).sum(-1)
