"""Conversions: every frame once, in bounded pieces; done once; whole or absent; bad clips named."""

import errno
import json
import multiprocessing
import os
import shutil

import films
import numpy as np
import pytest
import small
from PIL import Image

from diswm.contract import DiswmError
from diswm.data import convert as converting
from diswm.data.convert import Conversion, convert, fingerprint, video_folder
from diswm.data.episodes import list_episodes, load_episode, save_episode
from diswm.data.manifest import read_manifest
from diswm.data.videos import Videos


def mixture(folder):
    """A film of 12 frames from 0, one of 6 from 3, four stills from 20, three pictures of HDF5 from 30."""
    films.movie(folder / "a.mp4", films.frames(12, height=32, width=48))
    films.movie(folder / "b.avi", films.frames(6, 3), codec="mpeg4", fps=5)
    films.stills(folder / "c", films.frames(4, 20))
    films.hdf5(folder / "d.h5", {"x": films.frames(3, 30)})
    return folder


def contents(folder):
    """Frame numbers of the episodes, by name of the clip."""
    return {
        clip["name"]: [films.numbers(load_episode(folder / name)["image"]) for name in clip["files"]]
        for clip in read_manifest(folder)["clips"]
    }


ALL = {"a.mp4": [list(range(12))], "b.avi": [list(range(3, 9))], "c/": [[20, 21, 22, 23]], "d.h5:x": [[30, 31, 32]]}


def test_one_data_set_of_everything(tmp_path):
    seen = []
    assert convert([mixture(tmp_path / "v")], tmp_path / "out", Conversion(16), on_clip=lambda *now: seen.append(now))
    assert contents(tmp_path / "out") == ALL
    manifest = read_manifest(tmp_path / "out")
    assert (manifest["image_shape"], manifest["rows"], manifest["episodes"], manifest["fps"]) == ([16, 16, 3], 25, 4, None)
    assert manifest["conversion"]["fit"] == "crop"
    assert [(clip["fps"], clip["size"], clip["rows"]) for clip in manifest["clips"]] == [
        (10.0, [48, 32], 12), (5.0, [32, 32], 6), (None, [32, 32], 4), (None, [32, 32], 3),
    ]  # fmt: skip
    assert seen[-1] == (4, 4, 25)
    videos = Videos(tmp_path / "out", length=4)
    assert (videos.rows, videos.episodes, videos.image_shape) == (25, 4, (16, 16, 3))


def test_long_films_are_cut_into_pieces_none_too_short_and_memory_holds_one(tmp_path, monkeypatch):
    monkeypatch.setattr(converting, "MOST", 10)
    monkeypatch.setattr(converting, "LEAST", 3)
    for count, pieces in [(10, [10]), (12, [12]), (13, [10, 3]), (25, [10, 10, 5]), (22, [10, 12])]:
        films.stills(tmp_path / str(count), films.frames(count))
        convert([tmp_path / str(count)], tmp_path / f"out{count}", Conversion(32))
        (found,) = contents(tmp_path / f"out{count}").values()
        assert [len(piece) for piece in found] == pieces
        assert [number for piece in found for number in piece] == list(range(count))
        assert [load_episode(path)["image"].shape[0] for path in list_episodes(tmp_path / f"out{count}")] == pieces


def test_a_piece_is_written_before_the_next_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(converting, "MOST", 10)
    monkeypatch.setattr(converting, "LEAST", 3)
    picture = Image.fromarray(films.frames(1)[0])
    decoded = []
    pieces = converting._pieces((decoded.append(1) or picture for _ in range(100)), Conversion(16), {"size": None})
    assert [(len(piece), len(decoded)) for piece in pieces] == [*((10, 13 + 10 * n) for n in range(9)), (10, 100)]


def test_a_lower_rate_leaves_frames_out_and_is_in_the_manifest(tmp_path):
    films.movie(tmp_path / "v" / "a.mp4", films.frames(12), fps=30)
    films.movie(tmp_path / "v" / "b.mp4", films.frames(5), fps=10)
    convert([tmp_path / "v"], tmp_path / "out", Conversion(fps=15))
    assert contents(tmp_path / "out") == {"a.mp4": [[0, 2, 4, 6, 8, 10]], "b.mp4": [[0, 1, 2, 3, 4]]}
    assert [clip["fps"] for clip in read_manifest(tmp_path / "out")["clips"]] == [15, 10]


def test_several_sources_become_one_and_a_camera_can_be_chosen(tmp_path):
    films.lerobot(tmp_path / "robot")
    films.minari(tmp_path / "toy", "hdf5", False)
    convert([tmp_path / "robot", tmp_path / "toy"], tmp_path / "all", Conversion(32))
    assert len(contents(tmp_path / "all")) == 6 + 2
    convert([tmp_path / "robot", tmp_path / "toy"], tmp_path / "one", Conversion(32, camera="pixels"))
    assert list(contents(tmp_path / "one")) == [f"toy/main_data.hdf5:episode_{n}/observations/pixels" for n in (0, 1)]
    with pytest.raises(DiswmError, match=r"no camera 'observation\.images\.topp'\. Did you mean observation\.images\.top"):
        convert([tmp_path / "robot"], tmp_path / "none", Conversion(camera="observation.images.topp"))
    films.stills(tmp_path / "clip", films.frames(3))
    with pytest.raises(DiswmError, match="name no cameras"):
        convert([tmp_path / "clip"], tmp_path / "none", Conversion(camera="top"))


