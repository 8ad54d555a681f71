"""The recurrent state-space model: scanning equals stepping, with actions and without."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from diswm.model import kernels, products
from diswm.model.rssm import RSSM, Latent

B, T, E, Z, D = 3, 5, 4, 6, 8


def build(act_dim: int, layer_norm: bool = True) -> RSSM:
    torch.manual_seed(0)
    return RSSM(E, act_dim, stoch=Z, deter=D, hidden=7, layer_norm=layer_norm)


def inputs(act_dim: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(B, T, E), torch.randn(B, T, act_dim), torch.randn(B, T, Z)


def assert_same(found: Latent, expected: Latent) -> None:
    for name in Latent._fields:
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), msg=name)


def test_size_at_the_paper_s_numbers() -> None:
    rssm = RSSM(20, 2, stoch=50, deter=200, hidden=200)
    assert sum(param.numel() for param in rssm.parameters()) == 377_000


@pytest.mark.parametrize("act_dim", [0, 2])
def test_observe_gives_latents_of_each_step(act_dim: int) -> None:
    rssm = build(act_dim)
    embed, action, noise = inputs(act_dim)
    post, prior = rssm.observe(embed, action, rssm.initial(B), noise)
    for latent in (post, prior):
        assert latent.mean.shape == latent.std.shape == latent.stoch.shape == (B, T, Z)
        assert latent.deter.shape == (B, T, D)
        assert float(latent.std.detach().min()) > 0.1
        assert float(latent.std.detach().max()) < 2.1
    assert torch.equal(prior.deter, post.deter)
    assert torch.equal(prior.stoch, prior.mean)
    assert torch.equal(post.feature, torch.cat([post.stoch, post.deter], -1))


@pytest.mark.parametrize("act_dim", [0, 2])
def test_observe_in_one_go_equals_frame_by_frame(act_dim: int) -> None:
    rssm = build(act_dim)
    embed, action, noise = inputs(act_dim)
    whole, _ = rssm.observe(embed, action, rssm.initial(B), noise)
    state = rssm.initial(B)
    for t in range(T):
        post, _ = rssm.observe(embed[:, t : t + 1], action[:, t : t + 1], state, noise[:, t : t + 1])
        state = post.map(lambda part: part[:, 0])
        assert_same(state, whole.map(lambda part, t=t: part[:, t]))


def test_action_t_leads_to_frame_t() -> None:
    """A changed action at t = 2 leaves everything before untouched and changes deter and prior of t = 2 itself."""
    rssm = build(2)
    embed, action, noise = inputs(2)
    other = action.clone()
    other[:, 2] += 1
    (post_a, prior_a), (post_b, prior_b) = (rssm.observe(embed, a, rssm.initial(B), noise) for a in (action, other))
    assert torch.equal(post_a.feature[:, :2], post_b.feature[:, :2])
    assert not torch.allclose(post_a.deter[:, 2], post_b.deter[:, 2])
    assert not torch.allclose(prior_a.mean[:, 2], prior_b.mean[:, 2])


def test_prior_does_not_see_the_frame_and_posterior_does() -> None:
    rssm = build(2)
    embed, action, noise = inputs(2)
    other = embed.clone()
    other[:, 2] += 1
    (post_a, prior_a), (post_b, prior_b) = (rssm.observe(e, action, rssm.initial(B), noise) for e in (embed, other))
    assert torch.equal(prior_a.mean[:, :3], prior_b.mean[:, :3])
    assert not torch.allclose(post_a.mean[:, 2], post_b.mean[:, 2])
    assert not torch.allclose(prior_a.mean[:, 3], prior_b.mean[:, 3])


def test_prior_of_observe_is_the_imagined_next_step() -> None:
    rssm = build(2)
    embed, action, noise = inputs(2)
    post, prior = rssm.observe(embed, action, rssm.initial(B), noise)
    ahead = rssm.imagine_step(post.map(lambda part: part[:, 1]), action[:, 2], torch.zeros(B, Z))
    assert_same(ahead, prior.map(lambda part: part[:, 2]))


def test_imagine_equals_its_steps() -> None:
    rssm = build(2)
    _, action, noise = inputs(2)
    state = Latent(*torch.randn(3, B, Z), torch.randn(B, D))
    whole = rssm.imagine(state, action, noise)
    for t in range(T):
        state = rssm.imagine_step(state, action[:, t], noise[:, t])
        assert_same(whole.map(lambda part, t=t: part[:, t]), state)


def test_zero_noise_gives_means_and_noise_is_scaled_by_std() -> None:
    rssm = build(2)
    embed, action, noise = inputs(2)
    still, _ = rssm.observe(embed, action, rssm.initial(B), torch.zeros_like(noise))
    assert torch.equal(still.stoch, still.mean)
    moved, _ = rssm.observe(embed, action, rssm.initial(B), noise)
    torch.testing.assert_close(moved.stoch, moved.mean + moved.std * noise)


def test_no_gradient_is_cut_on_the_way_back_in_time() -> None:
    rssm = build(2)
    embed, action, noise = inputs(2)
    embed.requires_grad_()
    post, _ = rssm.observe(embed, action, rssm.initial(B), noise)
    post.feature[:, -1].sum().backward()
    assert (embed.grad.abs().sum((0, 2)) > 0).all()


def plainly(rssm: RSSM, embed: torch.Tensor, action: torch.Tensor, noise: torch.Tensor, state: Latent) -> list[torch.Tensor]:
    """`observe` step by step, each layer as it is: the posterior's parts, then mean and std of the prior, for each step."""
    found = []
    for t in range(embed.shape[1]):
        deter = rssm.cell(F.elu(rssm.inp(torch.cat([state.stoch, action[:, t]], -1))), state.deter)
        mean, raw = rssm.post_stats(F.elu(rssm.post_hidden(torch.cat([deter, embed[:, t]], -1)))).chunk(2, -1)
        std = 2 * torch.sigmoid(raw / 2) + 0.1
        state = Latent(mean, std, mean + std * noise[:, t], deter)
        found += [*state, *rssm.prior(deter)]
    return found


