"""Likelihoods of what the world model predicts, and the KL between posterior and prior."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from diswm.model.dists import HALF_LOG_TWO_PI, normal_kl, normal_nll
from diswm.model.kernels import half_squares
from diswm.model.rssm import Latent

FreeNats = Literal["mean", "step"]


def image_term(output: Tensor, image: Tensor) -> Tensor:
    """-log N(image; output, 1), summed over the pixels, constant included.

    output (B, T, C, H, W), image uint8 (B, T, H, W, C) -> (B, T).
    """
    squares = half_squares(output.flatten(0, 1), image.flatten(0, 1))
    return (squares + HALF_LOG_TWO_PI * output[0, 0].numel()).unflatten(0, output.shape[:2])


def reward_term(output: Tensor, reward: Tensor) -> Tensor:
    """-log N(reward; output, 1): (B, T) each."""
    return normal_nll(reward, output)


def continue_term(logit: Tensor, is_terminal: Tensor) -> Tensor:
    """Cross-entropy of "the episode goes on": (B, T) each."""
    return F.binary_cross_entropy_with_logits(logit, (~is_terminal).to(logit.dtype), reduction="none")


def kl_terms(post: Latent, prior: Latent, free_nats: float, floor: FreeNats = "mean") -> dict[str, Tensor]:
    """KL balancing (DreamerV2, Hafner et al. 2021, eq. 2), as two terms.

    ``dyn`` = KL(sg(post) || prior) trains the prior, ``rep`` = KL(post || sg(prior)) the posterior; their weights
    0.8 and 0.2 are the balance. Below ``free_nats`` a term is that constant: on its mean over the batch, or by step.
    """
    stop = torch.Tensor.detach
    terms = {
        "dyn": normal_kl(stop(post.mean), stop(post.std), prior.mean, prior.std),
        "rep": normal_kl(post.mean, post.std, stop(prior.mean), stop(prior.std)),
    }
    return {name: _floor(kl, free_nats, floor) for name, kl in terms.items()}


def _floor(kl: Tensor, free_nats: float, floor: FreeNats) -> Tensor:
    level = kl.mean() if floor == "mean" else kl
    return torch.where(level.detach() > free_nats, kl, torch.full_like(kl, free_nats))
