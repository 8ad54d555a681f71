"""A data set is the same to the byte whoever plays its episodes, in whatever order they end and whatever dies or stops on the way."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import small
from fragile import TOY, fragile_player

from diswm import api, envs
from diswm.cli import main
from diswm.collecting import _player_of
from diswm.config import CollectRun
from diswm.contract import DiswmError, Episode, Unstable
from diswm.data.manifest import VideoWriter, read_manifest
from diswm.trainers.collect import Player, collect, collect_in, fill, quietly, random_player, workers_for
from diswm.trainers.pool import Pool

ABOUT = {"task": "toy", "action_repeat": 2, "frames_per_row": 2}
# Episodes that end early, and what they show depends on when they begin.
SWITCHING = envs.EnvConfig(task="toy_terminal", phases=("0:set1", "0.3:set2", "0.6:ted1"))


class HerePool:
    """A pool of ``size`` players in this process, of whose calls the newest ends first."""

    def __init__(self, player: Player, size: int) -> None:
        self.player, self.size = player, size
        self.calls: list[tuple[Any, ...]] = []
        self.played: list[int] = []

    def __len__(self) -> int:
        return self.size

    @property
    def free(self) -> bool:
        return len(self.calls) < self.size

    def call(self, *args: Any) -> None:
        assert self.free
        self.calls.append(args)

    def results(self, seconds: float) -> list[tuple[tuple[Any, ...], Episode | None]]:
        call = self.calls.pop()  # the only one left where no other can be begun
        self.played.append(call[0])
        return [(call, self.player(*call))]


def written(folder: Path, how: Callable[[VideoWriter], int]) -> dict[str, bytes | None]:
    """The files of a data set that ``how`` fills."""
    with VideoWriter(folder, ABOUT) as writer:
        how(writer)
    return small.tree(folder)


# ---------------------------------------------------------------- order


def test_the_order_in_which_episodes_end_does_not_matter(tmp_path: Path) -> None:
    player = random_player(TOY, 0)
    expected = written(tmp_path / "one", lambda writer: collect(player, writer, 700))
    pool = HerePool(player, 3)
    assert written(tmp_path / "many", lambda writer: collect_in(pool, writer, 700, 100, phases=False)) == expected  # type: ignore[arg-type]
    assert sorted(pool.played) == list(range(7)), "100 frames each: 7 episodes, none twice and none too many"
    assert pool.played != sorted(pool.played), "they did end in another order"


def test_episodes_that_end_early_begin_in_the_phase_of_the_serial_run(tmp_path: Path) -> None:
    player = random_player(partial(envs.make, SWITCHING), 0)
    expected = written(tmp_path / "one", lambda writer: collect(player, writer, 600))
    pool = HerePool(player, 3)
    assert written(tmp_path / "many", lambda writer: collect_in(pool, writer, 600, 100, phases=True)) == expected  # type: ignore[arg-type]
    assert len(pool.played) > len(expected) - 1, "some began at the wrong time and were played again"  # - 1: the manifest


def test_few_episodes_wait_for_a_slow_one(tmp_path: Path) -> None:
    ahead = []

    class Slow(HerePool):
        def call(self, *args: Any) -> None:
            super().call(*args)
            ahead.append(args[0] - writer.episodes)

    pool = Slow(random_player(TOY, 0), 2)  # the oldest call ends when no other can be begun
    with VideoWriter(tmp_path / "videos", ABOUT) as writer:
        assert collect_in(pool, writer, 1000, 100, phases=False) == 10  # type: ignore[arg-type]
    assert max(ahead) == 3, "with two workers at most 4 are begun and not written"


# ---------------------------------------------------------------- interrupts


def test_an_interrupt_keeps_what_is_whole_and_the_same_call_goes_on(tmp_path: Path) -> None:
    player = random_player(TOY, 0)
    expected = written(tmp_path / "one", lambda writer: collect(player, writer, 600))

    class Interrupted(HerePool):
        def results(self, seconds: float) -> list[tuple[tuple[Any, ...], Episode | None]]:
            if len(self.played) == 4:
                signal.raise_signal(signal.SIGINT)
            return super().results(seconds)

    with VideoWriter(tmp_path / "many", ABOUT) as writer:
        count = collect_in(Interrupted(player, 2), writer, 600, 100, phases=False)  # type: ignore[arg-type]
        assert 0 < count < 6
    assert written(tmp_path / "many", lambda writer: collect_in(HerePool(player, 2), writer, 600, 100, phases=False)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("gone", [[0], [2, 3], [1, 5]])
def test_what_somebody_deleted_is_played_again(gone: list[int], tmp_path: Path) -> None:
    player = random_player(partial(envs.make, SWITCHING), 0)
    expected = written(tmp_path / "videos", lambda writer: collect(player, writer, 600))
    files = sorted(path for path in (tmp_path / "videos").iterdir() if path.suffix == ".npz")
    assert len(files) > 6, "some end early: where an episode begins is not its number times its length"
    for index in gone:
        files[index].unlink()

    def again(writer: VideoWriter) -> int:
        assert fill(player, writer, 600)
        return collect(player, writer, 600)

    assert written(tmp_path / "videos", again) == expected


def test_files_that_were_not_numbered_here_leave_no_gap(tmp_path: Path) -> None:
    with VideoWriter(tmp_path, ABOUT) as writer:
        collect(random_player(TOY, 0), writer, 100)
    path = next(tmp_path.glob("*.npz"))
    path.rename(path.with_name("20240312T101500" + path.name[15:]))
    with VideoWriter(tmp_path, ABOUT) as writer:
        assert (writer.episodes, writer.missing()) == (1, [])


# ---------------------------------------------------------------- simulations that diverge


class Diverging:
    """A toy whose reward is no number in frame ``at`` of its second episode."""

    def __init__(self, at: int) -> None:
        self.env, self.at = TOY(), at
        step, reset = self.env.scene.step, self.env.reset
        self.frames = self.episodes = 0

        def diverge(action: Any) -> Any:
            self.frames += 1
            bad = self.episodes == 2 and self.frames == self.at
            return step(action)._replace(reward=float("nan")) if bad else step(action)

        def begin(**settings: Any) -> Any:
            self.frames, self.episodes = 0, self.episodes + 1
            return reset(**settings)

        self.env.scene.step, self.env.reset = diverge, begin  # type: ignore[method-assign]


def test_of_an_episode_that_diverges_the_steps_before_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    player = random_player(lambda: Diverging(8).env, 0)
    with VideoWriter(tmp_path / "videos", ABOUT) as writer:
        assert collect(player, writer, 300) == 4, "100, 6, 100 and 100 frames"
        assert writer.frames == 306
    assert "toy: its simulation became unstable (the reward is nan) in step 4 of the episode of seed" in caplog.text
    assert "Its 3 steps before are kept" in caplog.text


def test_one_that_diverges_at_once_stops_the_collection_with_what_it_has(tmp_path: Path) -> None:
    player = random_player(lambda: Diverging(1).env, 0)
    with pytest.raises(Unstable, match="in step 1"), VideoWriter(tmp_path / "videos", ABOUT) as writer:
        collect(player, writer, 300)
    assert read_manifest(tmp_path / "videos")["episodes"] == 1


# ---------------------------------------------------------------- real workers


def test_a_worker_that_acts_at_random_brings_no_pytorch(tmp_path: Path) -> None:
    """It takes seconds to import, and memory in each."""
    (tmp_path / "make").write_bytes(pickle.dumps(partial(quietly, _player_of(small.collect_config(tmp_path)))))
    code = "import pickle, sys; pickle.load(open('make', 'rb'))()(0, 0.0); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def test_workers_write_the_files_of_one_process(videos: Path, tmp_path: Path) -> None:
    config = small.collect_config(tmp_path / "videos", collect__workers=2)
    assert api.collect(config)
    assert small.tree(config.out) == small.tree(videos)
    assert api.collect(config), "it is complete: no worker is started"


def test_a_worker_that_is_killed_is_named_started_again_and_nothing_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = written(tmp_path / "one", lambda writer: collect(random_player(TOY, 0), writer, 400))
    with Pool(partial(fragile_player, "dies", tmp_path / "once"), 1) as pool, caplog.at_level(logging.WARNING, "diswm"):
        assert written(tmp_path / "many", lambda writer: collect_in(pool, writer, 400, 100, phases=False)) == expected
    assert "worker 0 was killed by SIGKILL: starting it again" in caplog.text
    assert (tmp_path / "once").exists(), "it did die"


@pytest.mark.parametrize("signalled", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_does_not_end_a_worker_that_still_starts(signalled: signal.Signals) -> None:
    """A terminal sends it to all processes; the parent then ends its workers itself."""
    with Pool(partial(random_player, TOY, 0), 1) as pool:
        pid = pool._workers[0].pid
        assert pid
        os.kill(pid, signalled)
        assert signalled not in signal.pthread_sigmask(signal.SIG_BLOCK, ()), "this process hears it again"
        pool.call(0, 0.0)
        found: list[Any] = []
        while not found:
            found = pool.results(seconds=60.0)
    assert found[0][0] == (0, 0.0)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("always dies", "worker 0 was killed by SIGKILL, 3 times for episode 1. Try --collect.workers 0"),
        ("raises", "worker 0: the simulator is unstable"),
        ("dies when made", "worker 0 was killed by SIGKILL while it started. .* `if __name__"),
    ],
)
def test_workers_that_cannot_go_on_are_given_up_and_what_was_written_stays(how: str, words: str, tmp_path: Path) -> None:
    about: dict[str, Any] = {"without": "--collect.workers 0", "work": lambda number, *_: f"episode {number}"}
    with Pool(partial(fragile_player, how, tmp_path / "once"), 1, **about) as pool, VideoWriter(tmp_path / "videos", ABOUT) as writer:
        with pytest.raises(DiswmError, match=words):
            collect_in(pool, writer, 400, 100, phases=False)
        assert writer.episodes == (0 if how == "dies when made" else 1)
        pids = [worker.pid for worker in pool._workers if worker.pid]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_workers_draw_the_walker_as_one_process_does(tmp_path: Path) -> None:
    pytest.importorskip("mujoco_warp", reason="the warp renderer is not installed")
    settings = {"env__task": "walker_walk", "env__renderer": "warp", "env__time_limit": 10, "env__distractions": ["camera:easy,moving"]}
    made = [small.collect_config(tmp_path / str(workers), collect__frames=20, collect__workers=workers, **settings) for workers in (0, 1)]
    assert all(api.collect(config) for config in made)
    assert small.tree(made[0].out) == small.tree(made[1].out)
    assert len(small.tree(made[0].out)) == 3  # two episodes and the manifest


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("value", "words"), [("-1", "collect.workers=-1 must be a number from 0"), ("1.5", "workers"), ("many", "workers")]
)
def test_workers_that_cannot_be_are_refused(value: str, words: str, refused: Callable[..., str]) -> None:
    assert words in refused("collect", "--task", "toy", "--collect.workers", value)


@pytest.mark.parametrize(
    ("frames", "cores", "workers"),
    [
        (19_999, 8, 0),  # one worker's worth: this process does it alone
        (20_000, 8, 2),
        (50_000, 2, 2),  # one a core
        (50_000, 1, 0),
        (10**6, 64, 8),  # memory
    ],
)
def test_large_data_sets_are_worth_a_worker_a_core(frames: int, cores: int, workers: int) -> None:
    assert workers_for(frames, cores) == workers


@pytest.mark.parametrize(("flags", "workers"), [([], 3), (["--collect.workers", "0"], 0), (["--collect.workers", "2"], 2)])
def test_the_command_takes_a_worker_a_core_unless_told_otherwise(
    flags: list[str], workers: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[CollectRun] = []
    monkeypatch.setattr(api, "collect", lambda config: not asked.append(config))
    monkeypatch.setattr("diswm.cores.usable_cores", lambda: 3)
    assert main(["collect", "--task", "toy", "--collect.frames", "50000", "--out", str(tmp_path), *flags]) == 0
    assert asked[0].collect.workers == workers