@pytest.mark.parametrize("least", [1, 2**30])  # multiplications that are worth oneDNN's product, and numbers that are worth numba's loops
@pytest.mark.parametrize("act_dim", [0, 2])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_gradients_of_a_scan_are_those_of_its_steps(layer_norm: bool, act_dim: int, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of at most B T = 15 products of numbers near 1: in another order they differ by some 1e-6."""
    monkeypatch.setattr(products, "PRODUCT", least)
    monkeypatch.setattr(kernels, "FEW", least)
    rssm = build(act_dim, layer_norm)
    embed, action, noise = inputs(act_dim)
    state = Latent(*torch.randn(3, B, Z), torch.randn(B, D)).map(torch.Tensor.requires_grad_)
    given = [embed.requires_grad_(), *([action.requires_grad_()] if act_dim else []), state.stoch, state.deter, *rssm.parameters()]

    def gradients(found: list[torch.Tensor]) -> list[torch.Tensor]:
        return list(torch.autograd.grad(sum((part.square().sum() for part in found), torch.zeros(())), given))

    post, prior = rssm.observe(embed, action, state, noise)
    whole = gradients([*post, prior.mean, prior.std])
    assert all(float(grad.abs().max()) > 0 for grad in whole)
    torch.testing.assert_close(whole, gradients(plainly(rssm, embed, action, noise, state)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("least", [1, 2**30])  # numbers that are worth numba's loops
def test_gradients_of_a_part_alone(least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none come for the others."""
    monkeypatch.setattr(kernels, "FEW", least)
    rssm = build(2)
    embed, action, noise = inputs(2)
    given = [embed.requires_grad_(), action.requires_grad_(), *rssm.parameters()]
    post, _ = rssm.observe(embed, action, rssm.initial(B), noise)
    steps = plainly(rssm, embed, action, noise, rssm.initial(B))
    for i, part in enumerate(post):
        found, expected = (
            torch.autograd.grad(one.sin().sum(), given, retain_graph=True, materialize_grads=True)
            for one in (part, torch.stack(steps[i::6], 1))
        )
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_autocast_changes_nothing() -> None:
    """Neither the results nor their gradients."""
    rssm = build(2)
    embed, action, noise = inputs(2)
    found = []
    for lower in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            post, prior = rssm.observe(embed.bfloat16(), action, rssm.initial(B), noise)
        found.append([*post, *prior, *torch.autograd.grad(post.feature.sum() + prior.std.sum(), list(rssm.parameters()))])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_second_derivatives_are_refused() -> None:
    rssm = build(2)
    embed, action, noise = inputs(2)
    post, _ = rssm.observe(embed.requires_grad_(), action, rssm.initial(B), noise)
    (slope,) = torch.autograd.grad(post.stoch.square().sum(), embed, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_clips_of_several_lengths_are_refused() -> None:
    rssm = build(2)
    for short in range(3):
        parts = [part[:, : T - (i == short)] for i, part in enumerate(inputs(2))]
        with pytest.raises(ValueError, match=r"shorter|longer"):
            rssm.observe(*parts[:2], rssm.initial(B), parts[2])


def test_weights_that_are_held_fixed_get_no_gradient() -> None:
    rssm = build(2).requires_grad_(False)
    embed, action, noise = inputs(2)
    post, _ = rssm.observe(embed.requires_grad_(), action, rssm.initial(B), noise)
    post.feature.sum().backward()
    assert float(embed.grad.abs().min()) > 0
    assert all(param.grad is None for param in rssm.parameters())
