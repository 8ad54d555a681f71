"""Height fields: what the camera sees of them is whole, and the rest is not drawn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from diswm.envs import terrain

ROWS, COLUMNS = 3, 5


def field(height: float) -> SimpleNamespace:
    """A level field of 4 x 2 m, so many times 2 m high, on a base of 0.5 m."""
    return SimpleNamespace(
        hfield_nrow=np.array([ROWS]), hfield_ncol=np.array([COLUMNS]), hfield_size=np.array([[2.0, 1.0, 2.0, 0.5]]),
        hfield_adr=np.array([0]), hfield_data=np.full(ROWS * COLUMNS, height, np.float32),
    )  # fmt: skip


def test_it_encloses_its_volume() -> None:
    corners = terrain.surface(field(0.75), 0)
    assert len(corners) == 2 * 2 * 4 + 2 * (4 + 2 + 4 + 2) + 2  # squares, sides, bottom
    assert np.linalg.det(corners).sum() / 6 == pytest.approx(4 * 2 * (0.75 * 2.0 + 0.5)), "positive: it faces outward"


def test_what_is_out_of_the_picture_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(terrain.Terrain, "_draw", lambda self, chosen: drawn.append(chosen))
    monkeypatch.setattr(terrain, "BLOCK", 1)
    wide = field(0.0)
    wide.hfield_size = np.array([[20.0, 10.0, 2.0, 0.5]])  # squares of 10 x 10 m
    shown, ahead = terrain.Terrain(wide, 0, 7), np.array([[1.0, 0.0, 0.0]])
    # A block is drawn unless its middle is further behind than the margin and its own reach, 7.1 m: of 4 along x, in each of 2 rows.
    # Sides and bottom always are.
    for x, columns in ((0.0, [0, 1, 1, 1]), (14.0, [0, 0, 0, 1]), (30.0, [0, 0, 0, 0])):
        shown.whole(ahead, np.array([x, 0.0, 0.0]))
        assert drawn[-1].tolist() == [*map(bool, columns * 2), True]


def test_its_blocks_are_all_of_it() -> None:
    model = field(0.0)
    model.hfield_data = np.linspace(0.0, 1.0, ROWS * COLUMNS).astype(np.float32)
    whole, shown = terrain.surface(model, 0), terrain.Terrain(model, 0, 7)
    shown._read()
    assert len(shown._parts) == 2, "one block, and sides and bottom"
    assert np.array_equal(np.unique(np.concatenate(shown._parts), axis=0), np.unique(whole, axis=0))
    assert shown._tallest.tolist() == [[2.0]]
    model.hfield_data[:] = 0.5
    shown.reset()
    shown._read()
    assert shown._tallest.tolist() == [[1.0]], "the new heights"
