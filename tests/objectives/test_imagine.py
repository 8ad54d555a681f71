"""Returns, weights and the two losses of behaviour learning."""

from __future__ import annotations

import pytest
import torch

from diswm.model import products
from diswm.model.heads import Actor, AnyActor, OneHotActor, ScalarHead
from diswm.model.rssm import RSSM, Latent
from diswm.objectives.imagine import actor_loss, critic_loss, imagine, lambda_return, path_weights

H, N, A, Z, D = 5, 7, 2, 4, 6


def naive_return(reward: list[float], value: list[float], discount: list[float], lam: float, i: int) -> float:
    if i == len(reward) - 1:
        return value[i]
    ahead = naive_return(reward, value, discount, lam, i + 1)
    return reward[i] + discount[i] * ((1 - lam) * value[i + 1] + lam * ahead)


def test_lambda_return_against_the_recursion() -> None:
    reward, value, discount = torch.rand(3, H, N, generator=torch.Generator().manual_seed(0)).double()
    found = lambda_return(reward, value, discount, 0.95)
    assert found.shape == (H - 1, N)
    for n in range(N):
        columns = [part[:, n].tolist() for part in (reward, value, discount)]
        for i in range(H - 1):
            assert float(found[i, n]) == pytest.approx(naive_return(*columns, 0.95, i))


@pytest.mark.parametrize(
    ("lam", "expected"),
    [
        # one reward of 1 in state 2 of 0..3, values 10, discount 0.5
        (0.0, [0 + 0.5 * 10, 0 + 0.5 * 10, 1 + 0.5 * 10]),  # one step ahead
        (1.0, [0.25 + 0.125 * 10, 0.5 + 0.25 * 10, 1 + 0.5 * 10]),  # to the end
    ],
)
def test_returns_run_forward_in_time(lam: float, expected: list[float]) -> None:
    """A reward near the end counts most in the states just before it (spec E3: the release has them reversed)."""
    reward = torch.tensor([0.0, 0.0, 1.0, 0.0])[:, None]
    found = lambda_return(reward, torch.full((4, 1), 10.0), torch.full((4, 1), 0.5), lam)
    assert found[:, 0].tolist() == pytest.approx(expected)


def test_the_last_reward_is_not_counted_twice() -> None:
    """The last state counts by its value alone."""
    reward, value, discount = torch.zeros(4, 1), torch.zeros(4, 1), torch.ones(4, 1)
    reward[-1] = 100
    assert lambda_return(reward, value, discount, 0.95).abs().max() == 0


def test_path_weights_are_the_discounts_before_a_state() -> None:
    discount = torch.tensor([0.5, 0.2, 0.0, 0.9])[:, None].requires_grad_()
    weight = path_weights(discount)
    assert weight[:, 0].tolist() == pytest.approx([1.0, 0.5, 0.1, 0.0])
    assert not weight.requires_grad


def test_losses_by_hand() -> None:
    """Weights 1 and 0.5: actor -(1 x (2 + 0.1 x 3) + 0.5 x (4 + 0.1 x 3)) / 2; critic (0.5 x 1 + 0.5 x 0.5 x 4) / 2 + constant."""
    returns, entropy, weight = torch.tensor([[2.0], [4.0]]), torch.full((2, 1), 3.0), torch.tensor([[1.0], [0.5]])
    assert float(actor_loss(returns, entropy, weight, 0.1)) == pytest.approx(-(2.3 + 2.15) / 2)
    constant = 0.9189385 * 0.75
    value = torch.tensor([[1.0], [2.0]])
    assert float(critic_loss(value, returns, weight)) == pytest.approx((0.5 + 1.0) / 2 + constant)


class Setup:
    def __init__(self, kind: type[AnyActor]) -> None:
        torch.manual_seed(0)
        self.rssm = RSSM(3, A, stoch=Z, deter=D, hidden=8)
        self.actor = kind(Z + D, A, 2, 16)
        self.reward, self.critic = ScalarHead(Z + D, 1, 16), ScalarHead(Z + D, 1, 16)
        self.start = Latent(*torch.randn(3, N, Z), torch.randn(N, D))
        self.action_noise, self.state_noise = torch.randn(H - 1, N, A), torch.randn(H - 1, N, Z)

    def path(self):
        return imagine(self.rssm, self.actor, self.start, self.action_noise, self.state_noise)


@pytest.fixture(params=[Actor, OneHotActor])
def setup(request: pytest.FixtureRequest) -> Setup:
    return Setup(request.param)


def test_imagination_starts_at_the_start_and_follows_its_actions(setup: Setup) -> None:
    path = setup.path()
    assert path.feature.shape == (H, N, Z + D)
    assert path.action.shape == (H - 1, N, A)
    assert path.entropy.shape == (H - 1, N)
    assert torch.equal(path.feature[0], setup.start.feature)
    state = setup.start
    for i in range(H - 1):
        state = setup.rssm.imagine_step(state, path.action[i], setup.state_noise[i])
        torch.testing.assert_close(path.feature[i + 1], state.feature)


def test_imagined_actions_stay_in_bounds() -> None:
    setup = Setup(Actor)
    setup.action_noise *= 10
    assert float(setup.path().action.detach().abs().max()) < 1


