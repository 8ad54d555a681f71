"""Conversions: every frame once, in bounded pieces; done once; whole or absent; bad clips named."""

import errno
import hashlib
import json
import multiprocessing
import os
import shutil

import films
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small
from PIL import Image

from diswm.contract import DiswmError
from diswm.data import convert as converting
from diswm.data.convert import Conversion, convert, video_folder
from diswm.data.episodes import list_episodes, load_episode, save_episode
from diswm.data.harm import Harm
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
    pieces = converting._pieces((decoded.append(1) or picture for _ in range(100)), Conversion(16), Harm())
    assert [(len(piece), len(decoded)) for piece in pieces] == [*((10, 13 + 10 * n) for n in range(9)), (10, 100)]


def test_a_lower_rate_leaves_frames_out_and_is_in_the_manifest(tmp_path):
    films.movie(tmp_path / "v" / "a.mp4", films.frames(12), fps=30)
    films.movie(tmp_path / "v" / "b.mp4", films.frames(5), fps=10)
    convert([tmp_path / "v"], tmp_path / "out", Conversion(fps=15))
    assert contents(tmp_path / "out") == {"a.mp4": [[0, 2, 4, 6, 8, 10]], "b.mp4": [[0, 1, 2, 3, 4]]}
    assert [clip["fps"] for clip in read_manifest(tmp_path / "out")["clips"]] == [15, 10]


def test_several_sources_become_one(tmp_path):
    films.lerobot(tmp_path / "robot")
    films.minari(tmp_path / "toy", "hdf5", False)
    convert([tmp_path / "robot", tmp_path / "toy"], tmp_path / "all", Conversion(32))
    assert len(contents(tmp_path / "all")) == 6 + 2


def test_sources_of_the_same_name_stay_apart_and_none_is_taken_twice(tmp_path):
    films.stills(tmp_path / "a" / "v", films.frames(3))
    films.stills(tmp_path / "b" / "v", films.frames(4, 9))
    convert([tmp_path / "a" / "v", tmp_path / "b" / "v"], tmp_path / "out", Conversion(32))
    assert contents(tmp_path / "out") == {"v/v/": [[0, 1, 2]], "v (2)/v/": [[9, 10, 11, 12]]}
    with pytest.raises(DiswmError, match="is named twice"):
        convert([tmp_path / "a", tmp_path / "b", tmp_path / "b" / ".." / "a"], tmp_path / "none", Conversion(32))


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
    convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    assert contents(tmp_path / "out") == ALL
    manifest = read_manifest(tmp_path / "out")
    assert [name for name, _ in manifest["skipped"]] == ["bad.mp4"]
    assert not any(clip["damage"] for clip in manifest["clips"])
    with pytest.warns(UserWarning, match=r"left out 1 .*bad\.mp4"):
        Videos(tmp_path / "out", length=2)


def test_bad_pictures_split_their_clip_and_are_counted(tmp_path):
    films.stills(tmp_path / "v" / "holes", films.frames(9))
    for number in (0, 3, 4):
        (tmp_path / "v" / "holes" / f"{number}.png").write_text("no picture")
    films.stills(tmp_path / "v" / "sizes", films.frames(3))
    Image.fromarray(films.frames(1, 1, height=40)[0]).save(tmp_path / "v" / "sizes" / "1.png")
    convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    assert contents(tmp_path / "out") == {"holes/": [[1, 2], [5, 6, 7, 8]], "sizes/": [[0, 1, 2]]}
    holes, sizes = (clip["damage"] for clip in read_manifest(tmp_path / "out")["clips"])
    assert holes.startswith("3 pictures cannot be used (0.png: is no picture")
    assert holes.endswith("and the clip is split there; the other 6 frames are used")
    assert sizes == "pictures of another size than the first: 1"


