"""Layers that more than one network uses."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


class OutputLinear(nn.Linear):
    """A network's last linear layer, in float32 also under autocast: bfloat16 would round a return of 100 to 100 +- 0.25."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def mlp(sizes: list[int]) -> nn.Sequential:
    """Linear layers of the given sizes with ELU between them, none after the last."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes[:-1]):
        layers += [nn.Linear(fan_in, fan_out), nn.ELU()]
    return nn.Sequential(*layers, OutputLinear(sizes[-2], sizes[-1]))


def kaiming_(module: nn.Module) -> None:
    """Kaiming-normal weights and zero biases for Linear and Conv2d; other layers keep PyTorch's default (spec B2)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


class NormGRUCell(nn.Module):
    """GRU cell with one layer norm over its three gates (DreamerV2; spec B3).

    The reset gate multiplies the candidate, and the update gate is biased by -1, so that the state keeps at first.
    """

    def __init__(self, input_size: int, size: int, *, norm: bool = True) -> None:
        super().__init__()
        self.size = size
        self.linear = nn.Linear(input_size + size, 3 * size)
        self.norm = nn.LayerNorm(3 * size) if norm else nn.Identity()

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """x (B, input_size), state (B, size) -> next state (B, size)."""
        parts = self.norm(self.linear(torch.cat([x, state], -1)).float())
        reset, candidate, update = parts.chunk(3, -1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        return torch.lerp(state, candidate, torch.sigmoid(update - 1))


def images_to_input(image: Tensor) -> Tensor:
    """uint8 (..., H, W, C) -> float (N, C, H, W) in [-0.5, 0.5], N the product of the leading axes."""
    flat = image.reshape(-1, *image.shape[-3:])
    # Permuting without a copy leaves the channels last in memory, which is the layout that the convolutions like best.
    return flat.permute(0, 3, 1, 2).to(torch.float32).div_(255).sub_(0.5)


def output_to_images(output: Tensor) -> Tensor:
    """float (..., C, H, W) around [-0.5, 0.5] -> uint8 (..., H, W, C), clipped."""
    pixels = (output.float() + 0.5).mul(255).round().clamp(0, 255)
    return pixels.to(torch.uint8).movedim(-3, -1)
