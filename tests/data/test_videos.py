"""Videos: the same windows from memory and from the cache, and bad files left out by name."""

import errno
import os
import warnings

import numpy as np
import pytest

from diswm.contract import DiswmError
from diswm.data import disk, videos
from diswm.data.episodes import save_episode
from diswm.data.frames import DiskFrames
from diswm.data.manifest import VideoWriter
from diswm.data.videos import Videos

LENGTHS = (6, 3, 9, 5)


def make(number, rows, size=8, **more):
    image = np.full((rows, size, size, 3), number, np.uint8)
    image[..., 0] = np.arange(rows)[:, None, None]
    labels = np.stack([np.full(rows, number), np.arange(rows)], 1).astype(np.float32)
    return {"image": image, "factor.which": labels, **more}


def fill(folder, lengths=LENGTHS):
    for number, rows in enumerate(lengths):
        save_episode(folder, make(number, rows), f"{number}.npz")
    return folder


def quiet(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Videos(*args, **options)


def same(one, two):
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name])
        assert value.dtype == two[name].dtype


def test_windows_stay_in_one_episode_and_the_labels_fit(tmp_path):
    clips = Videos(fill(tmp_path), length=5)
    assert (clips.episodes, clips.rows, clips.image_shape, clips.factors) == (4, 23, (8, 8, 3), {"which": 2})
    batch = clips.sample(np.random.default_rng(0), 300, factors=True)
    which, row = batch["factor.which"][..., 0], batch["factor.which"][..., 1]
    assert batch["image"].shape == (300, 5, 8, 8, 3)
    assert batch["image"].flags.c_contiguous
    np.testing.assert_array_equal(batch["image"][..., 4, 4, 1], which)
    np.testing.assert_array_equal(batch["image"][..., 4, 4, 0], row)
    np.testing.assert_array_equal(batch["is_first"], row == 0)
    assert (np.diff(row, axis=1) == 1).all()
    expected = {(n, s) for n, rows in enumerate(LENGTHS) for s in range(rows - 5 + 1)}  # episode 1 is too short
    assert set(zip(which[:, 0], row[:, 0], strict=True)) == expected
    assert clips.sample(np.random.default_rng(0), 2).keys() == {"image", "is_first"}
    assert clips.sample(np.random.default_rng(0), 2, 2)["image"].shape == (2, 2, 8, 8, 3)


def test_the_cache_equals_memory_bit_for_bit_also_when_taken_up_again(tmp_path, monkeypatch):
    fill(tmp_path / "v")
    ram = Videos(tmp_path / "v", length=4)
    built = Videos(tmp_path / "v", length=4, cache=tmp_path / "cache", ram_bytes=10)
    monkeypatch.setattr(videos, "_read", None)  # a second decoding would fail
    again = Videos(tmp_path / "v", length=4, cache=tmp_path / "cache", ram_bytes=10)
    for other in (built, again):
        assert isinstance(other._frames, DiskFrames)
        assert (other.hash, other.rows, other.factors, other.image_shape) == (ram.hash, ram.rows, ram.factors, ram.image_shape)
        for seed in range(5):
            same(other.sample(np.random.default_rng(seed), 7, factors=True), ram.sample(np.random.default_rng(seed), 7, factors=True))
        for index in range(4):
            same(other.episode(index), ram.episode(index))
            same(ram.episode(index), make(index, LENGTHS[index]))


def test_the_cache_is_built_anew_when_a_file_changes_or_the_cache_is_damaged(tmp_path):
    def load():
        return Videos(tmp_path / "v", length=4, cache=tmp_path / "cache", ram_bytes=10)

    fill(tmp_path / "v")
    before = load().hash
    for path in (tmp_path / "cache").glob("*.frames"):
        os.truncate(path, 100)
    again = load()
    assert again.hash == before
    same(again.episode(3), make(3, LENGTHS[3]))
    for path in (tmp_path / "cache").glob("*.json"):
        path.write_text("{")
    assert load().hash == before
    save_episode(tmp_path / "v", make(77, 6), "0.npz")
    assert load().hash != before
    assert load().episode(0)["image"][0, 0, 0, 1] == 77