def test_a_bad_picture_in_a_file_of_pictures_splits_its_clip(tmp_path):
    films.lerobot(tmp_path / "robot", lengths=(5,), wrist="image")
    table = pq.read_table(next((tmp_path / "robot" / "data").rglob("*.parquet"))).to_pydict()
    table[films.WRIST][2] = {"bytes": b"no picture", "path": None}
    pq.write_table(pa.table(table), next((tmp_path / "robot" / "data").rglob("*.parquet")))
    films.minari(tmp_path / "toy", "arrow", True, lengths=(4,))
    convert([tmp_path / "robot", tmp_path / "toy"], tmp_path / "out", Conversion(32))
    found = contents(tmp_path / "out")
    assert found[f"robot/episode 0, {films.WRIST}"] == [[5, 6], [8, 9]]
    assert [len(pieces) for pieces in found.values()] == [1, 2, 1]


def test_of_a_film_that_was_cut_off_the_loss_is_counted(tmp_path):
    path = films.movie(tmp_path / "v" / "a.avi", np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), np.uint8), codec="mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5])
    convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    (clip,) = read_manifest(tmp_path / "out")["clips"]
    assert clip["damage"].endswith(f"; the {clip['rows']} frames before are used, {30 - clip['rows']} of 30 are lost")


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


def touch(path):
    """Other times, the same content."""
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**9))


def test_a_second_run_decodes_nothing_whatever_the_times_are(tmp_path, monkeypatch):
    mixture(tmp_path / "v")
    first = video_folder(tmp_path / "v", tmp_path / "cache")
    assert contents(first) == ALL
    no_decoding(monkeypatch)
    assert video_folder(tmp_path / "v", tmp_path / "cache") == first
    assert Videos(tmp_path / "v", length=3, cache=tmp_path / "cache").rows == 25
    (tmp_path / "v" / "notes.txt").touch()  # is not read
    touch(tmp_path / "v" / "a.mp4")
    touch(tmp_path / "v" / "c" / "1.png")
    read = []
    assert video_folder(tmp_path / "v", tmp_path / "cache", on_hash=lambda *now: read.append(now)) == first
    sizes = [(tmp_path / "v" / "a.mp4").stat().st_size, sum(path.stat().st_size for path in (tmp_path / "v" / "c").iterdir())]
    assert read == [(sizes[0], sum(sizes)), (sum(sizes), sum(sizes))]  # of the others the contents are known
    video_folder(tmp_path / "v", tmp_path / "cache", on_hash=lambda *now: read.append(now))
    assert len(read) == 2  # and now of these, too


def test_a_changed_source_is_decoded_again_and_named(tmp_path):
    mixture(tmp_path / "v")
    first = video_folder(tmp_path / "v", tmp_path / "cache")
    films.movie(tmp_path / "v" / "a.mp4", films.frames(7, 2))
    films.stills(tmp_path / "v" / "c", films.frames(5, 20))
    films.stills(tmp_path / "v" / "e", films.frames(2))
    (tmp_path / "v" / "b.avi").unlink()
    said = []
    assert video_folder(tmp_path / "v", tmp_path / "cache", say=said.append) == first
    assert said == [
        f"{tmp_path / 'v'}: its sources are others: a.mp4 has changed, c/ has changed, e/ is new, b.avi is gone; it is decoded again"
    ]
    assert contents(first).keys() == {"a.mp4", "c/", "d.h5:x", "e/"}
    assert contents(first)["a.mp4"] == [list(range(2, 9))]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [first.name]
    assert Videos(tmp_path / "v", length=2, cache=tmp_path / "cache").notes == []


def test_a_source_that_was_exchanged_under_the_old_size_and_time_is_noticed(tmp_path):
    films.movie(tmp_path / "a.mp4", films.frames(5))
    convert([tmp_path / "a.mp4"], tmp_path / "out", Conversion(16))
    before, data = (tmp_path / "a.mp4").stat(), bytearray((tmp_path / "a.mp4").read_bytes())
    data[-1] ^= 1
    (tmp_path / "a.mp4").write_bytes(data)
    os.utime(tmp_path / "a.mp4", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DiswmError, match=r"its sources are others: a\.mp4 has changed\. Choose another folder"):
        convert([tmp_path / "a.mp4"], tmp_path / "out", Conversion(16))


