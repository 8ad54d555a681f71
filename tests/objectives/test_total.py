"""Joining terms and weights, and the schedules of weights."""

from __future__ import annotations

import pytest
import torch

from diswm.objectives import Anneal, total, weights_at

# Spec C3, E1: 0.1 x the factor is the weight of the distillation.
IN_DOMAIN = Anneal(begin=0, over=50_000, floor=0.1)
CROSS_DOMAIN = Anneal(begin=50_000, over=50_000, floor=0.1)


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        (IN_DOMAIN, 0, 0.1),
        (IN_DOMAIN, 2_500, 0.095),  # where the release stays for ever
        (IN_DOMAIN, 45_000, 0.01),
        (IN_DOMAIN, 50_000, 0.01),
        (IN_DOMAIN, 95_000, 0.01),
        (CROSS_DOMAIN, 0, 0.0),
        (CROSS_DOMAIN, 45_000, 0.0),
        (CROSS_DOMAIN, 49_999, 0.0),
        (CROSS_DOMAIN, 50_000, 0.1),
        (CROSS_DOMAIN, 95_000, 0.01),
        (CROSS_DOMAIN, 500_000, 0.01),
        (Anneal(over=0), 10**9, 0.1),  # no fall: constant
    ],
)
def test_weight_at_a_step(schedule: Anneal, steps: int, expected: float) -> None:
    weights = weights_at({"image": 1.0, "distill": 0.1}, {"distill": schedule}, steps)
    assert weights == pytest.approx({"image": 1.0, "distill": expected})


def test_the_cross_domain_schedule_is_the_spec_s_formula() -> None:
    """0 before 50,000, then max(2 - step / 50000, 0.1)."""
    for steps in range(50_000, 200_000, 7_000):
        assert CROSS_DOMAIN(steps) == pytest.approx(max(2 - steps / 50_000, 0.1))


def test_a_schedule_needs_a_weight() -> None:
    with pytest.raises(KeyError, match="distill"):
        weights_at({"image": 1.0}, {"distill": IN_DOMAIN}, 0)


def test_total_is_the_weighted_sum_of_means() -> None:
    """2 x mean(1, 3) + 0.5 x mean(4, 8) = 4 + 3."""
    terms = {"a": torch.tensor([[1.0, 3.0]]), "b": torch.tensor([[4.0, 8.0]])}
    assert float(total(terms, {"a": 2.0, "b": 0.5})) == 7.0


@pytest.mark.parametrize("weights", [{"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1.0, "c": 1.0}])
def test_names_must_match(weights: dict[str, float]) -> None:
    terms = {"a": torch.zeros(2, 3), "b": torch.zeros(2, 3)}
    with pytest.raises(KeyError, match="same names"):
        total(terms, weights)


@pytest.mark.parametrize("shape", [(), (2,), (3, 2), (2, 3, 1)])
def test_shapes_must_match(shape: tuple[int, ...]) -> None:
    terms = {"a": torch.zeros(2, 3), "b": torch.zeros(shape)}
    with pytest.raises(ValueError, match="b"):
        total(terms, {"a": 1.0, "b": 1.0})
