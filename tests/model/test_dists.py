"""The distributions against torch.distributions and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from diswm.model.dists import (
    categorical_entropy,
    clip_straight_through,
    gumbel,
    normal_entropy,
    normal_kl,
    normal_nll,
    onehot_straight_through,
    squash_std,
    standard_kl,
)


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_normal_kl_sums_the_closed_form_over_the_last_axis(random: torch.Generator) -> None:
    mean_a, mean_b = torch.randn(2, 3, 4, 5, generator=random)
    std_a, std_b = torch.rand(2, 3, 4, 5, generator=random) + 0.1
    expected = kl_divergence(Normal(mean_a, std_a), Normal(mean_b, std_b)).sum(-1)
    torch.testing.assert_close(normal_kl(mean_a, std_a, mean_b, std_b), expected)


def test_standard_kl_is_the_kl_from_a_standard_normal_by_dimension(random: torch.Generator) -> None:
    mean, logvar = torch.randn(2, 3, 5, generator=random)
    expected = kl_divergence(Normal(mean, torch.exp(logvar / 2)), Normal(0.0, 1.0))
    torch.testing.assert_close(standard_kl(mean, logvar), expected)


def test_normal_nll_has_its_constant(random: torch.Generator) -> None:
    value, mean = torch.randn(2, 7, generator=random)
    torch.testing.assert_close(normal_nll(value, mean), -Normal(mean, 1.0).log_prob(value))
    assert float(normal_nll(mean, mean)[0]) == pytest.approx(0.5 * math.log(2 * math.pi))


def test_entropy_sums_over_actions(random: torch.Generator) -> None:
    std = torch.rand(4, 3, generator=random) + 0.1
    torch.testing.assert_close(normal_entropy(std), Normal(0.0, std).entropy().sum(-1))


def test_std_lies_between_its_bounds() -> None:
    """2 sigmoid(raw / 2) + 0.1: 0.1 at the far left, 1.1 in the middle, 2.1 at the far right."""
    torch.testing.assert_close(squash_std(torch.tensor([-100.0, 0.0, 100.0])), torch.tensor([0.1, 1.1, 2.1]))
    # Where raw / 2 = ln 3 the sigmoid is 3/4, where it is -ln 3, 1/4.
    torch.testing.assert_close(squash_std(torch.tensor([-2.0, 2.0]) * math.log(3)), torch.tensor([0.6, 1.6]))


@pytest.mark.parametrize("scale", [1.0, 14.0, 1e6])
def test_clipped_values_never_leave_the_bounds(scale: float, random: torch.Generator) -> None:
    value = scale * torch.randn(10_000, generator=random)
    clipped = clip_straight_through(value)
    assert float(clipped.abs().max()) < 1
    assert clip_straight_through(torch.tensor([-9.0, 9.0])).tolist() == pytest.approx([-(1 - 1e-6), 1 - 1e-6], abs=1e-7)
    inside = value.abs() < 0.9
    assert torch.equal(clipped[inside], value[inside])


def test_gradients_pass_the_clip_as_if_there_was_none() -> None:
    value = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0], requires_grad=True)
    clip_straight_through(value).sum().backward()
    assert torch.equal(value.grad, torch.ones(5))


def test_gumbel_noise_is_gumbel_distributed(random: torch.Generator) -> None:
    """P(G <= g) = exp(-exp(-g)); mean 0.5772 (Euler), standard deviation pi / sqrt(6) = 1.2825. Finite far out on both sides."""
    drawn = gumbel(torch.randn(200_000, generator=random))
    assert float(drawn.mean()) == pytest.approx(0.5772, abs=0.01)
    assert float(drawn.std()) == pytest.approx(1.2825, abs=0.01)
    assert float((drawn <= 1.0).float().mean()) == pytest.approx(math.exp(-math.exp(-1.0)), abs=0.005)
    far = gumbel(torch.tensor([-9.0, -5.0, 0.0, 5.0, 9.0]))
    assert torch.isfinite(far).all()
    assert (far.diff() > 0).all()
    assert float(far[2]) == pytest.approx(-math.log(math.log(2.0)))


def test_choices_are_one_hot_and_as_frequent_as_their_probabilities(random: torch.Generator) -> None:
    logits = torch.tensor([0.0, 1.0, -2.0])
    drawn = onehot_straight_through(logits.expand(50_000, 3), torch.randn(50_000, 3, generator=random))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert (drawn.sum(-1) == 1).all()
    torch.testing.assert_close(drawn.mean(0), logits.softmax(-1), atol=0.01, rtol=0)


def test_without_noise_the_most_likely_is_chosen(random: torch.Generator) -> None:
    logits = torch.randn(100, 5, generator=random)
    chosen = onehot_straight_through(logits, torch.zeros(100, 5))
    assert torch.equal(chosen.argmax(-1), logits.argmax(-1))


def test_the_straight_through_gradient_is_the_softmax_s(random: torch.Generator) -> None:
    """Of sum_i w_i a_i by logit j, with p = softmax: sum_i w_i p_i ([i = j] - p_j) = p_j (w_j - sum_i w_i p_i)."""
    logits = torch.randn(7, 4, generator=random).requires_grad_()
    worth = torch.randn(7, 4, generator=random)
    (worth * onehot_straight_through(logits, torch.randn(7, 4, generator=random))).sum().backward()
    p = logits.detach().softmax(-1)
    torch.testing.assert_close(logits.grad, p * (worth - (worth * p).sum(-1, keepdim=True)))


def test_entropy_of_choices(random: torch.Generator) -> None:
    """At most log A, where all are alike; 0 where one is certain."""
    logits = torch.randn(6, 4, generator=random)
    torch.testing.assert_close(categorical_entropy(logits), Categorical(logits=logits).entropy())
    assert float(categorical_entropy(torch.zeros(8))) == pytest.approx(math.log(8))
    assert float(categorical_entropy(torch.tensor([100.0, 0.0]))) == pytest.approx(0.0, abs=1e-6)
