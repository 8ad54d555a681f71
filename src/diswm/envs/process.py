"""One worker process and the pipe to it: started, asked, heard, ended, and named when it dies."""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import Any, NamedTuple

from diswm.contract import DiswmError

TRIES = 3
"""Starts of a worker for one request; one that dies that often will not do better."""
GUARD = "a script that uses workers needs `if __name__ == '__main__':` around what it does."
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_GL_THREADS = "LP_NUM_THREADS"  # of software OpenGL: those beside the one that draws; to hand it to a single other costs 7% of a picture

_PARENTS = (signal.SIGINT, signal.SIGHUP)
"""Ctrl-C and a closed terminal are the parent's to handle."""


class Raised(NamedTuple):
    """What the work of a worker raised, as text: not every exception can be pickled."""

    ours: bool
    text: str
    trace: str


class WorkerProcess:
    """A process that is never forked, as OpenGL does not survive a fork, and computes with ``threads`` threads.

    ``body(connection, closing, *args)`` must be importable by a fresh process; it answers until the other end closes, and then what it has
    put on the stack ``closing`` is closed. ``start`` before anything else; it may be started again.
    """

    def __init__(
        self,
        name: str,
        body: Callable[..., None],
        args: tuple[Any, ...],
        *,
        threads: int = 1,
    ) -> None:
        self.name, self._body, self._args, self._threads = name, body, args, threads
        self._context: Any = mp.get_context("spawn")  # a forkserver would hand its own bounds of threads to all
        self.connection: Connection | None = None
        self._process: Any = None

    @property
    def pid(self) -> int | None:
        """Its process, None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process; it is not waited for. DiswmError where its work cannot be handed to another process."""
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there, self._body, self._args), daemon=True, name=f"diswm {self.name}")
        bounds = dict.fromkeys(_THREADS, str(self._threads))
        try:
            with _environment(bounds | {_GL_THREADS: str(self._threads if self._threads > 1 else 0)}), _deaf():
                process.start()
        except (PicklingError, AttributeError, TypeError) as error:
            here.close()
            raise DiswmError(
                f"{self.name}: what it is to make cannot be handed to a process ({error}). Give a function of a module, or a "
                "functools.partial of one; or use no workers."
            ) from error
        finally:
            there.close()
        self.connection, self._process = here, process

    def send(self, message: Any) -> bool:
        """False where the process is dead."""
        assert self.connection is not None, "closed"
        try:
            self.connection.send(message)
        except OSError:
            return False
        return True

    def receive(self) -> Any:
        """Its answer, None where it died. DiswmError where its work raised."""
        assert self.connection is not None, "closed"
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):  # the latter where it died in the middle of its answer
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


def _serve(connection: Connection, body: Callable[..., None], args: tuple[Any, ...]) -> None:
    """What runs in the process. Where nobody is left to hear what is raised, as when the other end closes, that is no matter."""
    for number in _PARENTS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PARENTS)  # what it starts itself is not deaf
    with contextlib.ExitStack() as closing:
        try:
            body(connection, closing, *args)
        except Exception as error:
            with contextlib.suppress(OSError):
                connection.send(Raised(isinstance(error, DiswmError), f"{error}" or type(error).__name__, traceback.format_exc()))


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Hold back `_PARENTS` here for a moment, and for good in what is started inside: a terminal's Ctrl-C reaches a process that still
    imports, long before it could ignore it."""
    resource_tracker.ensure_running()  # it would let them through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
