"""Distractions and phases as text."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from diswm import envs
from diswm.checks import check_unseen
from diswm.config import TrainRun
from diswm.contract import DiswmError
from diswm.envs import ColourConfig, EnvConfig
from diswm.envs.factors import BackgroundConfig, CameraConfig, LightConfig, TextureConfig, held_out
from diswm.envs.naming import in_words
from diswm.envs.specs import distracted, plan


@pytest.mark.parametrize(
    ("text", "colours", "delta", "std", "per"),
    [
        ("colour:set1", "set1", 0.2, 0.2, "auto"),
        ("color:set2,delta=0.1,std=0.05,per=step", "set2", 0.1, 0.05, "step"),
        ("colour:set1,static", "set1", 0.2, 0.0, "auto"),
        ("colour:ted1", "set1", 0.1, 0.0, "auto"),
        ("ted2", "set2", 0.1, 0.0, "auto"),
        # The Distracting Control Suite: a box of 0.1, 0.2, 0.3; moving by 3% of it.
        ("colour:easy", "own", 0.1, 0.0, "auto"),
        ("colour:medium,moving", "own", 0.2, 0.006, "frame"),
        ("colour:hard,dynamic,train", "own_train", 0.3, 0.009, "frame"),
        ("colour:color_hard,test", "any_test", 0.2, 0.0, "auto"),
    ],
)
def test_colours(text: str, colours: str, delta: float, std: float, per: str) -> None:
    found, layers = distracted(ColourConfig(), [text])
    assert layers == ()
    assert (found.colours, found.max_delta, found.per) == (colours, delta, per)
    assert found.step_std == pytest.approx(std)


def test_the_other_kinds_and_their_combination() -> None:
    texts = ["camera:hard,moving,roll", "background:video,dynamic,folder=a/b,ground=0.5,test", "light:0.25,train", "texture:test"]
    colour, layers = distracted(ColourConfig(), ["colour:easy", *texts])
    assert colour.colours == "own"
    assert layers == (
        CameraConfig(0.3, True, "all", ("roll",)),
        BackgroundConfig("video", True, "test", "a/b", 0, 0.5),
        LightConfig(0.25, False, "train"),
        TextureConfig("test"),
    )
    assert distracted(colour, ["background:medium"])[1] == (BackgroundConfig("video", clips=8),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("camra:easy", "no distraction 'camra'. Did you mean camera"),
        ("camera:esay", "camera ('camera:esay'): 'esay'. Did you mean easy"),
        ("camera", "There are: easy, medium, hard"),
        ("camera:2", r"the strength must lie in [0, 1]"),
        ("camera:easy,movng", "option of 'camera:easy,movng': 'movng'. Did you mean moving"),
        ("camera:easy,moving,static", "moving and static exclude each other"),
        ("camera:easy,roll=3", "roll takes no value"),
        ("colour:set3", "'set3'. Did you mean set2 or set1"),
        ("colour:set1,test", "set2 the one for testing"),
        ("colour:set1,delta=0.4", "max_delta=0.4 must lie in [0, 0.3]"),
        ("colour:set1,delta", "delta needs a value"),
        ("background:vdeo", "'vdeo'. Did you mean video"),
        ("background:video,ground=2", "must lie in [0, 1]"),
        ("background:video,ground=x", "must be a number"),
        ("background:video,folder=", "folder needs a value"),
        ("background:video,clips=0.5", "clips='0.5' must be a whole number"),
        ("background:image,moving", "an image does not move"),
        ("texture:zzz", "There are: all, train, test"),
        # Folders whose names part a text: how to write them is said.
        ("background:video,folder=films, new", """no option 'new'. A folder whose name has a comma, a plus or a quote stands in double"""),
        ("background:video,folder=films,movng", "no option 'movng'. Did you mean moving? A folder whose"),
        ('background:video,folder="films', "a double quote is not closed"),
        ("texture:all,moving", "takes no option 'moving'"),
        ("light:0.5", "must lie in [0, 0.45]"),
    ],
)
def test_what_there_is_not_is_refused_with_the_nearest_names(text: str, words: str) -> None:
    with pytest.raises(DiswmError) as told:
        distracted(ColourConfig(), [text])
    assert words in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["films, new", "a+b", "a,train", 'the "old" ones', "set1, 0.5:set2"])
def test_a_folder_in_double_quotes_has_any_name(name: str) -> None:
    text = 'background:video,folder="{}",train'.format(name.replace('"', '""'))
    layer = BackgroundConfig("video", split="train", folder=name)
    assert distracted(ColourConfig(), [text])[1] == (layer,)
    phases = plan(ColourConfig(), [], [f"0:set1+{text}, 0.5:{text}+set2"]).phases
    assert [(phase.colour.colours, phase.layers) for phase in phases] == [("set1", (layer,)), ("set2", (layer,))]
    held = envs.unseen(EnvConfig(task="toy", distractions=(text,)), "set2")
    assert held.distractions == (text.removesuffix("train") + "test",), "the name is left alone"


def test_a_plus_in_a_folder_of_a_phase_is_not_taken_for_a_distraction() -> None:
    with pytest.raises(DiswmError, match=r"'b' is no distraction\. A folder whose name has a comma, a plus or a quote"):
        plan(ColourConfig(), [], ["0:background:video,folder=a+b"])


def test_a_kind_is_named_once() -> None:
    for texts in (["camera:easy", "camera:hard"], ["colour:set1", "set2"]):
        with pytest.raises(DiswmError, match="named twice"):
            distracted(ColourConfig(), texts)


def test_phases_replace_the_kinds_that_they_name() -> None:
    found = plan(ColourConfig(max_delta=0.1), ["camera:easy"], ["0:set1, 0.25-0.5:set2+camera:hard,moving, 0.75:none"])
    assert [(p.start, p.end, p.colour.colours) for p in found.phases] == [(0, 0, "set1"), (0.25, 0.5, "set2"), (0.75, 0.75, "none")]
    assert [p.layers for p in found.phases] == [(CameraConfig(0.1),), (CameraConfig(0.3, True),), ()]
    assert {p.colour.max_delta for p in found.phases} == {0.1}, "what the text does not say is the run's"
    assert found.kinds() == {"colour", "camera"}


@pytest.mark.parametrize(
    "text", ["", "set1", "0.5:set2", "0:set1, 0.5:set2, 0.4:set1", "0:set1, 0.5-0.4:set2", "0:set1, 1.5:set2", "0-1:set1"]
)
def test_phases_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(DiswmError, match=r"phases.*`0:set1, 0\.5:set2`"):
        EnvConfig(task="toy", phases=(text,))


def test_which_phase_an_episode_has() -> None:
    abrupt = plan(ColourConfig(), [], ["0:set1, 0.5:set2"])
    assert [abrupt.at(p, np.zeros(2)) for p in (0.0, 0.4999, 0.5, 1.0, 1.7)] == [0, 0, 1, 1, 1]
    # From 0.2 to 0.6 the share of the new phase grows from 0 to 1: at 0.3 it is a quarter, at 0.5 three quarters.
    slow = plan(ColourConfig(), [], ["0:set1, 0.2-0.6:set2"])
    chances = np.random.default_rng(0).uniform(size=(2000, 2))
    shares = [np.mean([slow.at(p, chance) for chance in chances]) for p in (0.2, 0.3, 0.5, 0.6)]
    assert shares == pytest.approx([0.0, 0.25, 0.75, 1.0], abs=0.03)


def test_exactly_these_distractions() -> None:
    base = EnvConfig(task="toy")
    assert envs.with_distractions(base, ["background:noise"]).distract.colours == "none"
    assert envs.with_distractions(base, ["none"]) == envs.with_distractions(base, ["colour:none"])
    both = envs.with_distractions(base, ["set2", "background:noise,train"])
    assert (both.distract.colours, both.distractions) == ("set2", ("background:noise,train",))
    with pytest.raises(DiswmError, match=r"colours are set by env\.distract"):
        EnvConfig(task="toy", distractions=("colour:set1",))


def test_what_was_never_trained_on() -> None:
    config = EnvConfig(task="toy", distractions=("background:noise,train", "camera:easy", "texture:train"))
    assert envs.unseen(config, "set2").distractions == ("background:noise,test", "camera:easy", "texture:test")
    assert envs.unseen(config, "set2").distract == ColourConfig(colours="set2")
    assert envs.unseen(config, "none").distractions == ("background:noise,test", "texture:test"), "the camera was trained on"
    turned = EnvConfig(task="toy", distractions=("background:noise,test", "texture:test"))
    assert envs.unseen(turned).distractions == ("background:noise,train", "texture:train")
    named = EnvConfig(task="toy", distractions=("background:video,folder=my/train,train",))
    assert envs.unseen(named, "set2").distractions == ("background:video,folder=my/train,test",)
    assert held_out(ColourConfig(colours="own_train"), "set2").colours == "own_test"


@pytest.mark.parametrize(
    ("phases", "kept"),
    [
        ((), "set2"),
        (("0:set2",), "set1"),
        (("0:set1, 0.5:set2",), "none"),
        (("0:set1, 0.5:none",), "set2"),
        (("0:set1, 0.3:set2, 0.6:none",), "set2"),  # nothing is left: `check_unseen` says so
        (("0:set1, 0.5:color_hard,test",), "none"),  # all colours of much green, set 2 among them; the other half has set 1
        (("0:color_hard,test, 0.5:ted1",), "none"),
        (("0:color_hard,test, 0.5:color_easy",), "set1"),
    ],
)
def test_colours_that_no_phase_trains_on_are_kept_unseen(phases: tuple[str, ...], kept: str) -> None:
    config = EnvConfig(task="toy", phases=phases)
    assert envs.kept_unseen(config) == kept
    assert envs.unseen(config) == envs.unseen(config, kept)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("distract", "phases", "held"),
    [
        ("color_hard,test", (), "color_hard train"),
        ("color_easy,train", (), "color_easy test"),
        ("ted1", (), "ted2"),
        ("set1", ("0:ted1, 0.5:ted1+light:easy",), "ted2"),
        ("set1", ("0:color_hard,train",), "color_hard test"),
        ("color_hard,train", ("0:set1, 0.5:set2",), "none"),
        ("easy,delta=0.5", (), "set2 delta=0.3 std=0"),  # as strong as the sets may be
    ],
)
def test_unseen_colours_differ_from_the_last_ones_in_their_box_alone(distract: str, phases: tuple[str, ...], held: str) -> None:
    config = dataclasses.replace(envs.with_distractions(EnvConfig(task="walker_walk"), [f"colour:{distract}"]), phases=phases)
    assert in_words(envs.unseen(config).plan().phases[0])[0] == f"colours {held}"


@pytest.mark.parametrize(
    ("phases", "perhaps"), [("0:easy", True), ("0:set1, 0.5:set2", False), ("0:set2, 0.5:easy,train", True), ("0:easy,train", False)]
)
def test_boxes_around_own_colours_are_not_compared_to_others(phases: str, perhaps: bool) -> None:
    """The last is kept the other half of its box; those before it a set, or the half of a box beside a set."""
    config = EnvConfig(task="toy", phases=(phases,))
    assert envs.perhaps_seen(config, envs.kept_unseen(config)) is perhaps


def test_agents_that_train_on_both_halves_of_all_colours_have_none_unseen() -> None:
    config = EnvConfig(task="toy", phases=("0:color_hard,train, 0.5:color_hard,test",))
    with pytest.raises(DiswmError, match="trains on all colours"):
        check_unseen(TrainRun(env=config, unseen=envs.kept_unseen(config)))


def test_unseen_none_is_a_scene_without_what_was_trained_on() -> None:
    phased = EnvConfig(task="walker_walk", distractions=("camera:easy,moving",), phases=("0:set1, 0.5:set2+light:easy",))
    assert envs.unseen(phased, "none").plan().kinds() == set()
    at_the_end = "camera:easy,moving", "light:easy"
    assert envs.unseen(phased, "set2").distractions == at_the_end, "of other colours the colours alone differ"
    bare = EnvConfig(task="walker_walk", distractions=("camera:easy",), phases=("0:set1, 0.5:none",))
    assert envs.unseen(bare, "set2").distractions == ()
    alone = EnvConfig(task="walker_walk", distractions=("camera:easy",), phases=("0:set1, 0.5:none+light:hard",))
    assert envs.unseen(alone, "set2").distractions == ("light:hard",)
    replaced = EnvConfig(task="walker_walk", distractions=("camera:easy,train",), phases=("0:set1", "0.5:camera:hard,train"))
    assert envs.unseen(replaced, "set2").distractions == ("camera:hard,test",)
    split = EnvConfig(task="walker_walk", distractions=("camera:easy,train",), phases=("0:set1, 0.5:camera:easy,test",))
    assert envs.unseen(split, "none").distractions == (), "a phase trains on the test set"


@pytest.mark.parametrize(
    ("distractions", "phases", "held"),
    [
        # Both sets are trained on: it stays as at the end, the colours alone are unseen.
        ((), "0:texture:test, 0.5:texture:train", "texture:train"),
        ((), "0:camera:easy,train, 0.5:camera:easy,test", "camera:easy,test"),
        ((), "0:light:easy,test, 0.5:light:easy,moving,train", "light:easy,moving,train"),
        ((), "0:background:noise,dynamic,test, 0.5:background:noise,train", "background:noise,train"),
        # In part: in 0.1 of a quarter turn to both sides lies a part of what 0.3 to one side shows; so with the bricks of train.
        ((), "0:camera:easy, 0.5:camera:hard,train", "camera:hard,train"),
        ((), "0:texture:bricks, 0.5:texture:test", "texture:test"),
        ((), "0:background:hard, 0.5:background:shapes,train", "background:shapes,train"),  # films without a folder are shapes
        ((), "0:background:video,folder=films,test, 0.5:background:image,folder=./films/,train", "background:image,folder=./films/,train"),
        # The other set shows other pictures, or is not of a phase.
        ((), "0:background:noise,test, 0.5:background:shapes,train", "background:shapes,test"),
        ((), "0:background:video,folder=a,test, 0.5:background:video,folder=b,train", "background:video,folder=b,test"),
        ((), "0:texture:bricks, 0.5:texture:train", "texture:test"),
        (("texture:test",), "0:texture:train", "texture:test"),
        (("light:easy,test",), "0:none, 0.5:none+light:easy,train", "light:easy,test"),
        # Sets part the side from which a camera sees; rolled alone it sees from the middle.
        ((), "0:camera:hard,roll, 0.5:camera:easy,train", "camera:easy,test"),
        ((), "0:camera:easy,roll,train", "camera:easy,roll,train"),
    ],
)
def test_no_phase_trains_on_the_set_that_is_called_unseen(distractions: tuple[str, ...], phases: str, held: str) -> None:
    config = EnvConfig(task="walker_walk", distractions=distractions, phases=(phases,))
    assert envs.unseen(config, "set2").distractions == (held,)
    kept = phases.endswith(held)
    assert envs.left_seen(config) == ([held] if kept else [])
    assert envs.unseen(config, "none").distractions == (() if kept else (held,)), "bare but for what is unseen"


def test_a_distraction_that_nobody_cut_is_not_said_to_leave_no_set() -> None:
    config = EnvConfig(task="walker_walk", distractions=("camera:easy", "light:easy,train"), phases=("0:texture:test, 0.5:texture:all",))
    assert envs.unseen(config, "set2").distractions == ("camera:easy", "light:easy,test", "texture:all")
    assert envs.left_seen(config) == []
