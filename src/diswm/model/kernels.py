"""What stands between the products of an update, in one pass over memory on a CPU (numba, an extra).

Each function is PyTorch's own operations where there is no numba, and for small tensors and other devices (but for `gru_gates`, which a
GPU does by `fused`). By itself each operation walks memory anew, and PyTorch's ELU takes four times as long as its instructions need:
together a third of an update.
"""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diswm.model import fused
from diswm.model.products import linear

try:
    from diswm.model import loops
except ModuleNotFoundError as error:  # numba is an extra
    if error.name not in ("numba", "llvmlite"):
        raise
    loops = None  # type: ignore[assignment]

LARGE = 16_384  # numbers for which one pass is worth its call
OUTPUTS = 16  # of a linear layer, up to which it waits for its input and not for its products
FEW = 2_048  # the same where one pass stands for twenty
SHARE = 262_144  # numbers that are worth a thread of their own


def compiled(x: Tensor, least: int = LARGE) -> bool:
    """Whether these kernels take this tensor: a large one on a CPU, without gaps in memory, and not while a graph is recorded."""
    return (
        loops is not None
        and not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype in (torch.uint8, torch.float32, torch.bfloat16)
        and x.numel() >= least
        and (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last))
    )


def elu(x: Tensor) -> Tensor:
    """x where it is positive, else exp(x) - 1."""
    if not compiled(x):
        return F.elu(x)
    result: Tensor = _Elu.apply(x)
    return result


class _Elu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        _run(loops.elu, _line(x), _line(y))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.elu_backward(grad, 1.0, 1.0, 1.0, True, y)


def elu_gradient(grad: Tensor, y: Tensor, out: Tensor) -> None:
    """The gradient of `elu` into ``out``, from its result y: that takes no exponential."""
    torch.ops.aten.elu_backward.grad_input(grad, 1.0, 1.0, 1.0, True, y, grad_input=out)


def gru_gates(parts: Tensor, state: Tensor, norm: nn.Module) -> Tensor:
    """The products of a GRU (N, 3 D), their layer norm, if any, and the state (N, D) -> the next state, float32.

    The three thirds are the reset gate, which multiplies the candidate, the candidate, and the update gate, biased by -1 (DreamerV2).
    """
    scale, shift = affine(norm)
    return fused.gates(loops_for(parts, scale), parts, state, scale, shift)


