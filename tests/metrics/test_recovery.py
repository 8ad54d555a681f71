"""What a switch costs, on curves whose numbers are known."""

from __future__ import annotations

import math

from diswm.metrics.recovery import recovery

FRAMES = [10, 20, 30, 40, 50, 60]


def test_drop_and_frames_to_recover() -> None:
    """Switch at 30: 100 before, 40 right after (the evaluation at 30 plays the new set), 92 at 50 lacks 8 < 10: 50 - 30 = 20 frames."""
    found = recovery(FRAMES, [50, 100, 40, 80, 92, 120], 30, 30)
    assert found is not None
    assert (found.before, found.after, found.drop, found.frames) == (100, 40, 60, 20)


def test_a_gradual_switch_ends_where_it_is_complete() -> None:
    """From 25 to 45: before is the one at 20, after the one at 50; 95 there is within a tenth, 50 - 25 frames on."""
    found = recovery(FRAMES, [50, 100, 70, 60, 95, 96], 25, 45)
    assert found is not None
    assert (found.before, found.after, found.frames) == (100, 95, 25)


def test_what_is_never_made_good_is_none() -> None:
    found = recovery(FRAMES, [50, 100, 40, 50, 60, 89.9], 30, 30)
    assert found is not None
    assert found.frames is None


def test_negative_returns_recover_too() -> None:
    """-100 before: a tenth of its size is 10, so -110 is enough and -111 is not."""
    found = recovery(FRAMES, [-150, -100, -300, -111, -110, -90], 30, 30)
    assert found is not None
    assert (found.drop, found.frames) == (200, 20)
    assert not math.isnan(found.drop)


def test_a_switch_with_one_side_alone_says_nothing() -> None:
    assert recovery(FRAMES, [1] * 6, 5, 5) is None
    assert recovery(FRAMES, [1] * 6, 70, 70) is None
