"""Our numbers against the release's: ``python benchmarks/parity.py FOLDER [--precision bfloat16]``.

FOLDER holds weights as the release saves them and, in ``golden.npz``, what its networks and losses give for the inputs
``in/*``, every draw replaced by its mean. The weights go through ``diswm import-checkpoint``; sizes, batch and length are
those of the folder. Prints one line a quantity and exits 1 where one is out of tolerance or was not compared, 2 where the
folder cannot be used. With ``--precision bfloat16`` products and convolutions are those of a bfloat16 run, within wider tolerances.

Our encoder clamps the log-variance to [-20, 20]: weights that give larger ones, far outside what codes reach, are out of tolerance.
Three conventions differ, and are put right here in plain sight:

* the release adds 5e-7 to the KL of each dimension of the code: to ``loss/beta_kl``;
* its distillation divides by the batch alone: our ``distill_reduction="batch"``;
* its imagination draws an action in the last state too, whose effect nobody sees.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from diswm.agents import Dreamer, LearnerConfig
from diswm.agents.learner import _TERMS, Precision, TermContext
from diswm.build import load, load_video_model
from diswm.contract import IMAGE_SHAPE, DiswmError
from diswm.exchange import import_checkpoint, imported_teacher
from diswm.model.dists import normal_entropy, normal_kl, normal_nll
from diswm.model.kernels import image_input
from diswm.objectives import total
from diswm.objectives.imagine import actor_loss, critic_loss, imagine, lambda_return, path_weights
from diswm.trainers.progress import console

TOLERANCES = {"float32": (1e-5, 1e-4), "bfloat16": (2e-2, 5e-3)}
"""Of activations; of losses and gradient norms. bfloat16 has 8 bits, half of its last is 0.2%, and a number passes a dozen layers."""
WEIGHTS = {"image": 1.0, "reward": 2.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015, "distill": 0.1}
VIDEO_WEIGHTS = {"image": 1.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015}
LEARNER = LearnerConfig(precision="float32", distill_kind="softmax_mean", distill_reduction="batch")
LAMBDA = 0.95
INPUTS = ("in/", "lambda_return/reward", "lambda_return/value", "lambda_return/discount")


class Row(NamedTuple):
    """One line of the table: largest difference relative to the largest number of the reference."""

    key: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def ok(self) -> bool:
        return not self.note and self.error <= self.tolerance  # NaN is not


def tolerance(key: str, precision: str = "float32") -> float:
    """What a quantity may differ by, relative to its largest number."""
    activation, loss = TOLERANCES[precision]
    return loss if key.startswith(("loss/", "total/", "behaviour/actor_loss", "behaviour/value_loss")) else activation


def row(key: str, ours: Tensor, theirs: Tensor, precision: str = "float32") -> Row:
    """Compare one quantity."""
    allowed = tolerance(key, precision)
    if ours.shape != theirs.shape:
        return Row(key, math.inf, allowed, f"shape {tuple(ours.shape)}, theirs {tuple(theirs.shape)}")
    a, b = ours.double(), theirs.double()
    return Row(key, float((a - b).abs().max()) / (float(b.abs().max()) or 1.0), allowed)


def read_golden(folder: Path) -> dict[str, Tensor]:
    """The arrays of golden.npz. DiswmError where there are none."""
    path = folder / "golden.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: torch.from_numpy(file[key]) for key in file}
            found = {key: value.float() if value.is_floating_point() else value for key, value in found.items()}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DiswmError(f"{path}: cannot be read ({error}). Expected the numbers of the release as plain arrays.") from error
    if missing := [key for key in ("in/image", "in/action", "in/reward", "behaviour/feat") if key not in found]:
        raise DiswmError(f"{path}: has no {', '.join(missing)}. Expected the inputs and numbers of the release.")
    return found


def check_inputs(folder: Path, golden: dict[str, Tensor], act_dim: int) -> None:
    """DiswmError where the inputs do not fit each other or the weights."""
    lead = tuple(golden["in/image"].shape[:2])  # (B, T)
    for key, expected in (("in/image", (*lead, *IMAGE_SHAPE)), ("in/action", (*lead, act_dim)), ("in/reward", lead)):
        if (shape := tuple(golden[key].shape)) != expected:
            raise DiswmError(f"{folder / 'golden.npz'}: {key} has shape {shape}, expected {expected}. Take weights and numbers of one run.")


class Parity:
    """Our agent with the weights of a folder, and pairs of (key, ours) by the keys of golden.npz."""

    def __init__(self, folder: Path, precision: Precision = "float32") -> None:
        self.precision = precision
        self.golden = read_golden(folder)
        with tempfile.TemporaryDirectory() as place, console.capture():
            run = import_checkpoint(folder, out=Path(place) / "run")
            found, self.video, teacher = load(run), load_video_model(run), imported_teacher(run)
        learner = dataclasses.replace(LEARNER, precision=precision)
        self.agent = Dreamer(found.world.config, found.world.act_dim, learner, found.dreamer, WEIGHTS, seed=0)
        self.agent.load_networks(found.state_dict()["model"])
        self.world = self.agent.world
        self.extra = 5e-7 * found.world.config.z_dim  # what the release adds to beta_kl
        check_inputs(folder, self.golden, found.world.act_dim)
        image = self.golden["in/image"]
        with torch.no_grad():
            code = teacher(image_input(image.flatten(0, 1)))
        self.data = {
            "image": image,
            "action": self.golden["in/action"],
            "reward": self.golden["in/reward"],
            "teacher_mean": code.mean.unflatten(0, image.shape[:2]),
            "teacher_logvar": code.logvar.unflatten(0, image.shape[:2]),
        }
        with self.agent.autocast():
            self.obs = self.world.observe(image, self.data["action"], None)

    def table(self) -> list[Row]:
        """A row for each number of the folder, and for each of ours that it lacks."""
        with self.agent.autocast():
            ours = {key: value.detach() for part in self._parts() for key, value in part}
        theirs = {key: value for key, value in self.golden.items() if not key.startswith(INPUTS)}
        rows = [row(key, value, theirs[key], self.precision) for key, value in ours.items() if key in theirs]
        rows += [Row(key, math.nan, tolerance(key, self.precision), "not in golden.npz") for key in ours.keys() - theirs.keys()]
        return rows + [Row(key, math.nan, tolerance(key, self.precision), "is not compared") for key in sorted(theirs.keys() - ours.keys())]

    def _parts(self) -> list[Iterator[tuple[str, Tensor]]]:
        return [self._codes(), self._latents(), self._heads(), self._losses(), self._pretraining(), self._behaviour()]

    def _codes(self) -> Iterator[tuple[str, Tensor]]:
        yield "encoder/mean", self.obs.code.mean
        yield "encoder/logvar", self.obs.code.logvar
        yield "teacher/mean", self.data["teacher_mean"]
        yield "teacher/logvar", self.data["teacher_logvar"]

    def _latents(self) -> Iterator[tuple[str, Tensor]]:
        for side in ("post", "prior"):
            for part in ("mean", "std", "stoch", "deter"):
                yield f"rssm/{side}_{part}", getattr(getattr(self.obs, side), part)
        yield "feat", self.obs.post.feature
        if self.data["action"].shape[1] < 4:
            return
        start = self.obs.post.map(lambda part: part[:, 2])
        action = self.data["action"][:, 3:]
        ahead = self.world.rssm.imagine(start, action, start.stoch.new_zeros(*action.shape[:2], start.stoch.shape[-1]))
        for part in ("mean", "std", "deter"):
            yield f"imagine/{part}", getattr(ahead, part)

    def _heads(self) -> Iterator[tuple[str, Tensor]]:
        feature, action = self.obs.post.feature, self.data["action"]
        yield "decoder/image", self.world.decode(feature).movedim(-3, -1)
        yield "reward/mode", self.world.heads["reward"](feature)[..., None]
        mean, std = self.agent.actor(feature)
        yield "actor/mean", mean
        yield "actor/std", std
        yield "actor/log_prob_of_in_action", -(normal_nll(action / std, mean / std) + std.log()).sum(-1)

    def _losses(self) -> Iterator[tuple[str, Tensor]]:
        context = TermContext(self.agent, self.data, self.obs)
        terms = {name: _TERMS[name](context) for name in WEIGHTS}
        post, prior = self.obs.post, self.obs.prior
        yield "loss/kl_value", normal_kl(post.mean, post.std, prior.mean, prior.std)
        yield "loss/kl", 0.8 * terms["dyn"].mean() + 0.2 * terms["rep"].mean()
        yield "loss/image", terms["image"].mean()
        yield "loss/reward", terms["reward"].mean()
        yield "loss/beta_kl", terms["beta"].mean() + self.extra
        yield "loss/distill_released", terms["distill"].mean()
        loss = total(terms, WEIGHTS)
        yield "total/loss", loss + WEIGHTS["beta"] * self.extra
        world = self.world
        world.zero_grad()
        with torch.autocast(loss.device.type, enabled=False):  # as an update has it
            loss.backward(retain_graph=True)
        for name, part in (("encoder", world.encoder), ("decoder", world.decoder), ("rssm", world.rssm), ("reward", world.heads["reward"])):
            yield f"total/grad_norm_{name}", nn.utils.get_total_norm([p.grad for p in part.parameters() if p.grad is not None])

    def _pretraining(self) -> Iterator[tuple[str, Tensor]]:
        image = self.data["image"]
        obs = self.video.observe(image, torch.zeros(*image.shape[:2], 0), None)
        for side in ("post", "prior"):
            for part in ("mean", "std", "deter"):
                yield f"rssm_action_free/{side}_{part}", getattr(getattr(obs, side), part)
        context = TermContext(self.agent, self.data, obs)
        context.world = self.video
        terms = {name: _TERMS[name](context) for name in VIDEO_WEIGHTS}
        yield "loss/kl_action_free", 0.8 * terms["dyn"].mean() + 0.2 * terms["rep"].mean()
        yield "loss/image_action_free", terms["image"].mean()
        yield "loss/pretrain_total", total(terms, VIDEO_WEIGHTS) + VIDEO_WEIGHTS["beta"] * self.extra

    def _behaviour(self) -> Iterator[tuple[str, Tensor]]:
        c, agent, world = self.agent.dreamer, self.agent, self.world
        start = self.obs.post.map(lambda part: part.detach().flatten(0, 1))
        steps = self.golden["behaviour/feat"].shape[0] - 1
        noise = (torch.zeros(steps, len(start.stoch), count) for count in (world.act_dim, world.rssm.stoch))
        path = imagine(world.rssm, agent.actor, start, *noise)
        reward, value = world.heads["reward"](path.feature), agent.slow_critic(path.feature)
        discount = torch.full_like(reward, c.discount)
        returns, weight = lambda_return(reward, value, discount, c.lam), path_weights(discount)
        yield "behaviour/feat", path.feature
        last, _ = agent.actor(path.feature[-1])
        yield "behaviour/action", torch.cat([path.action, last[None]])
        yield "behaviour/reward", reward[..., None]
        yield "behaviour/target", returns[..., None]
        yield "behaviour/weights", weight[..., None]
        yield "behaviour/actor_entropy", normal_entropy(agent.actor(path.feature)[1])
        yield "behaviour/actor_loss", actor_loss(returns, path.entropy, weight[:-1], c.entropy)
        yield "behaviour/value_loss", critic_loss(agent.critic(path.feature[:-1].detach()), returns, weight[:-1])
        if all(f"lambda_return/{name}" in self.golden for name in ("reward", "value", "discount")):
            reward, value, discount = (self.golden[f"lambda_return/{name}"][..., 0] for name in ("reward", "value", "discount"))
            yield "lambda_return/out", lambda_return(reward, value, discount, LAMBDA)[..., None]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table. Returns 0 where all is within tolerance, 1 where not, 2 for a folder that cannot be used."""
    parser = argparse.ArgumentParser(description="Hold our numbers against the release's, quantity by quantity.")
    parser.add_argument("folder", type=Path, help="weights as the release saves them, with golden.npz")
    parser.add_argument("--precision", choices=sorted(TOLERANCES), default="float32")
    args = parser.parse_args(argv)
    try:
        rows = Parity(args.folder, args.precision).table()
    except DiswmError as error:
        print(f"parity: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    width = max(len(found.key) for found in rows)
    print(f"{'quantity':<{width}}  max relative error  tolerance  ok")
    for found in rows:
        print(f"{found.key:<{width}}  {found.error:>18.1e}  {found.tolerance:>9.0e}  {'yes' if found.ok else 'NO ' + found.note}".rstrip())
    bad = [found.key for found in rows if not found.ok]
    print(f"{len(rows) - len(bad)} of {len(rows)} quantities within tolerance" + (f"; not: {', '.join(bad)}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    torch.set_num_threads(1)  # the order of sums, and with it the last digit, must not depend on the machine's cores
    sys.exit(main())
