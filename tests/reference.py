"""The released networks and losses once more: float64, one step after another, straight from the formulas and under the released names.

Shares no code with the package, so that the two can be held against each other at any sizes. Every draw is the mean.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Weights = dict[str, Tensor]
LOG_2PI = math.log(2 * math.pi)


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def encode(w: Weights, image: Tensor) -> tuple[Tensor, Tensor]:
    """image (B, T, 64, 64, 3) in 0..255 -> mean and log-variance (B, T, E)."""
    x = (image.double() / 255 - 0.5).flatten(0, 1).permute(0, 3, 1, 2)
    for index in (0, 2, 4, 6, 8):
        x = F.elu(F.conv2d(x, w[f"encoder.{index}.weight"], w[f"encoder.{index}.bias"], *((1, 0) if index == 8 else (2, 1))))
    stats = linear(w, "dis_encoder.0", x.flatten(1)).unflatten(0, image.shape[:2])
    return stats[..., : stats.shape[-1] // 2], stats[..., stats.shape[-1] // 2 :]


def decode(w: Weights, feature: Tensor) -> Tensor:
    """(B, T, F) -> (B, T, 64, 64, 3)."""
    x = linear(w, "decoder.0", F.elu(linear(w, "feat_to_decoder.0", feature.flatten(0, 1))))[:, :, None, None]
    for index in (3, 5, 7, 9, 11):
        x = F.conv_transpose2d(F.elu(x), w[f"decoder.{index}.weight"], w[f"decoder.{index}.bias"], *((1, 0) if index == 3 else (2, 1)))
    return x.permute(0, 2, 3, 1).unflatten(0, feature.shape[:2])


def gaussian(stats: Tensor) -> tuple[Tensor, Tensor]:
    mean, raw = stats.chunk(2, -1)
    return mean, 2 * torch.sigmoid(raw / 2) + 0.1


def cell(w: Weights, stoch: Tensor, deter: Tensor, action: Tensor) -> Tensor:
    x = F.elu(linear(w, "_inp_layers.0", torch.cat([stoch, action], -1)))
    parts = linear(w, "_cell._layer", torch.cat([x, deter], -1))
    parts = F.layer_norm(parts, parts.shape[-1:], w["_cell._norm.weight"], w["_cell._norm.bias"], 1e-5)
    reset, candidate, update = parts.chunk(3, -1)
    update = torch.sigmoid(update - 1)
    return update * torch.tanh(torch.sigmoid(reset) * candidate) + (1 - update) * deter


def prior(w: Weights, deter: Tensor) -> tuple[Tensor, Tensor]:
    return gaussian(linear(w, "_ims_stat_layer", F.elu(linear(w, "_img_out_layers.0", deter))))


def observe(w: Weights, embed: Tensor, action: Tensor) -> dict[str, Tensor]:
    """Filter (B, T, E) with (B, T, A) from a zero state."""
    stoch = embed.new_zeros(len(embed), w["_ims_stat_layer.bias"].shape[0] // 2)
    deter = embed.new_zeros(len(embed), w["_cell._layer.bias"].shape[0] // 3)
    found: dict[str, list[Tensor]] = {}
    for t in range(embed.shape[1]):
        deter = cell(w, stoch, deter, action[:, t])
        hidden = F.elu(linear(w, "_obs_out_layers.0", torch.cat([deter, embed[:, t]], -1)))
        sides = {"post": gaussian(linear(w, "_obs_stat_layer", hidden)), "prior": prior(w, deter)}
        stoch = sides["post"][0]
        for side, (mean, std) in sides.items():
            for name, value in (("mean", mean), ("std", std), ("stoch", mean), ("deter", deter)):
                found.setdefault(f"{side}_{name}", []).append(value)
    return {name: torch.stack(values, 1) for name, values in found.items()}


def mlp(w: Weights, name: str, x: Tensor, last: str | None = None) -> Tensor:
    count = sum(key.startswith(f"{name}.") and key.endswith(".weight") for key in w)
    for index in range(count):
        x = linear(w, f"{name}.{2 * index}", x)
        x = x if last is None and index == count - 1 else F.elu(x)
    return x if last is None else linear(w, last, x)


def act(w: Weights, feature: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = gaussian(mlp(w, "_pre_layers", feature, "_dist_layer"))
    return torch.tanh(mean), std


def kl(mean_a: Tensor, std_a: Tensor, mean_b: Tensor, std_b: Tensor) -> Tensor:
    return torch.distributions.kl_divergence(torch.distributions.Normal(mean_a, std_a), torch.distributions.Normal(mean_b, std_b)).sum(-1)


def balanced_kl(states: dict[str, Tensor]) -> Tensor:
    post, ahead = ((states[f"{side}_mean"], states[f"{side}_std"]) for side in ("post", "prior"))
    stop = tuple(part.detach() for part in post), tuple(part.detach() for part in ahead)
    left, right = kl(*post, *stop[1]).mean(), kl(*stop[0], *ahead).mean()
    return 0.8 * right.clamp(min=1) + 0.2 * left.clamp(min=1)


def image_loss(output: Tensor, image: Tensor) -> Tensor:
    squares = (output - (image.double() / 255 - 0.5)).square().flatten(2).sum(-1)
    return 0.5 * (squares + image[0, 0].numel() * LOG_2PI).mean()


def returns(reward: Tensor, value: Tensor, discount: Tensor) -> Tensor:
    found = [value[-1]]
    for i in reversed(range(len(reward) - 1)):
        found.insert(0, reward[i] + discount[i] * (0.05 * value[i + 1] + 0.95 * found[0]))
    return torch.stack(found[:-1])


def behaviour(parts: dict[str, Weights], stoch: Tensor, deter: Tensor) -> dict[str, Tensor]:
    """15 imagined states from N starts."""
    features, actions = [], []
    for _ in range(15):
        features.append(torch.cat([stoch, deter], -1))
        actions.append(act(parts["actor"], features[-1])[0])
        deter = cell(parts["rssm"], stoch, deter, actions[-1])
        stoch = prior(parts["rssm"], deter)[0]
    feature = torch.stack(features)
    reward, value = (mlp(parts[name], "_mean_layers", feature) for name in ("reward", "value"))
    target = returns(reward, value, torch.full_like(reward, 0.99))
    weights = torch.stack([torch.full_like(reward[0], 0.99**i) for i in range(15)])
    entropy = (act(parts["actor"], feature)[1].log() + 0.5 * (LOG_2PI + 1)).sum(-1)
    loss = 0.5 * ((value[:-1] - target).square() + LOG_2PI)
    return {
        "feat": feature,
        "action": torch.stack(actions),
        "reward": reward,
        "actor_entropy": entropy,
        "target": target,
        "weights": weights,
        "actor_loss": -(weights[:-1] * (target + 1e-4 * entropy[:-1, :, None])).mean(),
        "value_loss": (weights[:-1] * loss).mean(),
    }


def beta_loss(mean: Tensor, logvar: Tensor) -> Tensor:
    """The release adds 5e-7 to each dimension."""
    return (0.5 * (mean.square() + logvar.exp() - logvar - 1) + 5e-7).sum(-1).mean()


def finetuning(parts: dict[str, Weights], data: dict[str, Tensor]) -> dict[str, Tensor]:
    """All that the model with actions gives, the gradients' norms too."""
    image, action = data["image"], data["action"].double()
    mean, logvar = encode(parts["encoder"], image)
    t_mean, t_logvar = (part.detach() for part in encode(parts["teacher_encoder"], image))
    states = observe(parts["rssm"], mean, action)
    feature = torch.cat([states["post_stoch"], states["post_deter"]], -1)
    output, reward, (a_mean, a_std) = (
        decode(parts["decoder"], feature),
        mlp(parts["reward"], "_mean_layers", feature),
        act(parts["actor"], feature),
    )
    p, q = t_mean.log_softmax(-1), mean.log_softmax(-1)
    losses = {
        "kl": balanced_kl(states),
        "image": image_loss(output, image),
        "reward": 0.5 * ((reward[..., 0] - data["reward"].double()).square() + LOG_2PI).mean(),
        "beta_kl": beta_loss(mean, logvar),
        "distill_released": (p.exp() * (p - q)).sum() / len(image),
    }
    loss = losses["image"] + 2 * losses["reward"] + losses["kl"] + 0.015 * losses["beta_kl"] + 0.1 * losses["distill_released"]
    norms = {}
    for part in ("encoder", "decoder", "rssm", "reward"):
        grads = torch.autograd.grad(loss, list(parts[part].values()), retain_graph=True, allow_unused=True)
        norms[f"total/grad_norm_{part}"] = torch.stack([g.square().sum() for g in grads if g is not None]).sum().sqrt()
    found = {f"rssm/{name}": value for name, value in states.items()} | {f"loss/{name}": value for name, value in losses.items()} | norms
    found |= {"encoder/mean": mean, "encoder/logvar": logvar, "teacher/mean": t_mean, "teacher/logvar": t_logvar, "feat": feature}
    found |= {"decoder/image": output, "reward/mode": reward, "actor/mean": a_mean, "actor/std": a_std, "total/loss": loss}
    found["loss/kl_value"] = kl(states["post_mean"], states["post_std"], states["prior_mean"], states["prior_std"])
    found["actor/log_prob_of_in_action"] = torch.distributions.Normal(a_mean, a_std).log_prob(action).sum(-1)
    return found


