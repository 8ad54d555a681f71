"""Products in float32 on a CPU by oneDNN, which PyTorch does not choose for them."""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_X86 = ("x86_64", "AMD64")
PRODUCT = 2**20  # multiplications that are worth a call of oneDNN
ROWS = 2_048  # of one of its products over rows
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise") and platform.machine() in _X86


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (..., I), weight (O, I), bias (O) or none -> (..., O), as `F.linear`; in float32 on a CPU by oneDNN.

    PyTorch takes MKL for these products, which reaches half of oneDNN's rate on processors of another maker than its own.
    """
    if not by_onednn(x, weight):
        return F.linear(x, weight, bias)
    rows: Tensor = _Linear.apply(x.reshape(-1, x.shape[-1]), weight, bias)
    return rows.view(*x.shape[:-1], len(weight))


def launches_bind(x: Tensor) -> bool:
    """Whether it is the number of operations that takes the time, where x lies."""
    return x.is_cuda


class InSteps:
    """A linear layer for inputs (N, I) of which each depends on the results before, for which gradients of weight and bias are taken of all
    steps at once: PyTorch by itself takes them one a step and adds each to the others, under autocast in the lower precision.

    For where `launches_bind`; a CPU would pay for the copies. Its products are of type ``dtype``. No second derivatives, and no input
    may be changed in place before the gradients are taken.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self.inputs: list[Tensor] = []
        self.grads: dict[int, Tensor] = {}
        self.later = _Later.apply(self.inputs, self.grads, weight, bias)
        self.weight, self.bias = weight.detach().to(dtype), bias.detach().to(dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """(N, I) -> (N, O)."""
        result: Tensor = _Step.apply(self, self.later, x)
        return result


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, steps: InSteps, later: Tensor, x: Tensor) -> Tensor:
        ctx.steps, ctx.step, ctx.dtype = steps, len(steps.inputs), x.dtype
        steps.inputs.append(x.detach().to(steps.weight.dtype))
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(steps.inputs[-1], steps.weight, steps.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor | None]:
        ctx.steps.grads[ctx.step] = grad
        return None, None, (grad @ ctx.steps.weight).to(ctx.dtype) if ctx.needs_input_grad[2] else None


class _Later(torch.autograd.Function):
    """Nothing, which each step takes: so its turn comes after theirs."""

    @staticmethod
    def forward(ctx: Any, inputs: list[Tensor], grads: dict[int, Tensor], weight: Tensor, bias: Tensor) -> Tensor:
        ctx.inputs, ctx.grads, ctx.dtype = inputs, grads, weight.dtype  # not all that holds what comes of this: it would never be freed
        ctx.set_materialize_grads(False)
        return weight.new_empty(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, nothing: None) -> tuple[None, None, Tensor, Tensor]:
        x, grad = torch.cat([ctx.inputs[t] for t in ctx.grads]), torch.cat(list(ctx.grads.values()))
        ctx.grads.clear()
        return None, None, (grad.t() @ x).to(ctx.dtype), grad.sum(0, dtype=ctx.dtype)


def over_rows(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient of a weight (O, I) from those of its products (..., O) and what it multiplied (..., I)."""
    grad, x = grad.flatten(0, -2), x.flatten(0, -2)
    return _product_over_rows(grad, x) if by_onednn(x, grad.t()) else grad.t() @ x


def by_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether `linear` takes oneDNN's product: float32 on a CPU, large enough, not under autocast and not while a graph is recorded."""
    return (
        ONEDNN
        and not torch.compiler.is_compiling()  # first: a graph would be bound to the batches for which the size below holds
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() * len(weight) >= PRODUCT
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
    )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            _product(grad, weight.t()) if to_x else None,
            _product_over_rows(grad, x) if to_weight else None,
            grad.sum(0) if to_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (N, I) @ weight (O, I)^T. Of a matrix with gaps a copy is made: with gaps oneDNN takes a thousand times as long."""
    x, weight = (part if part.is_contiguous() or part.t().is_contiguous() else part.contiguous() for part in (x, weight))
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return result


def _product_over_rows(grad: Tensor, x: Tensor) -> Tensor:
    """grad (N, O)^T @ x (N, I), in parts that stay in the cache; first stands the smaller one, as oneDNN turns that round."""
    turned = x.shape[1] < grad.shape[1]
    left, right = (x, grad) if turned else (grad, x)
    total = _product(left[:ROWS].t(), right[:ROWS].t())
    for first in range(ROWS, len(x), ROWS):
        total += _product(left[first : first + ROWS].t(), right[first : first + ROWS].t())
    return total.t() if turned else total
