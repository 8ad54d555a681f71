"""The ring on disk: whole episodes, aligned windows, a hard bound, and a restart after a kill at any point."""

import errno
import json
import os

import numpy as np
import pytest

from diswm.contract import DiswmError
from diswm.data import disk
from diswm.data.replay import Replay, bytes_per_row

SHAPE = (4, 4, 3)
OPTIONS = {"action_dim": 2, "image_shape": SHAPE, "extras": {"teacher_mean": 3}}


def make(number, rows, **changes):
    """Every column of every row tells which episode (below 256) and which row (below 65536) it is."""
    row = np.arange(rows)
    image = np.zeros((rows, *SHAPE), np.uint8)
    image[:, 0, 0] = np.stack([np.full(rows, number), row % 256, row // 256], 1)
    image[:, 3, 3] = image[:, 0, 0]  # the last bytes of the record too
    episode = {
        "image": image,
        "action": np.stack([np.full(rows, number), row], 1).astype(np.float32),
        "reward": (number * 1000 + row).astype(np.float32),
        "is_terminal": row == rows - 1,
        "teacher_mean": np.stack([row, row, np.full(rows, number)], 1).astype(np.float32),
    }
    return {**episode, **changes}


def open_replay(folder, capacity=40, **changes):
    return Replay(folder, capacity=capacity, **{**OPTIONS, **changes})


def check_windows(batch, lengths):
    """Each window is consecutive rows of one episode, and all columns agree. Returns (episode, first row) pairs."""
    image, action = batch["image"], batch["action"]
    number, row = action[..., 0].astype(int), action[..., 1].astype(int)
    assert (number == number[:, :1]).all()
    assert (np.diff(row, axis=1) == 1).all()
    for corner in (image[..., 0, 0, :], image[..., 3, 3, :]):
        np.testing.assert_array_equal(corner, np.stack([number, row % 256, row // 256], -1))
    np.testing.assert_array_equal(batch["reward"], number * 1000 + row)
    np.testing.assert_array_equal(batch["teacher_mean"], np.stack([row, row, number], -1))
    np.testing.assert_array_equal(batch["is_first"], row == 0)
    np.testing.assert_array_equal(batch["is_terminal"], row == np.vectorize(lengths.get)(number) - 1)
    return set(zip(number[:, 0].tolist(), row[:, 0].tolist(), strict=True))


def held(replay):
    return [entry[0] for entry in replay.state()["episodes"]]


def test_windows_never_cross_and_all_columns_stay_aligned(tmp_path):
    replay, lengths = open_replay(tmp_path), {}
    rng = np.random.default_rng(0)
    for number in range(60):  # many laps of the ring
        lengths[number] = int(rng.integers(4, 14))
        assert replay.add(make(number, lengths[number])) == number
        batch = replay.sample(rng, 40, 4)
        windows = check_windows(batch, lengths)
        assert {n for n, _ in windows} <= {*held(replay)}
        assert len(replay) == sum(lengths[n] for n in held(replay)) <= 40
        assert replay.episodes == len(held(replay))


def test_every_window_is_reached_the_last_start_included(tmp_path):
    replay, lengths = open_replay(tmp_path), {0: 5, 1: 8, 2: 4}
    for number, rows in lengths.items():
        replay.add(make(number, rows))
    windows = check_windows(replay.sample(np.random.default_rng(0), 500, 4), lengths)
    assert windows == {(n, s) for n, rows in lengths.items() for s in range(rows - 4 + 1)}


def test_shapes_and_dtypes_of_a_batch(tmp_path):
    replay = open_replay(tmp_path)
    replay.add(make(0, 9))
    batch = replay.sample(np.random.default_rng(0), 6, 5)
    expected = {
        "image": ((6, 5, *SHAPE), np.uint8),
        "action": ((6, 5, 2), np.float32),
        "reward": ((6, 5), np.float32),
        "is_first": ((6, 5), bool),
        "is_terminal": ((6, 5), bool),
        "teacher_mean": ((6, 5, 3), np.float32),
    }
    assert {name: (value.shape, value.dtype) for name, value in batch.items()} == expected
    assert all(value.flags.c_contiguous and value.flags.writeable for value in batch.values())


def test_windows_longer_than_one_call_of_the_kernel_and_episodes_longer_than_one_write(tmp_path):
    replay = open_replay(tmp_path, 3000)
    replay.add(make(0, 1400))
    replay.add(make(1, 1300))
    check_windows(replay.sample(np.random.default_rng(0), 8, 1300), {0: 1400, 1: 1300})


def test_reads_that_stop_short_are_completed(tmp_path, monkeypatch):
    replay = open_replay(tmp_path)
    replay.add(make(0, 12))
    whole, short = os.preadv, [7, 1, 40, 91, 3]

    def preadv(file, buffers, offset):
        data = bytearray(short[offset % len(short)])
        count = whole(file, [data], offset)
        rest = memoryview(data)[:count]
        for buffer in buffers:
            part = min(len(buffer), len(rest))
            buffer[:part], rest = rest[:part], rest[part:]
        return count - len(rest)

    monkeypatch.setattr(os, "preadv", preadv)
    check_windows(replay.sample(np.random.default_rng(0), 10, 6), {0: 12})


def test_writes_that_stop_short_are_completed(tmp_path, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: pwrite(file, data[:100], offset))
    replay = open_replay(tmp_path)
    replay.add(make(0, 12))
    check_windows(replay.sample(np.random.default_rng(0), 10, 6), {0: 12})


def test_uniform_over_episodes_then_over_starts(tmp_path):
    replay = open_replay(tmp_path)
    replay.add(make(0, 4))  # one start
    replay.add(make(1, 8))  # five starts
    draws = 4000
    batch = replay.sample(np.random.default_rng(0), draws, 4)
    number, row = batch["action"][:, 0, 0], batch["action"][:, 0, 1]
    # A count of probability p has the standard deviation sqrt(p (1 - p) n); five of them are passed once in two million.
    for count, p in [((number == 0).sum(), 1 / 2), *((((number == 1) & (row == s)).sum(), 1 / 10) for s in range(5))]:
        assert abs(count - p * draws) < 5 * np.sqrt(p * (1 - p) * draws)


def test_the_same_seed_gives_the_same_batches(tmp_path):
    batches = []
    for folder in ("a", "b"):
        replay, rng = open_replay(tmp_path / folder), np.random.default_rng(7)
        for number in range(12):
            replay.add(make(number, 9))
            batches.append((folder, replay.sample(rng, 5, 3)))
    for (_, one), (_, two) in zip(batches[:12], batches[12:], strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])
    assert not np.array_equal(batches[10][1]["reward"], batches[11][1]["reward"])


def test_short_episodes_are_kept_and_never_drawn(tmp_path):
    replay = open_replay(tmp_path)
    replay.add(make(0, 3))
    with pytest.raises(DiswmError, match="longest of 1 has 3 rows, the window 4"):
        replay.sample(np.random.default_rng(0), 2, 4)
    replay.add(make(1, 6))
    assert {n for n, _ in check_windows(replay.sample(np.random.default_rng(0), 50, 4), {0: 3, 1: 6})} == {1}
    assert len(replay) == 9
    check_windows(replay.sample(np.random.default_rng(0), 50, 3), {0: 3, 1: 6})


def test_an_empty_replay_says_so(tmp_path):
    with pytest.raises(DiswmError, match="longest of 0 has 0 rows"):
        open_replay(tmp_path).sample(np.random.default_rng(0), 1, 1)


def test_is_terminal_comes_from_the_discount_where_it_is_missing(tmp_path):
    replay, episode = open_replay(tmp_path), make(0, 4)
    del episode["is_terminal"]
    replay.add({**episode, "discount": np.array([1, 1, 1, 0], np.float32)})
    assert replay.sample(np.random.default_rng(0), 1, 4)["is_terminal"].tolist() == [[False, False, False, True]]


# ---------------------------------------------------------------- the bound


def test_the_oldest_go_first_and_only_those_in_the_way(tmp_path):
    replay = open_replay(tmp_path, 40)
    for number, rows in enumerate((10, 10, 10, 8)):
        replay.add(make(number, rows))
    assert held(replay) == [0, 1, 2, 3]
    replay.add(make(4, 5))  # 38 + 5 > 40: from row 0, over episode 0
    assert held(replay) == [1, 2, 3, 4]
    replay.add(make(5, 5))  # rows 5 to 9: nothing more is in the way
    assert held(replay) == [1, 2, 3, 4, 5]
    replay.add(make(6, 31))  # does not fit behind row 10: what lies there goes too, else it would stay for ever
    assert held(replay) == [6]


def test_the_file_never_outgrows_the_capacity(tmp_path):
    replay = open_replay(tmp_path, 40)
    for number in range(30):
        replay.add(make(number, 7))
    assert (tmp_path / "replay.bin").stat().st_size <= 40 * replay.bytes_per_row
    assert replay.bytes_on_disk <= 40 * replay.bytes_per_row + 4096
    assert replay.bytes_per_row == bytes_per_row(2, SHAPE, {"teacher_mean": 3})


def test_disk_bytes_lowers_the_capacity(tmp_path):
    row = bytes_per_row(2, SHAPE, OPTIONS["extras"])
    assert open_replay(tmp_path / "a", 40, disk_bytes=row * 25 + 1).capacity == 25
    with pytest.raises(DiswmError, match="holds nothing"):
        open_replay(tmp_path / "b", 40, disk_bytes=row - 1)


def test_a_disk_without_room_is_refused_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 5000)
    with pytest.raises(
        DiswmError, match=r"A replay of 1000 rows needs .* where .*5000 bytes\) are free\. Lower --train.replay-rows or --train.replay-gb"
    ):
        open_replay(tmp_path, 1000)
    assert not (tmp_path / "replay.bin").exists()


def test_an_earlier_replay_is_not_wiped_by_accident(tmp_path):
    first = open_replay(tmp_path)
    first.add(make(0, 5))
    first.close()
    with pytest.raises(DiswmError, match="holds the replay of an earlier run"):
        open_replay(tmp_path)
    assert len(open_replay(tmp_path, overwrite=True)) == 0


@pytest.mark.parametrize(
    ("episode", "words"),
    [
        (make(0, 41), "41 rows are more than the whole replay holds"),
        (make(0, 5, action=np.zeros((5, 3), np.float32)), "'action' has rows of shape"),
        (make(0, 5, teacher_mean=np.zeros((5, 2), np.float32)), "'teacher_mean' has rows of shape"),
        (make(0, 5, image=np.zeros((5, 8, 8, 3), np.uint8)), "'image' has rows of shape"),
        (make(0, 5, reward=np.full(5, np.inf, np.float32)), "'reward' is not finite"),
        ({name: value for name, value in make(0, 5).items() if name != "teacher_mean"}, "has no 'teacher_mean'"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path, episode, words):
    replay = open_replay(tmp_path)
    replay.add(make(9, 5))
    before = replay.state()
    with pytest.raises(DiswmError, match=words):
        replay.add(episode)
    assert replay.state() == before


class Kill(BaseException):
    """Not caught by anything, as a kill is not."""


def writes_only(monkeypatch, count, error):
    """From now on the disk takes ``count`` more bytes, then raises ``error``."""
    pwrite, left = os.pwrite, [count]

    def limited(file, data, offset):
        done = pwrite(file, data[: left[0]], offset) if left[0] else 0
        left[0] -= done
        if done < len(data):
            raise error
        return done

    monkeypatch.setattr(os, "pwrite", limited)


@pytest.mark.parametrize("taken", [0, 1, 500])
def test_a_full_disk_leaves_the_replay_as_it_was(tmp_path, monkeypatch, taken):
    replay = open_replay(tmp_path)
    replay.add(make(0, 9))
    before = replay.state()
    with monkeypatch.context() as patch:
        writes_only(patch, taken, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(DiswmError, match=r"disk is full: .* Lower --train.replay-rows"):
            replay.add(make(1, 9))
    assert replay.state() == before
    check_windows(replay.sample(np.random.default_rng(0), 20, 4), {0: 9})
    replay.add(make(1, 9))  # and it goes on once there is room
    check_windows(replay.sample(np.random.default_rng(0), 20, 4), {0: 9, 1: 9})


def test_a_failed_overwrite_drops_only_what_it_reached(tmp_path, monkeypatch):
    replay = open_replay(tmp_path, 20)
    for number in range(4):
        replay.add(make(number, 5))
    with monkeypatch.context() as patch:
        writes_only(patch, replay.bytes_per_row * 2, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(DiswmError):
            replay.add(make(4, 9))  # in the way of 0 and 1; fails inside 0
    assert held(replay) == [1, 2, 3]
    check_windows(replay.sample(np.random.default_rng(0), 30, 5), dict.fromkeys(range(4), 5))


# ---------------------------------------------------------------- resuming


def restore(folder, state, capacity=40, **changes):
    return Replay.restore(folder, json.loads(json.dumps(state)), capacity=capacity, **{**OPTIONS, **changes})


def test_restored_as_it_was(tmp_path):
    replay, lengths = open_replay(tmp_path), {n: 5 + n % 4 for n in range(9)}
    for number, rows in lengths.items():
        replay.add(make(number, rows))
    state = replay.state()
    expected = replay.sample(np.random.default_rng(3), 30, 5)
    replay.close()
    again = restore(tmp_path, state)
    assert (again.dropped_episodes, again.dropped_rows) == (0, 0)
    assert again.state() == state
    for name, value in again.sample(np.random.default_rng(3), 30, 5).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize("seed", range(3))
def test_restored_after_a_kill_at_any_point(tmp_path, monkeypatch, seed):
    """A checkpoint after each episode, up to eight more whole episodes and a part of one: what is left is exact."""
    rng = np.random.default_rng(seed)
    lengths = {n: int(rng.integers(2, 15)) for n in range(100)}
    for before in (1, 4, 6, 11):
        for after in range(8):
            folder = tmp_path / f"{before}-{after}"
            replay = open_replay(folder)
            for number in range(before):
                replay.add(make(number, lengths[number]))
            state = replay.state()
            for number in range(before, before + after):
                replay.add(make(number, lengths[number]))
            last = make(before + after, lengths[before + after])
            with monkeypatch.context() as patch:
                writes_only(patch, int(rng.integers(replay.bytes_per_row * len(last["reward"]))), Kill())
                with pytest.raises(Kill):
                    replay.add(last)
            intact = [old for old in replay._episodes if replay._intact(old) and old.id < before]
            replay.close()
            again = restore(folder, state)
            kept = held(again)
            assert {old.id for old in intact} <= {*kept} <= {*range(before)}
            assert again.dropped_episodes == len(state["episodes"]) - len(kept)
            assert again.dropped_rows == sum(lengths[n] for n in [e[0] for e in state["episodes"]]) - len(again)
            for number in kept:  # nothing of what was kept is damaged
                if lengths[number] == max(lengths[n] for n in kept):
                    check_windows(again.sample(rng, 20, lengths[number]), lengths)
            if kept:
                check_windows(again.sample(rng, 50, min(lengths[n] for n in kept)), lengths)
            for number in range(before, before + 6):  # and the ring goes on
                again.add(make(number, lengths[number]))
                check_windows(again.sample(rng, 20, 2), lengths)
            again.close()


def test_taking_up_a_replay_reads_two_rows_an_episode_however_long(tmp_path, monkeypatch):
    replay = open_replay(tmp_path, 3000)
    for number, rows in enumerate((1500, 2, 900)):
        replay.add(make(number, rows))
    state = replay.state()
    replay.close()
    reads, preadv = [], os.preadv
    monkeypatch.setattr(
        os, "preadv", lambda file, buffers, offset: reads.append(offset // replay.bytes_per_row) or preadv(file, buffers, offset)
    )
    assert held(restore(tmp_path, state, 3000)) == [0, 1, 2]
    assert reads == [0, 1499, 1500, 1501, 1502, 2401]


def test_damage_behind_the_first_row_is_found_when_it_is_drawn(tmp_path):
    replay = open_replay(tmp_path)
    lengths = dict.fromkeys(range(3), 10)
    for number, rows in lengths.items():
        replay.add(make(number, rows))
    state = replay.state()
    os.pwrite(replay._records._file, b"\xff" * 16, 15 * replay.bytes_per_row)
    replay.close()
    again, rng = restore(tmp_path, state), np.random.default_rng(0)
    with pytest.warns(UserWarning, match="episode 1 is damaged"):
        windows = check_windows(again.sample(rng, 200, 3), lengths)
    assert windows == {(n, s) for n in (0, 2) for s in range(8)}
    assert held(again) == [0, 2]
    assert (again.dropped_episodes, again.dropped_rows, len(again)) == (1, 10, 20)


def test_a_file_that_was_cut_loses_only_what_is_gone(tmp_path):
    replay = open_replay(tmp_path)
    for number in range(3):
        replay.add(make(number, 10))
    state = replay.state()
    replay.close()
    os.truncate(tmp_path / "replay.bin", 19 * replay.bytes_per_row)
    assert held(restore(tmp_path, state)) == [0]
    os.truncate(tmp_path / "replay.bin", 5 * replay.bytes_per_row)
    assert held(restore(tmp_path, state)) == []
    os.truncate(tmp_path / "replay.bin", 40 * replay.bytes_per_row)  # a hole reads as zeros, and zero is a number too
    assert held(restore(tmp_path, state)) == []


@pytest.mark.parametrize(
    "changes",
    [{"action_dim": 3}, {"image_shape": (8, 8, 3)}, {"extras": {}}, {"extras": {"teacher_mean": 4}}, {"capacity": 39}],
)
def test_other_columns_are_refused_by_name(tmp_path, changes):
    replay = open_replay(tmp_path)
    replay.add(make(0, 5))
    state = replay.state()
    replay.close()
    with pytest.raises(DiswmError, match=f"the replay of the file has {next(iter(changes))} .*, this run "):
        restore(tmp_path, state, **changes)
    assert len(restore(tmp_path, state)) == 5


def test_a_checkpoint_of_another_replay_is_refused(tmp_path):
    replay = open_replay(tmp_path)
    state = {**replay.state(), "action_dim": 5}
    replay.close()
    with pytest.raises(DiswmError, match="the replay of the checkpoint has action_dim 5, this run 2"):
        restore(tmp_path, state)
    with pytest.raises(DiswmError, match=r"has no replay\.bin"):
        restore(tmp_path / "elsewhere", state)


def test_extras_may_not_shadow_the_columns(tmp_path):
    with pytest.raises(ValueError, match="may not be called reward"):
        open_replay(tmp_path, extras={"reward": 1})
