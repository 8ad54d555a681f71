"""Layers that more than one network uses."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diswm.model.kernels import elu, few_outputs, gru_gates, interleave
from diswm.model.products import InSteps, linear


class Linear(nn.Linear):
    """`nn.Linear`, fast in float32 on a CPU too."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    def in_steps(self) -> InSteps:
        """The same for inputs of which each depends on the results before, in the precision of the moment."""
        device = self.weight.device.type
        return InSteps(self.weight, self.bias, torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.weight.dtype)


class OutputLinear(nn.Linear):
    """A network's last linear layer, in float32 also under autocast: bfloat16 would round a return of 100 to 100 +- 0.25."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return few_outputs(x, self.weight, self.bias)

    def in_steps(self) -> InSteps:
        """The same for inputs of which each depends on the results before."""
        return InSteps(self.weight, self.bias, self.weight.dtype)


class ELU(nn.Module):
    """exp(x) - 1 below 0, x above; `nn.ELU`, fast on a CPU too."""

    def forward(self, x: Tensor) -> Tensor:
        return elu(x)


class MLP(nn.Sequential):
    """Linear layers of the given sizes with ELU between them, none after the last."""

    def __init__(self, sizes: list[int]) -> None:
        layers: list[nn.Module] = []
        for fan_in, fan_out in itertools.pairwise(sizes[:-1]):
            layers += [Linear(fan_in, fan_out), ELU()]
        super().__init__(*layers, OutputLinear(sizes[-2], sizes[-1]))

    def in_steps(self) -> Callable[[Tensor], Tensor]:
        """The same for inputs (N, F) of which each depends on the results before: gradients of the weights are taken of all at once."""
        layers = [layer.in_steps() if isinstance(layer, Linear | OutputLinear) else layer for layer in self]
        return lambda x: functools.reduce(lambda x, layer: layer(x), layers, x)


def kaiming_(module: nn.Module) -> None:
    """Kaiming-normal weights and zero biases for Linear and Conv2d; other layers keep PyTorch's default."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


class WholeConv(nn.Conv2d):
    """A convolution whose kernel covers its whole input: one product, several times faster than a convolution of one place."""

    def forward(self, input: Tensor) -> Tensor:
        """input (N, I, k, k) -> (N, O, 1, 1)."""
        rows, columns = (part.permute(0, 2, 3, 1).flatten(1) for part in (input, self.weight))  # no copies where channels lie last
        return linear(rows, columns, self.bias)[:, :, None, None]


class UpConv(nn.ConvTranspose2d):
    """A transposed convolution of stride 2 in the form that processors like best; from one place only, a product.

    Output rows of the same parity share a kernel half as large, and so do columns: an ordinary convolution gives the
    four parities as channels, which are then laid between each other (sub-pixel convolution, Shi et al. 2016). With
    bfloat16 on a CPU this takes two thirds of the time of the transposed form, forward and backward.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """input (N, I, H, W) -> (N, O, H', W'), as nn.ConvTranspose2d; W = H, channels last in memory."""
        count, _, side, _ = input.shape
        kernel, padding, out = self.kernel_size[0], int(self.padding[0]), self.out_channels
        assert self.bias is not None
        if side == 1:
            weight = self.weight.permute(2, 3, 1, 0).reshape(-1, self.in_channels)
            full = linear(input.flatten(1), weight, self.bias.repeat(kernel * kernel)).view(count, kernel, kernel, out)
            return full[:, padding : kernel - padding, padding : kernel - padding].permute(0, 3, 1, 2)
        taps = (kernel + 1) // 2
        odd = kernel % 2
        # (I, O, tap, row parity, tap, column parity): taps from the last to the first, as a convolution is a correlation
        parts = F.pad(self.weight, (0, odd, 0, odd)).unflatten(3, (taps, 2)).unflatten(2, (taps, 2)).flip(2, 4)
        weight = parts.permute(3, 5, 1, 0, 2, 4).reshape(4 * out, self.in_channels, taps, taps)
        border = taps - 1
        if border > 1:  # oneDNN takes a slow path for the gradient of so wide a padding
            input = F.pad(input.permute(0, 2, 3, 1), (0, 0, *[border] * 4)).permute(0, 3, 1, 2)
        parities = F.conv2d(input, weight, self.bias.repeat(4), padding=border if border <= 1 else 0)
        return interleave(parities, padding, 2 * (side + border - padding) - odd)


class NormGRUCell(nn.Module):
    """GRU cell with one layer norm over its three gates (DreamerV2).

    The reset gate multiplies the candidate, and the update gate is biased by -1, so that the state keeps at first.
    """

    def __init__(self, input_size: int, size: int, *, norm: bool = True) -> None:
        super().__init__()
        self.size = size
        self.linear = Linear(input_size + size, 3 * size)
        self.norm = nn.LayerNorm(3 * size) if norm else nn.Identity()

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """x (B, input_size), state (B, size) -> next state (B, size)."""
        parts = self.linear(torch.cat([x, state.to(x.dtype)], -1))
        return gru_gates(parts, state, self.norm)


def output_to_images(output: Tensor) -> Tensor:
    """float (..., C, H, W) around [-0.5, 0.5] -> uint8 (..., H, W, C), clipped."""
    pixels = (output.float() + 0.5).mul(255).round().clamp(0, 255)
    return pixels.to(torch.uint8).movedim(-3, -1)
