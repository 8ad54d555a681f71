"""Many calls of one function in worker processes, whatever dies on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from typing import Any

from diswm.contract import DiswmError
from diswm.envs.process import GUARD, TRIES, WorkerProcess

_LOG = logging.getLogger("diswm")
_READY = "ready"


class Pool:
    """``make()`` builds the function, once in each worker; its value must depend on its arguments alone, and be other than None.

    So a worker that dies is started again and its call repeated: nothing is lost. ``make`` must be importable by a fresh process.
    Use as a context manager: calls that are under way at its end are given up. Raises DiswmError where the function cannot be made or
    raises, and where a worker dies again and again; ``without`` says how to do without workers, ``work`` what a call is about.
    """

    def __init__(
        self,
        make: Callable[[], Callable[..., Any]],
        workers: int,
        *,
        without: str = "without workers",
        work: Callable[..., str] = lambda *call: "the same work",
    ) -> None:
        self._without, self._work = without, work
        self._workers = [WorkerProcess(f"worker {index}", _serve, (make,)) for index in range(workers)]
        self._ready = [False] * workers
        self._calls: list[tuple[Any, ...] | None] = [None] * workers
        self._deaths = [0] * workers  # of the call that each has now

    def __len__(self) -> int:
        return len(self._workers)

    def __enter__(self) -> Pool:
        try:
            for worker in self._workers:
                worker.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, whatever they do. Safe to call twice."""
        for worker in self._workers:
            worker.stop(patience=0.0)

    @property
    def free(self) -> bool:
        """Whether a worker has nothing to do."""
        return None in self._calls

    @property
    def calls(self) -> list[tuple[Any, ...]]:
        """The arguments of the calls that are under way."""
        return [call for call in self._calls if call is not None]

    def call(self, *args: Any) -> None:
        """Give a free worker a call; one that still starts begins with it."""
        index = self._calls.index(None)
        self._calls[index], self._deaths[index] = args, 0
        if self._ready[index]:
            self._workers[index].send(args)  # where it is dead, `results` notices

    def results(self, seconds: float) -> list[tuple[tuple[Any, ...], Any]]:
        """(arguments, value) of the calls that end within some seconds; those that end together."""
        waiting: dict[Any, int] = {worker.connection: index for index, worker in enumerate(self._workers)}
        found = []
        for connection in wait(list(waiting), seconds):
            index = waiting[connection]
            answer, call = self._workers[index].receive(), self._calls[index]
            if answer is None:
                self._again(index)
            elif not self._ready[index]:
                self._ready[index] = True
                if call is not None:
                    self._workers[index].send(call)
            else:
                assert call is not None
                found.append((call, answer))
                self._calls[index] = None
        return found

    def _again(self, index: int) -> None:
        """Start a dead worker anew; it then begins with the call that it had."""
        worker, ready, call = self._workers[index], self._ready[index], self._calls[index]
        how = worker.stop()
        if not ready:
            raise DiswmError(f"{how} while it started. Try {self._without} to see why; {GUARD}")
        self._deaths[index] += 1
        if call is not None and self._deaths[index] == TRIES:
            raise DiswmError(
                f"{how}, {TRIES} times for {self._work(*call)}. Try {self._without} to see why; where memory ran out, fewer workers."
            )
        _LOG.warning("%s: starting it again", how)
        self._ready[index] = False
        worker.start()


def _serve(connection: Connection, _closing: ExitStack, make: Callable[[], Callable[..., Any]]) -> None:
    """Body of a worker: answers calls."""
    function = make()
    connection.send(_READY)
    while True:
        connection.send(function(*connection.recv()))
