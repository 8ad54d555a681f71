"""The manifest says what is there, also after an error and a second start."""

import hashlib
import json

import numpy as np
import pytest

from diswm.contract import DiswmError
from diswm.data.episodes import list_episodes, load_episode, save_episode
from diswm.data.manifest import VideoWriter, read_manifest

ABOUT = {"task": "toy-reach", "source": "random policy", "renderer": "numpy", "action_repeat": 2, "frames_per_row": 2, "seed": 3}


def make(seed, rows=6, size=8, k=2):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (rows, size, size, 3)).astype(np.uint8),
        "factor.hue": rng.uniform(size=(rows, k)).astype(np.float32),
    }


def fill(folder, seeds, **about):
    with VideoWriter(folder, {**ABOUT, **about}) as writer:
        for seed in seeds:
            writer.add(make(seed))
    return read_manifest(folder)


def test_the_manifest_describes_and_counts(tmp_path):
    manifest = fill(tmp_path, range(3), distraction={"kind": "colour", "max_delta": 0.2})
    assert {name: manifest[name] for name in ABOUT} == ABOUT
    assert manifest["distraction"] == {"kind": "colour", "max_delta": 0.2}
    assert manifest["versions"] is None
    assert manifest["format"] == 1
    assert (manifest["episodes"], manifest["rows"], manifest["frames"]) == (3, 18, 30)  # (6 - 1) rows of 2 frames, three times
    assert (manifest["image_shape"], manifest["factors"]) == ([8, 8, 3], {"hue": 2})
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in list_episodes(tmp_path)}
    assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == hashes


def test_the_same_episodes_give_the_same_folder_in_the_order_added(tmp_path):
    assert fill(tmp_path / "a", range(12)) == fill(tmp_path / "b", range(12))
    for seed, path in enumerate(list_episodes(tmp_path / "a")):
        np.testing.assert_array_equal(load_episode(path)["image"], make(seed)["image"])


def test_resuming_goes_on_counting_and_equals_one_go(tmp_path):
    fill(tmp_path / "two", range(4))
    assert fill(tmp_path / "two", range(4, 7), versions={"numpy": "9"})["files"] == fill(tmp_path / "one", range(7))["files"]


def test_resuming_after_a_kill_takes_up_what_the_manifest_has_not(tmp_path):
    writer = VideoWriter(tmp_path / "killed", ABOUT)
    for seed in range(4):
        writer.add(make(seed))
    assert read_manifest(tmp_path / "killed") == {}
    again = VideoWriter(tmp_path / "killed", ABOUT)
    assert (again.episodes, again.rows, again.frames) == (4, 24, 40)
    again.close()
    assert read_manifest(tmp_path / "killed") == fill(tmp_path / "whole", range(4))


def test_an_error_while_collecting_keeps_what_was_collected(tmp_path):
    def collect():
        with VideoWriter(tmp_path, ABOUT) as writer:
            writer.add(make(0))
            raise RuntimeError("the simulator broke")

    with pytest.raises(RuntimeError, match="broke"):
        collect()
    assert read_manifest(tmp_path)["episodes"] == 1


def test_a_name_is_never_used_twice(tmp_path):
    fill(tmp_path, range(4))
    list_episodes(tmp_path)[1].unlink()
    assert fill(tmp_path, [9])["episodes"] == 4
    assert len({path.name[:15] for path in list_episodes(tmp_path)}) == 4


def test_another_description_is_refused(tmp_path):
    fill(tmp_path, [0])
    with pytest.raises(DiswmError, match="holds videos with seed 3, not 4"):
        VideoWriter(tmp_path, {**ABOUT, "seed": 4})


@pytest.mark.parametrize("other", [make(1, size=16), make(1, k=3), {"image": make(1)["image"]}])
def test_one_data_set_holds_one_kind(tmp_path, other):
    writer = VideoWriter(tmp_path, ABOUT)
    writer.add(make(0))
    with pytest.raises(DiswmError, match="One data set holds one kind"):
        writer.add(other)
    assert writer.episodes == len(list_episodes(tmp_path)) == 1


def test_a_data_set_from_before_a_label_was_there_goes_on_without_it(tmp_path):
    later = {**make(1), "factor.background.direction": np.ones((6, 1), np.float32)}
    fill(tmp_path / "old", [0])
    with VideoWriter(tmp_path / "old", ABOUT) as writer:
        assert load_episode(writer.add(later), require=()).keys() == make(0).keys()
    with VideoWriter(tmp_path / "new", ABOUT) as writer:
        assert load_episode(writer.add(later), require=()).keys() == later.keys()


def test_bad_episodes_are_refused_before_they_are_written(tmp_path):
    writer = VideoWriter(tmp_path, ABOUT)
    with pytest.raises(DiswmError, match="has no 'image'"):
        writer.add({"reward": np.zeros(3)})
    assert not list_episodes(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"), ("[]", "is not a manifest"), ('{"format": 99}', "has format 99"), ('{"format": 1, "files": 3}', "is not"),
        ('{"format": 1, "cameras": 7}', "'cameras'"), ('{"format": 1, "other_cameras": ["a", "b"]}', "'other_cameras'"),
        ('{"format": 1, "without_camera": [1]}', "'without_camera'"), ('{"format": 1, "conversion": 5}', "'conversion'"),
    ],
)  # fmt: skip
def test_a_manifest_that_cannot_be_used_is_named(tmp_path, text, words):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DiswmError, match=words):
        read_manifest(tmp_path)


def test_the_manifest_is_found_beside_and_inside_train_eps(tmp_path):
    save_episode(tmp_path / "train_eps", make(0))
    (tmp_path / "train_eps" / "manifest.json").write_text(json.dumps({"format": 1, "task": "inside"}))
    assert read_manifest(tmp_path)["task"] == "inside"
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 1, "task": "beside"}))
    assert read_manifest(tmp_path)["task"] == "beside"