def test_a_failure_while_building_leaves_no_cache(tmp_path, monkeypatch):
    fill(tmp_path / "v")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DiswmError, match="disk is full"):
        Videos(tmp_path / "v", length=4, cache=tmp_path / "cache", ram_bytes=10)
    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_that_was_written_to_is_built_anew(tmp_path):
    fill(tmp_path / "v")
    before = Videos(tmp_path / "v", length=4, cache=tmp_path / "cache", ram_bytes=10).hash
    (frames,) = (tmp_path / "cache").glob("*.frames")
    facts = frames.stat()
    with frames.open("r+b") as file:
        file.write(b"\xff" * 100)
    os.utime(frames, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    again = Videos(tmp_path / "v", length=4, cache=tmp_path / "cache", ram_bytes=10)
    assert again.hash == before
    same(again.episode(0), make(0, LENGTHS[0]))


def test_frames_that_fit_nowhere_are_told(tmp_path, monkeypatch):
    fill(tmp_path / "v")
    with pytest.raises(DiswmError, match="more than the 10 bytes of memory"):
        Videos(tmp_path / "v", length=4, ram_bytes=10)
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 99)
    with pytest.raises(DiswmError, match=r"cache of decoded videos needs .*\(99 bytes\) are free"):
        Videos(tmp_path / "v", length=4, cache=tmp_path / "cache", ram_bytes=10)


@pytest.mark.parametrize("ram_bytes", [2 << 30, 10])
def test_bad_files_among_good_ones_are_left_out_and_named(tmp_path, ram_bytes):
    fill(tmp_path / "v")
    (tmp_path / "v" / "0a.npz").write_text("not an archive")
    np.savez(tmp_path / "v" / "2a.npz", reward=np.zeros(3))
    damaged = save_episode(tmp_path / "v", {"image": np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3)).astype(np.uint8)}, "1a.npz")
    data = bytearray(damaged.read_bytes())
    data[600] ^= 0xFF  # the header is whole; the damage shows only when the frames are decoded
    damaged.write_bytes(data)
    options = {"length": 5, "ram_bytes": ram_bytes, "cache": tmp_path / "cache"}
    with pytest.warns(UserWarning, match=r"left out 3 video file\(s\)"):
        clips = Videos(tmp_path / "v", **options)
    assert {os.path.basename(name) for name, _ in clips.skipped} == {"0a.npz", "1a.npz", "2a.npz"}
    assert all(reason for _, reason in clips.skipped)
    clean = Videos(fill(tmp_path / "clean"), length=5)
    assert clips.hash == clean.hash
    same(clips.sample(np.random.default_rng(0), 9, factors=True), clean.sample(np.random.default_rng(0), 9, factors=True))
    with pytest.warns(UserWarning, match="left out 3"):  # also when the cache is taken up
        assert Videos(tmp_path / "v", **options).skipped == clips.skipped


def test_nothing_usable_is_told(tmp_path):
    with pytest.raises(DiswmError, match="there is no such file or folder"):
        Videos(tmp_path / "absent", length=4)
    (tmp_path / "v").mkdir()
    with pytest.raises(DiswmError, match=r"No episodes in .*Expected \.npz episodes with 'image'"):
        Videos(tmp_path / "v", length=4)
    with pytest.raises(DiswmError, match="empty list of folders"):
        Videos([], length=4)
    for name in ("a.npz", "b.npz"):
        (tmp_path / "v" / name).write_text("no")
    with pytest.raises(DiswmError, match=r"None of 2 files can be used. The first: .*a\.npz: cannot be read.*Expected"):
        Videos(tmp_path / "v", length=4)
    with pytest.raises(DiswmError, match="longest of 4 has 9 rows, the window 10"):
        Videos(fill(tmp_path / "short"), length=10)


