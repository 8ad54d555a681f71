"""Rows that belong together, as frames of an episode do, are split, drawn and shuffled as one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from diswm.metrics.disentangle import disentanglement, prepare


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


NUMBER = np.repeat(np.arange(30.0), 10)[:, None]  # which of 30 groups of 10 rows


def whole(column: np.ndarray) -> bool:
    rows = column.reshape(-1, 10)
    return bool((rows == rows[:, :1]).all())


def test_groups_stay_whole() -> None:
    points = prepare(NUMBER, NUMBER, [False], rng(), group=10)
    one, other = points.codes[points.train, 0], points.codes[points.test, 0]
    assert not set(one) & set(other)
    assert len(one) == len(other) == 150
    for again in (points, points.resampled(rng()), points.permuted(rng())):
        assert whole(again.codes[:, 0])
        assert whole(again.values[:, 0])
    assert (points.permuted(rng()).values != points.values).mean() > 0.9
    assert set(points.resampled(rng()).codes[points.test, 0]) <= set(other)


def test_a_code_that_knows_its_episodes_by_heart_tells_nothing_of_new_ones() -> None:
    """One dimension an episode, and a factor that is drawn once an episode: rows alone would call it perfect."""
    codes, factor = np.eye(30)[NUMBER[:, 0].astype(int)], rng().normal(size=30)[NUMBER[:, 0].astype(int)][:, None]

    def score(group: int) -> float:
        (row,) = disentanglement(codes, factor, [False], rng=rng(), only=["ridge_r2"], reps=0, nulls=0, group=group)
        return row.value

    assert score(1) > 0.9
    assert score(10) <= 0.0


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="3 groups of 100 points are too few"):
        prepare(NUMBER, NUMBER, [False], rng(), group=100)


def test_an_incomplete_group_is_left_out() -> None:
    points = prepare(NUMBER[:-5], NUMBER[:-5], [False], rng(), group=10)
    assert len(points.codes) == 290
    assert points.half == 140
