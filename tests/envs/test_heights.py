"""Rays against height fields: what they meet, what a picture shows, and what lies in the field's own shadow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from diswm.envs import heights, terrain

HALF = np.array([6.0, 4.0])
ROWS, COLUMNS = 20, 27  # squares: parts of blocks at two sides
DOWN = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])  # the axes of a view from above
MIDDLES = np.array([[0.5, 0.5]])
NOTHING = np.zeros((0, 4)), np.zeros(0, bool)


def field(height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heights, the tops of their blocks, and half their extent."""
    block = terrain.BLOCK
    tops = [[height[i : i + block + 1, j : j + block + 1].max() for j in range(0, COLUMNS, block)] for i in range(0, ROWS, block)]
    return height, np.array(tops), HALF


def rough() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.0, 0.8, (ROWS + 1, COLUMNS + 1))


def triangles(height: np.ndarray) -> np.ndarray:
    """As MuJoCo divides it, without sides and bottom."""
    model = SimpleNamespace(
        hfield_nrow=[ROWS + 1], hfield_ncol=[COLUMNS + 1], hfield_adr=[0], hfield_data=height.ravel(), hfield_size=[[*HALF, 1.0, 0.1]]
    )
    return terrain.surface(model, 0)[: 2 * ROWS * COLUMNS]


