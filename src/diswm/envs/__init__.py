"""Environments: `make(EnvConfig(...), seed)` gives a Gymnasium environment of 64x64 images.

Importing this package loads no simulator and no GL; a suite is imported when one of its tasks is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from diswm.contract import DiswmError
from diswm.envs.factors import ColourConfig, Layer, held_out
from diswm.envs.heldout import held_out_layers, lasting, lasting_colour, may_share, share, without_other
from diswm.envs.specs import Plan, distracted, kind_of, plan, unknown
from diswm.envs.wrappers import ActionRepeat, TimeLimit

if TYPE_CHECKING:
    import gymnasium

    from diswm.envs.scene import Paintable

__all__ = [
    *("ColourConfig", "EnvConfig", "clip_listings", "left_seen", "make", "may_end", "perhaps_seen"),
    *("tasks", "trained_on", "unseen", "with_distractions", "wrap"),
]

Unseen = Literal["set1", "set2", "none"]
UNSEEN: tuple[Unseen, ...] = get_args(Unseen)
"""Colours that an evaluation on what was never trained on may have."""
GYM = "gym/"
"""Beginning of the tasks that are Gymnasium's."""

_SUITE = (
    "acrobot_swingup acrobot_swingup_sparse ball_in_cup_catch cartpole_balance cartpole_balance_sparse cartpole_swingup "
    "cartpole_swingup_sparse cartpole_three_poles cartpole_two_poles cheetah_run dog_fetch dog_run dog_stand dog_trot dog_walk "
    "finger_spin finger_turn_easy finger_turn_hard fish_swim fish_upright hopper_hop hopper_stand humanoid_CMU_run "
    "humanoid_CMU_stand humanoid_CMU_walk humanoid_run humanoid_run_pure_state humanoid_stand humanoid_walk lqr_lqr_2_1 "
    "lqr_lqr_6_2 manipulator_bring_ball manipulator_bring_peg manipulator_insert_ball manipulator_insert_peg pendulum_swingup "
    "point_mass_easy point_mass_hard quadruped_escape quadruped_fetch quadruped_run quadruped_walk reacher_easy reacher_hard "
    "stacker_stack_2 stacker_stack_4 swimmer_swimmer15 swimmer_swimmer6 walker_run walker_stand walker_walk"
)
"""Written out, so that listing the tasks needs no simulator; a test holds it against the installed suite."""
_WALKS = {"pusher": "episode"}
"""Tasks whose colours do not walk at every frame, unless they are told to: the release draws those of Pusher at reset alone."""
_SHADOWS = {"quadruped_escape": 2048}
"""Tasks whose map of shadows has more texels than 512."""
_DRAWER = {"drawer/open": "drawer_open", "drawer/close": "drawer_close"}
"""Tasks of DrawerWorld, as they are also written and as they are called here."""


