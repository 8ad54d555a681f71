"""The distributions against torch.distributions and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from diswm.model.dists import clip_straight_through, normal_entropy, normal_kl, normal_nll, squash_std, standard_kl


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


@pytest.mark.parametrize("scale", [1.0, 14.0, 1e6])
def test_clipped_values_never_leave_the_bounds(scale: float, random: torch.Generator) -> None:
    value = scale * torch.randn(10_000, generator=random)
    clipped = clip_straight_through(value)
    assert float(clipped.abs().max()) < 1
    inside = value.abs() < 0.9
    assert torch.equal(clipped[inside], value[inside])


def test_gradients_pass_the_clip_as_if_there_was_none() -> None:
    value = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0], requires_grad=True)
    clip_straight_through(value).sum().backward()
    assert torch.equal(value.grad, torch.ones(5))
