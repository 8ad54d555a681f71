"""A worker process: what it says when it dies, and what it leaves."""

from __future__ import annotations

import os
import signal
import struct
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from diswm.contract import DiswmError
from diswm.envs.process import WorkerProcess


def dies_in_its_answer(connection: Connection, closing: ExitStack) -> None:
    """100 bytes are announced, as `Connection.send` does, and 10 are sent."""
    os.write(connection.fileno(), struct.pack("!i", 100) + bytes(10))
    os.kill(os.getpid(), signal.SIGKILL)


def raises(connection: Connection, closing: ExitStack, path: str) -> None:
    closing.callback(Path(path).touch)
    raise EOFError("the game server hung up")  # what also ends a worker that nobody asks any more


def serves(connection: Connection, closing: ExitStack, path: str) -> None:
    closing.callback(Path(path).touch)
    while True:
        connection.send(connection.recv() + 1)


def test_one_that_is_killed_in_the_middle_of_its_answer_is_dead_and_can_be_started_again() -> None:
    worker = WorkerProcess("worker 7", dies_in_its_answer, ())
    for _ in range(2):
        worker.start()
        assert worker.receive() is None
        assert worker.stop() == "worker 7 was killed by SIGKILL"
    assert worker.pid is None


def test_what_it_raises_is_told_whatever_it_is_and_what_it_opened_is_closed(tmp_path: Path) -> None:
    worker = WorkerProcess("worker 7", raises, (str(tmp_path / "closed"),))
    worker.start()
    with pytest.raises(DiswmError, match=r"^worker 7: the game server hung up"):
        worker.receive()
    assert worker.stop() == "worker 7 ended with code 0"
    assert (tmp_path / "closed").exists()


def test_it_ends_with_its_connection(tmp_path: Path) -> None:
    worker = WorkerProcess("worker 7", serves, (str(tmp_path / "closed"),))
    worker.start()
    assert worker.send(1)
    assert worker.receive() == 2
    pid = worker.pid
    assert pid
    assert worker.stop(patience=60.0) == "worker 7 ended with code 0", "of itself"
    assert (tmp_path / "closed").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert worker.stop() == ""


def test_work_that_cannot_be_handed_over_is_refused() -> None:
    worker = WorkerProcess("worker 7", serves, (lambda: "here alone",))
    with pytest.raises(DiswmError, match=r"worker 7: .*cannot be handed to a process.*functools.partial"):
        worker.start()
    assert worker.stop() == ""
