"""The world model as a whole: filtering, the action-free model, and starting from one."""

from __future__ import annotations

import math

import pytest
import torch

from diswm.model import Latent, ModelConfig, WorldModel
from diswm.model.encoder import Code
from diswm.model.heads import Actor, OneHotActor, ScalarHead

SMALL = ModelConfig(z_dim=4, stoch=6, deter=8, hidden=7, depth=2, units=9)
PLAIN = ModelConfig(encoder="plain", stoch=6, deter=8, hidden=7, depth=2, units=9)
B, T = 2, 4


def build(config: ModelConfig = SMALL, act_dim: int = 3, seed: int = 0) -> WorldModel:
    torch.manual_seed(seed)
    return WorldModel(config, act_dim)


def batch(act_dim: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (B, T, 64, 64, 3), dtype=torch.uint8, generator=generator)
    return image, torch.rand(B, T, act_dim, generator=generator) * 2 - 1


@pytest.mark.parametrize("config", [SMALL, PLAIN], ids=["gaussian", "plain"])
@pytest.mark.parametrize("act_dim", [0, 3])
def test_observe_decode_and_heads_have_time_in_their_shapes(config: ModelConfig, act_dim: int) -> None:
    world = build(config, act_dim)
    obs = world.observe(*batch(act_dim), torch.Generator().manual_seed(0))
    assert obs.code.mean.shape == (B, T, world.encoder.size)
    assert obs.post.feature.shape == obs.prior.feature.shape == (B, T, world.feature_size) == (B, T, 14)
    assert world.decode(obs.post.feature).shape == (B, T, 3, 64, 64)
    assert all(head(obs.post.feature).shape == (B, T) for head in world.heads.values())


def test_the_video_model_has_no_heads_and_continue_is_a_choice() -> None:
    assert list(build(act_dim=0).heads) == []
    assert list(build(act_dim=3).heads) == ["reward"]
    assert list(build(ModelConfig(continues=True), act_dim=3).heads) == ["reward", "continue"]


@pytest.mark.parametrize("config", [SMALL, PLAIN], ids=["gaussian", "plain"])
def test_filtering_frame_by_frame_equals_filtering_the_window(config: ModelConfig) -> None:
    world = build(config)
    image, action = batch()
    whole = world.observe(image, action, None).post
    state = world.rssm.initial(B)
    for t in range(T):
        state = world.step(image[:, t], action[:, t], state, None)
        for name in Latent._fields:
            torch.testing.assert_close(getattr(state, name), getattr(whole, name)[:, t], rtol=1e-4, atol=1e-5)


def test_means_when_not_sampling() -> None:
    world = build()
    one, two = (world.observe(*batch(), None) for _ in range(2))
    assert torch.equal(one.post.stoch, one.post.mean)
    assert torch.equal(one.post.feature, two.post.feature)


