"""N environments stepped together, in this process or in worker processes with frames in shared memory.

An episode is a function of its seed and its actions. So a worker that dies is started again and plays its episodes up to where
they were: nothing is lost, and results do not depend on how many workers there are.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing as mp
import os
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Literal, Protocol

import numpy as np

from diswm.contract import Array, DiswmError, Env
from diswm.envs.worker import Info, Maker, Outcome, Raised, serve

_LOG = logging.getLogger("diswm")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LP_NUM_THREADS")  # the last is software GL's
_TRIES = 3
"""Starts of a worker for one call; one that dies that often will not do better."""


class Vector(Protocol):
    """N environments of one kind. ``images`` (N, H, W, 3) uint8 holds the newest frame of each; it is written in place."""

    images: Array

    def __len__(self) -> int: ...

    def reset(self, seeds: Sequence[int], options: dict[str, Any] | None = None) -> list[Info]:
        """Start an episode in the first ``len(seeds)`` environments."""

    def step(self, actions: dict[int, Array]) -> dict[int, Outcome]:
        """Act, (A,) each, in the environments of these indices; the others stay as they are."""

    def close(self) -> None: ...


class InProcess:
    """Environments stepped one after the other in this process."""

    def __init__(self, envs: Sequence[Env]) -> None:
        self.envs = envs
        self.images = np.zeros((len(envs), *envs[0].observation_space.shape), np.uint8)

    def __len__(self) -> int:
        return len(self.envs)

    def reset(self, seeds: Sequence[int], options: dict[str, Any] | None = None) -> list[Info]:
        """As `Vector.reset`."""
        infos = []
        for index, seed in enumerate(seeds):
            self.images[index], info = self.envs[index].reset(seed=seed, options=options)
            infos.append(info)
        return infos

    def step(self, actions: dict[int, Array]) -> dict[int, Outcome]:
        """As `Vector.step`."""
        found = {}
        for index, action in actions.items():
            self.images[index], reward, terminated, truncated, info = self.envs[index].step(action)
            found[index] = Outcome(reward, terminated, truncated, info)
        return found

    def close(self) -> None:
        """Close all of them."""
        for env in self.envs:
            env.close()


class Workers:
    """Environments spread over worker processes that are never forked, as OpenGL does not survive a fork.

    ``make`` builds one environment and must be importable by a fresh process (a function of a module, or a `functools.partial` of
    one). Each worker computes with ``threads`` threads. Raises DiswmError where an environment cannot be made or raises, and where a
    worker dies again and again; use as a context manager, or `close`.
    """

    def __init__(self, make: Maker, count: int, workers: int, *, threads: int = 1, start: Literal["spawn", "forkserver"] = "spawn") -> None:
        if not 1 <= workers <= count:
            raise DiswmError(f"{workers} workers for {count} environments: expected from 1 to {count}.")
        self._context: Any = mp.get_context(start)
        self._make, self._threads = make, threads
        self.images: Array = np.zeros((count, 0), np.uint8)
        self._owned = [list(range(worker, count, workers)) for worker in range(workers)]
        self._history: list[tuple[int, dict[str, Any] | None, list[Array]] | None] = [None] * count
        self._connections: list[Connection | None] = [None] * workers
        self._processes: list[Any] = [None] * workers
        self._memory: SharedMemory | None = None
        try:
            shapes = [self._start(worker) for worker in range(workers)]
            self._share(shapes[0], count)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._history)

    def reset(self, seeds: Sequence[int], options: dict[str, Any] | None = None) -> list[Info]:
        """As `Vector.reset`."""
        for index, seed in enumerate(seeds):
            self._history[index] = (seed, options, [])
        found = self._ask("reset", {index: (seed, options) for index, seed in enumerate(seeds)})
        return [found[index] for index in range(len(seeds))]

    def step(self, actions: dict[int, Array]) -> dict[int, Outcome]:
        """As `Vector.step`."""
        found = self._ask("step", actions)
        for index, action in actions.items():
            begun = self._history[index]
            assert begun is not None
            begun[2].append(np.array(action))
        return found

    def close(self) -> None:
        """End the workers and give the memory back. Safe to call twice."""
        for worker, process in enumerate(self._processes):
            if process is not None:
                self._stop(worker)
        if self._memory is not None:
            self.images = self.images.copy()
            self._memory.close()
            self._memory.unlink()
            self._memory = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ---- talking to workers

    def _ask(self, what: str, work: dict[int, Any]) -> dict[int, Any]:
        """The same request to all workers at once, each with its part of the work."""
        parts = {w: {i: work[i] for i in owned if i in work} for w, owned in enumerate(self._owned)}
        parts = {worker: part for worker, part in parts.items() if part}
        sent = {worker: self._send(worker, (what, part)) for worker, part in parts.items()}
        found: dict[int, Any] = {}
        for worker, part in parts.items():
            answer = self._receive(worker) if sent[worker] else None
            found |= self._again(worker, (what, part)) if answer is None else answer
        return found

    def _again(self, worker: int, request: tuple[str, dict[int, Any]]) -> dict[int, Any]:
        """Start a dead worker anew, play its episodes to where they were, and repeat the request."""
        how = ""
        for _ in range(_TRIES - 1):
            how = self._stop(worker)
            _LOG.warning("%s: starting it again", how)
            self._start(worker)
            assert self._memory is not None
            begun = {i: self._history[i] for i in self._owned[worker] if self._history[i] and (request[0] == "step" or i not in request[1])}
            if all(self._send(worker, message) and self._receive(worker) is not None for message in (self._map(), ("play", begun))):
                answer = self._receive(worker) if self._send(worker, request) else None
                if answer is not None:
                    return answer
        raise DiswmError(f"{self._stop(worker) or how}, {_TRIES} times for the same step. Look at its memory, or use fewer workers.")

    def _send(self, worker: int, message: Any) -> bool:
        connection = self._connections[worker]
        assert connection is not None, "closed"
        try:
            connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _receive(self, worker: int) -> Any:
        """The answer of a worker, None if it died. DiswmError where its environment raised."""
        connection = self._connections[worker]
        assert connection is not None, "closed"
        try:
            answer = connection.recv()
        except (EOFError, ConnectionResetError):
            return None
        if isinstance(answer, Raised):
            if answer.ours:
                raise DiswmError(answer.text)
            raise DiswmError(f"environment worker {worker}: {answer.text}. This is an error of the environment:\n{answer.trace}")
        return answer

    def _start(self, worker: int) -> tuple[int, ...]:
        """Start one process; returns the shape of an image."""
        here, there = self._context.Pipe()
        args = (there, self._make, self._owned[worker])
        process = self._context.Process(target=serve, args=args, daemon=True, name=f"diswm-env-{worker}")
        with _environment(dict.fromkeys(_THREADS, str(self._threads))):
            process.start()
        there.close()
        self._connections[worker], self._processes[worker] = here, process
        shape = self._receive(worker)
        if shape is None:
            raise DiswmError(
                f"{self._stop(worker)} while it made its environments. Try without workers to see why; "
                "a script that uses workers needs `if __name__ == '__main__':` around what it does."
            )
        return tuple(shape)

    def _stop(self, worker: int) -> str:
        """End one process. Returns how it had ended, where it had."""
        process, connection = self._processes[worker], self._connections[worker]
        self._processes[worker] = self._connections[worker] = None
        if connection is not None:
            connection.close()
        if process is None:
            return ""
        process.join(timeout=5)
        if process.is_alive():
            process.kill()
            process.join()
        code = process.exitcode
        return f"environment worker {worker} " + (f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}")

    def _share(self, shape: tuple[int, ...], count: int) -> None:
        self._memory = SharedMemory(create=True, size=count * int(np.prod(shape)))
        self._shape = shape
        self.images = np.ndarray((count, *shape), np.uint8, self._memory.buf)
        self.images[:] = 0
        for worker in range(len(self._owned)):
            if not (self._send(worker, self._map()) and self._receive(worker) is not None):
                raise DiswmError(f"{self._stop(worker)}. Try without workers to see why.")

    def _map(self) -> tuple[str, Any]:
        assert self._memory is not None
        return "map", (self._memory.name, (len(self), *self._shape))


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


def vector(make: Maker, count: int, workers: int) -> Vector:
    """``count`` environments: in this process, or with ``workers`` above 0 in that many others."""
    return Workers(make, count, workers) if workers else InProcess([make() for _ in range(count)])
