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


def counted(work: Callable[[], Any], triton: bool = True) -> tuple[int, Any]:
    """Operations of some work, and what it gives."""
    loops = mock.Mock()  # Triton's: they compute nothing
    loops.totals = fused.PLAIN.totals
    as_on_gpu = mock.patch.object(products, "launches_bind", return_value=True)
    with Counter() as counter, as_on_gpu, mock.patch.object(fused, "_loops", return_value=loops if triton else None):
        found = work()
    return counter.count + len(loops.method_calls), found


def update(method: str, triton: bool, length: int, horizon: int) -> tuple[int, int]:
    """Operations of the world model's part of an update, and of the behaviour's."""
    config = apply_preset(for_training(TrainRun(), method), "paper", "train")
    config = merge(config, {**SMALL, "train.length": length, "dreamer.horizon": horizon})
    agent = build(config, "cpu", "bfloat16")
    data = agent.stage(random_batch(config, np.random.default_rng(0)))
    data |= {name: torch.tensor(value) for name, value in agent.scheduled(0, 0).items()}
    agent.compute(data)  # the first makes the optimisers' state
    world, (obs, _) = counted(lambda: agent.update_world(data), triton)
    return world, counted(lambda: agent.update_behaviour(obs.post), triton)[0]


def rows(method: str) -> list[list[str]]:
    """The table, at 50 filtered steps and 15 imagined states; what one more of each adds tells of the steps."""
    titles, world, behaviour, together = ["operations"], ["world model, 50 filtered steps"], ["behaviour, 14 imagined steps"], ["together"]
    for triton in (True, False):
        with mock.patch.object(kernels, "loops", None), mock.patch.object(products, "ONEDNN", False):
            (filtering, imagining), (longer, farther) = update(method, triton, 50, 15), update(method, triton, 51, 16)
        titles += [f"of an update{'' if triton else ' without Triton'}", "of each step"]
        world += [f"{filtering:,}", f"{longer - filtering}"]
        behaviour += [f"{imagining:,}", f"{farther - imagining}"]
        together += [f"{filtering + imagining:,}", ""]
    return [titles, world, behaviour, together]


def main() -> None:
    args = arguments(__doc__).parse_args()
    text = table(rows(args.method))
    print(text)
    if args.out:
        about = f"One update of `{args.method}` in bfloat16 at the steps of the preset `paper`, forward, backward, clipping and Adam."
        args.out.write_text("\n\n".join([*opening("launches", "cpu"), about, text]) + "\n")


if __name__ == "__main__":
    main()