def test_samples_follow_the_generator() -> None:
    world = build()
    one, same, other = (world.observe(*batch(), torch.Generator().manual_seed(seed)).post.stoch for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_dynamics_see_a_sample_of_the_code_and_its_mean_without_a_generator() -> None:
    """Drawn in this order: noise of the code, then of the states."""
    world, (image, action) = build(), batch()
    generator = torch.Generator().manual_seed(3)
    noise, more = torch.randn(B, T, 4, generator=generator), torch.randn(B, T, 6, generator=generator)
    code = Code(*(part.unflatten(0, (B, T)) for part in world.encode(image)))
    found = world.observe(image, action, torch.Generator().manual_seed(3)).post
    drawn = code.mean + torch.exp(code.logvar / 2) * noise
    torch.testing.assert_close(found.feature, world.rssm.observe(drawn, action, world.rssm.initial(B), more)[0].feature)
    assert not torch.allclose(found.feature, world.rssm.observe(code.mean, action, world.rssm.initial(B), more)[0].feature)
    still = world.rssm.observe(code.mean, action, world.rssm.initial(B), torch.zeros_like(more))[0]
    torch.testing.assert_close(world.observe(image, action, None).post.feature, still.feature)


def test_encode_takes_any_leading_axes_in_order() -> None:
    world = build()
    image, _ = batch()
    flat = world.encode(image)
    assert isinstance(flat, Code)
    torch.testing.assert_close(flat.mean.unflatten(0, (B, T))[1, 2], world.encode(image[1, 2]).mean[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [SMALL, PLAIN], ids=["gaussian", "plain"])
def test_start_from_a_video_model_keeps_the_weights_of_actions(config: ModelConfig) -> None:
    world, video = build(config, 3, seed=0), build(config, 0, seed=1)
    before = {name: value.clone() for name, value in world.state_dict().items()}
    world.start_from(video, ("encoder", "decoder", "rssm"))
    after, theirs = world.state_dict(), video.state_dict()
    for name, value in after.items():
        if name.startswith("heads."):
            assert torch.equal(value, before[name])
        elif name == "rssm.inp.weight":  # columns: 6 of stoch, then 3 of actions
            assert torch.equal(value[:, :6], theirs[name])
            assert torch.equal(value[:, 6:], before[name][:, 6:])
        else:
            assert torch.equal(value, theirs[name]), name


def test_with_zero_actions_it_then_sees_what_the_video_model_sees() -> None:
    world, video = build(SMALL, 3, seed=0), build(SMALL, 0, seed=1)
    world.start_from(video, ("encoder", "decoder", "rssm"))
    image, action = batch()
    ours = world.observe(image, torch.zeros_like(action), None).post
    theirs = video.observe(image, action[..., :0], None).post
    torch.testing.assert_close(ours.feature, theirs.feature)


def test_only_named_parts_are_copied() -> None:
    world, video = build(SMALL, 3, seed=0), build(SMALL, 0, seed=1)
    decoder = [param.clone() for param in world.decoder.parameters()]
    world.start_from(video, ("encoder",))
    assert torch.equal(world.encoder.stats.weight, video.encoder.stats.weight)
    assert all(torch.equal(a, b) for a, b in zip(decoder, world.decoder.parameters(), strict=True))


def test_copies_do_not_share_memory() -> None:
    world, video = build(SMALL, 3, seed=0), build(SMALL, 0, seed=1)
    world.start_from(video, ("encoder",))
    kept = world.encoder.stats.weight.clone()
    with torch.no_grad():
        video.encoder.stats.weight.zero_()
    assert torch.equal(world.encoder.stats.weight, kept)


def test_first_weights_of_each_part() -> None:
    """Spec B2, B3: Kaiming for encoder and decoder; PyTorch's default for RSSM, heads and transposed convolutions, uniform: its
    standard deviation is 1 / sqrt(3 fan_in)."""
    world = build(ModelConfig(), 2).requires_grad_(False)
    rssm, reward = world.rssm, world.heads["reward"]
    for weight, expected in (
        (world.encoder.convs[8].weight, (2 / 1024) ** 0.5),  # 64 x 4 x 4 inputs
        (world.encoder.stats.weight, (2 / 256) ** 0.5),
        (world.decoder.stem[0].weight, (2 / 250) ** 0.5),
        (world.decoder.convs[2].weight, (3 * 64 * 16) ** -0.5),  # transposed: 64 outputs x 4 x 4 are its fan_in
        (rssm.prior_hidden.weight, (3 * 200) ** -0.5),
        (rssm.cell.linear.weight, (3 * 400) ** -0.5),
        (reward.net[2].weight, (3 * 400) ** -0.5),
    ):
        assert float(weight.std()) == pytest.approx(expected, rel=0.05)
    assert float(world.encoder.stats.bias.abs().max()) == 0
    assert float(rssm.prior_hidden.bias.abs().max()) > 0
    assert float(world.decoder.convs[2].bias.abs().max()) > 0


def test_actor_and_scalar_head() -> None:
    """At the first weights: mean near 0, std near 1.1, as raw outputs near 0 give."""
    torch.manual_seed(0)
    mean, std = Actor(14, 3, 4, 32)(torch.randn(5, 2, 14))
    assert mean.shape == std.shape == (5, 2, 3)
    assert float(mean.detach().abs().max()) < 0.5
    assert float((std.detach() - 1.1).abs().max()) < 0.3
    assert ScalarHead(14, 2, 8)(torch.randn(5, 2, 14)).shape == (5, 2)


def test_actors_act_and_without_noise_as_is_most_likely() -> None:
    torch.manual_seed(0)
    feature, still = torch.randn(5, 2, 14), torch.zeros(5, 2, 3)
    numbers, choices = Actor(14, 3, 4, 32), OneHotActor(14, 3, 4, 32)
    for actor in (numbers, choices):
        action, spread = actor.act(feature, torch.randn(5, 2, 3))
        assert (action.shape, actor.entropy(spread).shape) == ((5, 2, 3), (5, 2))
    torch.testing.assert_close(numbers.act(feature, still)[0], numbers(feature)[0])
    assert torch.equal(choices.act(feature, still)[0].argmax(-1), choices(feature).argmax(-1))
    assert (
        float((choices.entropy(choices.act(feature, still)[1]).detach() - math.log(3)).abs().max()) < 0.05
    )  # logits near 0: nearly all alike
