"""What stands between the products of one step of a scan, in one launch on a GPU (Triton, which comes with PyTorch for CUDA).

A step is so little work for a GPU that its launches bind it. PyTorch's own operations take their place on a CPU, on a card where Triton
does not work, and while PyTorch's compiler records a graph. (`kernels` has the like for a CPU, where memory binds.)
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diswm.model.dists import clip_straight_through, squash_std

PROGRAMS = 256  # that share the rows of a gradient, at most: each adds up what its rows give to the weights


def gaussian(stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """stats (..., 2 Z) and as many rows of standard normal noise (..., Z) -> mean, std (`mean_std`) and mean + std x noise, float32."""
    if stats.dim() == 2 and (loops := _loops(stats)):
        return _gaussian_by(loops, stats, noise)
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
    """stats (..., 2 A) and as many rows of noise (..., A) -> tanh(mean) + std x noise, clipped to [-1, 1] straight through, and std."""
    if stats.dim() == 2 and (loops := _loops(stats)):
        return _action_by(loops, stats, noise)
    return _action(stats, noise)


def gates(parts: Tensor, state: Tensor, norm: nn.Module) -> Tensor:
    """What `kernels.gru_gates` gives, where that does not do it itself."""
    if isinstance(norm, nn.LayerNorm) and (loops := _loops(parts)):
        new: Tensor = _Gates.apply(loops, parts.contiguous(), state.float().contiguous(), norm.weight, norm.bias)
        return new
    return _gates(parts, state, norm)


def _gaussian_by(loops: Any, stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean, std, drawn = _Drawn.apply(loops, stats.contiguous(), _rows(noise), False)
    return mean, std, drawn


def _action_by(loops: Any, stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    _, std, drawn = _Drawn.apply(loops, stats.contiguous(), _rows(noise), True)
    return drawn, std


def _gaussian(stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean, std = mean_std(stats)
    return mean, std, mean + std * noise


def _action(stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = bounded_mean_std(stats)
    return clip_straight_through(mean + std * noise), std


def _gates(parts: Tensor, state: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
    reset, candidate, update = norm(parts.float()).chunk(3, -1)
    candidate = torch.tanh(torch.sigmoid(reset) * candidate)
    return torch.lerp(state, candidate, torch.sigmoid(update - 1))


class _Drawn(torch.autograd.Function):
    """Mean (of an action none), std and sample."""

    @staticmethod
    def forward(ctx: Any, loops: Any, stats: Tensor, noise: Tensor, action: bool) -> tuple[Tensor | None, Tensor, Tensor]:
        ctx.loops, ctx.action = loops, action
        ctx.save_for_backward(stats, noise)
        ctx.set_materialize_grads(False)
        std, drawn = (torch.empty(noise.shape, device=stats.device) for _ in range(2))
        mean = None if action else torch.empty_like(std)
        loops.drawn(stats, noise, mean, std, drawn)
        return mean, std, drawn

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[None, Tensor, None, None]:
        stats, noise = ctx.saved_tensors
        to_stats = torch.empty_like(stats)
        ctx.loops.drawn_gradient(stats, noise, *(None if grad is None else _rows(grad) for grad in grads), to_stats, ctx.action)
        return None, to_stats, None, None


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
    """Each function once in float32 and once in bfloat16, at the size of the paper. AssertionError where the loops give other numbers than
    PyTorch, or other gradients of anything."""
    draw = torch.Generator().manual_seed(0)
    rows, size = PROGRAMS + 44, 200  # so that some programs take a second row

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).to(device)

    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(torch.device(device).type, enabled=False):
        norm = nn.LayerNorm(3 * size).to(device)
        with torch.no_grad():
            for part in norm.parameters():
                part.add_(numbers(3 * size) / 3)
        parts, state, stats, noise = numbers(rows, 3 * size), numbers(rows, size), numbers(rows, 2 * size), numbers(rows, 2, size)[:, 1]
        parts[0] /= 1000  # as small as the layer norm's epsilon
        noise[0] *= 5  # actions that are clipped
        above = [numbers(rows, size) for _ in range(3)]

        def results(function: Callable[..., Any], given: Sequence[Tensor], *fixed: Any) -> list[Tensor]:
            found = function(*given, *fixed)
            found = found if isinstance(found, tuple) else (found,)
            return [*found, *torch.autograd.grad(found, given, above[: len(found)])]

        for dtype, rtol in ((torch.float32, 1e-4), (torch.bfloat16, 2**-7)):
            of_gates = [part.detach().requires_grad_() for part in (parts.to(dtype), state, norm.weight, norm.bias)]
            of_stats = [stats.to(dtype).requires_grad_()]
            of_action = [stats.clone().requires_grad_()]
            pairs = (
                (
                    results(partial(_Gates.apply, loops), of_gates),
                    results(_gates_of, of_gates),
                ),
                (results(partial(_gaussian_by, loops), of_stats, noise), results(_gaussian, of_stats, noise)),
                (results(partial(_action_by, loops), of_action, noise), results(_action, of_action, noise)),
            )
            for found, expected in itertools.chain.from_iterable(zip(*pair, strict=True) for pair in pairs):
                torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-3)


def _gates_of(parts: Tensor, state: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return _gates(parts, state, lambda x: F.layer_norm(x, x.shape[1:], scale, shift))
