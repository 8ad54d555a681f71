"""What OpenGL's clamp leaves of the light on a textured surface, in numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from diswm.envs import lit

ABOVE, SIDE, BELOW = [0.0, 0.0, 1.0], [0.0, 0.6, 0.8], [0.0, 0.0, -1.0]


def lights(*rows: tuple[list[float], bool, float, float, float]) -> lit.Lights:
    """Grey lights: where, with shadow, ambient, diffuse, specular."""
    grey = [np.repeat(np.array([[row[i]] for row in rows]), 3, axis=1) for i in (2, 3, 4)]
    return lit.Lights(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), *grey)


def test_what_falls_on_a_level_surface() -> None:
    found = lights((ABOVE, False, 0.4, 0.4, 0.5), (SIDE, False, 0.0, 0.5, 0.3), (SIDE, True, 0.1, 0.25, 0.3), (BELOW, False, 0.0, 1.0, 0.0))
    plain, shadowed = lit.sums(found)
    # 0.4 + 0.1 of ambient light, 0.4 from above, 0.8 * 0.5 from the side, nothing from below; 0.8 * 0.25 with a shadow.
    assert plain == pytest.approx([1.3] * 3)
    assert shadowed == pytest.approx([0.2] * 3)


def test_highlights_of_lights_without_shadow() -> None:
    # From straight above the half vector of a light from above is the normal: all of it. Of one from the side the half vector is
    # (0, 0.6, 1.8) / sqrt(3.6), its share of the normal sqrt(0.9), and with an exponent of 128 / 64 = 2 the highlight is 0.9.
    above = np.array([ABOVE])
    assert lit.highlight(lights((ABOVE, False, 0, 0, 0.5)), above, 0.5, 1 / 64) == pytest.approx([0.25] * 3)
    assert lit.highlight(lights((SIDE, False, 0, 0, 0.5)), above, 0.5, 1 / 64) == pytest.approx([0.225] * 3)
    assert not lit.highlight(lights((SIDE, True, 0, 0, 0.5), (BELOW, False, 0, 0, 1.0)), above, 0.5, 1 / 64).any()


def test_where_a_camera_sees_from() -> None:
    # 90 degrees high: half way to the edge is half of tan 45 = 0.5 to each side.
    found = lit.views(np.eye(3), 90.0)
    assert np.allclose(np.abs(found), np.array([0.5, 0.5, 1.0]) / np.sqrt(1.5))
    assert np.allclose(found.mean(0)[:2], 0)


def test_a_white_table_is_no_brighter_than_its_texture() -> None:
    emission, factor = lit.correction(np.ones(3), np.full(3, 1.185), np.full(3, 0.173))
    # OpenGL: min(1, 1.185) + 0.173. The emission takes 0.185 away, and nothing is left for the factor.
    assert emission == pytest.approx(-0.185)
    assert factor == pytest.approx([1.0] * 3)


def test_below_the_clamp_nothing_changes() -> None:
    emission, factor = lit.correction(np.array([0.7, 0.3, 0.5]), np.full(3, 1.185), np.full(3, 0.173))
    assert emission == pytest.approx(0.0, abs=1e-12)
    assert factor == pytest.approx([1.0] * 3)


def test_in_full_light_every_channel_is_as_in_opengl() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        rgb, plain, shadowed = rng.uniform(0.0, 1.0, 3), rng.uniform(0.1, 2.0, 3), rng.uniform(0.0, 1.0, 3)
        gloss = rng.uniform(0.0, 0.2)
        emission, factor = lit.correction(rgb, plain, shadowed, gloss)
        cast = factor * rgb * (plain + shadowed + emission)
        assert cast == pytest.approx(np.minimum(1.0, rgb * plain + gloss) + rgb * shadowed, abs=0.01)


def test_a_black_table_takes_its_highlight() -> None:
    emission, factor = lit.correction(np.zeros(3), np.ones(3), np.zeros(3), gloss=0.1)
    assert np.isfinite([emission, *factor]).all()
