"""The kinds of the constraint on the code: closed forms, naive loops, and where their gradients go."""

from __future__ import annotations

import itertools
import math
from typing import Any, get_args

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from diswm.contract import DiswmError
from diswm.objectives.disentangle import (
    STRENGTH,
    Codes,
    DisentangleKind,
    Draw,
    beta_term,
    capacity_at,
    code_covariance,
    covariance_gap,
    discriminator_loss,
    disentangle_term,
    permute_dimensions,
    total_correlation,
)

B, T, E = 3, 4, 5
KINDS = get_args(DisentangleKind)


def codes(seed: int = 0, capacity: float = 0.0) -> Codes:
    generator = torch.Generator().manual_seed(seed)
    mean, logvar = torch.randn(2, B, T, E, generator=generator).unbind()
    mean.requires_grad_()
    logvar.requires_grad_()
    noise = torch.randn(B * T, E, generator=generator)

    def draw() -> Draw:
        flat, spread = mean.flatten(0, 1), logvar.flatten(0, 1)
        return Draw(flat, spread, flat + torch.exp(0.5 * spread) * noise)

    return Codes(mean, logvar, draw, lambda sample: sample.square().sum(-1), capacity)


def refuse(*_: Any) -> Any:
    raise AssertionError("this kind draws nothing")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_finite_term_of_batch_and_time(kind: DisentangleKind) -> None:
    term = disentangle_term(kind)(codes())
    assert term.shape == (B, T)
    assert torch.isfinite(term).all()


def test_the_default_is_the_kl_bit_for_bit() -> None:
    given = codes()._replace(draw=refuse, ratio=refuse)
    assert torch.equal(disentangle_term("beta_vae")(given), beta_term(given.mean, given.logvar))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("beta_tcvae", "factor_vae")])
def test_kinds_without_samples_leave_the_generator_alone(kind: DisentangleKind) -> None:
    disentangle_term(kind)(codes()._replace(draw=refuse, ratio=refuse))


@pytest.mark.parametrize("kind", ["beta_tcvae", "factor_vae", "dip_vae_i", "dip_vae_ii"])
def test_strengths(kind: DisentangleKind) -> None:
    """0: the KL alone. What is added grows in proportion. None: the default. Kinds without one refuse it."""
    given = codes()
    kl = beta_term(given.mean, given.logvar)
    one, three = (disentangle_term(kind, strength)(given) - kl for strength in (1.0, 3.0))
    torch.testing.assert_close(disentangle_term(kind, 0.0)(given), kl)
    torch.testing.assert_close(three, 3 * one, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(disentangle_term(kind)(given), disentangle_term(kind, STRENGTH[kind])(given))
    with pytest.raises(DiswmError, match="beta_vae has no strength"):
        disentangle_term("beta_vae", 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_mean_and_the_variance(kind: DisentangleKind) -> None:
    given = codes()
    term = disentangle_term(kind)(given)
    if kind == "none":
        assert not term.requires_grad
        assert not term.any()
        return
    mean, logvar = torch.autograd.grad(term.mean(), [given.mean, given.logvar])
    assert mean.abs().min() > 0
    assert logvar.abs().min() > 0


# ---- annealed capacity


def test_annealed_capacity_by_hand() -> None:
    """Means 1, variances 1: KL = 5 x 0.5 = 2.5 nats a frame. With C = 5 and gamma 20: 20 |2.5 - 5| = 50."""
    given = Codes(torch.ones(B, T, E), torch.zeros(B, T, E), refuse, refuse, 5.0)
    assert disentangle_term("annealed_capacity", 20)(given).tolist() == [[50.0] * T] * B


def test_the_gap_is_of_the_mean_kl() -> None:
    """One frame at 5 and one at 0 nats have the capacity 2.5 between them."""
    mean = torch.zeros(1, 2, 1)
    mean[0, 0] = math.sqrt(10)  # 0.5 x 10 = 5 nats
    given = Codes(mean, torch.zeros(1, 2, 1), refuse, refuse, 2.5)
    assert float(disentangle_term("annealed_capacity")(given).max()) == pytest.approx(0, abs=1e-4)


def test_capacity_grows_in_a_straight_line() -> None:
    assert [capacity_at(time, 25.0, 50_000) for time in (0, 10_000, 50_000, 90_000)] == [0.0, 5.0, 25.0, 25.0]
    assert capacity_at(0, 25.0, 0) == 25.0


# ---- total correlation


def test_total_correlation_against_a_naive_loop() -> None:
    """log of mean over m of prod over j of N(z_nj; m), less the sum over j of logs of means, averaged over n."""
    draw = Draw(*(part.detach() for part in codes().draw()))
    count, values = len(draw.mean), []
    for n in range(count):
        density = [[float(Normal(draw.mean[m, j], torch.exp(draw.logvar[m, j] / 2)).log_prob(draw.sample[n, j]).exp()) for j in range(E)]
                   for m in range(count)]  # fmt: skip
        joint = math.log(sum(math.prod(row) for row in density) / count)
        single = sum(math.log(sum(row[j] for row in density) / count) for j in range(E))
        values.append(joint - single)
    assert float(total_correlation(draw).detach()) == pytest.approx(sum(values) / count, rel=1e-4)


def test_total_correlation_of_codes_that_say_nothing_is_zero() -> None:
    """All frames have the same Gaussian: the joint is the product of its marginals for every sample."""
    mean, logvar = torch.full((9, E), 0.3), torch.full((9, E), -1.0)
    assert float(total_correlation(Draw(mean, logvar, torch.randn(9, E)))) == pytest.approx(0, abs=1e-5)


def test_total_correlation_of_two_far_codes_that_move_together() -> None:
    """Half of the frames at -50 in all of 3 dimensions, half at 50: joint log N - ln 2, each marginal log N - ln 2.

    TC = -ln 2 + 3 ln 2 = 2 ln 2: the other two dimensions tell nothing that the first does not.
    """
    mean = torch.cat([torch.full((4, 3), -50.0), torch.full((4, 3), 50.0)])
    assert float(total_correlation(Draw(mean, torch.zeros(8, 3), mean))) == pytest.approx(2 * math.log(2), rel=1e-5)


def test_total_correlation_of_independent_bits_is_zero() -> None:
    """All 4 corners of a square, far apart: joint 1/4, marginals 1/2 each, so -ln 4 + 2 ln 2 = 0."""
    mean = torch.tensor([[x, y] for x in (-50.0, 50.0) for y in (-50.0, 50.0)])
    assert float(total_correlation(Draw(mean, torch.zeros(4, 2), mean))) == pytest.approx(0, abs=1e-5)


# ---- FactorVAE


def test_factor_vae_adds_the_mean_ratio() -> None:
    given = codes()
    expected = beta_term(given.mean, given.logvar) + 2.0 * given.draw().sample.square().sum(-1).mean()
    torch.testing.assert_close(disentangle_term("factor_vae", 2.0)(given), expected)


def test_permuting_keeps_the_marginals_and_breaks_the_joint() -> None:
    sample = torch.arange(500.0)[:, None].expand(500, 2).contiguous()
    mixed = permute_dimensions(sample, torch.Generator().manual_seed(0))
    assert torch.equal(mixed.sort(0).values, sample)
    assert abs(float(torch.corrcoef(mixed.T)[0, 1])) < 0.15
    assert torch.equal(mixed, permute_dimensions(sample, torch.Generator().manual_seed(0)))


def test_discriminator_loss_by_hand() -> None:
    """Ratio 0: it cannot tell, (ln 2 + ln 2) / 2. Ratios 2 and -1: (ln(1 + e^-2) + ln(1 + e^-1)) / 2."""
    assert float(discriminator_loss(torch.zeros(3), torch.zeros(3))) == pytest.approx(math.log(2))
    expected = 0.5 * (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1)))
    assert float(discriminator_loss(torch.tensor([2.0]), torch.tensor([-1.0]))) == pytest.approx(expected)


