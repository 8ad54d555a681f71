"""Any Gymnasium environment as a scene: its picture, its reward, its ends.

The picture is the observation where that is an image (uint8, grey or RGB, channels last or first, at least 32 x 32) or a `Dict` with one
(``pixels``, or the only one), else what ``render()`` gives. It is shown whole and stretched to the square, with antialiasing: the networks
have no use for black bars. Distractions are for worlds whose parts are known here; these are shown as they are.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import error as errors
from gymnasium import spaces
from PIL import Image

from diswm.contract import Array, DiswmError, did_you_mean
from diswm.envs.scene import PLAIN, Frame, Look

SMALLEST = 32  # pixels: below it an array of numbers is a grid of symbols and no picture
PIXELS = "pixels"  # as gymnasium.wrappers.AddRenderObservation calls it
_IMAGE = f"uint8, grey or RGB, {SMALLEST} x {SMALLEST} at least"
Eye = Callable[[Any], Any]
"""Takes the picture out of an observation."""
_MEND = "Try it alone: gymnasium.utils.env_checker.check_env(env)."


class GymScene:
    """A frame is one step of ``env``. Discrete actions are one-hot, those of a Box are scaled from [-1, 1] to its bounds."""

    renderer = "gymnasium"
    materials: tuple[str, ...] = ()
    shows: frozenset[str] = frozenset()
    ground = 1.0

    def __init__(self, env: gymnasium.Env[Any, Any], name: str, image_size: int):
        self._env, self.task, self.image_size = env, name, image_size
        self._eye = eye_of(env.observation_space)
        if self._eye is None and env.render_mode != "rgb_array":
            raise DiswmError(f"{name}: has no image observations ({_IMAGE}) and does not draw. Make it with render_mode='rgb_array'.")
        self.actions = actions_of(env.action_space, name)
        self.act_dim, self.discrete = self.actions.size, isinstance(self.actions, Choice)
        self._observation: Any = None
        self._seed = self._steps = 0

    def reset(self, task: np.random.SeedSequence, colour: np.random.SeedSequence) -> None:
        self._seed, self._steps = int(task.generate_state(1)[0]) >> 1, 0  # some take 31 bits and no more
        with self._careful("reset()"):
            self._observation, _ = self._env.reset(seed=self._seed)
        self._check("reset()")

    def begin_step(self) -> None:
        pass

    def step(self, action: Array) -> Frame:
        self._steps += 1
        with self._careful("step()"):
            self._observation, reward, terminated, truncated, _ = self._env.step(self.actions.native(action))
            value = float(reward)
        if not math.isfinite(value):
            raise DiswmError(f"{self.task}: its step() gave the reward {value}{self._when()}. Expected a finite number. {_MEND}")
        self._check("step()")
        return Frame(value, bool(terminated), bool(truncated), 0.0 if terminated else 1.0)

    def draw(self, look: Look = PLAIN) -> Array:
        what = "render()" if self._eye is None else "observation"
        with self._careful(what):
            given = self._env.render() if self._eye is None else self._eye(self._observation)
            picture = np.asarray(given)
        picture = picture[..., 0] if picture.ndim == 3 and picture.shape[-1] == 1 else picture
        if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[-1] == 3)):
            mode = "" if self._eye else ", as render_mode='rgb_array' gives it: make it with that, or mend its render()"
            raise DiswmError(f"{self.task}: its {what} gave {_named(given)}. Expected an (H, W, 3) uint8 array{mode}. {_MEND}")
        whole = Image.fromarray(np.ascontiguousarray(picture)).convert("RGB")
        return np.array(whole.resize((self.image_size, self.image_size), Image.Resampling.BICUBIC))

    def factors(self) -> dict[str, Array]:
        """None: what varies here is not known."""
        return {}

    def state(self) -> Array:
        """The observation where it is numbers and no picture, one float32 vector; else empty."""
        numbers = isinstance(self._env.observation_space, spaces.Box) and self._eye is None
        return np.asarray(self._observation, np.float32).ravel() if numbers else np.zeros(0, np.float32)

    def palette(self) -> Array:
        return np.zeros((0, 3))

    def paint(self, colours: Array) -> None:
        """There is nothing to paint."""

    def close(self) -> None:
        self._env.close()

    @contextlib.contextmanager
    def _careful(self, what: str) -> Iterator[None]:
        """What goes wrong in code that is not ours, as a DiswmError."""
        try:
            yield
        except DiswmError:  # a world of ours, registered with Gymnasium
            raise
        except errors.DependencyNotInstalled as error:
            raise _missing(self.task, error) from error
        except Exception as error:
            raise DiswmError(f"{self.task}: its {what} failed ({error!r}){self._when()}. {_MEND}") from error

    def _check(self, what: str) -> None:
        """DiswmError where an observation, or a part of it, is not a number."""
        for part in _parts(self._observation):
            if np.issubdtype(part.dtype, np.floating) and np.isnan(part).any():
                raise DiswmError(f"{self.task}: its {what} gave an observation with NaN{self._when()}. Expected numbers. {_MEND}")

    def _when(self) -> str:
        return f", {self._steps} steps after reset(seed={self._seed})"


def _named(given: Any) -> str:
    """What came in the place of a picture: None, ``a list``, ``an array of float64, (64, 64, 3)``."""
    if isinstance(given, np.ndarray):
        return f"an array of {given.dtype}, {given.shape}"
    return "None" if given is None else f"a {type(given).__name__}"


def _parts(seen: Any) -> Iterator[Array]:
    """The arrays of an observation: those of a Dict or a Tuple, of any depth, may have any shapes."""
    if isinstance(seen, Mapping):
        seen = tuple(seen.values())
    if isinstance(seen, tuple):
        for part in seen:
            yield from _parts(part)
    else:
        yield np.asarray(seen)


class Scaled:
    """[-1, 1] to the bounds of a Box."""

    def __init__(self, space: spaces.Box, name: str):
        if not np.issubdtype(space.dtype, np.floating) or not np.isfinite([space.low, space.high]).all() or not space.shape:
            raise DiswmError(
                f"{name}: its actions are {space}. Expected floats between finite bounds: gymnasium.wrappers.RescaleAction or "
                "TransformAction makes them so, envs.wrap takes the result."
            )
        self.space, self.size = space, int(np.prod(space.shape))

    def native(self, action: Array) -> Any:
        low, high = self.space.low.astype(np.float64), self.space.high.astype(np.float64)
        scaled = low + (action.reshape(self.space.shape) + 1.0) * 0.5 * (high - low)
        return np.clip(scaled, low, high).astype(self.space.dtype)


class Choice:
    """One-hot to the numbers of a Discrete space."""

    def __init__(self, space: spaces.Discrete):
        self.start, self.size = int(space.start), int(space.n)

    def native(self, action: Array) -> Any:
        return self.start + int(action.argmax())


def actions_of(space: spaces.Space[Any], name: str) -> Scaled | Choice:
    """How actions reach the environment. DiswmError for a space that the agents have no actions for."""
    if isinstance(space, spaces.Discrete):
        return Choice(space)
    if isinstance(space, spaces.Box):
        return Scaled(space, name)
    raise DiswmError(
        f"{name}: its actions are {space}. The agents act in a Box of floats or a Discrete space: "
        "gymnasium.wrappers.TransformAction makes one of others, envs.wrap takes the result."
    )


def eye_of(space: spaces.Space[Any]) -> Eye | None:
    """What takes the picture, (H, W), (H, W, 1) or (H, W, 3), out of an observation; None where there is none or a choice of some."""
    if isinstance(space, spaces.Dict):
        eyes = {name: eye for name, part in space.items() if (eye := eye_of(part))}
        chosen = PIXELS if PIXELS in eyes else next(iter(eyes)) if len(eyes) == 1 else None
        return None if chosen is None else lambda seen: eyes[chosen](seen[chosen])
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return None
    shape = space.shape
    if len(shape) in (2, 3) and min(shape[:2]) >= SMALLEST and shape[2:] in ((), (1,), (3,)):
        return lambda seen: seen
    if len(shape) == 3 and min(shape[1:]) >= SMALLEST and shape[0] in (1, 3):
        return lambda seen: np.moveaxis(np.asarray(seen), 0, -1)
    return None


def open_env(name: str) -> gymnasium.Env[Any, Any]:
    """``gymnasium.make``, drawing where that is needed; the name may be module:Id. DiswmError where it cannot be made."""
    env = _make(name)
    if eye_of(env.observation_space):
        return env
    env.close()
    if "rgb_array" not in (env.metadata or {}).get("render_modes", ()):
        raise DiswmError(
            f"gym/{name}: has no image observations ({_IMAGE}) and no render mode 'rgb_array': there is nothing to see. Choose another."
        )
    return _make(name, render_mode="rgb_array")


def step_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    """The longest episode that the environment allows, in its steps, if it says."""
    return env.spec.max_episode_steps if env.spec else None


def _make(name: str, **settings: Any) -> gymnasium.Env[Any, Any]:
    try:
        return gymnasium.make(name, disable_env_checker=True, **settings)
    except errors.UnregisteredEnv as error:
        hint = did_you_mean(name.rpartition(":")[2], gymnasium.registry, 3)
        raise DiswmError(
            f"There is no Gymnasium environment '{name}'.{hint} `python -c 'import gymnasium; gymnasium.pprint_registry()'` lists all; "
            "gym/MODULE:ID first imports a module that registers more."
        ) from error
    except errors.DependencyNotInstalled as error:
        raise _missing(f"gym/{name}", error) from error
    except ImportError as error:
        raise DiswmError(f"gym/{name}: cannot be imported ({error}). Install its package, or add its folder to PYTHONPATH.") from error
    except Exception as error:  # whatever its own code raises
        raise DiswmError(f"gym/{name}: cannot be made ({error}). Try it alone: gymnasium.make({name!r}).") from error


def _missing(name: str, error: Exception) -> DiswmError:
    return DiswmError(f"{name}: needs a package that is not installed ({error}).")