def test_imagined_choices_are_one_hot() -> None:
    action = Setup(OneHotActor).path().action.detach()
    assert torch.equal(action.sort(-1).values, torch.tensor([0.0, 1.0]).expand(H - 1, N, A))


def test_choices_learn_to_reach_what_pays() -> None:
    """In a fixed world the imagined return rises over that of choices at random, and what it learned it does without noise too."""
    setup = Setup(OneHotActor)
    random = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(setup.actor.parameters(), 3e-3)
    with torch.no_grad():
        setup.rssm.inp.weight[:, Z:] *= 10  # a world that answers to actions
        setup.reward.net[-1].weight *= 10

    def score(noise: torch.Tensor) -> torch.Tensor:
        path = imagine(setup.rssm, setup.actor, setup.start, noise, torch.zeros_like(setup.state_noise))
        return setup.reward(path.feature[1:]).mean()

    at_first = float(score(torch.randn(H - 1, N, A, generator=random)).detach())
    for _ in range(100):
        optimiser.zero_grad()
        (-score(torch.randn(H - 1, N, A, generator=random))).backward()
        optimiser.step()
    with torch.no_grad():
        constant = []
        for number in range(A):  # the best that never changes its mind
            state, rewards = setup.start, []
            for _ in range(H - 1):
                state = setup.rssm.imagine_step(state, torch.eye(A)[number].expand(N, A), torch.zeros(N, Z))
                rewards.append(setup.reward(state.feature))
            constant.append(float(torch.stack(rewards).mean()))
        learned = float(score(torch.zeros(H - 1, N, A)))
    assert learned > at_first + 0.5 * abs(max(constant) - at_first)
    assert learned >= max(constant) - 0.05 * abs(max(constant) - min(constant))


def learn_behaviour(setup: Setup) -> list[float]:
    """Backward of the actor's loss without entropy; the size of each of the actor's gradients."""
    path, params = setup.path(), list(setup.actor.parameters())
    reward, value = setup.reward(path.feature), setup.critic(path.feature)
    returns = lambda_return(reward, value, torch.full_like(reward, 0.99), 0.95)
    actor_loss(returns, path.entropy, torch.ones_like(returns), 0.0).backward(inputs=params)
    return [float(param.grad.abs().sum()) for param in params]


def test_the_actor_s_loss_trains_all_of_the_actor(setup: Setup) -> None:
    assert min(learn_behaviour(setup)) > 0


@pytest.mark.parametrize("lower", [False, True])
def test_gradients_of_all_steps_at_once_are_those_of_each(lower: bool, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU. In bfloat16 gradients of the four steps are not rounded one by one: that is 2^-8 of the largest for each."""
    found = []
    for at_once in (False, True):
        monkeypatch.setattr(products, "launches_bind", lambda x, at_once=at_once: at_once)
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            path = setup.path()
            loss = setup.reward(path.feature).sum() + path.entropy.sum()
        assert {part.dtype for part in path} == {torch.float32}
        found.append([path.feature, *torch.autograd.grad(loss, list(setup.actor.parameters()))])
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=1e-4, atol=(2**-6 if lower else 1e-6) * float(one.detach().abs().max()))


def test_steps_that_nothing_depends_on_add_nothing() -> None:
    """y = 3 x + 1 for x = 2, 5 and 7, of which the second goes nowhere: the weight's gradient is 2 + 7, the bias's 2, each x's is 3."""
    weight, bias, x = torch.full((1, 1), 3.0, requires_grad=True), torch.ones(1, requires_grad=True), torch.tensor([2.0, 5.0, 7.0])
    steps, given = products.InSteps(weight, bias, torch.float32), x.view(3, 1, 1).requires_grad_().unbind()
    first, _, last = (steps(part) for part in given)
    assert (first.item(), last.item()) == (7.0, 22.0)
    leaves = [weight, bias, given[0], given[2]]
    assert [float(part) for part in torch.autograd.grad(first + last, leaves, retain_graph=True)] == [9.0, 2.0, 3.0, 3.0]
    assert [float(part) for part in torch.autograd.grad(last, leaves[:2])] == [7.0, 1.0]


def test_the_actor_learns_through_the_dynamics_alone(setup: Setup) -> None:
    """In a world that does not see actions there is nothing to learn."""
    with torch.no_grad():
        setup.rssm.inp.weight[:, Z:] = 0
    assert max(learn_behaviour(setup)) == 0


def test_the_actor_sees_features_without_gradient(setup: Setup) -> None:
    """What an actor does in a later state must not teach it through its own input: only actions carry gradients."""
    kept = []

    def hook(_module, inputs) -> None:
        kept.append(inputs[0].requires_grad)

    setup.actor.net.register_forward_pre_hook(hook)
    setup.path()
    assert kept == [False] * (H - 1)


def test_the_critic_s_targets_carry_no_gradient(setup: Setup) -> None:
    path = setup.path()
    returns = path.feature.sum(-1)[:-1]
    critic_loss(setup.critic(path.feature[:-1].detach()), returns, torch.ones(H - 1, N)).backward()
    assert all(param.grad is None for param in setup.actor.parameters())
    assert all(param.grad is not None for param in setup.critic.parameters())
