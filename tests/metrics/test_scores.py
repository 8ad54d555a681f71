"""Intervals, interquartile means and areas, against numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from diswm.metrics.scores import (
    area_under_curve,
    bootstrap_difference,
    bootstrap_interval,
    interpolate_curve,
    iqm,
    probability_of_improvement,
    rank_correlation,
    stratified_bootstrap,
)


def test_a_constant_has_no_spread() -> None:
    mean, low, high = bootstrap_interval([0.1] * 7)
    assert low == mean == high == pytest.approx(0.1)


def test_one_value_is_its_own_interval() -> None:
    assert bootstrap_interval([3.5]) == (3.5, 3.5, 3.5)


def test_two_values_reach_from_one_to_the_other() -> None:
    # Resamples of {0, 10} have the means 0, 5, 10 with chances 1/4, 1/2, 1/4: the 2.5% point is 0, the 97.5% point 10.
    assert bootstrap_interval([0.0, 10.0]) == (5.0, 0.0, 10.0)


def test_the_interval_is_near_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    mean, low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / 20  # sqrt(400) = 20
    assert low == pytest.approx(mean - half, abs=0.03)
    assert high == pytest.approx(mean + half, abs=0.03)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.arange(12.0) ** 2
    assert bootstrap_interval(values, seed=4) == bootstrap_interval(values, seed=4)
    assert bootstrap_interval(values, seed=np.random.default_rng(4)) == bootstrap_interval(values, seed=4)
    assert bootstrap_interval(values, seed=4, reps=500) != bootstrap_interval(values, seed=5, reps=500)


def test_a_higher_level_is_wider() -> None:
    values = np.arange(20.0)
    _, low, high = bootstrap_interval(values, level=0.5)
    _, lower, higher = bootstrap_interval(values, level=0.99)
    assert lower < low < high < higher


def test_the_difference_of_two_groups() -> None:
    assert bootstrap_difference([5.0] * 4, [2.0] * 3) == (3.0, 3.0, 3.0)
    mean, low, high = bootstrap_difference([10.0, 12.0, 14.0], [1.0, 2.0, 3.0])
    assert mean == 10.0  # 12 - 2
    assert 0 < low < 10 < high


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [float("inf")], [[1.0], [2.0]]])
def test_what_cannot_be_averaged_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"empty|NaN|shape"):
        bootstrap_interval(bad)


@pytest.mark.parametrize("setting", [{"level": 0.0}, {"level": 1.0}, {"reps": 0}])
def test_bad_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"level|reps"):
        bootstrap_interval([1.0, 2.0], **setting)


def test_the_iqm_cuts_a_quarter_at_each_end() -> None:
    # 8 numbers, 2 cut at each end: (3 + 4 + 5 + 6) / 4 = 4.5, whatever the outlier is.
    assert iqm([[1, 2, 3, 4], [5, 6, 7, 1000]]) == 4.5


def test_the_iqm_rounds_the_cut_down() -> None:
    # 6 numbers: int(0.25 * 6) = 1 cut at each end, as scipy.stats.trim_mean and rliable do: (2 + 3 + 4 + 5) / 4 = 3.5
    assert iqm([[0], [2], [3], [4], [5], [60]]) == 3.5
    assert iqm([[1.0, 2.0, 6.0]]) == 3.0  # int(0.75) = 0: nothing is cut


def test_the_iqm_keeps_leading_axes() -> None:
    scores = np.stack([np.full((3, 2), 1.0), np.full((3, 2), 7.0)])
    assert iqm(scores).tolist() == [1.0, 7.0]


def test_strata_are_resampled_apart() -> None:
    # Both tasks are constant over runs: only a bootstrap that mixed the tasks could find any spread.
    assert stratified_bootstrap([[0.0, 10.0]] * 5, reps=300) == (5.0, 5.0, 5.0)


def test_runs_are_resampled_within_tasks() -> None:
    scores = np.random.default_rng(0).normal(size=(10, 4))
    point, low, high = stratified_bootstrap(scores, reps=2000)
    assert point == iqm(scores)
    assert low < point < high
    assert stratified_bootstrap(scores[:1], lambda s: s.mean(axis=(-2, -1)), reps=50)[1:] == (scores[0].mean(),) * 2


def test_a_list_is_no_matrix() -> None:
    with pytest.raises(ValueError, match="runs x tasks"):
        stratified_bootstrap([1.0, 2.0])


def test_interpolation_reads_between_the_points() -> None:
    assert interpolate_curve([0, 10, 20], [0.0, 5.0, 5.0], [0, 4, 15]).tolist() == [0.0, 2.0, 5.0]


@pytest.mark.parametrize("grid", [[-1], [21]])
def test_interpolation_does_not_extrapolate(grid: list[float]) -> None:
    with pytest.raises(ValueError, match="leaves the curve"):
        interpolate_curve([0, 10, 20], [0.0, 5.0, 5.0], grid)


def test_the_area_is_the_mean_height() -> None:
    assert area_under_curve([0, 10], [0.0, 8.0], 10) == 4.0  # a triangle: 10 * 8 / 2 / 10
    # Held at 2 until 5, then up to 6 at 10: (5 * 2 + 5 * 4) / 10 = 3
    assert area_under_curve([5, 10], [2.0, 6.0], 10) == 3.0
    # The same line read to 5 only: 5 * 2 / 5 = 2; points beyond the budget do not count
    assert area_under_curve([0, 5, 10], [0.0, 4.0, 100.0], 5) == 2.0


@pytest.mark.parametrize(
    ("x", "y", "budget"),
    [([0, 5], [1.0, 1.0], 10), ([0, 0], [1.0, 1.0], 0.1), ([0, 5], [1.0], 5), ([0, 5], [1.0, float("nan")], 5), ([0, 5], [1.0, 1.0], 0)],
)
def test_a_curve_that_cannot_be_measured_is_refused(x: list[float], y: list[float], budget: float) -> None:
    with pytest.raises(ValueError, match=r"covers|increase|points|NaN|positive"):
        area_under_curve(x, y, budget)


def test_probability_of_improvement() -> None:
    """Task 1: 2 beats 1 and ties with 2, 3 beats both: 3.5 of 4 pairs. Task 2: never. Mean 0.4375."""
    found = probability_of_improvement([[2, 3], [0]], [[1, 2], [5]], reps=500)
    assert found.mean == pytest.approx(0.4375)
    assert found.low <= found.mean <= found.high <= 0.5
    assert probability_of_improvement([[5, 6]], [[1, 2]]) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="same tasks"):
        probability_of_improvement([[1]], [])


def test_the_order_of_values_is_what_a_rank_correlation_sees() -> None:
    assert rank_correlation([1, 2, 3], [10, 100, 1e6]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3], [9, 4, 1]) == pytest.approx(-1.0)
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4, centred -1.5, 0, 0, 1.5 and -1.5, -0.5, 0.5, 1.5: 4.5 / sqrt(4.5 x 5) = sqrt(0.9).
    assert rank_correlation([0, 5, 5, 6], [1, 2, 3, 4]) == pytest.approx(0.9**0.5)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0.0
    with pytest.raises(ValueError, match="x has 2 points and y has 3"):
        rank_correlation([1, 2], [1, 2, 3])
