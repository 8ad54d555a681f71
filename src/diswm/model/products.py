"""Products in float32 on a CPU by oneDNN, which PyTorch does not choose for them."""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import Tensor
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


class InSteps:
    """base[:, t] + x_t @ weight^T for T steps of which each x_t depends on the one before: base (B, T, O), weight (O, I).

    The gradient of the weights is taken from all steps in one product. PyTorch by itself takes one a step and adds it to the others. No
    second derivatives, and no x_t may be changed in place before the gradients are taken.
    """

    def __init__(self, base: Tensor, weight: Tensor) -> None:
        self.inputs: list[Tensor] = []
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # a graph has gradients of its own
            base, weight = _WeightLater.apply(base, weight, self.inputs), weight.detach()
        self.bases, self.weight = base.unbind(1), weight.t()

    def __call__(self, t: int, x: Tensor) -> Tensor:
        """x (B, I) -> (B, O), for t = 0, 1, ... in turn."""
        self.inputs.append(x.detach())
        return torch.addmm(self.bases[t], x, self.weight)


class _WeightLater(torch.autograd.Function):
    """Nothing forward. Backward, what comes is the gradient of each step's sum, of which that of the weights follows."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, weight: Tensor, inputs: list[Tensor]) -> Tensor:
        ctx.inputs = inputs
        ctx.save_for_backward(weight)
        return base.view_as(base)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (weight,) = ctx.saved_tensors
        if not ctx.needs_input_grad[1]:
            return grad, None, None
        x, rows = torch.stack(ctx.inputs, 1).flatten(0, 1).to(grad.dtype), grad.flatten(0, 1)
        return grad, _product_over_rows(rows, x) if by_onednn(x, weight) else rows.t() @ x, None


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
