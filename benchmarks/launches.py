"""How many operations an update is that a GPU would launch one by one: ``python benchmarks/launches.py [--out results/launches.md]``.

Needs no GPU: what numba and oneDNN do on a CPU is left to PyTorch's own operations, which are counted; a loop of Triton's counts as one
and computes nothing. An operation is about one launch (of a layer norm's gradient two; clipping and Adam are few whatever they go over),
and each takes its time, small as it may be, also where it is replayed from a recording. Their number depends neither on the batch nor on
the networks' sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
from pages import arguments, opening, table
from torch.utils._python_dispatch import TorchDispatchMode

from diswm.bench import build, random_batch
from diswm.config import TrainRun, merge
from diswm.methods import for_training
from diswm.model import fused, kernels, products
from diswm.presets import apply_preset

AT_PLACE = {"_unsafe_view", "detach", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
"""Operations, beside views, that move no number."""
SMALL = {"train.batch": 2, "model.depth": 4, "model.units": 16, "dreamer.units": 16, "dreamer.starts": 0}


class Counter(TorchDispatchMode):
    """Counts operations that do something."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returns = func._schema.returns
        view = bool(returns) and returns[0].alias_info is not None and not returns[0].alias_info.is_write
        self.count += not view and func.overloadpacket.__name__ not in AT_PLACE and func.namespace == "aten"
        return func(*args, **(kwargs or {}))


class Loops:
    """In the place of Triton's: each counts as one operation and computes nothing."""

    def __init__(self) -> None:
        self.count = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        def loop(*args: Any) -> None:
            self.count += 1

        return loop


def counted(work: Callable[[], Any]) -> tuple[int, Any]:
    """Operations of some work, and what it gives."""
    loops = Loops()
    with Counter() as counter, mock.patch.object(fused, "_loops", return_value=loops):
        found = work()
    return counter.count + loops.count, found


def update(method: str, length: int, horizon: int) -> tuple[int, int]:
    """Operations of the world model's part of an update, and of the behaviour's."""
    config = apply_preset(for_training(TrainRun(), method), "paper", "train")
    config = merge(config, {**SMALL, "train.length": length, "dreamer.horizon": horizon})
    agent = build(config, "cpu", "bfloat16")
    data = agent.stage(random_batch(config, np.random.default_rng(0)))
    data |= {name: torch.tensor(value) for name, value in agent.scheduled(0, 0).items()}
    agent.compute(data)  # the first makes the optimisers' state
    world, (obs, _) = counted(lambda: agent.update_world(data))
    return world, counted(lambda: agent.update_behaviour(obs.post))[0]


def rows(method: str) -> list[list[str]]:
    """The table, at 50 filtered steps and 15 imagined states; what one more of each adds tells of the steps."""
    with mock.patch.object(kernels, "loops", None), mock.patch.object(products, "ONEDNN", False):
        (world, behaviour), (longer, farther) = update(method, 50, 15), update(method, 51, 16)
    return [
        ["operations", "of an update", "of each step"],
        ["world model, 50 filtered steps", f"{world:,}", f"{longer - world}"],
        ["behaviour, 14 imagined steps", f"{behaviour:,}", f"{farther - behaviour}"],
        ["together", f"{world + behaviour:,}", ""],
    ]


def main() -> None:
    args = arguments(__doc__).parse_args()
    text = table(rows(args.method))
    print(text)
    if args.out:
        about = f"One update of `{args.method}` in bfloat16 at the steps of the preset `paper`, forward, backward, clipping and Adam."
        args.out.write_text("\n\n".join([*opening("launches", "cpu"), about, text]) + "\n")


if __name__ == "__main__":
    main()
