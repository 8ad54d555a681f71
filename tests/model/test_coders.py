"""Encoders and decoders: shapes, sizes, noise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from diswm.model.decoder import BottleneckDecoder, PlainDecoder
from diswm.model.encoder import GaussianEncoder, PlainEncoder


def count(module: nn.Module) -> int:
    return sum(param.numel() for param in module.parameters())


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: GaussianEncoder(20), 389_096),
        (lambda: BottleneckDecoder(250, 20), 388_959),
        (lambda: PlainEncoder(), 690_144),
        # 250 x 1024 + 1024, then k5, k5, k6, k6: 1024-128-64-32-3 channels
        (lambda: PlainDecoder(250), 257_024 + 3_276_928 + 204_864 + 73_760 + 3_459),
    ],
    ids=["gaussian", "bottleneck", "plain encoder", "plain decoder"],
)
def test_parameter_counts_are_the_published_ones(build, expected: int) -> None:
    assert count(build()) == expected


def test_gaussian_encoder_gives_mean_and_logvar() -> None:
    code = GaussianEncoder(5, depth=2)(torch.rand(3, 3, 64, 64) - 0.5)
    assert code.mean.shape == code.logvar.shape == (3, 5)


def test_gaussian_sample_is_mean_plus_std_times_noise() -> None:
    code = GaussianEncoder(5, depth=2)(torch.rand(3, 3, 64, 64) - 0.5)
    noise = torch.randn(3, 5)
    assert torch.equal(code.sample(torch.zeros(3, 5)), code.mean)
    torch.testing.assert_close((code.sample(noise) - code.mean) / noise, torch.exp(code.logvar / 2), rtol=1e-3, atol=1e-4)


def test_logvar_stays_in_bounds() -> None:
    encoder = GaussianEncoder(2, depth=2)
    nn.init.zeros_(encoder.stats.weight)
    with torch.no_grad():
        encoder.stats.bias.copy_(torch.tensor([0.0, 0.0, -99.0, 99.0]))
    assert encoder(torch.zeros(1, 3, 64, 64)).logvar.tolist() == [[-20.0, 20.0]]


def test_plain_encoder_has_no_noise() -> None:
    encoder = PlainEncoder(depth=2)
    code = encoder(torch.rand(3, 3, 64, 64))
    assert encoder.noise_size == 0
    assert code.mean.shape == (3, encoder.size) == (3, 64)
    assert code.logvar.shape == (3, 0)
    assert torch.equal(code.sample(torch.zeros(3, 0)), code.mean)


@pytest.mark.parametrize("decoder", [BottleneckDecoder(10, 4, depth=2), PlainDecoder(10, depth=2)], ids=["bottleneck", "plain"])
def test_decoders_give_images(decoder: nn.Module) -> None:
    assert decoder(torch.randn(3, 10)).shape == (3, 3, 64, 64)


def test_bottleneck_is_as_narrow_as_the_code() -> None:
    """Whatever the feature, the image depends on 4 numbers."""
    decoder = BottleneckDecoder(10, 4, depth=2)
    feature = torch.randn(1, 10)
    null = torch.linalg.svd(decoder.stem[0].weight.detach())[2][4:]  # features that the first layer does not see
    torch.testing.assert_close(decoder(feature + 5 * null[:1]), decoder(feature), rtol=1e-3, atol=1e-4)