@dataclasses.dataclass(frozen=True)
class EnvConfig:
    """One environment. Frames are simulator control steps; steps are decisions of the agent."""

    task: str = "walker_walk"
    """<domain>_<task> of the dm_control suite (walker_walk, cheetah_run, ...), pusher, drawer_open or drawer_close of DrawerWorld,
    gym/<id> of any Gymnasium environment (gym/CartPole-v1, gym/my_module:MyEnv-v0), or toy, toy_sparse, toy_terminal."""
    action_repeat: int = 2
    """Frames for which each action is held; their rewards are summed."""
    image_size: int = 64
    """Height and width of the images, in pixels."""
    renderer: Literal["auto", "gl", "warp"] = "auto"
    """gl: OpenGL through EGL or OSMesa; warp: ray caster from pip, no GL needed, faster on CPU; auto: warp where it can
    draw the task, else gl. Their images differ: never mix two renderers in one data set."""
    distract: ColourConfig = dataclasses.field(default_factory=ColourConfig)
    """Colour distraction."""
    distractions: tuple[str, ...] = ()
    """Further distractions, KIND:VALUE[,OPTION...]: camera:easy,moving; background:video,dynamic,folder=DAVIS; light:medium;
    texture:train, texture:marble. `--distract` sets these and the colours."""
    phases: tuple[str, ...] = ()
    """Distractions that change in mid-run: `0:set1, 0.5:set2`, from fractions of the budget on; gradually: `0.4-0.6:set2+camera:easy`."""
    time_limit: int = 1000
    """Longest episode, in frames; the suite's own limit (1000), DrawerWorld's (200), pusher's and the toy's (100) hold as well."""
    shadow_size: int = 0
    """Size of the shadow map in texels (gl only). 0 settles it: 512, which at 64x64 looks like the suite's 2048 and is faster, but 2048 for
    quadruped_escape, whose terrain shows the map's grain."""
    drawer_reward: Literal["v3", "v1"] = "v3"
    """Rewards and success of DrawerWorld: v3 are those of today's metaworld (0 to 10 a frame), v1 the published ones (thousands)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", _DRAWER.get(self.task, self.task))
        for name, low, high in (("action_repeat", 1, 100), ("image_size", 8, 480), ("time_limit", 1, 10**9), ("shadow_size", 0, 16384)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise DiswmError(f"{name}={value!r} must be an integer from {low} to {high} (--env.{name.replace('_', '-')}).")
        if self.renderer not in ("auto", "gl", "warp"):
            raise DiswmError(f"renderer={self.renderer!r} is unknown; choose auto, gl or warp (--env.renderer).")
        if self.drawer_reward not in ("v3", "v1"):
            raise DiswmError(f"drawer_reward={self.drawer_reward!r} is unknown; choose v3 or v1 (--env.drawer-reward).")
        self.plan()

    def settled(self) -> EnvConfig:
        """The same with what the task decides decided: when its colours walk, that Gymnasium's worlds have none, the map of shadows."""
        return dataclasses.replace(self, distract=self._colours(), shadow_size=self.shadow_size or _SHADOWS.get(self.task, 512))

    def _colours(self) -> ColourConfig:
        found = self.distract
        if self.task.startswith(GYM) and found == ColourConfig():  # not asked for
            found = dataclasses.replace(found, colours="none")
        return dataclasses.replace(found, per=_WALKS.get(self.task, "frame")) if found.per == "auto" else found  # type: ignore[arg-type]

    def plan(self) -> Plan:
        """Which distractions hold when. Raises DiswmError for text that cannot be read."""
        return plan(self._colours(), self.distractions, self.phases)


def tasks() -> list[str]:
    """Names of all tasks that `make` knows, toys first; and it knows gym/<id>. Needs no simulator."""
    from diswm.envs.toy import TASKS

    return [*TASKS, "pusher", *_DRAWER.values(), *_SUITE.split()]


def may_end(task: str) -> bool:
    """Whether nothing here says that episodes of the task only end by time: the agent must learn when they do."""
    return task.startswith(GYM)


def make(config: EnvConfig, seed: int | None = None) -> ActionRepeat:
    """Build an environment. ``seed`` starts its own sequence of episodes, for resets without a seed.

    Raises DiswmError for an unknown task, a missing simulator, a renderer that is not there or cannot draw the task, a
    distraction that it cannot show, and clips that cannot be read.
    """
    if config.drawer_reward != "v3" and config.task not in _DRAWER.values():
        raise DiswmError(
            f"drawer_reward={config.drawer_reward!r} is for drawer_open and drawer_close; {config.task} has rewards of its own."
        )
    if config.task.startswith(GYM):
        from diswm.envs.gym import open_env

        return wrap(open_env(config.task.removeprefix(GYM)), config, seed)
    return _whole(*open_scene(config), config, seed)


def open_scene(config: EnvConfig) -> tuple[Paintable, int]:
    """The bare scene of a task other than Gymnasium's, undistracted, and its time limit in frames. DiswmError as `make`."""
    from diswm.envs import toy

    scene: Paintable
    kinds, texels = frozenset(config.plan().kinds()), config.settled().shadow_size
    if config.task in toy.TASKS:
        scene, limit = toy.ToyScene(config.task, config.image_size), min(config.time_limit, toy.TIME_LIMIT)
    elif config.task == "pusher":
        from diswm.envs import pusher

        scene = pusher.PusherScene(config.image_size, config.renderer, texels)
        limit = min(config.time_limit, pusher.TIME_LIMIT)
    elif config.task in _SUITE.split():
        from diswm.envs.dmc import SuiteScene

        scene = SuiteScene(config.task, config.image_size, config.renderer, texels, kinds)
        limit = config.time_limit
    elif config.task in _DRAWER.values():
        from diswm.envs import drawer

        scene = drawer.DrawerScene(config.task, config.image_size, config.renderer, texels, kinds, config.drawer_reward)
        limit = min(config.time_limit, drawer.TIME_LIMIT)
    else:
        error = unknown("task", config.task, tasks())
        raise DiswmError(f"{error} `python -c 'from diswm import envs; print(*envs.tasks())'` lists all.")
    return scene, limit