# ---- DIP-VAE


def test_covariance_gap_by_hand() -> None:
    """[[2, 0.5], [0.5, 1]]: off the diagonal 2 x 0.25 = 0.5, on it 1 + 0. 3 x 0.5 + 7 x 1 = 8.5."""
    assert float(covariance_gap(torch.tensor([[2.0, 0.5], [0.5, 1.0]]), 3.0, 7.0)) == pytest.approx(8.5)


def test_dip_against_naive_loops() -> None:
    given = codes()
    frames = given.mean.detach().flatten(0, 1).tolist()
    count = len(frames)
    mean = [sum(row[j] for row in frames) / count for j in range(E)]
    cov = [[sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in frames) / count for j in range(E)] for i in range(E)]
    torch.testing.assert_close(code_covariance(given.mean).detach(), torch.tensor(cov))
    spread = given.logvar.detach().exp().flatten(0, 1).mean(0).tolist()
    off = sum(cov[i][j] ** 2 for i, j in itertools.permutations(range(E), 2))
    kl = beta_term(given.mean, given.logvar)
    one = 2 * off + 20 * sum((cov[i][i] - 1) ** 2 for i in range(E))
    two = 2 * off + 2 * sum((cov[i][i] + spread[i] - 1) ** 2 for i in range(E))
    torch.testing.assert_close(disentangle_term("dip_vae_i", 2.0)(given), kl + one)
    torch.testing.assert_close(disentangle_term("dip_vae_ii", 2.0)(given), kl + two)


def test_dip_is_satisfied_by_independent_codes_of_unit_variance() -> None:
    """I: means at the corners of a square. II: means 0, and all the variance in the noise."""
    corners = torch.tensor([[x, y] for x in (-1.0, 1.0) for y in (-1.0, 1.0)])[None]
    flat = torch.zeros(1, 4, 2)
    for kind, mean in (("dip_vae_i", corners), ("dip_vae_ii", flat)):
        given = Codes(mean, torch.zeros(1, 4, 2), refuse, refuse, 0)
        torch.testing.assert_close(disentangle_term(kind)(given), beta_term(mean, given.logvar))


def test_total_correlation_tells_a_correlated_gaussian() -> None:
    """A correlation of 0.9: TC = -0.5 ln(1 - 0.81) = 0.83 nats. Many sharp codes estimate it from above, independent ones less."""
    found = {}
    for rho in (0.0, 0.9):
        torch.manual_seed(0)
        mean = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, rho], [rho, 1.0]])).sample((1000,))
        logvar = torch.full_like(mean, 2 * math.log(0.3))
        found[rho] = float(total_correlation(Draw(mean, logvar, mean + 0.3 * torch.randn_like(mean))))
    # With noise of 0.3 the correlation is 0.9 / 1.09 = 0.826: -0.5 ln(1 - 0.682) = 0.573.
    assert found[0.9] == pytest.approx(0.573, abs=0.1)
    assert abs(found[0.0]) < 0.1
