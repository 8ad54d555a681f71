"""Distractions in words: all of them are named, and read back they are the same."""

from __future__ import annotations

import pytest

from diswm.envs import ColourConfig, EnvConfig, with_distractions
from diswm.envs.naming import in_words
from diswm.envs.specs import plan


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["none"], ["colours none"]),
        (["colour:set1"], ["colours set1"]),
        (["colour:ted1"], ["colours ted1"]),  # set1 with a smaller box and no walk: not the same as set1
        (["colour:hard,moving,train"], ["colours hard moving train"]),
        (["colour:color_hard"], ["colours color_hard"]),
        (["colour:set2", "camera:easy,moving"], ["colours set2", "camera easy moving"]),
        (["camera:0.25,roll", "light:medium,test"], ["colours none", "camera 0.25 roll", "light medium test"]),
        (["background:video,dynamic,folder=DAVIS,clips=4,ground=0.5"],
         ["colours none", "background video moving folder=DAVIS clips=4 ground=0.5"]),
        (["background:noise", "texture:wood"], ["colours none", "background noise", "texture wood"]),
        (["texture:train"], ["colours none", "texture train"]),
    ],
)  # fmt: skip
def test_every_distraction_is_named(texts: list[str], said: list[str]) -> None:
    config = with_distractions(EnvConfig(task="toy"), texts)
    (phase,) = config.plan().phases
    assert in_words(phase) == said
    again = [one.replace("colours", "colour").replace(" ", ":", 1).replace(" ", ",") for one in said]
    assert with_distractions(EnvConfig(task="toy"), again).plan() == config.plan()


def test_colours_without_a_name_are_their_box() -> None:
    (phase,) = plan(ColourConfig(colours="set1", max_delta=0.125), (), ()).phases
    assert in_words(phase) == ["colours set1 delta=0.125 std=0.2"]
