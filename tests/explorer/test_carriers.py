"""What a dimension of the code goes along with, and what only looks like it."""

from __future__ import annotations

import numpy as np

from diswm.explorer.carriers import carriers, chance, correlations


def test_correlations_by_hand() -> None:
    code = np.array([[1.0, 5.0, 1.0], [2.0, 5.0, 0.0], [3.0, 5.0, 1.0]])
    values = np.array([[2.0, 3.0], [4.0, 2.0], [6.0, 1.0]])
    # the second dimension does not vary; the third, (1, -2, 1) / 3 around its mean, is orthogonal to (-1, 0, 1)
    np.testing.assert_allclose(correlations(code, values), [[1, -1], [0, 0], [0, 0]], atol=1e-12)


def test_the_factors_of_each_dimension_the_largest_first() -> None:
    rng = np.random.default_rng(0)
    size, colour = rng.standard_normal((400, 1)), rng.standard_normal((400, 3))
    noise = rng.standard_normal((400, 3))
    code = np.stack([colour[:, 2] - 0.5 * size[:, 0], noise[:, 0], -size[:, 0] + 0.3 * noise[:, 1]], 1)
    found = carriers(code, {"size": size, "colour.eye": colour, "wind": noise[:, 2:].repeat(2, 1)}, 1, rng)
    assert [[one.name for one in names] for names in found] == [["colour.eye blue", "size"], [], ["size"]]
    assert [np.sign(one.correlation) for names in found for one in names] == [1, -1, -1]


def test_slow_changes_that_have_nothing_to_do_with_each_other_are_chance() -> None:
    """Two random walks of 50 steps correlate by more than 0.2 as a rule; 512 independent rows hardly ever beyond 0.15."""
    rng = np.random.default_rng(1)
    walks = rng.standard_normal((2, 10, 50)).cumsum(2).reshape(2, 500, 1)
    assert chance(walks[0], walks[1], 50, rng) > 0.2 > 0.15 > chance(rng.standard_normal((512, 1)), rng.standard_normal((512, 1)), 1, rng)
    assert carriers(walks[0], {"walk": walks[1]}, 50, rng) == [[]]
    assert carriers(walks[0], {"walk": walks[0]}, 250, rng) == [[]]  # two groups cannot say what chance is
