"""Optimisers that refuse a step which is not finite, without asking the device whether it is."""

from __future__ import annotations

from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn


class _Adam(torch.optim.Adam):
    """Adam without what its methods are wrapped in: that imports PyTorch's compiler, for seconds, only to tell it to leave them alone."""

    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)


class Optimiser:
    """Adam with a bound on the gradients' norm, that refuses a step which is not finite."""

    def __init__(self, module: nn.Module, lr: float, eps: float, clip: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.params = list(module.parameters())
        self.on_gpu = self.params[0].is_cuda
        self.adam = _Adam(self.params, lr=lr, betas=betas, eps=eps, fused=True, capturable=self.on_gpu)
        self.clip = clip

    def step(self, loss: Tensor, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Backward, clip, step. Returns the gradients' norm and, as bool, whether the step was taken: never where ``allowed`` is False.

        Other weights that the loss depends on are left alone: their gradients are not even taken. Call it outside of autocast, which
        would round the gradients of float32 layers.
        """
        self.adam.zero_grad(set_to_none=True)
        loss.backward(inputs=self.params)
        norm = nn.utils.clip_grad_norm_(self.params, self.clip, foreach=True)
        taken = torch.isfinite(loss.detach()) & torch.isfinite(norm)
        taken = taken if allowed is None else taken & allowed
        self.adam.found_inf = (~taken).float()  # type: ignore[attr-defined]  # as of a GradScaler: fused Adam reads it where it lies
        self.adam.step()
        return norm, taken

    def load(self, state: dict[str, Any]) -> None:
        """Restore ``adam.state_dict()``; the moments take their weights' memory layout, as fused Adam walks through both as they lie."""
        self.adam.load_state_dict(state)
        for group in self.adam.param_groups:
            group["capturable"] = self.on_gpu  # of this machine, not of the one that saved
        for param, moments in self.adam.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                moments[name] = torch.empty_like(param).copy_(moments[name])
