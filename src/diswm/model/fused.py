"""What stands between the products of one step of a scan, in one launch on a GPU (Triton, which comes with PyTorch for CUDA).

A step is so little work for a GPU that its launches bind it. Each function is PyTorch's own operations on a CPU, where Triton does not
work, and while PyTorch's compiler records a graph. (`kernels` has the like for a CPU, where memory binds.)
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from diswm.model.dists import clip_straight_through, squash_std

PROGRAMS = 256  # that share the rows of a gradient, at most: each adds up what its rows give to the weights


def gaussian(stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """stats (..., 2 Z), standard normal noise (..., Z) -> mean, std and mean + std x noise, float32; `mean_std` says what the first are."""
    if stats.dim() == 2 and (loops := _loops(stats)):
        mean, std, drawn = _Gaussian.apply(loops, stats.contiguous(), _rows(noise))
        return mean, std, drawn
    return _gaussian(stats, noise)


def mean_std(stats: Tensor) -> tuple[Tensor, Tensor]:
    """stats (..., 2 Z) -> its first half, and `squash_std` of its second, float32."""
    mean, raw = stats.float().chunk(2, -1)
    return mean, squash_std(raw)


def bounded_mean_std(stats: Tensor) -> tuple[Tensor, Tensor]:
    """stats (..., 2 A) -> the tanh of its first half, and `squash_std` of its second."""
    mean, raw = stats.chunk(2, -1)
    return mean.tanh(), squash_std(raw)


def action(stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """stats (..., 2 A), noise (..., A) -> tanh(mean) + std x noise, clipped to [-1, 1] straight through, and std."""
    if stats.dim() == 2 and (loops := _loops(stats)):
        drawn, std = _Action.apply(loops, stats.contiguous(), _rows(noise))
        return drawn, std
    return _action(stats, noise)


def gates(parts: Tensor, state: Tensor, norm: nn.Module) -> Tensor:
    """`kernels.gru_gates`."""
    if isinstance(norm, nn.LayerNorm) and (loops := _loops(parts)):
        new: Tensor = _Gates.apply(loops, parts.contiguous(), state.float().contiguous(), norm.weight, norm.bias)
        return new
    return _gates(parts, state, norm)


def _gaussian(stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean, std = mean_std(stats)
    return mean, std, mean + std * noise


def _action(stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = bounded_mean_std(stats)
    return clip_straight_through(mean + std * noise), std


def _gates(parts: Tensor, state: Tensor, norm: nn.Module) -> Tensor:
    reset, candidate, update = norm(parts.float()).chunk(3, -1)
    candidate = torch.tanh(torch.sigmoid(reset) * candidate)
    return torch.lerp(state, candidate, torch.sigmoid(update - 1))


class _Gaussian(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loops: Any, stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.loops = loops
        ctx.save_for_backward(stats, noise)
        ctx.set_materialize_grads(False)
        mean, std, drawn = (torch.empty(noise.shape, device=stats.device) for _ in range(3))
        loops.drawn(stats, noise, mean, std, drawn)
        return mean, std, drawn

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[None, Tensor, None]:
        return None, _to_stats(ctx, *grads, action=False), None


class _Action(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loops: Any, stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        ctx.loops = loops
        ctx.save_for_backward(stats, noise)
        ctx.set_materialize_grads(False)
        drawn, std = (torch.empty(noise.shape, device=stats.device) for _ in range(2))
        loops.drawn(stats, noise, None, std, drawn)
        return drawn, std

    @staticmethod
    def backward(ctx: Any, from_drawn: Tensor | None, from_std: Tensor | None) -> tuple[None, Tensor, None]:
        return None, _to_stats(ctx, None, from_std, from_drawn, action=True), None


def _to_stats(ctx: Any, *grads: Tensor | None, action: bool) -> Tensor:
    stats, noise = ctx.saved_tensors
    to_stats = torch.empty_like(stats)
    ctx.loops.drawn_gradient(stats, noise, *(None if grad is None else _rows(grad) for grad in grads), to_stats, action)
    return to_stats


class _Gates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loops: Any, parts: Tensor, state: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        ctx.loops = loops
        ctx.save_for_backward(parts, state, scale, shift)
        new = torch.empty_like(state)
        loops.gates(parts, state, new, scale, shift)
        return new

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor, Tensor | None, Tensor | None]:
        parts, state, scale, shift = ctx.saved_tensors
        to_parts, to_state = torch.empty_like(parts), torch.empty_like(state)
        total = None
        if any(ctx.needs_input_grad[3:]):
            total = torch.empty(min(len(parts), PROGRAMS), 2, len(scale), device=parts.device)
        ctx.loops.gates_gradient(parts, state, grad.contiguous(), to_parts, to_state, total, scale, shift)
        to_scale, to_shift = (None, None) if total is None else total.sum(0)
        return None, to_parts, to_state, to_scale, to_shift


def _rows(x: Tensor) -> Tensor:
    """(N, Z), with gaps between the rows at most."""
    return x if x.stride(1) == 1 else x.contiguous()


def _loops(x: Tensor) -> Any:
    """The module of the loops where they take this tensor, else None."""
    return _working(x.device) if x.is_cuda and not torch.compiler.is_compiling() else None


@functools.cache
def _working(device: torch.device) -> Any:
    """The loops, once they have given on this device what PyTorch's operations give."""
    try:
        from diswm.model import triton_loops

        try_out(triton_loops, device)
    except Exception as error:  # of many kinds: no Triton, no compiler for its launches, a card that it does not know
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        print(f"Triton does not work here ({reason}): a step's operations are launched one by one", file=sys.stderr, flush=True)
        return None
    return triton_loops


def try_out(loops: Any, device: torch.device | str) -> None:
    """A small call of each function, forward and backward. AssertionError where the loops give something else than PyTorch."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        norm = nn.LayerNorm(9).to(device)

    def results(function: Callable[..., Any], *shapes: tuple[int, int]) -> list[Tensor]:
        """What the function gives for numbers of these shapes, and their gradients."""
        generator.manual_seed(0)
        given = [torch.randn(shape, generator=generator).to(device).requires_grad_(number < 1) for number, shape in enumerate(shapes)]
        found = function(*given)
        found = found if isinstance(found, tuple) else (found,)
        loss = sum((each * torch.arange(each.numel(), device=device).view_as(each)).sum() for each in found)
        return [*found, *torch.autograd.grad(loss, given[:1])]

    def by_loops(parts: Tensor, state: Tensor) -> Any:
        return _Gates.apply(loops, parts, state, norm.weight, norm.bias)

    def by_pytorch(parts: Tensor, state: Tensor) -> Tensor:
        return _gates(parts, state, norm)

    pairs: tuple[tuple[Callable[..., Any], Callable[..., Any], int], ...] = (
        (functools.partial(_Gaussian.apply, loops), _gaussian, 6),
        (functools.partial(_Action.apply, loops), _action, 6),
        (by_loops, by_pytorch, 9),
    )
    with torch.enable_grad(), torch.autocast(torch.device(device).type, enabled=False):
        for one, other, width in pairs:
            for found, expected in zip(results(one, (2, width), (2, 3)), results(other, (2, width), (2, 3)), strict=True):
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
