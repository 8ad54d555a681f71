"""One worker process and the pipe to it: started, asked, heard, ended, and named when it dies."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

from diswm.contract import DiswmError

TRIES = 3
"""Starts of a worker for one request; one that dies that often will not do better."""
GUARD = "a script that uses workers needs `if __name__ == '__main__':` around what it does."
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_GL_THREADS = "LP_NUM_THREADS"  # of software OpenGL: those beside the one that draws; to hand it to a single other costs 7% of a picture


class Raised(NamedTuple):
    """What the work of a worker raised, as text: not every exception can be pickled."""

    ours: bool
    text: str
    trace: str


class WorkerProcess:
    """A process that is never forked, as OpenGL does not survive a fork, and computes with ``threads`` threads.

    ``body(connection, *args)`` must be importable by a fresh process. ``start`` before anything else; it may be started again.
    """

    def __init__(
        self,
        name: str,
        body: Callable[..., None],
        args: tuple[Any, ...],
        *,
        threads: int = 1,
        method: Literal["spawn", "forkserver"] = "spawn",
    ) -> None:
        self.name, self._body, self._args, self._threads = name, body, args, threads
        self._context: Any = mp.get_context(method)
        self.connection: Connection | None = None
        self._process: Any = None

    @property
    def pid(self) -> int | None:
        """Its process, None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process; it is not waited for."""
        here, there = self._context.Pipe()
        process = self._context.Process(target=self._body, args=(there, *self._args), daemon=True, name=f"diswm {self.name}")
        bounds = dict.fromkeys(_THREADS, str(self._threads))
        with _environment(bounds | {_GL_THREADS: str(self._threads if self._threads > 1 else 0)}):
            process.start()
        there.close()
        self.connection, self._process = here, process

    def send(self, message: Any) -> bool:
        """False where the process is dead."""
        assert self.connection is not None, "closed"
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> Any:
        """Its answer, None where it died. DiswmError where its work raised."""
        assert self.connection is not None, "closed"
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return None
        if isinstance(answer, Raised):
            if answer.ours:
                raise DiswmError(answer.text)
            raise DiswmError(f"{self.name}: {answer.text}. This is an error of the environment:\n{answer.trace}")
        return answer

    def stop(self, *, patience: float = 5.0) -> str:
        """End the process, by force after ``patience`` seconds. Returns how it had ended, where it had. Safe to call twice."""
        process, connection = self._process, self.connection
        self._process = self.connection = None
        if connection is not None:
            connection.close()
        if process is None:
            return ""
        process.join(timeout=patience)
        if process.is_alive():
            process.kill()
            process.join()
        code = process.exitcode
        return f"{self.name} " + (f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}")


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """These environment variables, for what is started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
