"""The run's configuration: the parts' own dataclasses, composed; to and from JSON, YAML and dotted settings."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from diswm.agents.dreamer import DreamerConfig
from diswm.agents.learner import LearnerConfig
from diswm.contract import DiswmError, did_you_mean, unknown
from diswm.envs import EnvConfig
from diswm.model.world import ModelConfig
from diswm.objectives import Anneal
from diswm.trainers.collect import CollectConfig
from diswm.trainers.evaluate import EvalConfig
from diswm.trainers.finetune import TrainConfig
from diswm.trainers.pretrain import PretrainConfig
from diswm.trainers.probe import ProbeConfig

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class CollectRun:
    """Collect distracting videos of a task: images and true factors, no actions, no rewards."""

    out: Path = Path("videos/reacher_easy")
    """Folder of the data set, videos/<task> unless given. One that was begun is continued."""
    seed: int = 0
    """Everything that is drawn follows from it."""
    collect: CollectConfig = dataclasses.field(default_factory=CollectConfig)
    env: EnvConfig = dataclasses.field(default_factory=lambda: EnvConfig(task="reacher_easy"))


@dataclasses.dataclass(frozen=True)
class PretrainRun:
    """Pretrain the action-free, disentangled video model: the teacher."""

    videos: tuple[Path, ...] = ()
    """Videos of any kind that `diswm data info` takes: folders, files, archives. What is not in our format is converted once."""
    out: Path = Path("runs/teacher")
    """Run folder, runs/teacher_<method>_<seed> unless given. One that was begun is resumed."""
    method: str = "diswm"
    """Method whose teacher this is: diswm, no_disentangle, dv2_finetune, ..."""
    ablate: tuple[str, ...] = ()
    """Ablations, NAME or NAME=VALUE: no_disentangle, beta=0, disentangle=beta_tcvae, code=10, source=FOLDER."""
    start: Path | None = None
    """Run folder of a video model whose weights this run starts from."""
    seed: int = 0
    """Everything that is drawn follows from it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: int = 0
    """CPU threads for PyTorch; 0: one per core, of a container's quota."""
    wandb: bool = False
    """Also log to Weights & Biases."""
    pretrain: PretrainConfig = dataclasses.field(default_factory=PretrainConfig)
    probe: ProbeConfig = dataclasses.field(default_factory=ProbeConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    learner: LearnerConfig = dataclasses.field(default_factory=LearnerConfig)
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    """Weight of each loss term; the names are the method's."""


@dataclasses.dataclass(frozen=True)
class TrainRun:
    """Train an agent online on a target task, with what a teacher knows."""

    method: str = "diswm"
    """diswm, paper, no_distill, no_disentangle, dreamerv2, dv2_finetune."""
    ablate: tuple[str, ...] = ()
    """Ablations, NAME or NAME=VALUE: no_distill, no_disentangle, beta=0, distill=1, distill_kind=mse_mean, code=10, source=FOLDER."""
    teacher: Path | None = None
    """Run folder of `diswm pretrain`, for the methods that have a teacher."""
    start: Path | None = None
    """Run folder whose weights this run starts from: an agent of the same body, or a video model."""
    out: Path = Path("runs/agent")
    """Run folder, runs/<task>_<method>_<seed> unless given. One that was begun is resumed."""
    seed: int = 0
    """Everything that is drawn follows from it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: int = 0
    """CPU threads for PyTorch; 0: one per core, of a container's quota."""
    wandb: bool = False
    """Also log to Weights & Biases."""
    unseen: Literal["auto", "set1", "set2", "none"] = "auto"
    """Colours never trained on, for the final evaluation; none: the scene's own, without any distraction that was trained on. auto:
    set2, where a phase trains on it set1, where one trains on that too none. Of colours cut to train or test both are the other half."""
    env: EnvConfig = dataclasses.field(default_factory=EnvConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)
    probe: ProbeConfig = dataclasses.field(default_factory=ProbeConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    learner: LearnerConfig = dataclasses.field(default_factory=LearnerConfig)
    dreamer: DreamerConfig = dataclasses.field(default_factory=DreamerConfig)
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    """Weight of each loss term; the names are the method's."""
    anneal: dict[str, Anneal] = dataclasses.field(default_factory=dict)
    """Schedules on some of the weights, over the live count of agent steps."""


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values, fit for JSON."""
    return _plain(dataclasses.asdict(config))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_dict(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """The inverse of ``to_dict``. DiswmError for unknown keys and values of the wrong type."""
    return merge(kind(), values)


def merge(config: Config, changes: Mapping[str, Any], where: str = "") -> Config:
    """The config with nested or dotted changes. DiswmError for a key that there is not, with the nearest ones."""
    fields = {field.name: field for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(type(config))
    new: dict[str, Any] = {}
    for name, value in _nest(changes).items():
        if name not in fields:
            raise unknown("setting", where + name, [where + known for known in fields])
        new[name] = _fit(hints[name], getattr(config, name), value, where + name)
    return dataclasses.replace(config, **new)  # type: ignore[type-var]


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` -> ``{"a": {"b": 1}}``."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        head, _, rest = str(key).partition(".")
        if rest:
            inner = nested.setdefault(head, {})
            if not isinstance(inner, dict):
                raise DiswmError(f"{head}={inner!r} and {key}={value!r} exclude each other.")
            inner[rest] = value
        elif isinstance(value, Mapping) and isinstance(nested.get(head), dict):
            nested[head] |= value
        else:
            nested[head] = dict(value) if isinstance(value, Mapping) else value
    return nested


def _fit(hint: Any, current: Any, value: Any, where: str) -> Any:
    """``value`` as the type that is asked for, or a DiswmError."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise DiswmError(f"{where} has settings of its own ({', '.join(f.name for f in dataclasses.fields(hint))}), not a value.")
        return merge(current if current is not None else hint(), value, where + ".")
    if origin is dict:
        if not isinstance(value, Mapping):
            raise DiswmError(f"{where} must be a table of names and values, not {value!r}.")
        return dict(current) | {key: _fit(args[1], current.get(key), item, f"{where}.{key}") for key, item in _nest(value).items()}
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _fit(next(arg for arg in args if arg is not type(None)), current, value, where)
    if origin is tuple:
        if not isinstance(value, str | Path | list | tuple):
            raise DiswmError(f"{where} must be a list, not {value!r}.")
        return tuple(_fit(args[0], None, item, where) for item in ([value] if isinstance(value, str | Path) else value))
    if origin is Literal:
        if value not in args:
            words = [str(arg) for arg in args]
            raise DiswmError(f"{where}={value!r} is unknown. {', '.join(words)} are possible.{did_you_mean(str(value), words)}")
        return value
    return _simple(hint, value, where)


def _simple(hint: type, value: Any, where: str) -> Any:
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < LARGEST else math.inf
    if hint in (int, float) and isinstance(value, str):
        try:
            return hint(float(value)) if hint is float or float(value).is_integer() else int(value)
        except (ValueError, OverflowError):
            pass
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
        raise DiswmError(f"{where}={value!r} must be {words.get(hint, hint.__name__)}.")
    return value


MAY_BE_ZERO = (
    *(
        "seed",
        "threads",
        "eval.workers",
        "collect.workers",
        "probe.every",
        "train.prefill_steps",
        "train.first_updates",
        "train.save_every_seconds",
        "pretrain.save_every_seconds",
    ),
    *("weights.", "anneal.", "env.", "learner.free_nats", "learner.disentangle_strength", "learner.capacity", "model.reward_layers"),
    *("dreamer.discount", "dreamer.lam", "dreamer.entropy", "dreamer.actor_layers", "dreamer.critic_layers", "dreamer.starts"),
)
"""Settings, or beginnings of names of settings; all other numbers must be above 0. (What ``env.`` holds is checked there.)"""
LARGEST = 2**63
"""No number may be as large: PyTorch takes no such seed, and nothing else means anything there."""


def check_numbers(config: Any) -> None:
    """DiswmError for a number that no run could use: not finite, negative, or 0 where that means nothing."""
    for name, value in flat(config).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        zero = name.startswith(MAY_BE_ZERO)
        if not 0 <= value < LARGEST or (value == 0 and not zero):
            least, most = "from 0" if zero else "above 0", " and below 2**63" if value >= LARGEST else ""
            raise DiswmError(f"{name}={value} must be a number {least}{most}.")
    if isinstance(config, TrainRun) and config.dreamer.horizon < 2:
        raise DiswmError(f"dreamer.horizon={config.dreamer.horizon} must be 2 or more: a start and at least one imagined state.")


def read_yaml(path: Path) -> dict[str, Any]:
    """A file of settings, nested or dotted. DiswmError where it cannot be read."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DiswmError(f"{path}: cannot be read ({' '.join(str(error).split())}). Expected a YAML file of settings.") from error
    if not isinstance(found, dict):
        raise DiswmError(f"{path}: expected settings such as `train: {{frames: 100000}}`, found {type(found).__name__}.")
    return found


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """All settings by their dotted names."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        items = {f"{field.name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {field.name: value}
        for name, item in items.items():
            found |= flat(item, f"{prefix}{name}.") if dataclasses.is_dataclass(item) else {prefix + name: item}
    return found
