"""The body of an environment worker (`vector`): one process, some environments, frames in shared memory."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np

from diswm.contract import Array, DiswmError, Env
from diswm.envs.process import Raised

Maker = Callable[[], Env]
Info = dict[str, Any]


class Outcome(NamedTuple):
    """What one step of one environment gave, beside its frame."""

    reward: float
    terminated: bool
    truncated: bool
    info: Info


def serve(connection: Connection, make: Maker, owned: list[int]) -> None:
    """Body of a worker: answers requests until the other end closes."""
    for number in (signal.SIGINT, signal.SIGHUP):  # Ctrl-C and a closed terminal are the parent's to handle
        signal.signal(number, signal.SIG_IGN)
    envs: dict[int, Env] = {}
    memory: SharedMemory | None = None
    images = np.zeros(0, np.uint8)
    try:
        envs = {index: make() for index in owned}
        connection.send(envs[owned[0]].observation_space.shape)
        while True:
            what, work = connection.recv()
            if what == "map":
                memory = SharedMemory(name=work[0])
                images = np.ndarray(work[1], np.uint8, memory.buf)
                connection.send({})
            else:
                connection.send({index: _WORK[what](envs[index], images[index], item) for index, item in work.items()})
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(Raised(isinstance(error, DiswmError), f"{error}" or type(error).__name__, traceback.format_exc()))
    finally:
        for env in envs.values():
            env.close()
        del images
        if memory is not None:
            memory.close()


def _reset(env: Env, image: Array, begun: tuple[int, dict[str, Any] | None]) -> Info:
    image[:], info = env.reset(seed=begun[0], options=begun[1])
    return info


def _step(env: Env, image: Array, action: Array) -> Outcome:
    image[:], reward, terminated, truncated, info = env.step(action)
    return Outcome(reward, terminated, truncated, info)


def _play(env: Env, image: Array, begun: tuple[int, dict[str, Any] | None, list[Array]]) -> None:
    _reset(env, image, begun[:2])
    for action in begun[2]:
        _step(env, image, action)


_WORK: dict[str, Callable[..., Any]] = {"reset": _reset, "step": _step, "play": _play}
