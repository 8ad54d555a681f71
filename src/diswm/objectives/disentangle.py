"""The disentanglement constraint on the code: one term, ``beta``, of several kinds.

Each kind is the KL of a beta-VAE plus a strength times what it adds, in the units of the papers, where the likelihood of an
image has weight 1 and the KL weight 1 or so. The weight of the term turns that into our scale: 0.015 beside pixels of unit
variance is a KL of weight 1 beside pixels of standard deviation 0.015 ** 0.5 = 0.12. So strengths are those of the papers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diswm.contract import DiswmError
from diswm.model.dists import HALF_LOG_TWO_PI, standard_kl

DisentangleKind = Literal["beta_vae", "annealed_capacity", "beta_tcvae", "factor_vae", "dip_vae_i", "dip_vae_ii", "none"]

STRENGTH: dict[DisentangleKind, float] = {
    "annealed_capacity": 5.0,
    "beta_tcvae": 2.0,
    "factor_vae": 30.0,
    "dip_vae_i": 1.0,
    "dip_vae_ii": 1.0,
}
"""Default strengths: gamma, beta - 1, gamma, and lambda of the off-diagonal. Kinds without one have none to set.

Chosen by a rule among two or three each, on three worlds with known factors (results/disentanglement.md): at these the image lost
little and no code collapsed, but for FactorVAE's, of which one in nine did at 3, 10 and 30. In its paper annealed capacity has gamma 1000.
"""


class Draw(NamedTuple):
    """Codes of N frames of a batch, and one sample of each; (N, E) each."""

    mean: Tensor
    logvar: Tensor
    sample: Tensor


class Codes(NamedTuple):
    """What the term is made of."""

    mean: Tensor  # (B, T, E)
    logvar: Tensor  # (B, T, E)
    draw: Callable[[], Draw]
    """Fresh samples of frames chosen at random: only the kinds that need them advance the generator."""
    ratio: Callable[[Tensor], Tensor]
    """The discriminator's log density ratio of samples, (N, E) -> (N,), without gradient for its weights."""
    capacity: float | Tensor
    """Nats that the code may hold by now (`annealed_capacity`)."""


def beta_term(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)), summed over the code: (B, T, E) each -> (B, T). beta-VAE, Higgins et al. 2017."""
    return standard_kl(mean, logvar).sum(-1)


def capacity_gap(kl: Tensor, capacity: float | Tensor) -> Tensor:
    """|mean KL - capacity| in nats: (B, T) -> (), Burgess et al. 2018, eq. 8."""
    return (kl.mean() - capacity).abs()


def capacity_at(time: int, capacity: float, over: int) -> float:
    """Nats that the code may hold at this time, in agent steps or, in pretraining, updates: from 0 in a straight line to ``capacity``."""
    return capacity * min(time / over, 1.0) if over else capacity


def total_correlation(draw: Draw) -> Tensor:
    """E[log q(z) - sum_j log q(z_j)] with the N frames as the whole data set: (N, E) each -> (). beta-TCVAE, Chen et al. 2018, eq. 4.

    q is the mixture of the N codes, so it cannot see more than log N nats in the joint and in each dimension.
    """
    gap = draw.sample[:, None] - draw.mean[None]  # (N, N, E): sample n under code m
    log_density = -0.5 * (gap.square() * torch.exp(-draw.logvar) + draw.logvar) - HALF_LOG_TWO_PI
    log_n = math.log(len(gap))
    joint = log_density.sum(-1).logsumexp(1) - log_n  # (N,)
    single = log_density.logsumexp(1) - log_n  # (N, E)
    return (joint - single.sum(-1)).mean()


def covariance_gap(covariance: Tensor, off_diagonal: float, diagonal: float) -> Tensor:
    """How far a covariance (E, E) is from the identity: DIP-VAE, Kumar et al. 2018, eq. 6 and 7."""
    on = covariance.diagonal()
    return off_diagonal * (covariance.square().sum() - on.square().sum()) + diagonal * (on - 1).square().sum()


def code_covariance(mean: Tensor) -> Tensor:
    """Covariance of the means over all frames, divided by their number: (B, T, E) -> (E, E)."""
    centred = mean.flatten(0, -2) - mean.flatten(0, -2).mean(0)
    return centred.T @ centred / len(centred)


def permute_dimensions(sample: Tensor, generator: torch.Generator) -> Tensor:
    """Each dimension shuffled over the frames on its own: samples of the product of the marginals, (N, E). Kim & Mnih 2018, algorithm 1."""
    order = torch.rand(sample.shape, generator=generator, device=sample.device).argsort(0)
    return sample.gather(0, order)


def discriminator_loss(real: Tensor, permuted: Tensor) -> Tensor:
    """Cross-entropy of telling samples from permuted samples by their log density ratios: (N,) each -> (). Algorithm 2 there."""
    return 0.5 * (F.softplus(-real).mean() + F.softplus(permuted).mean())


def _annealed(codes: Codes, strength: float) -> Tensor:
    kl = beta_term(codes.mean, codes.logvar)
    return (strength * capacity_gap(kl, codes.capacity)).expand_as(kl)


def _plus(codes: Codes, extra: Tensor) -> Tensor:
    """KL by frame, and what belongs to the batch as a whole shared out evenly, so that the mean over (B, T) is right."""
    return beta_term(codes.mean, codes.logvar) + extra


def _dip_ii(codes: Codes, strength: float) -> Tensor:
    spread = torch.diag(codes.logvar.exp().flatten(0, -2).mean(0))
    return covariance_gap(code_covariance(codes.mean) + spread, strength, strength)


def disentangle_term(kind: DisentangleKind, strength: float | None = None) -> Callable[[Codes], Tensor]:
    """The term of this kind, as a function from codes to (B, T) nats.

    ``strength`` None is the kind's own (``STRENGTH``). ``annealed_capacity``: gamma |KL - C|, C the capacity. ``beta_tcvae``: KL +
    (beta - 1) TC. ``factor_vae``: KL + gamma TC, by a discriminator. ``dip_vae_i`` and ``dip_vae_ii``: KL + lambda x the gap between the
    covariance of means (I; its diagonal has 10 lambda) or of samples (II) and the identity. ``none``: zeros. Raises DiswmError for a
    strength that the kind does not have.
    """
    if strength is not None and kind not in STRENGTH:
        raise DiswmError(f"The kind {kind} has no strength of its own: leave learner.disentangle_strength out, its scale is weights.beta.")
    s = STRENGTH.get(kind, 0.0) if strength is None else strength
    kinds: dict[DisentangleKind, Callable[[Codes], Tensor]] = {
        "beta_vae": lambda codes: beta_term(codes.mean, codes.logvar),
        "annealed_capacity": lambda codes: _annealed(codes, s),
        "beta_tcvae": lambda codes: _plus(codes, s * total_correlation(codes.draw())),
        "factor_vae": lambda codes: _plus(codes, s * codes.ratio(codes.draw().sample).mean()),
        "dip_vae_i": lambda codes: _plus(codes, covariance_gap(code_covariance(codes.mean), s, 10 * s)),
        "dip_vae_ii": lambda codes: _plus(codes, _dip_ii(codes, s)),
        "none": lambda codes: codes.mean.new_zeros(codes.mean.shape[:-1]),
    }
    return kinds[kind]