def wrap(env: gymnasium.Env[Any, Any], config: EnvConfig | None = None, seed: int | None = None) -> ActionRepeat:
    """A Gymnasium environment that exists as one of these: images, actions in [-1, 1] or one-hot, repeated.

    The task of ``config`` is not looked at. Raises DiswmError for one without pictures and for actions other than Box and Discrete.
    """
    import gymnasium

    from diswm.envs.gym import GymScene, step_limit

    if not isinstance(env, gymnasium.Env):
        raise DiswmError(f"{env!r} is no Gymnasium environment. Give what gymnasium.make(..., render_mode='rgb_array') returns.")
    name = env.spec.id if env.spec else type(env.unwrapped).__name__
    config = dataclasses.replace(config or EnvConfig(), task=GYM + name)
    scene = GymScene(env, config.task, config.image_size)
    return _whole(scene, min(config.time_limit, step_limit(env) or config.time_limit), config, seed)


def _whole(scene: Paintable, limit: int, config: EnvConfig, seed: int | None) -> ActionRepeat:
    """The scene with its time limit, its distractions and its action repeat."""
    from diswm.envs.distract import Distracted

    distractions = config.plan()
    kinds = distractions.kinds()
    timed = TimeLimit(scene, limit)
    whole = Distracted(timed, distractions) if kinds or config.phases else timed  # type: ignore[arg-type]
    return ActionRepeat(whole, config.action_repeat, config.image_size, seed)


def with_distractions(config: EnvConfig, texts: Sequence[str]) -> EnvConfig:
    """The environment with exactly these distractions (`specs`), none of its own: without one of colour, colours stay the scene's.

    Raises DiswmError for a distraction that there is not.
    """
    bare = dataclasses.replace(config.distract, colours="none")
    colour, _ = distracted(config.distract, texts)
    layers = tuple(text for text in texts if text != "none" and kind_of(text) != "colour")
    return dataclasses.replace(config, distract=bare if colour is config.distract else colour, distractions=layers)


def unseen(config: EnvConfig, colours: Unseen | Literal["auto"] = "auto") -> EnvConfig:
    """The environment under what was never trained on: other colours, of train and test sets the other ones, another texture.

    Strength and pace of the colours and the other distractions are those at the end of training, so that colours alone differ; with
    colours ``none`` the others are left out. Where phases train on both sets of a distraction, it is one of these others.
    ``auto``: see `kept_unseen`.
    """
    if colours == "auto":
        colours = kept_unseen(config)
    layers = held_out_layers(lasting(config.distractions, config.phases), _met(config), bare=colours == "none")
    distract = held_out(lasting_colour(config.distract, config.phases), "none" if config.task.startswith(GYM) else colours)
    return dataclasses.replace(config, distract=distract, distractions=layers, phases=())


def left_seen(config: EnvConfig) -> list[str]:
    """The distractions at the end of training that are cut to a set, or are one texture, and leave no other set unseen."""
    return without_other(lasting(config.distractions, config.phases), _met(config))


def perhaps_seen(config: EnvConfig, colours: Unseen) -> bool:
    """Whether these colours may be trained on in part, as one of both are boxes around the scene's own colours."""
    held = unseen(config, colours).plan().phases[0].colour.colours
    return any(may_share(phase.colour.colours, held) for phase in config.plan().phases)


def _met(config: EnvConfig) -> set[Layer]:
    return {layer for phase in config.plan().phases for layer in phase.layers}


def kept_unseen(config: EnvConfig) -> Unseen:
    """The first of set2, set1 and none that no phase trains on; set2 where all are."""
    order: tuple[Unseen, ...] = "set2", "set1", "none"
    return next((one for one in order if not trained_on(config, one)), "set2")


def trained_on(config: EnvConfig, colours: Unseen) -> bool:
    """Whether some phase trains on what these colours are to keep unseen. Gymnasium's worlds have nothing to keep."""
    if config.task.startswith(GYM):
        return False
    held = unseen(config, colours).plan().phases[0]
    same = [phase for phase in config.plan().phases if share(phase.colour.colours, held.colour.colours)]
    return any(held.colour.colours != "none" or set(held.layers) == set(phase.layers) for phase in same)


def clip_listings(config: EnvConfig) -> dict[str, str]:
    """Of each folder of background clips that it shows: how many and which, in a hash. Empty without one; nothing is decoded."""
    from diswm.envs.backdrops import listings

    return listings(layer for phase in config.plan().phases for layer in phase.layers)
