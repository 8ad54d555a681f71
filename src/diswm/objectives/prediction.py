"""Likelihoods of what the world model predicts, and the KL between posterior and prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
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


def image_term_in_parts(decode: Callable[[Tensor], Tensor], decoder: nn.Module, feature: Tensor, image: Tensor, windows: int) -> Tensor:
    """`image_term` of ``decode(feature)``, so many windows at a time, each with its gradients before the next: what is kept for these is
    never there for all frames at once.

    ``decode`` uses no other parameters than those of ``decoder``; feature (B, T, F), image uint8 (B, T, H, W, C) -> (B, T). More than one
    part is only for a mean over (B, T): gradients of parameters are summed over frames before what follows is known. No second derivatives.
    """
    if windows >= len(image):
        return image_term(decode(feature), image)
    result: Tensor = _InParts.apply(decode, image, windows, feature, *decoder.parameters())
    return result


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, decode: Callable[[Tensor], Tensor], image: Tensor, windows: int, feature: Tensor, *weights: nn.Parameter
    ) -> Tensor:
        losses, to_feature = feature.new_empty(feature.shape[:2]), torch.empty_like(feature)
        to_weights: list[Tensor] = []
        for first in range(0, len(feature), windows):
            part = slice(first, first + windows)
            with torch.enable_grad():
                given = feature[part].detach().requires_grad_()
                loss = image_term(decode(given), image[part])
                to_given, *found = torch.autograd.grad(loss.sum(), (given, *weights))
            losses[part], to_feature[part] = loss.detach(), to_given
            to_weights = [whole.add_(more) for whole, more in zip(to_weights, found, strict=True)] if to_weights else found
        ctx.save_for_backward(to_feature, *to_weights)
        return losses

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        to_feature, *to_weights = ctx.saved_tensors
        scale = grad[0, 0]
        if not (grad == scale).all():
            raise ValueError("image_term_in_parts knows the gradient of a mean over all frames alone")
        return None, None, None, to_feature * scale, *(found * scale for found in to_weights)


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
