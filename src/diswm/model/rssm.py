"""The recurrent state-space model (PlaNet, Hafner et al. 2019).

Axes: B batch, T time, E embed, A action, D deter, Z stoch. Only what depends on the last state runs step by step: the
products with actions and embeddings, and the priors' statistics, are taken for all steps at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diswm.model.fused import gaussian, mean_std
from diswm.model.kernels import affine, elu
from diswm.model.layers import Linear, NormGRUCell
from diswm.model.products import linear
from diswm.model.scan import Weights, filtered


class Latent(NamedTuple):
    """A state of the world: ``stoch`` was drawn from N(mean, std)."""

    mean: Tensor  # (..., Z)
    std: Tensor  # (..., Z)
    stoch: Tensor  # (..., Z)
    deter: Tensor  # (..., D)

    @property
    def feature(self) -> Tensor:
        """concat(stoch, deter), in this order: (..., Z + D)."""
        return torch.cat([self.stoch, self.deter], -1)

    def map(self, function: Callable[[Tensor], Tensor]) -> Latent:
        """The same function on each part."""
        return Latent(*(function(part) for part in self))


class RSSM(nn.Module):
    """Gaussian RSSM with a layer-normed GRU. With ``act_dim=0`` it is the action-free video model."""

    def __init__(self, embed: int, act_dim: int, *, stoch: int, deter: int, hidden: int, layer_norm: bool = True) -> None:
        super().__init__()
        self.embed, self.act_dim, self.stoch, self.deter = embed, act_dim, stoch, deter
        self.inp = Linear(stoch + act_dim, hidden)
        self.cell = NormGRUCell(hidden, deter, norm=layer_norm)
        self.prior_hidden = Linear(deter, hidden)
        self.prior_stats = Linear(hidden, 2 * stoch)
        self.post_hidden = Linear(deter + embed, hidden)
        self.post_stats = Linear(hidden, 2 * stoch)

    def initial(self, batch: int) -> Latent:
        """All zeros, (B, ...)."""
        stoch = self.inp.weight.new_zeros(batch, self.stoch)
        return Latent(stoch, stoch, stoch, stoch.new_zeros(batch, self.deter))

    def prior(self, deter: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and std (..., Z) of p(stoch | deter)."""
        return mean_std(self._of_prior(deter))

    def _of_prior(self, deter: Tensor) -> Tensor:
        return self.prior_stats(elu(self.prior_hidden(deter)))

    def observe(self, embed: Tensor, action: Tensor, state: Latent, noise: Tensor) -> tuple[Latent, Latent]:
        """Filter a clip: posterior and prior, (B, T, ...). As `filter`; the prior shares deter and its ``stoch`` is its mean."""
        post = self.filter(embed, action, state, noise)
        with _in_float32(embed):
            mean, std = self.prior(post.deter)
        return post, Latent(mean, std, mean, post.deter)

    def filter(self, embed: Tensor, action: Tensor, state: Latent, noise: Tensor) -> Latent:
        """The posterior (B, T, ...) of a clip.

        embed (B, T, E), action (B, T, A) with action[:, t] leading to frame t, noise (B, T, Z); zero noise gives means. ValueError where
        one is shorter.
        """
        if not embed.shape[1] == action.shape[1] == noise.shape[1]:
            raise ValueError(f"One is shorter: embed has {embed.shape[1]} steps, action {action.shape[1]}, noise {noise.shape[1]}.")
        with _in_float32(embed):
            act = linear(action.float().transpose(0, 1).contiguous(), self.inp.weight[:, self.stoch :], self.inp.bias)
            emb = linear(embed.float().transpose(0, 1).contiguous(), self.post_hidden.weight[:, self.deter :], self.post_hidden.bias)
            steps = (self._traced if torch.compiler.is_compiling() else self._filtered)(act, emb, noise.transpose(0, 1), state)
        return steps.map(lambda part: part.transpose(0, 1).contiguous())

    def _filtered(self, act: Tensor, emb: Tensor, noise: Tensor, state: Latent) -> Latent:
        """The steps: act and emb (T, B, H) of actions and embeddings, noise (T, B, Z) -> posterior (T, B, ...)."""
        cell = self.cell.linear
        weights = Weights(
            self.inp.weight[:, : self.stoch], cell.weight, cell.bias, *affine(self.cell.norm),
            self.post_hidden.weight[:, : self.deter], self.post_stats.weight, self.post_stats.bias,
        )  # fmt: skip
        stoch, deter = state.stoch.float().contiguous(), state.deter.float().contiguous()
        return Latent(*filtered(act, emb, noise.contiguous(), stoch, deter, weights))

    def _traced(self, act: Tensor, emb: Tensor, noise: Tensor, state: Latent) -> Latent:
        """The same for a graph, in operations of which each gives a tensor of its own."""
        stoch, deter, steps = state.stoch, state.deter, []
        for act_t, emb_t, noise_t in zip(act.unbind(0), emb.unbind(0), noise.unbind(0), strict=True):
            x = elu(act_t + F.linear(stoch, self.inp.weight[:, : self.stoch]))
            deter = self.cell(x, deter)
            y = elu(emb_t + F.linear(deter, self.post_hidden.weight[:, : self.deter]))
            mean, std, stoch = gaussian(self.post_stats(y), noise_t)
            steps.append((mean, std, stoch, deter))
        return Latent(*(torch.stack(part) for part in zip(*steps, strict=True)))

    def imagine_step(self, state: Latent, action: Tensor, noise: Tensor) -> Latent:
        """One step of the prior: state (N, ...), action (N, A), noise (N, Z) -> next state."""
        deter = self.cell(elu(self.inp(torch.cat([state.stoch, action], -1))), state.deter)
        return Latent(*gaussian(self._of_prior(deter), noise), deter)

    def imagine(self, state: Latent, action: Tensor, noise: Tensor) -> Latent:
        """Open loop under given actions (B, T, A): the T states after ``state`` (B, ...)."""
        steps = []
        for action_t, noise_t in zip(action.unbind(1), noise.unbind(1), strict=True):
            state = self.imagine_step(state, action_t, noise_t)
            steps.append(state)
        return Latent(*(torch.stack(part, 1) for part in zip(*steps, strict=True)))


def _in_float32(x: Tensor) -> AbstractContextManager[Any]:
    """Without autocast: a scan's products are tiny, and casting them costs more than it saves. A graph is recorded without it anyway."""
    return contextlib.nullcontext() if torch.compiler.is_compiling() else torch.autocast(x.device.type, enabled=False)
