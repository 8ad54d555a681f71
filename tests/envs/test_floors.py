"""Wide floors keep their small squares where the camera is."""

from __future__ import annotations

import numpy as np
import pytest

from diswm.envs import floors


def test_a_floor_is_divided_as_mujoco_divides_it() -> None:
    # 1 m each way in squares of 2 x 0.3: three fit a half, of an even number two: the rest, 0.4, is at the edges.
    assert floors.divided(1.0, 0.3) == pytest.approx([-1.0, -0.6, 0.0, 0.6, 1.0])
    wide = floors.divided(100.0, 0.2)  # no more than 200 squares
    assert len(wide) == 201
    assert len(floors.divided(0.0, 0.2)) == 0, "endless: as MuJoCo has it"


def test_of_a_wide_floor_what_is_near_stays_fine() -> None:
    wide = np.arange(201.0)  # squares of a metre: 16 of them each way
    kept = floors.thinned(wide, 96).tolist()
    assert set(range(80, 113)) <= set(kept)
    assert kept[0] == 0
    assert kept[-1] == 200
    assert len(kept) < 45
    assert floors.thinned(wide, -500).tolist()[-1] == 200, "also where the camera is far off the floor"


def test_small_squares_stay_fine_for_five_metres() -> None:
    assert set(range(75, 126)) <= set(floors.thinned(0.2 * np.arange(201), 100).tolist())
