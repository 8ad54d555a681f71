"""Likelihoods and the balanced KL against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from diswm.model import Latent
from diswm.model.kernels import image_input
from diswm.objectives.prediction import FreeNats, continue_term, image_term, image_term_in_parts, kl_terms, reward_term

B, T, Z = 2, 3, 4


def latent(seed: int) -> Latent:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(B, T, Z, generator=generator).requires_grad_()
    std = (torch.rand(B, T, Z, generator=generator) + 0.2).requires_grad_()
    return Latent(mean, std, mean, torch.zeros(B, T, 1))


def shifted(shift: list[list[float]]) -> tuple[Latent, Latent]:
    """Posterior and prior of unit std whose KL is shift^2 / 2 at each (b, t)."""
    mean = torch.tensor(shift)[..., None].requires_grad_()
    one, zero = torch.ones_like(mean), torch.zeros_like(mean).requires_grad_()
    return Latent(mean, one, mean, one), Latent(zero, one, zero, one)


def test_image_term_of_a_perfect_output_is_the_constant() -> None:
    """12288 pixels x 0.5 ln(2 pi) = 11291.8; each wrong by 0.1 adds 12288 x 0.005 = 61.44."""
    image = torch.randint(0, 256, (B, T, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    perfect = image_input(image.flatten(0, 1)).unflatten(0, (B, T))
    constant = 64 * 64 * 3 * 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(image_term(perfect, image), torch.full((B, T), constant))
    torch.testing.assert_close(image_term(perfect + 0.1, image), torch.full((B, T), constant + 61.44))


def decoding(windows: int) -> tuple[list[int], torch.Tensor, torch.nn.Module, torch.Tensor, torch.Tensor]:
    """Sizes of what is decoded, the term in parts of so many windows, decoder, feature and image; the last part is smaller."""
    generator, sizes = torch.Generator().manual_seed(0), []
    image = torch.randint(0, 256, (5, T, 8, 8, 3), dtype=torch.uint8, generator=generator)
    feature = torch.randn(5, T, Z, generator=generator).requires_grad_()
    decoder = torch.nn.Linear(Z, 3 * 8 * 8)
    with torch.no_grad():
        decoder.weight.copy_(torch.randn(decoder.weight.shape, generator=generator))
        decoder.bias.zero_()

    def decode(feature: torch.Tensor) -> torch.Tensor:
        sizes.append(len(feature))
        output: torch.Tensor = decoder(feature).unflatten(-1, (3, 8, 8))
        return output

    term = image_term_in_parts(decode, decoder, feature, image, windows) if windows else image_term(decode(feature), image)
    return sizes, term, decoder, feature, image


def test_an_image_term_in_parts_is_that_of_the_whole() -> None:
    """To rounding: sums over frames are made in another order."""
    (sizes, term, decoder, feature, _), (_, plain, whole, given, _) = decoding(2), decoding(0)
    assert sizes == [2, 2, 1]
    assert torch.equal(term, plain)
    (0.5 * term.mean()).backward()
    (0.5 * plain.mean()).backward()
    torch.testing.assert_close(feature.grad, given.grad)
    for found, expected in zip(decoder.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


def test_an_image_term_in_parts_refuses_frames_that_count_differently() -> None:
    term = decoding(2)[1]
    with pytest.raises(ValueError, match="mean over all frames"):
        (term[0].mean() + 2 * term[1].mean()).backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_of_the_image_term_is_the_error(dtype: torch.dtype) -> None:
    """d/do (o - x)^2 / 2 = o - x, times 2 for the first frame, which is weighted so; bfloat16 keeps 8 bits: within 2^-8."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 2, 64, 64, 3), dtype=torch.uint8, generator=generator)
    output = torch.randn(1, 2, 3, 64, 64, generator=generator).to(dtype).requires_grad_()
    (image_term(output, image) * torch.tensor([2.0, 1.0])).sum().backward()
    error = output.detach().float() - image_input(image.flatten(0, 1)).unflatten(0, (1, 2))
    expected = error * torch.tensor([2.0, 1.0])[:, None, None, None]
    assert output.grad is not None
    assert output.grad.dtype == dtype
    torch.testing.assert_close(output.grad.float(), expected, rtol=2**-8 if dtype == torch.bfloat16 else 1e-6, atol=0)


def test_image_term_matches_each_frame_to_its_own() -> None:
    image = torch.zeros(B, T, 64, 64, 3, dtype=torch.uint8)
    image[1, 2] = 255
    output = image_input(image.flatten(0, 1)).unflatten(0, (B, T)).clone()
    output[1, 2] = -0.5  # black where the frame is white: 12288 x 0.5 more
    term = image_term(output, image)
    assert float(term[1, 2] - term[0, 0]) == pytest.approx(12288 * 0.5, rel=1e-4)
    assert int((term == term[0, 0]).sum()) == B * T - 1


def test_reward_and_continue_terms() -> None:
    generator = torch.Generator().manual_seed(0)
    output, reward = torch.randn(2, B, T, generator=generator)
    terminal = torch.tensor([[False, False, True], [False, True, False]])
    torch.testing.assert_close(reward_term(output, reward), -Normal(output, 1.0).log_prob(reward))
    expected = -Bernoulli(logits=output).log_prob((~terminal).float())
    torch.testing.assert_close(continue_term(output, terminal), expected)


def test_kl_terms_have_the_same_value_and_different_gradients() -> None:
    post, prior = latent(0), latent(1)
    expected = kl_divergence(Normal(post.mean, post.std), Normal(prior.mean, prior.std)).sum(-1)
    terms = kl_terms(post, prior, free_nats=0.0)
    torch.testing.assert_close(terms["dyn"], expected)
    torch.testing.assert_close(terms["rep"], expected)

    for name, trained, left in (("dyn", prior, post), ("rep", post, prior)):
        leaves = [trained.mean, trained.std, left.mean, left.std]
        of_mean, of_std, *others = torch.autograd.grad(terms[name].sum(), leaves, allow_unused=True)
        assert float(of_mean.abs().min()) > 0
        assert float(of_std.abs().min()) > 0
        assert others == [None, None]


@pytest.mark.parametrize(
    ("floor", "expected"),
    [
        # KL 0.5 and 4.5: the mean 2.5 lies above 1, so nothing is floored; by step the first becomes 1.
        ("mean", [[0.5, 4.5]]),
        ("step", [[1.0, 4.5]]),
    ],
)
def test_free_nats_above_the_floor_of_the_mean(floor: FreeNats, expected: list[list[float]]) -> None:
    post, prior = shifted([[1.0, 3.0]])
    for term in kl_terms(post, prior, 1.0, floor).values():
        torch.testing.assert_close(term.detach(), torch.tensor(expected))


@pytest.mark.parametrize(
    ("floor", "value", "gradient"),
    [
        # KL 0.125 and 1.125: the mean 0.625 lies below 1 and all becomes 1, without gradient; by step only the first does.
        ("mean", [[1.0, 1.0]], [[0.0, 0.0]]),
        ("step", [[1.0, 1.125]], [[0.0, 1.5]]),
    ],
)
def test_free_nats_below(floor: FreeNats, value: list[list[float]], gradient: list[list[float]]) -> None:
    post, prior = shifted([[0.5, 1.5]])
    rep = kl_terms(post, prior, 1.0, floor)["rep"]
    torch.testing.assert_close(rep.detach(), torch.tensor(value))
    rep.sum().backward()
    torch.testing.assert_close(post.mean.grad[..., 0], torch.tensor(gradient))