def test_episodes_keep_their_labels_through_a_conversion_where_all_have_them(tmp_path, monkeypatch):
    monkeypatch.setattr(converting, "MOST", 4)
    monkeypatch.setattr(converting, "LEAST", 1)
    labels = np.stack([np.arange(9), np.arange(9) * 2], 1).astype(np.float32)
    save_episode(tmp_path / "v", {"image": films.frames(9), "factor.where": labels, "action": np.zeros((9, 2))}, "0.npz")
    convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    rows = [load_episode(path) for path in list_episodes(tmp_path / "out")]
    assert [row.keys() for row in rows] == [{"image", "factor.where"}] * 3  # 4, 4 and 1 rows
    np.testing.assert_array_equal(np.concatenate([row["factor.where"] for row in rows]), labels)
    films.stills(tmp_path / "clip", films.frames(3))
    convert([tmp_path / "v", tmp_path / "clip"], tmp_path / "both", Conversion(16))
    assert {tuple(load_episode(path)) for path in list_episodes(tmp_path / "both")} == {("image",)}


def test_labels_follow_the_frames_that_a_lower_rate_keeps(tmp_path):
    labels = np.arange(9, dtype=np.float32)[:, None]
    save_episode(tmp_path / "v", {"image": films.frames(9), "factor.time": labels}, "0.npz")
    (tmp_path / "v" / "manifest.json").write_text(json.dumps({"format": 1, "clips": [{"fps": 12, "files": ["0.npz"]}]}))
    convert([tmp_path / "v"], tmp_path / "out", Conversion(16, fps=4))
    (episode,) = [load_episode(path) for path in list_episodes(tmp_path / "out")]
    assert films.numbers(episode["image"]) == [0, 3, 6]
    assert episode["factor.time"][:, 0].tolist() == [0, 3, 6]


def test_an_archive_is_converted_and_nothing_of_it_stays(tmp_path):
    save_episode(tmp_path / "v", {"image": films.frames(4)}, "0.npz")
    archive = shutil.make_archive(str(tmp_path / "v"), "tar", tmp_path / "v")
    convert([tmp_path / "v.tar"], tmp_path / "out", Conversion(16))
    assert archive
    assert contents(tmp_path / "out") == {"0.npz": [[0, 1, 2, 3]]}
    assert {path.name for path in tmp_path.iterdir()} == {"v", "v.tar", "out"}


# ---------------------------------------------------------------- bad clips


def test_one_bad_film_is_named_and_the_others_are_used(tmp_path):
    mixture(tmp_path / "v")
    (tmp_path / "v" / "bad.mp4").write_text("no film")
    films.stills(tmp_path / "v" / "holes", films.frames(5))
    (tmp_path / "v" / "holes" / "3.png").write_text("no picture")
    convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    assert contents(tmp_path / "out") == {**ALL, "holes/": [[0, 1, 2]]}
    manifest = read_manifest(tmp_path / "out")
    assert [name for name, _ in manifest["skipped"]] == ["bad.mp4"]
    damage = {clip["name"]: clip["damage"] for clip in manifest["clips"] if clip["damage"]}
    assert damage.keys() == {"holes/"}
    assert damage["holes/"].startswith("3.png: is no picture")
    assert damage["holes/"].endswith("; the 3 frames before are used")
    with pytest.warns(UserWarning, match=r"left out 1 .*bad\.mp4"):
        Videos(tmp_path / "out", length=2)


def test_nothing_but_bad_films_is_refused_and_nothing_stays(tmp_path):
    for name in ("a.mp4", "b.avi"):
        (tmp_path / "v").mkdir(exist_ok=True)
        (tmp_path / "v" / name).touch()
    before = small.tree(tmp_path)
    with pytest.raises(DiswmError, match=r"None of 2 clips can be used. The first: a\.mp4: cannot be read"):
        convert([tmp_path / "v"], tmp_path / "deep" / "out", Conversion())
    assert small.tree(tmp_path) == before


# ---------------------------------------------------------------- once


