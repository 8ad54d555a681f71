"""What stands between the products of one step of a scan, in one launch on a GPU (Triton, which comes with PyTorch for CUDA).

A step is so little work for a GPU that its launches bind it. PyTorch's own operations take their place where Triton does not work, and
while PyTorch's compiler records a graph. `kernels` has the like for a CPU.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from diswm.model.dists import clip_straight_through, squash_std


def gaussian(stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """stats (..., 2 Z) and as many rows of standard normal noise (..., Z) -> mean, std (`mean_std`) and mean + std x noise, float32."""
    if stats.dim() == 2 and (loops := _loops(stats)):
        return _gaussian_by(loops, stats, noise)
    return _drawn(stats, noise, False)


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
    _, std, sample = _drawn(stats, noise, True)
    return sample, std


def gates(loops: Loops, parts: Tensor, state: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    """What `kernels.gru_gates` gives, by these loops."""
    if loops is PLAIN:  # whose autograd needs no help
        return _gates(parts, state, scale, shift)
    new: Tensor = _Gates.apply(loops, parts.contiguous(), state.float().contiguous(), scale, shift)
    return new


def loops_for(x: Tensor) -> Loops:
    """Triton's where they take this tensor, else PyTorch's operations."""
    return _loops(x) or PLAIN


class Loops(Protocol):
    """What stands between the products of a step, forward and backward, written to where it belongs.

    ``parts`` and ``stats`` may be bfloat16; all else is float32. Nothing has gaps in memory, but for the rows of noise and of gradients of
    what was drawn.
    """

    def gates(self, parts: Tensor, state: Tensor, new: Tensor, scale: Tensor | None, shift: Tensor | None) -> None:
        """new (N, D) = the state after the gates of `layers.NormGRUCell`, of which ``parts`` (N, 3 D) are the products."""

    def totals(self, parts: Tensor) -> Tensor:
        """Zeros (P, 2, 3 D), to which `gates_gradient` adds the gradients of scale and shift in P parts."""

    def gates_gradient(
        self, parts: Tensor, state: Tensor, grad: Tensor, to_parts: Tensor, to_state: Tensor, total: Tensor | None,
        scale: Tensor | None, shift: Tensor | None, onto: bool = False,
    ) -> None:  # fmt: skip
        """Gradients of `gates`: that of the state ``onto`` what is there; of scale and shift onto ``total``, where they are wanted."""

    def drawn(self, stats: Tensor, noise: Tensor, mean: Tensor | None, std: Tensor, result: Tensor) -> None:
        """From ``stats`` (N, 2 Z) and noise (N, Z) what `gaussian` gives; without a ``mean`` what `action` does."""

    def drawn_gradient(
        self, stats: Tensor, noise: Tensor, mean: Tensor | None, std: Tensor | None, drawn: Tensor | None, to_stats: Tensor, action: bool
    ) -> None:
        """Gradients of `drawn` from those of mean, std and result, of which some may be missing."""


class Plain:
    """`Loops` by PyTorch's own operations and its autograd."""

    def gates(self, parts: Tensor, state: Tensor, new: Tensor, scale: Tensor | None, shift: Tensor | None) -> None:
        new.copy_(_gates(parts, state, scale, shift))

    def totals(self, parts: Tensor) -> Tensor:
        return parts.new_zeros(1, 2, parts.shape[1], dtype=torch.float32)

    def gates_gradient(
        self, parts: Tensor, state: Tensor, grad: Tensor, to_parts: Tensor, to_state: Tensor, total: Tensor | None,
        scale: Tensor | None, shift: Tensor | None, onto: bool = False,
    ) -> None:  # fmt: skip
        if total is None or scale is None or shift is None:
            of_parts, of_state = _gradients(lambda parts, state: (_gates(parts, state, scale, shift),), (parts, state), (grad,))
        else:
            of_parts, of_state, *of_weights = _gradients(lambda *given: (_gates(*given),), (parts, state, scale, shift), (grad,))
            total[0].add_(torch.stack(of_weights))
        to_parts.copy_(of_parts)
        (to_state.add_ if onto else to_state.copy_)(of_state)

    def drawn(self, stats: Tensor, noise: Tensor, mean: Tensor | None, std: Tensor, result: Tensor) -> None:
        found = _drawn(stats, noise, mean is None)
        for place, value in zip((mean, std, result), found, strict=True):
            if place is not None:
                place.copy_(value)

    def drawn_gradient(
        self, stats: Tensor, noise: Tensor, mean: Tensor | None, std: Tensor | None, drawn: Tensor | None, to_stats: Tensor, action: bool
    ) -> None:
        to_stats.copy_(_gradients(lambda stats: _drawn(stats, noise, action), (stats,), (mean, std, drawn))[0])


