"""Environments in worker processes: the same numbers as in one process, whatever dies on the way."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diswm import envs
from diswm.contract import DiswmError
from diswm.envs.vector import InProcess, Vector, Workers, vector

TOY = partial(envs.make, envs.EnvConfig(task="toy"))
SEEDS = [3, 1, 4]


class Fragile:
    """An environment that kills its process, or raises, at a step of its first episode; ``once`` is a file that remembers it."""

    def __init__(self, how: str, once: str) -> None:
        self.env, self.how, self.once, self.steps = TOY(), how, Path(once), 0
        self.observation_space = self.env.observation_space
        if how == "dies when made":
            os.kill(os.getpid(), signal.SIGKILL)

    def reset(self, **options: Any) -> Any:
        self.steps = 0
        return self.env.reset(**options)

    def step(self, action: np.ndarray) -> Any:
        self.steps += 1
        if self.steps == 5 and self.how == "raises":
            raise ValueError("the simulator is unstable")
        if self.steps == 5 and (self.how == "always dies" or (self.how == "dies" and not self.once.exists())):
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.env.step(action)

    def close(self) -> None:
        self.env.close()


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Two processes for three environments. To start them takes longer than most of the tests."""
    with Workers(TOY, 3, 2) as made:
        yield made


def play(envs: Vector, steps: int, start: int = 0) -> list[Any]:
    """Everything that some steps of all three give."""
    found = []
    for step in range(start, start + steps):
        outcomes = envs.step({i: np.array([np.sin(step + i), np.cos(step * i)], np.float32) for i in (2, 0, 1)})
        found.append([(outcomes[i].reward, outcomes[i].truncated, outcomes[i].info["state"].tolist()) for i in range(3)])
        found.append(envs.images.tobytes())
    return found


def reference(steps: int) -> list[Any]:
    here = InProcess([TOY() for _ in SEEDS])
    here.reset(SEEDS)
    return play(here, steps)


def test_workers_give_the_same_numbers_as_one_process(workers: Workers) -> None:
    for _ in range(2):  # and so does a second episode
        infos = workers.reset(SEEDS)
        assert [set(info) >= {"factors", "frames"} for info in infos] == [True] * 3
        assert play(workers, 12) == reference(12)


def test_environments_that_are_not_asked_stay_as_they_are(workers: Workers) -> None:
    third = workers.images[2].copy()
    workers.reset(SEEDS[:2])
    before = workers.images.copy()
    assert np.array_equal(before[2], third), "not reset"
    assert set(workers.step({1: np.array([1.0, 1.0], np.float32)})) == {1}
    assert np.array_equal(workers.images[0], before[0])
    assert not np.array_equal(workers.images[1], before[1])
    assert np.array_equal(workers.images[2], third)


def test_a_worker_that_is_killed_is_named_started_again_and_nothing_is_lost(workers: Workers, caplog: pytest.LogCaptureFixture) -> None:
    workers.reset(SEEDS)
    first = play(workers, 6)
    pid = workers._processes[0].pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    with caplog.at_level(logging.WARNING, "diswm"):
        second = play(workers, 6, start=6)
    assert first + second == reference(12)
    assert "environment worker 0 was killed by SIGKILL" in caplog.text


def test_a_worker_that_dies_within_a_step_plays_it_again(tmp_path: Path) -> None:
    with Workers(partial(Fragile, "dies", str(tmp_path / "once")), 3, 1) as made:
        made.reset(SEEDS)
        assert play(made, 8) == reference(8)
    assert (tmp_path / "once").exists(), "it did die"


def test_one_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    with Workers(partial(Fragile, "always dies", str(tmp_path / "once")), 3, 1) as made:
        made.reset(SEEDS)
        with pytest.raises(DiswmError, match="environment worker 0 was killed by SIGKILL, 3 times for the same step"):
            play(made, 8)


def test_one_that_dies_when_it_is_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DiswmError, match="environment worker 0 was killed by SIGKILL while it made its environments"):
        Workers(partial(Fragile, "dies when made", str(tmp_path / "once")), 3, 1)


def test_what_an_environment_raises_arrives_in_words(tmp_path: Path) -> None:
    with Workers(partial(Fragile, "raises", str(tmp_path / "once")), 3, 1) as made:
        made.reset(SEEDS)
        with pytest.raises(DiswmError, match="environment worker 0: the simulator is unstable"):
            play(made, 8)


def test_after_a_refused_step_no_answer_is_taken_for_another() -> None:
    actions = {i: np.array([0.5, -0.5], np.float32) for i in range(3)}
    here = InProcess([TOY() for _ in SEEDS])
    here.reset(SEEDS)
    here.step({1: actions[1], 2: actions[2]})
    with Workers(TOY, 3, 3) as made:
        made.reset(SEEDS)
        with pytest.raises(DiswmError, match=r"^The action leaves \[-1, 1\]"):  # its own words
            made.step(actions | {0: np.array([2.0, 0.0], np.float32)})
        assert play(made, 4) == play(here, 4), "the first environment did not act, the others did, and their answers are gone"


def test_closing_gives_the_memory_back() -> None:
    with Workers(TOY, 3, 1) as workers:
        workers.reset(SEEDS)
        memory, pids, last = workers._memory, [process.pid for process in workers._processes], workers.images.copy()
        assert memory is not None
        workers.close()
        workers.close()
        for pid in pids:
            assert pid
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        with pytest.raises(FileNotFoundError):
            SharedMemory(name=memory.name)
        assert np.array_equal(workers.images, last), "the last frames can still be looked at"


@pytest.mark.parametrize("count", [0, 4])
def test_more_workers_than_environments_are_refused(count: int) -> None:
    with pytest.raises(DiswmError, match=f"{count} workers for 3 environments: expected from 1 to 3"):
        Workers(TOY, 3, count)


def test_a_worker_computes_with_the_threads_that_it_is_given(tmp_path: Path) -> None:
    before = dict(os.environ)
    for threads, told in ((3, "3 3"), (1, "1 0")):  # of software OpenGL: beside the one that draws
        with Workers(partial(Threads, str(tmp_path / "threads")), 1, 1, threads=threads):
            assert (tmp_path / "threads").read_text() == told
    assert dict(os.environ) == before


class Threads(Fragile):
    """Writes down what its process is told about threads."""

    def __init__(self, path: str) -> None:
        super().__init__("works", path)
        Path(path).write_text(f"{os.environ['OMP_NUM_THREADS']} {os.environ['LP_NUM_THREADS']}")


def test_vector_chooses() -> None:
    assert isinstance(vector(TOY, 2, 0), InProcess)
    with vector(TOY, 2, 1) as made:  # type: ignore[attr-defined]
        assert isinstance(made, Workers)
