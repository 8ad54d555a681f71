"""What a switch costs, on curves whose numbers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from diswm.envs import EnvConfig
from diswm.metrics.recovery import alone_at, recovery

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


def test_an_evaluation_as_a_gradual_switch_begins_is_still_before_it() -> None:
    """At 30 of 30 to 40 no episode is of the new set yet: 100 - 70 = 30. Of an abrupt switch at 30 it is the first after it."""
    gradual, abrupt = (recovery(FRAMES, [50, 90, 100, 70, 70, 70], 30, end) for end in (40, 30))
    assert gradual is not None
    assert abrupt is not None
    assert (gradual.before, gradual.after, gradual.drop) == (100, 70, 30)
    assert (abrupt.before, abrupt.after) == (90, 100)


@pytest.mark.parametrize("phases", ["0:set1, 0.5:set2", "0:set1, 0.3-0.6:set2, 0.7:none", "0:set1, 0.2-0.8:set2, 0.5-0.6:none"])
def test_a_phase_is_alone_where_every_draw_gives_it(phases: str) -> None:
    """Against the plan itself: chances of 0 take each switch as early as can be, chances near 1 as late."""
    plan = EnvConfig(task="toy", phases=(phases,)).plan()
    windows = [(phase.start, phase.end) for phase in plan.phases]
    for at in np.linspace(0, 1, 41).round(3).tolist():
        draws = np.array(np.meshgrid(*[[0.0, 1.0 - 1e-9]] * len(windows))).reshape(len(windows), -1).T
        found = {plan.at(at, chance) for chance in draws}
        assert alone_at(windows, at) == (found.pop() if len(found) == 1 else None), at


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