def nearest(corners: np.ndarray, o: np.ndarray, d: np.ndarray) -> float:
    """How far a ray goes to the first triangle that faces it (Moller and Trumbore 1997, each triangle alone)."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = np.cross(d, second)
    scale = (first * across).sum(1)
    away = o - corners[:, 0]
    u, turned = (away * across).sum(1) / scale, np.cross(away, first)
    v, t = (turned @ d) / scale, (second * turned).sum(1) / scale
    met = (scale > 0.0) & (u >= 0.0) & (v >= 0.0) & (u + v <= 1.0) & (t > 0.0)
    return float(t[met].min(initial=np.inf))


def test_a_ray_meets_the_nearest_triangle_that_faces_it() -> None:
    rng, height = np.random.default_rng(1), rough()
    corners, met = triangles(height), 0
    for _ in range(400):
        o = rng.uniform((-8.0, -6.0, -0.5), (8.0, 6.0, 1.5))  # above, below and beside
        d = rng.normal(size=3) * (1.0, 1.0, 0.2)
        expected = nearest(corners, o, d)
        t, row, column, upper = heights._first(*field(height), o, d, 0.0)
        assert t == pytest.approx(expected, rel=1e-6)
        if np.isfinite(t):
            met += 1
            found = corners[(0 if upper else ROWS * COLUMNS) + row * COLUMNS + column]
            assert nearest(found[None], o, d) == pytest.approx(t, rel=1e-6)
    assert met > 80


def test_along_the_grid_and_straight_down() -> None:
    level = field(np.full((ROWS + 1, COLUMNS + 1), 0.5))
    assert heights._first(*level, np.array([0.1, 0.1, 2.0]), np.array([0.0, 0.0, -1.0]), 0.0)[0] == pytest.approx(1.5)
    assert heights._first(*level, np.array([-5.0, 0.1, 2.0]), np.array([1.0, 0.0, -0.25]), 0.0)[0] == pytest.approx(6.0)
    assert heights._first(*level, np.array([-5.0, 0.1, 2.0]), np.array([0.0, 1.0, -1.0]), 0.0)[0] == pytest.approx(1.5)
    assert heights._first(*level, np.array([-7.0, 0.1, 2.0]), np.array([0.0, 1.0, -1.0]), 0.0)[0] == np.inf, "beside the field"
    assert heights._first(*level, np.array([0.1, 0.1, 2.0]), np.array([0.0, 0.0, -1.0]), 1.6)[0] == np.inf, "it begins below"


def looked(height: np.ndarray, eye: Any, planes: Any = NOTHING, near: float = 0.01, size: int = 16) -> Any:
    """Blocks, planes shown, and places lit, of a view straight down that is as wide as it is high."""
    about = field(height)
    blocks, shown, places = np.zeros(about[1].shape, bool), np.zeros(len(planes[0]), bool), np.empty((3 * size * size, 3))
    count = heights.look(*about, np.array(eye, float), DOWN, 0.5, near, size, MIDDLES, *planes, blocks, shown, places)
    return blocks, shown, places[:count]


def test_a_picture_needs_the_blocks_that_it_shows() -> None:
    level = np.zeros((ROWS + 1, COLUMNS + 1))
    blocks, _, places = looked(level, (-4.5, -2.5, 1.0))
    # From 1 m it shows 1 x 1 m around x = -4.5, y = -2.5. A block is 8 squares of 12 / 27 m by 8 / 20 m: to x = -2.44, y = -0.8.
    assert blocks.tolist() == [[True, False, False, False], [False] * 4, [False] * 4]
    assert len(places) == 16 * 16
    assert np.allclose(places[0], (-4.5 - 0.5 + 1 / 32, -2.5 - 0.5 + 1 / 32, 0.0))
    assert not len(looked(level, (0.0, 0.0, 1.0), near=1.1)[2]), "what is nearer than the picture begins is not seen"


def test_planes_that_the_field_hides_are_not_shown() -> None:
    level = np.full((ROWS + 1, COLUMNS + 1), 0.5)
    for z in (0.4, 0.6):
        blocks, shown, places = looked(level, (0.0, 0.0, 2.0), (np.array([[0.0, 0.0, 1.0, z]]), np.array([False])))
        assert shown.tolist() == [z > 0.5]
        assert blocks.any(), "the plane may end before it"
        assert {*places[:, 2].round(6)} == ({0.5} if z < 0.5 else {0.5, 0.6})
    blocks, shown, _ = looked(level, (0.0, 0.0, 2.0), (np.array([[0.0, 0.0, 1.0, 1.5], [0.0, 0.0, 1.0, 1.0]]), np.zeros(2, bool)))
    assert shown.all(), "the upper one may end, too"


def test_a_mirror_shows_the_field() -> None:
    # A mirror that stands upright, past the end of the field; from above the field's end, seen is the mirror alone.
    about, upright, eye = field(np.full((ROWS + 1, COLUMNS + 1), 0.5)), np.array([[-1.0, 0.0, 0.0, -7.0]]), np.array([6.5, 0.0, 1.0])
    ahead = np.array([[0.0, -1.0, 0.0], [0.3, 0.0, 0.95], [0.95, 0.0, -0.3]])
    for mirror in (False, True):
        blocks, shown, places = np.zeros(about[1].shape, bool), np.zeros(1, bool), np.empty((128, 3))
        heights.look(*about, eye, ahead, 0.3, 0.01, 8, MIDDLES, upright, np.array([mirror]), blocks, shown, places)
        assert shown.all()
        assert blocks.any() == mirror


def shaded(height: np.ndarray, places: np.ndarray, light: Any) -> np.ndarray:
    corners = np.empty((len(places), 3, 3))
    return corners[: heights.shade(*field(height), np.array(light, float), DOWN, 1.0, 0.01, 510, places, corners)]


def test_what_a_hill_hides_from_the_light_is_in_its_shadow() -> None:
    height = np.zeros((ROWS + 1, COLUMNS + 1))
    height[:, 14] = 1.0  # a ridge along y, from x = -0.22 over 0.22 to 0.67
    ridge = -6.0 + 14 * 12.0 / COLUMNS
    light = np.array([ridge - 1.0, 0.0, 2.0])
    # The light is 2 m up and 1 m before the ridge, whose top is 1 m up: its shadow ends 1 m behind it.
    behind = np.array([[ridge + x, 0.1, 0.0] for x in (0.5, 0.7, 0.9, 1.1, 1.3)])
    corners = shaded(height, behind, light)
    assert len(corners) == 3
    middles = corners.mean(1)
    for place, middle in zip(behind, middles, strict=False):
        way = place - light
        assert np.linalg.norm(np.cross(way, middle - light)) / np.linalg.norm(way) < 0.02, "on the way from the light to the place"
        assert np.linalg.norm(middle - light) < np.linalg.norm(way)
        assert abs(middle[2] - (1.0 - abs(middle[0] - ridge) * COLUMNS / 12.0)) < 1e-6, "on the ridge"
    assert (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] < 0.0).all(), "they face away from it"
    before = np.array([[ridge - 0.9, 0.1, 0.0], [-5.9, 3.9, 0.0], [ridge - 3.5, 0.1, 0.0]])
    assert not len(shaded(height, before, light)), "in front of it, and where the map ends"


def test_a_level_field_is_not_in_its_own_shadow_but_what_is_below_it() -> None:
    level = np.zeros((ROWS + 1, COLUMNS + 1))
    places = np.stack([np.linspace(-1.0, 1.0, 50), np.linspace(-1.0, 1.0, 50), np.zeros(50)], 1)
    assert not len(shaded(level, places, (0.0, 0.0, 2.0)))
    # A place in a plane that goes on below: OpenGL lights a triangle at the middle of a pixel, even if that lies past its edge.
    assert len(shaded(level, places - (0.0, 0.0, 0.05), (0.0, 0.0, 2.0))) == 50
