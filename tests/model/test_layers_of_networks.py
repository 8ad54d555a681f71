"""GRU cell, initial weights, images in and out, precision of last layers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from diswm.model.kernels import image_input
from diswm.model.layers import MLP, NormGRUCell, OutputLinear, UpConv, WholeConv, kaiming_, output_to_images


@pytest.mark.parametrize("norm", [True, False])
def test_gru_cell_against_a_naive_loop(norm: bool) -> None:
    """Spec B3, one number at a time: gates r, c, u in this order; c = tanh(r c); u = sigmoid(u - 1); h = u c + (1 - u) h."""
    torch.manual_seed(0)
    cell = NormGRUCell(3, 2, norm=norm)
    x, state = torch.randn(4, 3), torch.randn(4, 2)
    found = cell(x, state).detach()
    weight, bias = cell.linear.weight.detach(), cell.linear.bias.detach()
    for b in range(4):
        joined = torch.cat([x[b], state[b]])
        parts = [float(weight[i] @ joined + bias[i]) for i in range(6)]
        if norm:  # fresh layer norm: weight 1, bias 0
            mean = sum(parts) / 6
            variance = sum((p - mean) ** 2 for p in parts) / 6
            parts = [(p - mean) / math.sqrt(variance + 1e-5) for p in parts]
        for i in range(2):
            reset = 1 / (1 + math.exp(-parts[i]))
            candidate = math.tanh(reset * parts[2 + i])
            update = 1 / (1 + math.exp(1 - parts[4 + i]))
            expected = update * candidate + (1 - update) * float(state[b, i])
            assert float(found[b, i]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("kernel", "padding", "side"), [(4, 1, 8), (4, 1, 2), (6, 0, 7), (5, 0, 5), (5, 1, 5), (4, 0, 1), (5, 0, 1), (4, 1, 1)]
)
def test_up_conv_is_the_transposed_convolution(kernel: int, padding: int, side: int) -> None:
    """The same numbers and gradients in double precision; a different order of sums alone, so about 1e-14 apart."""
    torch.manual_seed(0)
    layer = UpConv(5, 3, kernel, 2, padding).double()
    x = torch.randn(2, 5, side, side, dtype=torch.float64, requires_grad=True)
    found, expected = layer(x), F.conv_transpose2d(x, layer.weight, layer.bias, 2, padding)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    grad, inputs = torch.randn_like(expected), (x, layer.weight, layer.bias)
    for ours, theirs in zip(torch.autograd.grad(found, inputs, grad), torch.autograd.grad(expected, inputs, grad), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_whole_conv_is_the_convolution() -> None:
    torch.manual_seed(0)
    layer, x = WholeConv(5, 3, 4).double(), torch.randn(2, 5, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias), rtol=0, atol=1e-12)


def test_kaiming_reaches_linear_and_conv_but_not_transposed_conv() -> None:
    """Std sqrt(2 / fan_in): for 400 inputs 0.0707, for 3 x 4 x 4 inputs 0.204. Transposed convolutions keep their own."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(400, 300), nn.Conv2d(3, 200, 4), nn.ConvTranspose2d(8, 8, 4))
    before = net[2].weight.clone()
    kaiming_(net)
    net.requires_grad_(False)
    assert float(net[0].weight.std()) == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert float(net[1].weight.std()) == pytest.approx(math.sqrt(2 / 48), rel=0.02)
    assert float(net[0].bias.abs().max()) == float(net[1].bias.abs().max()) == 0
    assert torch.equal(net[2].weight, before)
    assert float(net[2].bias.abs().max()) > 0


def test_mlp_has_elu_between_and_none_after() -> None:
    net = MLP([3, 4, 4, 2])
    assert [type(layer).__name__ for layer in net] == ["Linear", "ELU", "Linear", "ELU", "OutputLinear"]
    assert [layer.out_features for layer in net if isinstance(layer, nn.Linear)] == [4, 4, 2]


def test_last_layer_keeps_float32_under_autocast() -> None:
    """100.3 has no neighbour in bfloat16 nearer than 100.5 and 100: the layer must give it all the same."""
    layer = OutputLinear(1, 1)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        layer.weight.fill_(100.3)
        layer.bias.zero_()
        out = layer(torch.ones(1, 1, dtype=torch.bfloat16))
    assert out.dtype == torch.float32
    assert float(out) == pytest.approx(100.3, rel=1e-6)


def test_images_go_in_and_come_out_the_same() -> None:
    image = torch.randint(0, 256, (2, 3, 8, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    image[0, 0, 0, 0] = torch.tensor([0, 128, 255])
    kept = image.clone()
    x = image_input(image.flatten(0, -4))
    assert x.shape == (6, 3, 8, 6)
    assert x.dtype == torch.float32
    torch.testing.assert_close(x[0, :, 0, 0], torch.tensor([-0.5, 128 / 255 - 0.5, 0.5]))  # channels first, black to white
    assert torch.equal(output_to_images(x.unflatten(0, (2, 3))), image)
    assert torch.equal(image, kept)


def test_output_is_clipped_to_bytes() -> None:
    output = torch.tensor([-9.0, 0.0, 9.0])[:, None, None]  # (C, H, W)
    assert output_to_images(output).flatten().tolist() == [0, 128, 255]  # 127.5 rounds to even
