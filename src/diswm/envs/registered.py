"""The worlds registered with Gymnasium, for other libraries. Importing this module registers them, and loads no simulator::

    import gymnasium, diswm.envs.registered

    env = gymnasium.make("diswm/walker_walk-v0", distract=["colour:set1", "camera:easy"], image_size=84)

or where a library takes nothing but a name: ``gymnasium.make("diswm.envs.registered:diswm/walker_walk-v0")``. Without ``distract`` it
is the bare scene: nothing varies but what the task itself draws. (`envs.make` has colours of set 1 unless told otherwise, as here the
paper's agents do.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium

from diswm.contract import DiswmError, unknown
from diswm.envs import EnvConfig, make, tasks, with_distractions
from diswm.envs.wrappers import ActionRepeat


def create(task: str, distract: str | Sequence[str] = (), render_mode: str | None = None, **settings: Any) -> ActionRepeat:
    """One of the worlds, bare but for ``distract`` (as on the command line) and ``phases``; ``settings`` are those of `EnvConfig`.

    DiswmError as `make`."""
    known = EnvConfig.__dataclass_fields__.keys() - {"task", "distract", "distractions"}
    if strange := sorted(settings.keys() - known):
        raise unknown(f"setting of {task}", strange[0], [*known, "distract"])
    if render_mode not in (None, "rgb_array"):
        raise DiswmError(f"{task}: render_mode={render_mode!r} is not there. Leave it out, or use 'rgb_array'.")
    return make(with_distractions(EnvConfig(task=task, **settings), [distract] if isinstance(distract, str) else list(distract)))


for _task in tasks():
    if f"diswm/{_task}-v0" not in gymnasium.registry:
        gymnasium.register(id=f"diswm/{_task}-v0", entry_point="diswm.envs.registered:create", kwargs={"task": _task})
