"""Players whose process dies. A worker imports no more than this module, which is why it is one: what tests import takes seconds."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

from diswm import envs
from diswm.trainers.collect import Player, random_player

TOY = partial(envs.make, envs.EnvConfig(task="toy"))


def fragile_player(how: str, once: Path) -> Player:
    """One whose process dies in the middle of episode 1; ``once`` is a file that remembers it."""
    if how == "dies when made":
        os.kill(os.getpid(), signal.SIGKILL)
    player = random_player(TOY, 0)
    policy = player.policy

    def fragile(number: int) -> Any:
        if number == 1 and how == "raises":
            raise ValueError("the simulator is unstable")
        if number == 1 and (how == "always dies" or not once.exists()):
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return policy(number)

    player.policy = fragile
    return player
