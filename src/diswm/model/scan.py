"""Filtering, the part of a world model that runs step by step, with gradients by hand.

PyTorch's autograd takes the gradients of the weights step by step too, adds up what comes from the uses of each result, and copies what
products are added to: a third of what is launched on a GPU, and on a CPU a fifth of the time, as the products are small.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from diswm.model.kernels import elu_gradient, loops_for
from diswm.model.products import over_rows


class Weights(NamedTuple):
    """Of an RSSM: what its steps make use of. H hidden, D deter, Z stoch."""

    inp: Tensor  # (H, Z)
    gates: Tensor  # (3 D, H + D)
    gates_bias: Tensor  # (3 D)
    scale: Tensor | None  # (3 D) of the layer norm, if there is one
    shift: Tensor | None
    hidden: Tensor  # (H, D)
    stats: Tensor  # (2 Z, H)
    stats_bias: Tensor  # (2 Z)


def filtered(
    act: Tensor, emb: Tensor, noise: Tensor, stoch: Tensor, deter: Tensor, weights: Weights
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The posterior's mean, std and sample (T, B, Z) and deter (T, B, D), float32, of the steps after stoch (B, Z) and deter (B, D).

    act and emb (T, B, H), which are written over, are what actions and embeddings give to the two hidden layers; noise (T, B, Z). All are
    float32 without gaps in memory, and not under autocast. No gradients of the noise, and no second derivatives.
    """
    mean, std, stoch, deter = _Filtered.apply(act, emb, noise, stoch, deter, *weights)
    return mean, std, stoch, deter


class _Filtered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, act: Tensor, emb: Tensor, noise: Tensor, stoch: Tensor, deter: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        w = Weights(*weights)
        steps, count, hidden = act.shape
        parts, stats = (act.new_empty(steps, count, len(bias)) for bias in (w.gates_bias, w.stats_bias))
        means, stds, stochs = (torch.empty_like(noise) for _ in range(3))
        deters = deter.new_empty(steps, *deter.shape)
        from_x, from_deter = w.gates[:, :hidden].t(), w.gates[:, hidden:].t()
        loops = loops_for(parts[0], w.scale)
        last, state = stoch, deter
        for t in range(steps):
            x = F.elu_(act[t].addmm_(last, w.inp.t()))
            torch.addmm(w.gates_bias, x, from_x, out=parts[t]).addmm_(state, from_deter)
            loops.gates(parts[t], state, deters[t], w.scale, w.shift)
            y = F.elu_(emb[t].addmm_(deters[t], w.hidden.t()))
            torch.addmm(w.stats_bias, y, w.stats.t(), out=stats[t])
            loops.drawn(stats[t], noise[t], means[t], stds[t], stochs[t])
            last, state = stochs[t], deters[t]
        ctx.loops = loops
        ctx.save_for_backward(act, emb, noise, stoch, deter, parts, stats, stochs, deters, *weights)
        return means, stds, stochs, deters

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_mean: Tensor, to_std: Tensor, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, noise, stoch, deter, parts, stats, stochs, deters, *weights = ctx.saved_tensors
        w, loops, hidden = Weights(*weights), ctx.loops, x.shape[2]
        from_x, from_deter = w.gates[:, :hidden], w.gates[:, hidden:]
        total = loops.totals(parts[0]) if any(ctx.needs_input_grad[-len(w) :]) else None
        to_act, to_emb, to_parts, to_stats = (torch.empty_like(part) for part in (x, y, parts, stats))
        to_mean, to_std = to_mean.contiguous(), to_std.contiguous()
        # Of the first state, then of that after each step: what the next step gives is added.
        to_stoch, to_deter = (torch.cat([torch.zeros_like(grad[:1]), grad]) for grad in grads)
        for t in range(len(x) - 1, -1, -1):
            loops.drawn_gradient(stats[t], noise[t], to_mean[t], to_std[t], to_stoch[t + 1], to_stats[t], action=False)
            elu_gradient(to_stats[t] @ w.stats, y[t], to_emb[t])
            above, state, below = to_deter[t + 1].addmm_(to_emb[t], w.hidden), deters[t - 1] if t else deter, to_deter[t]
            loops.gates_gradient(parts[t], state, above, to_parts[t], below, total, w.scale, w.shift, onto=True)
            below.addmm_(to_parts[t], from_deter)
            elu_gradient(to_parts[t] @ from_x, x[t], to_act[t])
            to_stoch[t].addmm_(to_act[t], w.inp)
        to_inputs = to_act, to_emb, None, to_stoch[0], to_deter[0]
        if total is None:
            return *to_inputs, *(None for _ in w)
        stochs, states = torch.cat([stoch[None], stochs[:-1]]), torch.cat([deter[None], deters[:-1]])
        to_scale, to_shift = (None, None) if w.scale is None else total.sum(0)
        to_weights = Weights(
            inp=over_rows(to_act, stochs),
            gates=torch.cat([over_rows(to_parts, x), over_rows(to_parts, states)], 1),
            gates_bias=to_parts.sum((0, 1)),
            scale=to_scale,
            shift=to_shift,
            hidden=over_rows(to_emb, deters),
            stats=over_rows(to_stats, y),
            stats_bias=to_stats.sum((0, 1)),
        )
        return *to_inputs, *to_weights