def golden(parts: dict[str, Weights], *, batch: int, length: int, seed: int = 0) -> dict[str, Any]:
    """All of golden.npz for random inputs of this batch and length."""
    parts = {part: {name: value.double().requires_grad_() for name, value in state.items()} for part, state in parts.items()}
    rng = np.random.default_rng(seed)
    act_dim = parts["actor"]["_dist_layer.bias"].shape[0] // 2
    given = {
        "image": rng.integers(0, 256, (batch, length, 64, 64, 3), np.uint8),
        "action": rng.uniform(-1, 1, (batch, length, act_dim)).astype(np.float32),
        "reward": rng.normal(size=(batch, length)).astype(np.float32),
    }
    data = {name: torch.from_numpy(value) for name, value in given.items()}
    found = finetuning(parts, data)
    states = observe(parts["rssm"], found["encoder/mean"], torch.zeros(batch, length, act_dim).double())
    found |= {f"rssm_action_free/{name}": value for name, value in states.items() if "stoch" not in name}
    free = torch.cat([states["post_stoch"], states["post_deter"]], -1)
    found["loss/kl_action_free"] = balanced_kl(states)
    found["loss/image_action_free"] = image_loss(decode(parts["decoder"], free), data["image"])
    found["loss/pretrain_total"] = found["loss/kl_action_free"] + found["loss/image_action_free"] + 0.015 * found["loss/beta_kl"]
    stoch, deter = found["rssm/post_stoch"][:, 2], found["rssm/post_deter"][:, 2]
    ahead: dict[str, list[Tensor]] = {"mean": [], "std": [], "deter": []}
    for t in range(3, length):
        deter = cell(parts["rssm"], stoch, deter, data["action"][:, t].double())
        stoch, std = prior(parts["rssm"], deter)
        for name, value in (("mean", stoch), ("std", std), ("deter", deter)):
            ahead[name].append(value)
    found |= {f"imagine/{name}": torch.stack(values, 1) for name, values in ahead.items()}
    starts = (found[f"rssm/post_{name}"].flatten(0, 1) for name in ("stoch", "deter"))
    found |= {f"behaviour/{name}": value for name, value in behaviour(parts, *starts).items()}
    series = {name: torch.from_numpy(rng.random((7, 4, 1))) for name in ("reward", "value", "discount")}
    found |= {f"lambda_return/{name}": value for name, value in series.items()} | {"lambda_return/out": returns(**series)}
    return {f"in/{name}": value for name, value in given.items()} | {k: v.detach().numpy().astype(np.float32) for k, v in found.items()}