def no_decoding(monkeypatch):
    def refuse(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(converting, "_add", refuse)


def test_a_second_run_decodes_nothing_and_a_changed_source_or_setting_does(tmp_path, monkeypatch):
    mixture(tmp_path / "v")
    first = video_folder(tmp_path / "v", tmp_path / "cache")
    assert contents(first) == ALL
    with monkeypatch.context() as patched:
        no_decoding(patched)
        assert video_folder(tmp_path / "v", tmp_path / "cache") == first
        assert Videos(tmp_path / "v", length=3, cache=tmp_path / "cache").rows == 25
        os.utime(tmp_path / "v" / "a.mp4", ns=(0, 12345))
        with pytest.raises(AssertionError, match="decoded again"):
            video_folder(tmp_path / "v", tmp_path / "cache")
    films.movie(tmp_path / "v" / "a.mp4", films.frames(7, 2))
    second = video_folder(tmp_path / "v", tmp_path / "cache")
    assert contents(second)["a.mp4"] == [list(range(2, 9))]
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {first.name, second.name}
    key = fingerprint([tmp_path / "v"], Conversion())
    for other in (Conversion(32), Conversion(fit="stretch"), Conversion(fps=5), Conversion(camera="x")):
        assert fingerprint([tmp_path / "v"], other) != key
    (tmp_path / "v" / "c" / "9.png").write_bytes((tmp_path / "v" / "c" / "0.png").read_bytes())
    assert fingerprint([tmp_path / "v"], Conversion()) != key


def test_the_same_conversion_again_is_done_already_and_another_is_refused(tmp_path, monkeypatch):
    films.stills(tmp_path / "v", films.frames(3))
    assert convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    with monkeypatch.context() as patched:
        no_decoding(patched)
        assert not convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    with pytest.raises(DiswmError, match="is there already"):
        convert([tmp_path / "v"], tmp_path / "out", Conversion(32))
    assert read_manifest(tmp_path / "out")["conversion"]["size"] == 16
    list_episodes(tmp_path / "out")[0].unlink()  # no longer whole
    with pytest.raises(DiswmError, match="is there already"):
        convert([tmp_path / "v"], tmp_path / "out", Conversion(16))


def test_a_cache_that_lost_a_file_is_made_anew(tmp_path):
    films.stills(tmp_path / "v", films.frames(3))
    folder = video_folder(tmp_path / "v", tmp_path / "cache")
    list_episodes(folder)[0].unlink()
    assert list(contents(video_folder(tmp_path / "v", tmp_path / "cache")).values()) == [[[0, 1, 2]]]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_what_breaks_a_conversion_off_leaves_nothing(tmp_path, monkeypatch, error):
    mixture(tmp_path / "v")
    before = small.tree(tmp_path)
    replace, done = os.replace, []

    def fail(old, new):
        if str(new).endswith(".npz") and len(done) == 2:
            raise error
        done.append(new)
        replace(old, new)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else DiswmError, match=r"disk is full|^$"):
        video_folder(tmp_path / "v", tmp_path / "cache")
    assert sum(str(path).endswith(".npz") for path in done) == 2
    assert small.tree(tmp_path) == before


def _work(source, cache, ready, out):
    ready.wait()
    decoded = []
    folder = video_folder(source, cache, on_clip=lambda *now: decoded.append(now))
    out.put((folder, bool(decoded)))


def test_of_two_processes_at_once_one_decodes_and_both_have_the_data_set(tmp_path):
    mixture(tmp_path / "v")
    context = multiprocessing.get_context("fork")
    ready, out = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_work, args=(tmp_path / "v", tmp_path / "cache", ready, out)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = [out.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(decoded for _, decoded in found) == [False, False, True]
    assert len({folder for folder, _ in found}) == 1
    assert contents(found[0][0]) == ALL
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [found[0][0].name]  # no lock, no rest


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("conversion", "words"),
    [
        (Conversion(size=4), "--size is 4; expected 8 to 256"),
        (Conversion(size=10_000), "--size is 10000"),
        (Conversion(fit="crp"), "Did you mean crop"),  # type: ignore[arg-type]
        (Conversion(fps=0), "--fps is 0"),
        (Conversion(fps=float("nan")), "--fps is nan"),
    ],
)
def test_settings_that_mean_nothing(tmp_path, conversion, words):
    films.stills(tmp_path / "v", films.frames(3))
    with pytest.raises(DiswmError, match=words):
        convert([tmp_path / "v"], tmp_path / "out", conversion)
    assert {path.name for path in tmp_path.iterdir()} == {"v"}


def test_what_is_not_there_and_where_it_would_go(tmp_path):
    with pytest.raises(DiswmError, match="nothing to convert"):
        convert([], tmp_path / "out", Conversion())
    with pytest.raises(DiswmError, match="there is no such file or folder"):
        convert([tmp_path / "v"], tmp_path / "out", Conversion())
    films.stills(tmp_path / "v", films.frames(3))
    with pytest.raises(DiswmError, match=r"None of 1 clips can be used.*Leave --fps out"):
        convert([tmp_path / "v"], tmp_path / "out", Conversion(fps=5))
    with pytest.raises(DiswmError, match="Name a cache folder"):
        Videos(tmp_path / "v", length=2)
    assert {path.name for path in tmp_path.iterdir()} == {"v"}
