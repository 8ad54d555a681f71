"""N environments stepped together, in this process or in worker processes with frames in shared memory.

An episode is a function of its seed and its actions. So a worker that dies is started again and plays its episodes up to where
they were: nothing is lost, and results do not depend on how many workers there are.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Protocol

import numpy as np

from diswm.contract import Array, DiswmError, Env
from diswm.envs.process import GUARD, TRIES, WorkerProcess
from diswm.envs.worker import Info, Maker, Outcome, act, serve

_LOG = logging.getLogger("diswm")


class Vector(Protocol):
    """N environments of one kind. ``images`` (N, H, W, 3) uint8 holds the newest frame of each; it is written in place."""

    images: Array

    def __len__(self) -> int: ...

    def reset(self, seeds: Sequence[int], options: dict[str, Any] | None = None) -> list[Info]:
        """Start an episode in the first ``len(seeds)`` environments."""

    def step(self, actions: dict[int, Array]) -> dict[int, Outcome]:
        """Act, (A,) each, in the environments of these indices; the others stay as they are. See `worker.act` of simulations that
        diverge."""

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
        return {index: act(self.envs[index], self.images[index], action) for index, action in actions.items()}

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

    def __init__(self, make: Maker, count: int, workers: int, *, threads: int = 1) -> None:
        if not 1 <= workers <= count:
            raise DiswmError(f"{workers} workers for {count} environments: expected from 1 to {count}.")
        self.images: Array = np.zeros((count, 0), np.uint8)
        self._owned = [list(range(worker, count, workers)) for worker in range(workers)]
        self._history: list[tuple[int, dict[str, Any] | None, list[Array]] | None] = [None] * count
        self._processes = [
            WorkerProcess(f"environment worker {worker}", serve, (make, owned), threads=threads) for worker, owned in enumerate(self._owned)
        ]
        self._memory: SharedMemory | None = None
        try:
            for process in self._processes:
                process.start()
            shapes = [self._shape_of(process) for process in self._processes]
            self._share(shapes[0], count)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._history)

    def reset(self, seeds: Sequence[int], options: dict[str, Any] | None = None) -> list[Info]:
        """As `Vector.reset`."""
        found = self._ask("reset", {index: (seed, options) for index, seed in enumerate(seeds)})
        return [found[index] for index in range(len(seeds))]

    def step(self, actions: dict[int, Array]) -> dict[int, Outcome]:
        """As `Vector.step`."""
        return self._ask("step", actions)

    def close(self) -> None:
        """End the workers and give the memory back. Safe to call twice."""
        for process in self._processes:
            process.stop()
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
        sent = {worker: self._processes[worker].send((what, part)) for worker, part in parts.items()}
        found: dict[int, Any] = {}
        failed: DiswmError | None = None
        for worker, part in parts.items():  # all of them are heard, or an answer left in its pipe would be taken for the next one
            try:
                answer = self._processes[worker].receive() if sent[worker] else None
                given = self._again(worker, (what, part)) if answer is None else answer
            except DiswmError as error:
                failed = failed or error
                continue
            self._remember(what, part, given)
            found |= given
        if failed is not None:
            raise failed
        return found

    def _remember(self, what: str, part: dict[int, Any], given: dict[int, Any]) -> None:
        """Note what the environments of a worker have been through, from which it can be played again."""
        for index in given:
            if what == "reset":
                self._history[index] = (*part[index], [])
            elif (begun := self._history[index]) is not None:
                begun[2].append(np.array(part[index]))

    def _again(self, worker: int, request: tuple[str, dict[int, Any]]) -> dict[int, Any]:
        """Start a dead worker anew, play its episodes to where they were, and repeat the request."""
        how, process = "", self._processes[worker]
        for _ in range(TRIES - 1):
            how = process.stop()
            _LOG.warning("%s: starting it again", how)
            process.start()
            self._shape_of(process)
            begun = {i: self._history[i] for i in self._owned[worker] if self._history[i] and (request[0] == "step" or i not in request[1])}
            if all(process.send(message) and process.receive() is not None for message in (self._map(), ("play", begun))):
                answer = process.receive() if process.send(request) else None
                if answer is not None:
                    found: dict[int, Any] = answer
                    return found
        raise DiswmError(f"{process.stop() or how}, {TRIES} times for the same step. Look at its memory, or use fewer workers.")

    def _shape_of(self, process: WorkerProcess) -> tuple[int, ...]:
        """What a process that was started says first: the shape of an image."""
        shape = process.receive()
        if shape is None:
            raise DiswmError(f"{process.stop()} while it made its environments. Try without workers to see why; {GUARD}")
        return tuple(shape)

    def _share(self, shape: tuple[int, ...], count: int) -> None:
        self._memory = SharedMemory(create=True, size=count * int(np.prod(shape)))
        self._shape = shape
        self.images = np.ndarray((count, *shape), np.uint8, self._memory.buf)
        self.images[:] = 0
        for process in self._processes:
            if not (process.send(self._map()) and process.receive() is not None):
                raise DiswmError(f"{process.stop()}. Try without workers to see why.")

    def _map(self) -> tuple[str, Any]:
        assert self._memory is not None
        return "map", (self._memory.name, (len(self), *self._shape))


def vector(make: Maker, count: int, workers: int) -> Vector:
    """``count`` environments: in this process, or with ``workers`` above 0 in that many others."""
    return Workers(make, count, workers) if workers else InProcess([make() for _ in range(count)])