def affine(norm: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """Scale and shift of a layer norm; of a module that does nothing, none."""
    return (norm.weight, norm.bias) if isinstance(norm, nn.LayerNorm) else (None, None)


def loops_for(parts: Tensor, scale: Tensor | None) -> fused.Loops:
    """What does the steps of which the first has these products (N, 3 D), with a layer norm of this scale or without one."""
    if scale is None:
        return fused.PLAIN
    return NUMBA if compiled(parts, FEW) else fused.loops_for(parts)


class _Numba(fused.Plain):
    """`fused.Loops` by those of `loops`."""

    def gates(self, parts: Tensor, state: Tensor, new: Tensor, scale: Any, shift: Any) -> None:
        _run(loops.gates, *map(_numbers, (parts, state, new)), scale=_numbers(scale), shift=_numbers(shift))

    def totals(self, parts: Tensor) -> Tensor:
        return torch.zeros(torch.get_num_threads(), 2, parts.shape[1])

    def gates_gradient(
        self, parts: Tensor, state: Tensor, grad: Tensor, to_parts: Tensor, to_state: Tensor, total: Tensor | None,
        scale: Any, shift: Any, onto: bool = False,
    ) -> None:  # fmt: skip
        total = self.totals(parts) if total is None else total
        arrays = tuple(map(_numbers, (parts, state, grad, to_parts, to_state)))
        fixed = {"scale": _numbers(scale), "shift": _numbers(shift), "onto": onto}
        _share(lambda part, pieces: loops.gates_gradient(*pieces, total=total[part].numpy(), **fixed), arrays)

    def drawn(self, stats: Tensor, noise: Tensor, mean: Tensor | None, std: Tensor, result: Tensor) -> None:
        if mean is None:
            super().drawn(stats, noise, mean, std, result)
        else:
            loops.drawn(*map(_numbers, (stats, noise.contiguous(), mean, std, result)))

    def drawn_gradient(
        self, stats: Tensor, noise: Tensor, mean: Tensor | None, std: Tensor | None, drawn: Tensor | None, to_stats: Tensor, action: bool
    ) -> None:
        if action or mean is None or std is None or drawn is None:
            super().drawn_gradient(stats, noise, mean, std, drawn, to_stats, action)
        else:
            loops.drawn_gradient(*map(_numbers, (stats, noise.contiguous(), mean, std, drawn, to_stats)))


NUMBA = _Numba()


def few_outputs(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (..., I), weight (O, I), bias (O) -> (..., O), all sums in float32 whatever x is; without a copy of x where O is small."""
    if len(weight) <= OUTPUTS and x.dtype == torch.bfloat16 and compiled(x, LARGE * len(weight)):
        rows: Tensor = _FewOutputs.apply(x.reshape(-1, x.shape[-1]), weight, bias)
        return rows.view(*x.shape[:-1], len(weight))
    return linear(x.float(), weight, bias)


class _FewOutputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        y = x.new_empty(len(x), len(weight), dtype=torch.float32)
        _run(loops.few_outputs, _numbers(x), _numbers(y), weight=_numbers(weight), bias=_numbers(bias))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        to_x, grad = torch.empty_like(x), grad.contiguous()
        to_weight = _sum(loops.few_outputs_gradient, tuple(weight.shape), *map(_numbers, (x, grad, to_x)), weight=_numbers(weight))
        return to_x, to_weight, grad.sum(0)


def image_input(image: Tensor) -> Tensor:
    """uint8 (N, H, W, C) -> (N, C, H, W) in [-0.5, 0.5], channels last in memory; bfloat16 under autocast to it, else float32."""
    if compiled(image) and image.is_contiguous():
        x = torch.empty(image.shape, dtype=_input_dtype(image.device.type))
        _run(loops.image_input, _line(image), _line(x))
    else:
        x = image.to(torch.float32).div_(255).sub_(0.5)
    return x.permute(0, 3, 1, 2)  # without a copy channels lie last in memory, which is the layout that the convolutions like best


def _input_dtype(device: str) -> torch.dtype:
    lower = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.bfloat16
    return torch.bfloat16 if lower else torch.float32


def half_squares(output: Tensor, image: Tensor) -> Tensor:
    """|output - input|^2 / 2 by frame: output (N, C, H, W), image uint8 (N, H, W, C) as of `image_input` -> (N,), float32."""
    result: Tensor = _HalfSquares.apply(output, image)
    return result


class _HalfSquares(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, image: Tensor) -> Tensor:
        rows = output.permute(0, 2, 3, 1)
        ctx.compiled, ctx.dtype = compiled(output) and rows.is_contiguous() and image.is_contiguous(), output.dtype
        if ctx.compiled:
            ctx.save_for_backward(rows, image)
            total = torch.empty(len(rows))
            _run(loops.half_squares, _rows(rows), _rows(image), _line(total))
            return total
        error = rows - (image.to(torch.float32).div_(255).sub_(0.5))
        ctx.save_for_backward(error)
        return 0.5 * torch.linalg.vector_norm(error.flatten(1), dim=1).square()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        if ctx.compiled:
            rows, image = ctx.saved_tensors
            result = torch.empty_like(rows)
            _run(loops.half_squares_gradient, _rows(rows), _rows(image), _line(grad.contiguous()), _rows(result))
        else:
            (error,) = ctx.saved_tensors
            result = (error * grad[:, None, None, None]).to(ctx.dtype)
        return result.permute(0, 3, 1, 2), None


def interleave(parts: Tensor, crop: int, side: int) -> Tensor:
    """Parities of rows and columns, which are channels, laid between each other (sub-pixel convolution, Shi et al. 2016).

    parts (N, 4 O, H, W), channels last in memory, in the order row parity, column parity, O -> (N, O, side, side): the rows and
    columns from ``crop`` on.
    """
    count, channels, height, width = parts.shape
    split = parts.permute(0, 2, 3, 1).reshape(count, height, width, 2, channels // 2)
    if compiled(split):
        rows: Tensor = _Interleave.apply(split, crop, side)
        return rows.permute(0, 3, 1, 2)
    full = split.transpose(2, 3).reshape(count, 2 * height, 2 * width, channels // 4)
    return full[:, crop : crop + side, crop : crop + side].contiguous().permute(0, 3, 1, 2)


class _Interleave(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, split: Tensor, crop: int, side: int) -> Tensor:
        ctx.shape, ctx.crop = split.shape, crop
        rows = split.new_empty(len(split), side, side, split.shape[-1] // 2)
        _run(loops.interleave, _numbers(split), _lines(rows), crop=crop, back=False)
        return rows

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        split = grad.new_empty(ctx.shape)
        _run(loops.interleave, _numbers(split), _lines(grad.contiguous()), crop=ctx.crop, back=True)
        pairs = split.unflatten(-1, (2, -1))  # (N, H, W, row parity, column parity, O): what was cropped has no gradient
        for dim, length in enumerate(split.shape[1:3], 1):
            for line in (*range(ctx.crop), *range(ctx.crop + grad.shape[dim], 2 * length)):
                pairs.select(dim + 2, line % 2).select(dim, line // 2).zero_()
        return split, None, None


def _numbers(x: Tensor) -> np.ndarray:
    """The same memory for numba, bfloat16 as uint16."""
    x = x.detach()
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def _lines(x: Tensor) -> np.ndarray:
    """(N, H, W, C) without gaps -> (N, H, W C)."""
    return _numbers(x).reshape(*x.shape[:2], -1)


def _rows(x: Tensor) -> np.ndarray:
    """(N, ...) without gaps -> (N, numbers)."""
    return _numbers(x).reshape(len(x), -1)


def _line(x: Tensor) -> np.ndarray:
    """All numbers of a tensor as they lie in memory."""
    return _numbers(x.detach().as_strided((x.numel(),), (1,)))


@functools.cache
def _pool(threads: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(threads, "diswm-kernels")


def _run(loop: Callable[..., None], *arrays: np.ndarray, **fixed: Any) -> None:
    """One loop over arrays of equal length, which are split by their first axis among as many threads as PyTorch has."""
    _share(lambda part, pieces: loop(*pieces, **fixed), arrays)


def _sum(loop: Callable[..., None], shape: tuple[int, ...], *arrays: np.ndarray, **fixed: Any) -> Tensor:
    """As `_run`; each thread adds to a ``total`` of its own, zeros of this shape. Their sum."""
    totals = torch.zeros(torch.get_num_threads(), *shape)
    _share(lambda part, pieces: loop(*pieces, total=totals[part].numpy(), **fixed), arrays)
    return totals.sum(0)


def _share(call: Callable[[int, list[np.ndarray]], None], arrays: tuple[np.ndarray, ...]) -> None:
    """Call with the number of each piece, from 0, and the piece of each array."""
    count = len(arrays[0])
    parts = max(1, min(torch.get_num_threads(), count, arrays[0].size // SHARE))
    cuts = [count * part // parts for part in range(parts + 1)]
    pieces = [[array[first:last] for array in arrays] for first, last in itertools.pairwise(cuts)]
    others = [_pool(parts - 1).submit(call, part, piece) for part, piece in enumerate(pieces[1:], 1)]
    call(0, pieces[0])
    for other in others:
        other.result()
