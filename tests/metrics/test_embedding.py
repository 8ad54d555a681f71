"""Maps of codes, and how far two sources are apart."""

from __future__ import annotations

import numpy as np
import pytest

from diswm.metrics.embedding import clip_points, same_source, tsne

SIDES = np.arange(60) >= 30


def two(gap: float) -> np.ndarray:
    """Thirty points of either source, ``gap`` apart in the first of three dimensions."""
    codes = np.random.default_rng(0).normal(size=(60, 3))
    codes[SIDES, 0] += gap
    return codes


def test_sources_that_lie_apart_have_no_neighbour_of_the_other() -> None:
    assert same_source(two(100.0), SIDES) == 1.0


def test_sources_that_are_alike_share_their_neighbours() -> None:
    # Of the 59 others of a point 29 are of its source: 0.49 by chance, with a deviation of at most sqrt(0.25 / 60) = 0.06.
    assert same_source(two(0.0), SIDES) == pytest.approx(29 / 59, abs=0.13)


def test_four_points_by_hand() -> None:
    # On a line, the nearest of 0 is 1.2 (its own source), of 1.2 it is 2 (not), of 2 it is 1.2 (not), of 9 it is 2 (its own).
    assert same_source(np.array([[0.0], [1.2], [2.0], [9.0]]), np.array([False, False, True, True]), neighbours=1) == 0.5


def test_a_clip_is_a_point_by_hand_wherever_its_motion_begins() -> None:
    # Dimension 0: 1, 3 has mean 2 and deviation 1; dimension 1: 5, 5 has 5 and 0. The second clip is the first from its end.
    clips = np.array([[[1.0, 5.0], [3.0, 5.0]], [[3.0, 5.0], [1.0, 5.0]]])
    assert clip_points(clips).tolist() == [[2, 5, 1, 0]] * 2
    with pytest.raises(ValueError, match=r"\(clips, frames, dimensions\), got shape \(2, 3\)"):
        clip_points(np.zeros((2, 3)))


def test_clips_with_the_same_mean_are_apart_where_they_move_otherwise() -> None:
    rng = np.random.default_rng(0)
    clips = rng.normal(size=(60, 8, 3)) * np.where(SIDES, 5.0, 0.1)[:, None, None]
    clips -= clips.mean(1, keepdims=True)
    assert same_source(clip_points(clips), SIDES) == 1.0


def test_a_map_is_the_same_for_the_same_seed_and_keeps_sources_apart() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    places = tsne(two(100.0), 3)
    assert places.shape == (60, 2)
    assert np.array_equal(places, tsne(two(100.0), 3))
    assert same_source(places, SIDES) == 1.0
    wide = np.concatenate([two(100.0), np.zeros((60, 90))], 1)
    assert same_source(tsne(wide, 3), SIDES) == 1.0, "more dimensions than points go by their principal components"


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (np.ones((9, 2)), "does not vary"),
        (np.full((9, 2), np.nan), "NaN"),
        (np.zeros((3, 2)), "at least four points"),
        (np.zeros((9, 0)), "at least four points"),
    ],
)
def test_what_cannot_be_drawn_is_refused(codes: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tsne(codes, 0)
