"""Random weights in the released layout, written down name by name and apart from the package's own tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

Parts = dict[str, dict[str, Tensor]]


def random_parts(
    parts: Iterable[str] = ("encoder", "decoder", "rssm", "teacher_encoder", "reward", "actor", "value"),
    *,
    seed: int = 0,
    z_dim: int = 6,
    act_dim: int = 2,
    stoch: int = 5,
    deter: int = 9,
    hidden: int = 10,
    depth: int = 4,
    units: int = 12,
    reward_units: int = 11,
    reward_layers: int = 2,
    actor_layers: int = 4,
    critic_layers: int = 3,
    layer_norm: bool = True,
) -> Parts:
    """The files as {part: {name: tensor}}, scaled so that signals neither die nor explode."""
    generator = torch.Generator().manual_seed(seed)
    d, feature = depth, stoch + deter

    def layer(name: str, shape: tuple[int, ...], rows: int | None = None) -> dict[str, Tensor]:
        fan = torch.Size(shape[1:]).numel() if rows is None else shape[0] * 4
        weight = torch.randn(shape, generator=generator) * (1.2 / fan**0.5)
        return {f"{name}.weight": weight, f"{name}.bias": 0.1 * torch.randn(rows or shape[0], generator=generator)}

    def mlp(name: str, sizes: list[int], last: str) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
            whole = last if index == len(sizes) - 2 and last else f"{name}.{2 * index}"
            found |= layer(whole, (fan_out, fan_in))
        return found

    def encoder() -> dict[str, Tensor]:
        shapes = {0: (d, 3), 2: (d, d), 4: (2 * d, d), 6: (2 * d, 2 * d), 8: (8 * d, 2 * d)}
        convs = [layer(f"encoder.{index}", (*shape, 4, 4)) for index, shape in shapes.items()]
        return {name: value for part in (*convs, layer("dis_encoder.0", (2 * z_dim, 8 * d))) for name, value in part.items()}

    def decoder() -> dict[str, Tensor]:
        shapes = {3: (8 * d, 2 * d), 5: (2 * d, 2 * d), 7: (2 * d, d), 9: (d, d), 11: (d, 3)}
        linear = layer("feat_to_decoder.0", (z_dim, feature)) | layer("decoder.0", (8 * d, z_dim))
        for index, (fan_in, fan_out) in shapes.items():
            linear |= layer(f"decoder.{index}", (fan_in, fan_out, 4, 4), fan_out)
        return linear

    def rssm() -> dict[str, Tensor]:
        norm = {"_cell._norm.weight": 1 + 0.1 * torch.randn(3 * deter, generator=generator)}
        norm["_cell._norm.bias"] = 0.1 * torch.randn(3 * deter, generator=generator)
        return {
            **layer("_inp_layers.0", (hidden, stoch + act_dim)),
            **layer("_cell._layer", (3 * deter, hidden + deter)),
            **(norm if layer_norm else {}),
            **layer("_img_out_layers.0", (hidden, deter)),
            **layer("_obs_out_layers.0", (hidden, deter + z_dim)),
            **layer("_ims_stat_layer", (2 * stoch, hidden)),
            **layer("_obs_stat_layer", (2 * stoch, hidden)),
        }

    made = {
        "encoder": encoder(),
        "decoder": decoder(),
        "rssm": rssm(),
        "teacher_encoder": encoder(),
        "reward": mlp("_mean_layers", [feature, *[reward_units] * reward_layers, 1], ""),
        "actor": mlp("_pre_layers", [feature, *[units] * actor_layers, 2 * act_dim], "_dist_layer"),
        "value": mlp("_mean_layers", [feature, *[units] * critic_layers, 1], ""),
    }
    return {part: made[part] for part in made if part in set(parts)}


def save_parts(folder: Path, parts: Parts) -> Path:
    """Write them; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, state in parts.items():
        torch.save(state, folder / f"{part}.pt")
    return folder
