"""The world model: encoder, RSSM, decoder and heads. The action-free video model is this class with ``act_dim=0``."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from diswm.model.decoder import BottleneckDecoder, PlainDecoder
from diswm.model.encoder import Code, GaussianEncoder, PlainEncoder
from diswm.model.heads import ScalarHead
from diswm.model.kernels import image_input
from diswm.model.rssm import RSSM, Latent

LARGE, PART = 1_000, 500
"""Frames of a batch from which on so many at a time pass through encoder and decoder: see `windows_at_a_time`."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Sizes of the world model. The defaults are the paper's."""

    encoder: Literal["gaussian", "plain"] = "gaussian"
    """`gaussian`: the beta-VAE encoder and bottleneck decoder of DisWM. `plain`: DreamerV2's."""
    z_dim: int = 20
    """Dimensions of the code (`gaussian` encoder). A teacher must have the same."""
    stoch: int = 50
    """Size of the sampled part of the latent state."""
    deter: int = 200
    """Size of the recurrent part of the latent state."""
    hidden: int = 200
    """Hidden units inside the recurrent state-space model."""
    depth: int = 32
    """Base channel count of the convolutions."""
    layer_norm: bool = True
    """Layer norm inside the GRU cell."""
    reward_layers: int = 2
    """Hidden layers of the reward head (and of the continue head)."""
    units: int = 400
    """Hidden units of the reward head (and of the continue head)."""
    continues: bool = False
    """Learn when episodes end. Only for tasks that truly terminate; without it the discount is constant."""


def windows_at_a_time(image: Tensor) -> int:
    """Windows of ``image`` (B, T, ...) that pass through an encoder or a decoder at once: all, but of large batches in float32 on a CPU,
    where activations of all frames, and the holes that blocks of hundreds of MB leave in a heap, take 2 GiB more."""
    count, length = image.shape[:2]
    large = image.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and count * length >= LARGE
    return max(1, PART // length) if large else count


class Observation(NamedTuple):
    """What filtering a batch gives; all (B, T, ...)."""

    code: Code
    post: Latent
    prior: Latent


class WorldModel(nn.Module):
    """p(image, reward | past) with a code per frame.

    ``heads`` names what is predicted beside the image; the video model has none.
    """

    def __init__(self, config: ModelConfig, act_dim: int) -> None:
        super().__init__()
        self.config, self.act_dim = config, act_dim
        feature = config.stoch + config.deter
        self.feature_size = feature
        self.encoder: GaussianEncoder | PlainEncoder
        self.decoder: BottleneckDecoder | PlainDecoder
        if config.encoder == "gaussian":
            self.encoder = GaussianEncoder(config.z_dim, config.depth)
            self.decoder = BottleneckDecoder(feature, config.z_dim, config.depth)
        else:
            self.encoder, self.decoder = PlainEncoder(config.depth), PlainDecoder(feature, config.depth)
        self.rssm = RSSM(
            self.encoder.size, act_dim, stoch=config.stoch, deter=config.deter, hidden=config.hidden, layer_norm=config.layer_norm
        )
        names = (["reward"] if act_dim else []) + (["continue"] if act_dim and config.continues else [])
        self.heads = nn.ModuleDict({name: ScalarHead(feature, config.reward_layers, config.units) for name in names})
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast for bfloat16 convolutions on a CPU

    def encode(self, image: Tensor) -> Code:
        """uint8 (..., H, W, C) -> the code of N frames (N, E), N the product of the leading axes."""
        return self.encoder(image_input(image.reshape(-1, *image.shape[-3:])))

    def observe(self, image: Tensor, action: Tensor, generator: torch.Generator | None) -> Observation:
        """Filter windows from a zero state.

        image uint8 (B, T, H, W, C), action (B, T, A); without a generator code and latent are their means.
        """
        lead = image.shape[:2]
        codes = [self.encode(part) for part in image.split(windows_at_a_time(image))]
        code = type(codes[0])(*(torch.cat(parts).unflatten(0, lead) for parts in zip(*codes, strict=True)))
        embed = code.sample(self.noise(generator, *lead, self.encoder.noise_size))
        noise = self.noise(generator, *lead, self.rssm.stoch)
        post, prior = self.rssm.observe(embed, action, self.rssm.initial(lead[0]), noise)
        return Observation(code, post, prior)

    def step(self, image: Tensor, action: Tensor, state: Latent, generator: torch.Generator | None) -> Latent:
        """Filter one more frame of N environments: image uint8 (N, H, W, C), action (N, A) that led to it; as ``observe``."""
        code, count = self.encode(image), image.shape[0]  # len() would fix the number of environments of an exported graph
        embed = code.sample(self.noise(generator, count, self.encoder.noise_size))
        noise = self.noise(generator, count, 1, self.rssm.stoch)
        post = self.rssm.filter(embed[:, None], action[:, None], state, noise)
        return post.map(lambda part: part[:, 0])

    def decode(self, feature: Tensor) -> Tensor:
        """feature (..., F) -> image mean (..., 3, 64, 64)."""
        output = self.decoder(feature.reshape(-1, feature.shape[-1]))
        return output.reshape(*feature.shape[:-1], *output.shape[1:])

    @torch.no_grad()
    def start_from(self, video: WorldModel, parts: tuple[str, ...]) -> None:
        """Copy parts of an action-free model of the same sizes; the weights of actions keep their first values."""
        for part in parts:
            theirs = getattr(video, part).state_dict()
            ours = getattr(self, part).state_dict()
            for name, value in theirs.items():
                columns = tuple(slice(n) for n in value.shape)
                ours[name][columns].copy_(value)

    def noise(self, generator: torch.Generator | None, *shape: int) -> Tensor:
        """Standard normal numbers from the generator, on its device; zeros without one, so that samples are means."""
        if generator is None:
            return self.rssm.inp.weight.new_zeros(shape)
        return torch.randn(shape, generator=generator, device=generator.device)