def test_the_manifest_has_the_hashes_of_the_sources(tmp_path):
    mixture(tmp_path / "v")
    convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    inputs = read_manifest(tmp_path / "out")["inputs"]
    assert inputs.keys() == ALL.keys() - {"d.h5:x"} | {"d.h5"}
    assert inputs["a.mp4"] == hashlib.sha256((tmp_path / "v" / "a.mp4").read_bytes()).hexdigest()
    shutil.copytree(tmp_path / "v", tmp_path / "elsewhere" / "v")
    convert([tmp_path / "elsewhere" / "v"], tmp_path / "same", Conversion(16))
    assert (tmp_path / "same" / "manifest.json").read_bytes() == (tmp_path / "out" / "manifest.json").read_bytes()


def test_the_same_conversion_again_is_done_already_and_another_is_refused(tmp_path, monkeypatch):
    films.stills(tmp_path / "v", films.frames(3))
    assert convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    no_decoding(monkeypatch)
    assert not convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    (tmp_path / "out" / ".sources.json").unlink()  # a help alone
    assert not convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    before = small.tree(tmp_path)
    for conversion, words in [
        (Conversion(32), "--size was 16, not 32"),
        (Conversion(16, "letterbox", 5), "--fit was crop, not letterbox and --fps was None, not 5"),
    ]:
        with pytest.raises(DiswmError, match=rf"is there already, but {words}\. Choose another folder with --out, or remove it"):
            convert([tmp_path / "v"], tmp_path / "out", conversion)
    films.stills(tmp_path / "w", films.frames(3))
    with pytest.raises(DiswmError, match="w/ is new, v/ is gone"):
        convert([tmp_path / "w"], tmp_path / "out", Conversion(16))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").touch()
    with pytest.raises(DiswmError, match="mine: is there already"):
        convert([tmp_path / "v"], tmp_path / "mine", Conversion(16))
    assert before.items() <= small.tree(tmp_path).items()


def test_a_damaged_result_is_made_again_and_nothing_else_is_lost(tmp_path, monkeypatch):
    films.stills(tmp_path / "v", films.frames(3))
    convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    before, said = small.tree(tmp_path), []
    (path,) = list_episodes(tmp_path / "out")
    path.unlink()
    assert convert([tmp_path / "v"], tmp_path / "out", Conversion(16), say=said.append)
    assert said.pop() == f"{tmp_path / 'out'}: {path.name} is in the manifest but not in the folder; it is converted again"
    assert small.tree(tmp_path) == before
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with monkeypatch.context() as patched:
        no_decoding(patched)
        with pytest.raises(AssertionError, match="decoded again"):
            convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    assert path.read_bytes().endswith(b"!")  # what fails leaves the old one
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(DiswmError, match=r"differs from its hash in the manifest, and holds notes\.txt, which is not of it"):
        convert([tmp_path / "v"], tmp_path / "out", Conversion(16))
    (tmp_path / "out" / "notes.txt").unlink()
    assert convert([tmp_path / "v"], tmp_path / "out", Conversion(16), say=said.append)
    assert small.tree(tmp_path) == before


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!")])
def test_a_damaged_cache_is_made_anew(tmp_path, harm):
    films.stills(tmp_path / "v", films.frames(3))
    folder = video_folder(tmp_path / "v", tmp_path / "cache")
    harm(list_episodes(folder)[0])
    said = []
    assert list(contents(video_folder(tmp_path / "v", tmp_path / "cache", say=said.append)).values()) == [[[0, 1, 2]]]
    assert said[0].endswith("it is decoded again")


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
    with pytest.raises(DiswmError, match=r"lies inside .*v, which is to be converted"):
        convert([tmp_path / "v"], tmp_path / "v" / "deep" / "out", Conversion())
    with pytest.raises(DiswmError, match=r"None of 1 clips can be used.*Leave --fps out"):
        convert([tmp_path / "v"], tmp_path / "out", Conversion(fps=5))
    with pytest.raises(DiswmError, match="Name a cache folder"):
        Videos(tmp_path / "v", length=2)
    assert {path.name for path in tmp_path.iterdir()} == {"v"}
