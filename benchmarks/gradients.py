"""How hard each term pulls on the encoder: ``python benchmarks/gradients.py RUN [--out results/gradients.md]``.

RUN is of `diswm train`, with a teacher and its replay. On the same windows, for the first weights and for the trained ones: the norm of the
encoder's gradient of each term at its weight, its cosine with that of the image, and of each kind of distillation at weight 1. So weights
can be chosen at which kinds are comparable: their values are on scales of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from pages import arguments, opening, table
from torch import Tensor

from diswm.agents import Dreamer
from diswm.agents.learner import _TERMS, TermContext
from diswm.build import load
from diswm.closeups import replay_of
from diswm.config import TrainRun, from_dict
from diswm.contract import DiswmError
from diswm.objectives.distill import _KINDS
from diswm.runtime import prepare
from diswm.trainers.run import read_config

WINDOWS, STEPS = 8, 32


def pulls(agent: Dreamer, data: dict[str, Tensor]) -> dict[str, Tensor]:
    """Flat gradients of the encoder: each term's at its weight without a schedule, each kind of distillation at weight 1."""
    parameters = list(agent.world.encoder.parameters())
    obs = agent.world.observe(data["image"], data["action"], agent.generator)
    context = TermContext(agent, data, obs)
    codes = context.codes()
    terms = {name: weight * _TERMS[name](context).mean() for name, weight in agent.weights.items() if name != "distill"}
    terms |= {f"distillation {name}, weight 1": term(codes).mean() for name, term in _KINDS.items()}
    found = {}
    for name, value in terms.items():
        parts = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        found[name] = torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, parts, strict=True)])
    return found


def rows(folder: Path) -> Iterator[list[str]]:
    """The table. DiswmError where the run has no teacher or no replay."""
    config = from_dict(TrainRun, read_config(folder, "train")["config"])
    if "distill" not in config.weights:
        raise DiswmError(f"{folder}: is of the method {config.method}, which has no teacher. Expected a run of diswm.")
    trained = load(folder)
    with replay_of(folder) as replay:
        data = trained.stage(replay.sample(np.random.default_rng(0), WINDOWS, STEPS))
    fresh = Dreamer(config.model, trained.world.act_dim, config.learner, config.dreamer, config.weights, config.anneal, seed=config.seed)
    both = []
    for agent in (fresh, trained):
        agent.world.train().requires_grad_(True)
        found = pulls(agent, data)
        image = found["image"]
        both.append({n: (float(g.norm()), float(torch.cosine_similarity(g, image, dim=0)) if g.any() else None) for n, g in found.items()})
    yield ["term", "first weights: norm", "with the image's", "trained: norm", "with the image's"]
    for name in both[0]:
        cells = [(f"{norm:.3g}", "-" if cosine is None else f"{cosine:+.2f}") for norm, cosine in (part[name] for part in both)]
        yield [name if " " in name else f"{name}, weight {config.weights[name]:g}", *cells[0], *cells[1]]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("run", type=Path)
    args = parser.parse_args()
    try:
        prepare("cpu", args.threads)
        text = table(list(rows(args.run)))
    except DiswmError as error:
        parser.error(str(error))
    print(text)
    if args.out:
        about = (
            f"{WINDOWS} windows of {STEPS} steps of the run's replay, in float32; norms of the encoder's gradient, and cosines with that "
            "of the image term. The weight of the distillation falls from `weights.distill` to a tenth of it."
        )
        args.out.write_text("\n\n".join([*opening("gradients", "cpu"), about, text]) + "\n")


if __name__ == "__main__":
    main()
