"""Tiny Gymnasium environments, registered when this module is imported: `gym/worlds:Doors-v0` and others."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Doors(gymnasium.Env):
    """Which of three bars is lit says which of three choices pays 1; four wrong ones end the episode, 40 steps its time."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012
    start = 0

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.action_space: spaces.Space = spaces.Discrete(3, start=self.start)
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.lit, self.wrong, self.seed = int(self.np_random.integers(3)), 0, seed
        return self._seen(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.taken.append(action)
        right = bool(np.all(action == self.lit + self.start))
        self.wrong += not right
        self.lit = int(self.np_random.integers(3))
        return self._seen(), float(right), self.wrong == 4, False, {}

    def _seen(self) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[self.lit]

    def render(self) -> np.ndarray:
        """120 x 90: three bars, the lit one white."""
        picture = np.full((90, 120, 3), 30, np.uint8)
        picture[:, 40 * self.lit : 40 * self.lit + 40] = 255
        return picture


class Pictured(Doors):
    """Its observation is a grey picture of 40 x 48, its actions two numbers, the first one's range 2 to 6."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(0, 255, (40, 48, 1), np.uint8)
        self.action_space = spaces.Box(np.float32([2, -1]), np.float32([6, 1]))

    def _seen(self) -> np.ndarray:  # type: ignore[override]
        return np.repeat(np.full((40, 1, 1), 100 + 50 * self.lit, np.uint8), 48, 1)


class Unseen(Doors):
    """Nothing to see."""

    metadata = {"render_modes": ["human"]}  # noqa: RUF012


class Shown(Doors):
    """Its observation holds a picture of 45 x 70, left red (grey 60), right blue (grey 180), in a shape of its own."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, shape: str):
        super().__init__()
        self.shape = shape
        view = np.zeros((45, 70, 3), np.uint8)
        view[:, :35, 0], view[:, 35:, 2] = 200, 200
        grey = np.where(view[..., 0] > 0, 60, 180).astype(np.uint8)
        numbers = np.zeros(2, np.float32)
        self.seen: Any = {
            "pixels among others": {"pixels": view, "wrist": grey, "speed": numbers},
            "the only picture": {"view": {"top": view}, "speed": numbers},
            "two pictures": {"left": view, "right": view},
            "channels first": view.transpose(2, 0, 1),
            "grey": grey,
            "grey, channels first": grey[None],
            "symbols": grey[:7, :7],
            "a stack of four": np.stack([grey] * 4),
        }[shape]
        self.observation_space = _space(self.seen)

    def _seen(self) -> Any:  # type: ignore[override]
        return self.seen


def _space(seen: Any) -> spaces.Space:
    if isinstance(seen, dict):
        return spaces.Dict({name: _space(part) for name, part in seen.items()})
    return spaces.Box(0, 255, seen.shape, seen.dtype)


class Broken(Doors):
    """What it does at the second step, or at the third reset, is said when it is made."""

    def __init__(self, how: str, render_mode: str | None = None):
        super().__init__(render_mode)
        self.how, self.resets = how, 0

    def reset(self, **options: Any) -> Any:
        self.resets += 1
        if self.resets == 3 and self.how == "third reset":
            raise ConnectionResetError("by peer")
        return super().reset(**options)

    def step(self, action: Any) -> Any:
        seen, reward, *rest = super().step(action)
        if len(self.taken) > 1 and self.how == "raises":
            raise ZeroDivisionError("of its own")
        if len(self.taken) > 1 and self.how == "nan seen":
            seen = seen * np.nan
        return seen, float("nan") if len(self.taken) > 1 and self.how == "nan" else reward, *rest

    def render(self) -> Any:
        return None if self.how == "blind" else super().render()


class Spaced(Doors):
    """Its actions are another space."""

    def __init__(self, space: spaces.Space, render_mode: str | None = None):
        super().__init__(render_mode)
        self.action_space = space


for _name, _kind in {"Doors": Doors, "Pictured": Pictured, "Unseen": Unseen}.items():
    gymnasium.register(id=f"{_name}-v0", entry_point=_kind, max_episode_steps=40)
for _name, _how in {"Raises": "raises", "Nan": "nan", "ThirdReset": "third reset"}.items():
    gymnasium.register(id=f"{_name}-v0", entry_point=Broken, max_episode_steps=40, kwargs={"how": _how})
