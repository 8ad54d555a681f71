"""One episode, one file: whole or absent, and never trusted."""

import errno
import io
import os
import re
import zipfile

import numpy as np
import pytest

from diswm.contract import DiswmError
from diswm.data.episodes import EpisodeBuilder, content_hash, list_episodes, load_episode, peek_episode, save_episode

RELEASED_NAME = re.compile(r"\d{8}T\d{6}-[0-9a-f]{32}-(\d+)\.npz")


def make(rows=5, **changes):
    rng = np.random.default_rng(0)
    episode = {
        "image": rng.integers(0, 256, (rows, 8, 8, 3)).astype(np.uint8),
        "action": rng.uniform(-1, 1, (rows, 2)).astype(np.float32),
        "reward": np.arange(rows, dtype=np.float32),
        "discount": np.ones(rows, np.float32),
        "is_terminal": np.zeros(rows, bool),
        "factor.hue": rng.uniform(size=(rows, 3)).astype(np.float32),
    }
    return {**episode, **changes}


def write(path, **columns):
    np.savez_compressed(path, **columns)
    return path


def refused(path, *words):
    with pytest.raises(DiswmError) as caught:
        load_episode(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_round_trip_keeps_every_column(tmp_path):
    episode = make()
    path = save_episode(tmp_path / "new" / "folder", episode)
    loaded = load_episode(path)
    assert loaded.keys() == episode.keys()
    for name, value in episode.items():
        assert loaded[name].dtype == value.dtype
        np.testing.assert_array_equal(loaded[name], value)


def test_the_name_follows_the_released_schema_unless_given(tmp_path):
    assert RELEASED_NAME.fullmatch(save_episode(tmp_path, make(7)).name)[1] == "7"
    assert save_episode(tmp_path, make(), name="mine.npz").name == "mine.npz"


def test_the_same_episode_gives_the_same_bytes(tmp_path):
    one, two = save_episode(tmp_path, make(), "a.npz"), save_episode(tmp_path, make(), "b.npz")
    assert one.read_bytes() == two.read_bytes()


def test_the_content_hash_sees_names_shapes_and_values():
    base = make()
    assert content_hash(base) == content_hash(make())
    others = [make(reward=base["reward"] + 1), {**base, "more": base["reward"]}, make(image=base["image"].reshape(5, 4, 16, 3))]
    assert len({content_hash(e) for e in (base, *others)}) == 4


def test_numpy_reads_what_we_write(tmp_path):
    with np.load(save_episode(tmp_path, make()), allow_pickle=False) as file:
        np.testing.assert_array_equal(file["factor.hue"], make()["factor.hue"])


def test_reads_the_released_columns_and_converts_floats(tmp_path):
    released = make(logprob=np.zeros(5), reward=np.arange(5.0), is_terminal=np.zeros(5, np.uint8))
    loaded = load_episode(write(tmp_path / "e.npz", **released))
    assert loaded["reward"].dtype == loaded["logprob"].dtype == np.float32
    assert loaded["is_terminal"].dtype == bool


def test_keys_select_columns_but_all_headers_are_judged(tmp_path):
    path = save_episode(tmp_path, make())
    assert load_episode(path, keys=["reward", "absent"]).keys() == {"image", "reward"}
    bad = write(tmp_path / "bad.npz", **make(extra=np.zeros(9, np.float32)))
    with pytest.raises(DiswmError, match=r"differ in length.*extra 9"):
        load_episode(bad, keys=["reward"])


def test_peek_gives_shapes_without_decoding(tmp_path):
    assert peek_episode(save_episode(tmp_path, make()))["image"] == ((5, 8, 8, 3), np.uint8)


# ---------------------------------------------------------------- files that lie or are damaged


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_named(tmp_path, keep):
    path = save_episode(tmp_path, make())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    refused(path, "cannot be read")


def test_any_flipped_byte_is_refused_or_harmless(tmp_path):
    path = save_episode(tmp_path, make(2))
    data = path.read_bytes()
    for position in np.random.default_rng(1).integers(0, len(data), 300):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        try:  # a byte of a time stamp or an attribute changes nothing; anything else must end in DiswmError
            loaded = load_episode(path)
        except DiswmError:
            continue
        np.testing.assert_array_equal(loaded["image"], make(2)["image"])


def test_what_is_no_zip_no_file_or_no_image_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("not a zip")
    refused(tmp_path / "text.npz", "cannot be read")
    (tmp_path / "folder.npz").mkdir()
    refused(tmp_path / "folder.npz", "not a file")
    refused(tmp_path / "absent.npz", "not a file")
    refused(write(tmp_path / "other.npz", reward=np.zeros(3)), "no 'image'", "reward")
    (tmp_path / "empty.npz").write_bytes(b"PK\x05\x06" + bytes(18))
    refused(tmp_path / "empty.npz", "no 'image'")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    refused(tmp_path / "pipe.npz", "not a file")


@pytest.mark.parametrize(
    "image",
    [np.zeros((5, 8, 8, 3), np.float32), np.zeros((5, 8, 8), np.uint8), np.zeros((5, 8, 8, 4), np.uint8), np.zeros((5, 0, 8, 3), np.uint8)],
)
def test_images_of_another_kind_are_refused(tmp_path, image):
    refused(write(tmp_path / "e.npz", image=image), "'image' is", "expected uint8")
    with pytest.raises(DiswmError, match="expected uint8"):
        save_episode(tmp_path, {"image": image})


def test_pickled_objects_are_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "trapped"),))

    refused(write(tmp_path / "e.npz", **make(trap=np.array([Trap()] * 5, object))), "pickled objects")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reward": np.zeros(4, np.float32)}, ("differ in length", "reward 4")),
        ({"reward": np.array([0, 1, np.nan, 3, 4])}, ("'reward' is not finite", "row 2")),
        ({"action": np.full((5, 2), 1e300)}, ("'action' is not finite", "row 0")),
        ({"action": np.zeros(5)}, ("'action' has shape",)),
        ({"extra": np.float32(1)}, ("'extra' is a single value",)),
        ({"reward": np.zeros(5, complex)}, ("'reward' has dtype complex128",)),
    ],
)
def test_bad_columns_are_refused_in_words(tmp_path, changes, words):
    refused(write(tmp_path / "e.npz", **make(**changes)), *words)
    with pytest.raises(DiswmError, match=re.escape(words[0])):
        save_episode(tmp_path / "none", make(**changes))
    assert not (tmp_path / "none").exists()


