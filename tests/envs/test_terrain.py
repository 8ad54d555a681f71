"""Height fields: what the camera sees of them is whole, and the rest is not drawn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from diswm.envs import terrain
from diswm.envs.shapes import Mesh

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
    drawn: list[Mesh] = []
    monkeypatch.setattr(terrain, "compiled", lambda number, meshes: drawn.extend(meshes))
    wide = field(0.0)
    wide.hfield_size = np.array([[20.0, 10.0, 2.0, 0.5]])  # squares of 10 x 10 m
    shown = terrain.Terrain(wide, 0, 7)
    ahead = np.array([[1.0, 0.0, 0.0]])
    shown.show(ahead, np.zeros(3))
    # In front of x = 0, or across it, or nearer than the margin: of 4 squares along x the last two in each of 2 rows, the sides at
    # x = 20 and at y = -10 and 10, the bottom. Those that end at x = 0 come nearer than their middles say, so they stay too.
    kept = drawn[0].vertices.reshape(-1, 3, 3)
    assert (kept[..., 0].max(1) >= -terrain.MARGIN).all()
    assert {20.0, 10.0, 0.0} <= {*kept[..., 0].ravel().tolist()}
    assert len(kept) < len(terrain.surface(wide, 0))
    shown.show(ahead, np.array([0.2, 0.0, 0.0]))
    assert len(drawn) == 1, "a small step changes nothing"
    shown.show(ahead, np.array([30.0, 0.0, 0.0]))
    assert len(drawn) == 2
    assert len(drawn[1].vertices) < len(drawn[0].vertices), "all of it lies behind"
    wide.hfield_data[:] = 1.0
    shown.reset()
    shown.show(ahead, np.zeros(3))
    assert drawn[2].vertices[:, 2].max() == pytest.approx(2.0), "the new heights"
