"""What is noticed in the metrics of updates. (Skipped updates: test_finetune.py.)"""

from __future__ import annotations

from diswm.trainers.meter import Stall


def told(norms: list[float | None]) -> list[bool]:
    """After which lines of metrics something was said."""
    stall = Stall()
    return [bool(stall.add({} if norm is None else {"actor/grad_norm": norm})) for norm in norms]


def test_an_actor_without_gradient_is_told_once() -> None:
    assert told([0.02, *[3e-4] * 7]) == [False, False, False, False, False, True, False, False]


def test_one_that_wakes_up_in_time_is_not() -> None:
    assert not any(told([3e-4, 3e-4, 3e-4, 3e-4, 0.002, 3e-4, 3e-4, 3e-4, 3e-4]))


def test_a_video_model_has_no_actor() -> None:
    assert not any(told([None] * 8))
