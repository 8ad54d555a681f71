"""How alike two codes are: known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from diswm.metrics.similarity import linear_cka, linear_r2, matched, same_place

CODE = np.random.default_rng(0).normal(size=(2_000, 4))
OTHER = np.random.default_rng(1).normal(size=(2_000, 4))
TURN = ortho_group.rvs(4, random_state=0)


def test_a_code_and_itself() -> None:
    for score in (linear_cka, matched, same_place, linear_r2):
        assert score(CODE, CODE) == pytest.approx(1.0, abs=0.001)


def test_codes_of_nothing_in_common() -> None:
    # CKA of independent codes: about E / N = 4 / 2,000; correlations about 0.02 each.
    assert linear_cka(CODE, OTHER) < 0.01
    assert max(matched(CODE, OTHER), same_place(CODE, OTHER)) < 0.06
    assert linear_r2(CODE, OTHER) < 0.01


def test_another_order_a_shift_and_a_sign() -> None:
    moved = 5 - CODE[:, [1, 2, 3, 0]]
    assert matched(CODE, moved) == pytest.approx(1.0)
    assert linear_cka(CODE, moved) == pytest.approx(1.0)
    assert same_place(CODE, moved) < 0.06


def test_a_rotation_is_the_same_space_with_other_dimensions() -> None:
    turned = CODE @ TURN
    assert linear_cka(CODE, turned) == pytest.approx(1.0)
    assert linear_r2(CODE, turned) == pytest.approx(1.0, abs=0.001)
    assert matched(CODE, turned) < 0.95


def test_dead_dimensions_do_not_count_and_a_dead_code_is_like_none() -> None:
    half = CODE * [1, 1, 0, 0]
    for score in (matched, same_place, linear_r2):
        assert score(CODE, half) == pytest.approx(1.0, abs=0.001)
    # Equal variances: ||A'B||^2 = 2, ||A'A|| = 2, ||B'B|| = sqrt 2, so 1 / sqrt 2.
    assert linear_cka(CODE, half) == pytest.approx(2**-0.5, abs=0.02)
    for score in (linear_cka, matched, same_place, linear_r2):
        assert score(CODE, np.full_like(CODE, 3.0)) == 0.0
        assert score(np.full_like(CODE, 3.0), CODE) == pytest.approx(0.0, abs=1e-9)