def test_no_rows_are_refused(tmp_path):
    refused(write(tmp_path / "e.npz", image=np.zeros((0, 8, 8, 3), np.uint8)), "no rows")


def lying_npz(path, shape, data=b"\0" * 100):
    """An .npz whose header declares ``shape`` over ``data``."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", header.getvalue() + data)
    return path


def test_absurd_sizes_are_refused_before_anything_is_allocated(tmp_path):
    refused(lying_npz(tmp_path / "huge.npz", (1 << 40, 64, 64, 3)), "more than the limit")
    refused(lying_npz(tmp_path / "wraps.npz", (1 << 62, 8, 8, 3)), "more than the limit")
    refused(lying_npz(tmp_path / "negative.npz", (-1, 8, 8, 3)), "declares shape")
    refused(lying_npz(tmp_path / "short.npz", (100, 8, 8, 3)), "declares 19200 bytes but holds 100")
    refused(lying_npz(tmp_path / "long.npz", (1, 2, 2, 3), bytes(10**7)), "declares 12 bytes but holds 10000000")
    with pytest.raises(DiswmError, match="limit of 1000 bytes"):
        load_episode(save_episode(tmp_path, make()), max_bytes=1000)


# ---------------------------------------------------------------- writing whole or not at all


def test_a_failed_rename_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = save_episode(tmp_path, make(3), "e.npz")
    before = path.read_bytes()

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        save_episode(tmp_path, make(4), "e.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["e.npz"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_numbers_and_leaves_nothing(tmp_path, monkeypatch, code):
    def full(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiswmError) as caught:
        save_episode(tmp_path, make())
    assert re.search(
        rf"disk is full: {tmp_path} needs up to .*\(\d+ bytes\), .*\(\d+ bytes\) are free\. Free some space", str(caught.value)
    )
    assert not list(tmp_path.iterdir())


def test_a_real_full_device_is_told(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    (tmp_path / f".e.npz.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(DiswmError, match="disk is full"):
        save_episode(tmp_path, make(), "e.npz")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DiswmError, match=f"Cannot write in {tmp_path / 'file' / 'sub'}"):
        save_episode(tmp_path / "file" / "sub", make())


def test_column_names_that_would_leave_the_archive_are_refused(tmp_path):
    with pytest.raises(DiswmError, match="column names"):
        save_episode(tmp_path, make(**{"../evil": np.zeros(5, np.float32)}))


# ---------------------------------------------------------------- listing and collecting


def test_listing_is_sorted_and_leaves_out_temporary_files(tmp_path):
    for name in ("b.npz", "a.npz"):
        save_episode(tmp_path / "train_eps", make(), name)
    (tmp_path / "train_eps" / ".c.npz.1.tmp").touch()
    (tmp_path / "train_eps" / ".d.npz").touch()
    (tmp_path / "train_eps" / "notes.txt").touch()
    assert [p.name for p in list_episodes(tmp_path)] == ["a.npz", "b.npz"]
    assert list_episodes(tmp_path) == list_episodes(tmp_path / "train_eps")
    with pytest.raises(DiswmError, match="not a folder"):
        list_episodes(tmp_path / "absent")


def test_the_builder_follows_the_time_line(tmp_path):
    frames = [np.full((8, 8, 3), value, np.uint8) for value in (1, 2, 3)]
    builder = EpisodeBuilder(2)
    builder.add(frames[0], factors={"hue": 0.5})
    builder.add(frames[1], [0.5, -1], 1.5, factors={"hue": 0.5})
    builder.add(frames[2], [1, 1], 2.5, True, factors={"hue": 0.75})
    frames[0][:] = 9  # the environment may reuse its buffer
    episode = builder.episode()
    assert episode["image"][:, 0, 0, 0].tolist() == [1, 2, 3]
    assert episode["action"].tolist() == [[0, 0], [0.5, -1], [1, 1]]
    assert episode["reward"].tolist() == [0, 1.5, 2.5]
    assert episode["discount"].tolist() == [1, 1, 0]
    assert episode["is_terminal"].tolist() == [False, False, True]
    assert episode["factor.hue"].tolist() == [[0.5], [0.5], [0.75]]
    assert load_episode(save_episode(tmp_path, episode)).keys() == episode.keys()


def test_the_builder_collects_videos_without_actions():
    builder = EpisodeBuilder(0)
    builder.add(np.zeros((8, 8, 3)))
    assert builder.episode().keys() == {"image"}


def test_the_builder_refuses_what_breaks_the_contract():
    image = np.zeros((8, 8, 3), np.uint8)
    builder = EpisodeBuilder(1)
    with pytest.raises(ValueError, match="no rows"):
        builder.episode()
    with pytest.raises(ValueError, match="no action led to it"):
        builder.add(image, [0.5])
    builder.add(image)
    for action in ([1.5], [np.nan], [0, 0]):
        with pytest.raises(ValueError, match="expected 1 numbers"):
            builder.add(image, action)
    with pytest.raises(ValueError, match="only the first"):
        builder.add(image)
    with pytest.raises(ValueError, match="the first row"):
        builder.add(image, [0], factors={"hue": 1})
    assert len(builder) == 1
