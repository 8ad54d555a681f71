"""The parts of a model as ONNX graphs, in float32, with means in place of samples: what evaluation runs.

================ ====================================================== =========================================
file             takes                                                  gives
================ ====================================================== =========================================
encoder.onnx     image                                                  mean, logvar (plain encoder: mean alone)
step.onnx        image, action, stoch, deter, is_first                  next_stoch, next_deter, feature
decoder.onnx     feature                                                picture
actor.onnx       feature                                                next_action
policy.onnx      image, action, stoch, deter, is_first                  next_action, next_stoch, next_deter
================ ====================================================== =========================================

image and picture are uint8 (N, 64, 64, 3), is_first is bool (N,), all else float32 (N, size); N may be any number. A video
model has no actions: its step takes none, and there is no actor and no policy.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diswm.contract import IMAGE_SHAPE, DiswmError
from diswm.model.heads import AnyActor
from diswm.model.layers import output_to_images
from diswm.model.rssm import Latent
from diswm.model.world import WorldModel

OPSET = 20


class Encode(nn.Module):
    """image -> the code's mean, and its log-variance where it has one."""

    def __init__(self, world: WorldModel) -> None:
        super().__init__()
        self.world = world

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        code = self.world.encode(image)
        return (code.mean, code.logvar) if self.world.encoder.noise_size else (code.mean,)


class Step(nn.Module):
    """One frame more, as ``Dreamer.policy`` filters it: the state and the action before an episode's first frame are zeros."""

    def __init__(self, world: WorldModel) -> None:
        super().__init__()
        self.world = world

    def forward(self, image: Tensor, action: Tensor, stoch: Tensor, deter: Tensor, is_first: Tensor) -> tuple[Tensor, ...]:
        keep = (~is_first)[:, None].to(torch.float32)
        unread = torch.zeros_like(stoch)  # the state's mean and std are not looked at
        state = Latent(unread, unread, stoch * keep, deter * keep)
        post = self.world.step(image, action * keep, state, None)
        return post.stoch, post.deter, post.feature


class VideoStep(Step):
    """The same without actions."""

    def forward(self, image: Tensor, stoch: Tensor, deter: Tensor, is_first: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return super().forward(image, stoch.new_zeros(stoch.shape[0], 0), stoch, deter, is_first)


class Decode(nn.Module):
    """feature -> the picture that the model makes of it."""

    def __init__(self, world: WorldModel) -> None:
        super().__init__()
        self.world = world

    def forward(self, feature: Tensor) -> Tensor:
        return output_to_images(self.world.decode(feature))


class MeanAction(nn.Module):
    """feature -> the mean action, or the most likely choice as a one-hot vector."""

    def __init__(self, actor: AnyActor) -> None:
        super().__init__()
        self.actor = actor

    def forward(self, feature: Tensor) -> Tensor:
        action, _ = self.actor.act(feature, torch.zeros_like(feature[..., : self.actor.act_dim]))
        return action


class Policy(nn.Module):
    """The whole step from a frame to an action."""

    def __init__(self, world: WorldModel, actor: AnyActor) -> None:
        super().__init__()
        self.step, self.act = Step(world), MeanAction(actor)

    def forward(self, image: Tensor, action: Tensor, stoch: Tensor, deter: Tensor, is_first: Tensor) -> tuple[Tensor, ...]:
        stoch, deter, feature = self.step(image, action, stoch, deter, is_first)
        return self.act(feature), stoch, deter


class Picture(nn.Module):
    """A code -> the picture that the model makes of it from a zero state, as ``diswm traverse`` shows it."""

    def __init__(self, world: WorldModel) -> None:
        super().__init__()
        self.world = world

    def forward(self, code: Tensor) -> Tensor:
        world, (count, _) = self.world, code.shape
        action, noise = code.new_zeros(count, 1, world.act_dim), code.new_zeros(count, 1, world.rssm.stoch)
        post = world.rssm.filter(code[:, None], action, world.rssm.initial(count), noise)
        return output_to_images(world.decode(post.feature[:, 0]))


class Graph(NamedTuple):
    """A network to be written, and the names of what goes in and out."""

    net: nn.Module
    takes: tuple[str, ...]
    gives: tuple[str, ...]


def graphs(world: WorldModel, actor: AnyActor | None) -> dict[str, Graph]:
    """The parts of a model by the name of their file; without an actor, those of a video model."""
    step = ("image", "action", "stoch", "deter", "is_first")
    moved = ("next_stoch", "next_deter")
    code = ("mean", "logvar") if world.encoder.noise_size else ("mean",)
    found = {"encoder": Graph(Encode(world), ("image",), code), "decoder": Graph(Decode(world), ("feature",), ("picture",))}
    if actor is None:
        return found | {"step": Graph(VideoStep(world), tuple(name for name in step if name != "action"), (*moved, "feature"))}
    return found | {
        "step": Graph(Step(world), step, (*moved, "feature")),
        "actor": Graph(MeanAction(actor), ("feature",), ("next_action",)),
        "policy": Graph(Policy(world, actor), step, ("next_action", *moved)),
    }


def picture(world: WorldModel) -> Graph:
    """Code in, picture out."""
    return Graph(Picture(world), ("code",), ("picture",))


def write_graph(path: Path, graph: Graph, world: WorldModel) -> None:
    """Write one graph as one file, weights inside. DiswmError where the extra is not installed."""
    require_exporter()
    inputs = tuple(_example(name, world) for name in graph.takes)
    batch = torch.export.Dim("N", min=1)
    net = graph.net.float().eval()
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            net, inputs, dynamo=True, opset_version=OPSET, verbose=False, external_data=False,
            input_names=list(graph.takes), output_names=list(graph.gives), dynamic_shapes=tuple({0: batch} for _ in inputs),
        )  # fmt: skip
    assert program is not None
    program.save(str(path), external_data=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's words to its own developers (of torchvision, which nobody needs here)."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def require_exporter() -> None:
    """DiswmError unless the extra ``export`` is installed."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise DiswmError(f"ONNX cannot be written ({error}): pip install 'diswm[export]'.") from error


def _example(name: str, world: WorldModel) -> Tensor:
    """Two rows of an input."""
    if name == "image":
        return torch.zeros(2, *IMAGE_SHAPE, dtype=torch.uint8)
    if name == "is_first":
        return torch.zeros(2, dtype=torch.bool)
    sizes = {"action": world.act_dim, "stoch": world.rssm.stoch, "deter": world.rssm.deter}
    return torch.zeros(2, {**sizes, "feature": world.feature_size, "code": world.encoder.size}[name])
