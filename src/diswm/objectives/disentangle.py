"""The disentanglement constraint on the code."""

from __future__ import annotations

from torch import Tensor

from diswm.model.dists import standard_kl


def beta_term(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)), summed over the code: (B, T, E) each -> (B, T). beta-VAE, Higgins et al. 2017."""
    return standard_kl(mean, logvar).sum(-1)