def test_different_image_sizes_are_refused(tmp_path):
    fill(tmp_path)
    save_episode(tmp_path, make(9, 6, size=16), "9.npz")
    with pytest.raises(DiswmError, match=r"differ in image size: \(8, 8, 3\) in .*0\.npz, \(16, 16, 3\) in .*9\.npz"):
        Videos(tmp_path, length=4)


def test_several_folders_and_the_released_layout(tmp_path):
    fill(tmp_path / "a")
    fill(tmp_path / "b" / "train_eps", (8,))
    clips = Videos([tmp_path / "a", str(tmp_path / "b")], length=4)
    assert clips.episodes == 5
    assert clips.manifest == {"sources": [{}, {}]}
    same(clips.episode(4), make(0, 8))


def test_the_manifest_is_kept_and_checked(tmp_path):
    with VideoWriter(tmp_path, {"task": "toy"}) as writer:
        paths = [writer.add(make(number, 6)) for number in range(4)]
    assert Videos(tmp_path, length=4).manifest["task"] == "toy"
    save_episode(tmp_path, make(99, 6), paths[1].name)  # valid, but not the file of the manifest
    paths[2].unlink()
    clips = quiet(tmp_path, length=4)
    assert clips.episodes == 2
    assert sorted(reason.split(". ")[0] for _, reason in clips.skipped) == [
        "differs from its hash in the manifest",
        "is in the manifest but not in the folder",
    ]


def test_only_labels_that_all_episodes_have_are_kept(tmp_path):
    save_episode(tmp_path, make(0, 6, **{"factor.extra": np.zeros(6, np.float32), "factor.size": np.zeros((6, 2), np.float32)}), "0.npz")
    save_episode(tmp_path, make(1, 6, **{"factor.size": np.zeros((6, 3), np.float32)}), "1.npz")
    assert Videos(tmp_path, length=4).factors == {"which": 2}


def test_columns_that_videos_do_not_use_may_be_odd(tmp_path):
    np.savez(tmp_path / "0.npz", **make(0, 6, logprob=np.full(6, -np.inf), note=np.array("collected by hand")))
    assert Videos(tmp_path, length=4).episodes == 1


def test_progress_and_the_seed(tmp_path):
    seen = []
    clips = Videos(fill(tmp_path), length=4, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    same(clips.sample(np.random.default_rng(5), 8), clips.sample(np.random.default_rng(5), 8))


def test_the_hash_tells_the_pixels_and_not_the_files(tmp_path):
    one, two = Videos(fill(tmp_path / "a"), length=4), Videos(fill(tmp_path / "b"), length=4)
    np.savez(tmp_path / "b" / "0.npz", image=make(0, 6)["image"])
    three = Videos(tmp_path / "b", length=4)
    save_episode(tmp_path / "b", make(5, 6), "0.npz")
    assert one.hash == two.hash == three.hash != Videos(tmp_path / "b", length=4).hash


@pytest.mark.parametrize("ram_bytes", [1 << 20, 0])
def test_labels_do_not_take_the_memory_that_frames_are_kept_out_of(tmp_path, ram_bytes):
    """Zeros of any number fit into a file of a few kilobytes."""
    fill(tmp_path / "d")
    save_episode(
        tmp_path / "d", make(9, 6, **{"factor.a": np.zeros((6, 600), np.float32), "factor.b": np.zeros((6, 400), np.float32)}), "9.npz"
    )
    clips = quiet(tmp_path / "d", length=5, cache=tmp_path / "cache", ram_bytes=ram_bytes)
    assert (clips.episodes, clips.factors) == (4, {"which": 2})
    ((_, reason),) = clips.skipped
    assert reason == "declares 1,002 numbers of labels a frame, more than the limit of 1,000."