PLAIN = Plain()


def _gradients(function: Callable[..., Sequence[Tensor]], given: Sequence[Tensor], grads: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Of what is given, from those of the function's results."""
    with torch.enable_grad():
        leaves = [part.detach().requires_grad_() for part in given]
        pairs = [(part, grad) for part, grad in zip(function(*leaves), grads, strict=True) if grad is not None]
    return torch.autograd.grad([part for part, _ in pairs], leaves, [grad for _, grad in pairs])


def _gaussian_by(loops: Any, stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean, std, drawn = _Drawn.apply(loops, stats.contiguous(), _rows(noise), False)
    return mean, std, drawn


def _action_by(loops: Any, stats: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    _, std, drawn = _Drawn.apply(loops, stats.contiguous(), _rows(noise), True)
    return drawn, std


def _drawn(stats: Tensor, noise: Tensor, action: bool) -> tuple[Tensor, Tensor, Tensor]:
    mean, std = bounded_mean_std(stats) if action else mean_std(stats)
    sample = mean + std * noise
    return mean, std, clip_straight_through(sample) if action else sample


def _gates(parts: Tensor, state: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    parts = parts.float() if scale is None else F.layer_norm(parts.float(), parts.shape[-1:], scale, shift)
    reset, candidate, update = parts.chunk(3, -1)
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
    def forward(ctx: Any, loops: Loops, parts: Tensor, state: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        ctx.loops = loops
        ctx.save_for_backward(parts, state, scale, shift)
        new = torch.empty_like(state)
        loops.gates(parts, state, new, scale, shift)
        return new

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor, Tensor | None, Tensor | None]:
        parts, state, scale, shift = ctx.saved_tensors
        to_parts, to_state = torch.empty_like(parts), torch.empty_like(state)
        total = ctx.loops.totals(parts) if any(ctx.needs_input_grad[3:]) else None
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


def try_out(loops: Loops, device: torch.device | str) -> None:
    """Each function in float32 and in bfloat16, at the size of the paper. AssertionError where the loops give other numbers than PyTorch's
    operations, or other gradients of anything."""
    draw = torch.Generator().manual_seed(0)
    rows, size = 300, 200  # more rows than programs that share them

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).to(device)

    with torch.inference_mode(False), torch.autocast(torch.device(device).type, enabled=False):
        parts, state, stats, noise = numbers(rows, 3 * size), numbers(rows, size), numbers(rows, 2 * size), numbers(rows, 2, size)[:, 1]
        parts[0] /= 1000  # as small as the layer norm's epsilon
        noise[0] *= 5  # actions that are clipped
        scale, shift = 1 + numbers(3 * size) / 3, numbers(3 * size) / 3
        above = [numbers(rows, size) for _ in range(3)]
        for dtype, rtol in ((torch.float32, 1e-4), (torch.bfloat16, 2**-7)):
            given = parts.to(dtype), state, stats.to(dtype), stats, noise, scale, shift, above
            for found, expected in zip(_results(loops, *given), _results(PLAIN, *given), strict=True):
                torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-3)


def _results(
    loops: Loops, parts: Tensor, state: Tensor, stats: Tensor, action: Tensor, noise: Tensor, scale: Tensor, shift: Tensor,
    above: Sequence[Tensor],
) -> list[Tensor]:  # fmt: skip
    """All that the loops write: gradients of the gates once more on top of the first, then without weights; of what was drawn from those of
    all results, then from std's and the sample's alone."""
    new, to_parts, to_state, total = torch.empty_like(state), torch.empty_like(parts), torch.empty_like(state), loops.totals(parts)
    loops.gates(parts, state, new, scale, shift)
    for onto in (False, True):
        loops.gates_gradient(parts, state, above[0], to_parts, to_state, total, scale, shift, onto)
    found = [new, to_parts, to_state.clone(), total.sum(0)]
    loops.gates_gradient(parts, state, above[0], to_parts, to_state, None, scale, shift)
    found.append(to_state)
    for place, bounded in ((stats, False), (action, True)):
        mean = None if bounded else torch.empty_like(state)
        std, sample = torch.empty_like(state), torch.empty_like(state)
        loops.drawn(place, noise, mean, std, sample)
        found += [std, sample, *([] if mean is None else [mean])]
        for from_mean, from_std, from_sample in (above, (None, above[1], None), (None, None, above[2])):
            to_place = torch.empty_like(place)
            loops.drawn_gradient(place, noise, None if bounded else from_mean, from_std, from_sample, to_place, bounded)
            found.append(to_place)
    return found
