"""The body of an environment worker (`vector`): one process, some environments, frames in shared memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np

from diswm.contract import Array, Env, Unstable

Maker = Callable[[], Env]
Info = dict[str, Any]


class Outcome(NamedTuple):
    """What one step of one environment gave, beside its frame."""

    reward: float
    terminated: bool
    truncated: bool
    info: Info


def serve(connection: Connection, closing: ExitStack, make: Maker, owned: list[int]) -> None:
    """Body of a worker: answers requests."""
    envs: dict[int, Env] = {}
    for index in owned:
        envs[index] = make()
        closing.callback(envs[index].close)
    connection.send(envs[owned[0]].observation_space.shape)
    images = np.zeros(0, np.uint8)
    while True:
        what, work = connection.recv()
        if what == "map":
            memory = SharedMemory(name=work[0])
            closing.callback(memory.close)
            images = np.ndarray(work[1], np.uint8, memory.buf)
            connection.send({})
        else:
            connection.send({index: _WORK[what](envs[index], images[index], item) for index, item in work.items()})


def _reset(env: Env, image: Array, begun: tuple[int, dict[str, Any] | None]) -> Info:
    image[:], info = env.reset(seed=begun[0], options=begun[1])
    return info


def act(env: Env, image: Array, action: Array) -> Outcome:
    """One step, its frame written into ``image``. An episode whose simulation diverges ends here, and ``info["unstable"]`` says how."""
    try:
        image[:], reward, terminated, truncated, info = env.step(action)
    except Unstable as error:
        return Outcome(0.0, False, True, {"unstable": str(error)})
    return Outcome(reward, terminated, truncated, info)


def _play(env: Env, image: Array, begun: tuple[int, dict[str, Any] | None, list[Array]]) -> None:
    _reset(env, image, begun[:2])
    for action in begun[2]:
        act(env, image, action)


_WORK: dict[str, Callable[..., Any]] = {"reset": _reset, "step": act, "play": _play}
