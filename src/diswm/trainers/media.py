"""Pictures of what a model knows: predictions, traversals, episodes. Arrays go to disk; the report draws them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from diswm.agents.learner import WorldLearner
from diswm.contract import Array, Batch
from diswm.data.disk import write_atomically
from diswm.model.dists import standard_kl
from diswm.model.layers import output_to_images
from diswm.model.rssm import Latent
from diswm.model.world import WorldModel

_ADVICE = "Free some space and give the same command again."
TRAVERSAL = np.linspace(-3, 3, 9)
"""Standard deviations that a traversal shows."""
SEEN = 10
"""Frames that a model sees, at most, before the frame whose code is traversed."""


@torch.no_grad()
def predict(learner: WorldLearner, batch: Batch, context: int) -> dict[str, Any]:
    """Windows as they are, reconstructed from posteriors, and predicted open loop after ``context`` frames.

    uint8 (B, T, H, W, C) each; all means, no samples.
    """
    world = learner.world.eval()
    image = torch.from_numpy(batch["image"]).to(learner.device)
    action = learner.actions({name: torch.from_numpy(value).to(learner.device) for name, value in batch.items()})
    post = world.observe(image, action, None).post
    start = post.map(lambda part: part[:, context - 1])
    noise = post.stoch.new_zeros(post.stoch[:, context:].shape)
    ahead = world.rssm.imagine(start, action[:, context:], noise)
    feature = torch.cat([post.feature[:, :context], ahead.feature], 1)
    return {
        "real": batch["image"],
        "reconstruction": output_to_images(world.decode(post.feature)).cpu().numpy(),
        "prediction": output_to_images(world.decode(feature)).cpu().numpy(),
        "context": np.array(context),
    }


@torch.no_grad()
def traverse(learner: WorldLearner, batch: Batch, values: Array) -> dict[str, Any] | None:
    """Change one dimension of the code of a frame at a time and decode. None for an encoder without a Gaussian code.

    All frames of ``batch["image"]`` (B, T, H, W, C) give the aggregate posterior; ``values`` (V,) are its standard deviations in each
    dimension, around its mean. Gives images (E, V, H, W, C), kl (E,), values, base: the first frame from a zero state, as the paper's
    pictures. Where the batch has what filtering takes also filtered (E, V, H, W, C) and filtered_base: a later frame of the first
    window, from the state that the model is in after ``seen`` frames before it.
    """
    world = learner.world.eval()
    image = torch.from_numpy(np.ascontiguousarray(batch["image"])).to(learner.device)
    code = world.encode(image)
    if code.logvar.shape[-1] == 0:
        return None
    steps = torch.from_numpy(values.astype(np.float32)).to(learner.device)
    spread = torch.sqrt(code.mean.var(0) + code.logvar.exp().mean(0))  # law of total variance
    targets = code.mean.mean(0)[:, None] + spread[:, None] * steps  # (E, V)
    found = {
        "images": _moved(world, code.mean[0], targets, world.rssm.initial(1), image.new_zeros(1, world.act_dim, dtype=torch.float32)),
        "values": values,
        "kl": standard_kl(code.mean, code.logvar).mean(0).cpu().numpy(),
        "base": batch["image"][0, 0],
    }
    seen = min(SEEN, image.shape[1] - 1)
    if seen and (not world.act_dim or "action" in batch):
        data = {name: torch.from_numpy(value[:1]).to(learner.device) for name, value in batch.items() if name in ("image", "action")}
        action = learner.actions(data)
        post = world.observe(data["image"][:, :seen], action[:, :seen], None).post.map(lambda part: part[:, -1])
        found["filtered"] = _moved(world, code.mean[seen], targets, post, action[:, seen])
        found |= {"filtered_base": batch["image"][0, seen], "seen": np.array(seen)}
    return found


def _moved(world: WorldModel, code: torch.Tensor, targets: torch.Tensor, state: Latent, action: torch.Tensor) -> Array:
    """The frame of ``code`` (E,) with one dimension at a time at its targets (E, V), after ``state`` and ``action`` (1, ...)."""
    count, steps = targets.shape
    embeds = code.expand(count, steps, count).clone()
    index = torch.arange(count, device=embeds.device)
    embeds[index, :, index] = targets
    flat = embeds.flatten(0, 1)[:, None]
    start = state.map(lambda part: part.expand(len(flat), -1))
    noise = flat.new_zeros(len(flat), 1, world.rssm.stoch)
    post = world.rssm.filter(flat, action.expand(len(flat), -1)[:, None], start, noise)
    decoded = output_to_images(world.decode(post.feature[:, 0]))
    images: Array = decoded.unflatten(0, (count, steps)).cpu().numpy()
    return images


def save_traversal(folder: Path, learner: WorldLearner, batch: Batch) -> bool:
    """``media/traversal.npz`` of frames (B, T, H, W, C) and, for agents, what led to them; whether the code can be traversed."""
    found = traverse(learner, batch, TRAVERSAL)
    if found is not None:
        save_arrays(folder / "media" / "traversal.npz", found)
    return found is not None


def look(folder: Path, learner: WorldLearner, batch: Batch) -> None:
    """``media/prediction.npz`` and ``prediction.gif`` (real | reconstruction | open loop), and the traversal."""
    found = predict(learner, batch, min(5, batch["image"].shape[1] // 2))
    save_arrays(folder / "media" / "prediction.npz", found)
    columns = [np.concatenate(list(found[name][:3]), 1) for name in ("real", "reconstruction", "prediction")]
    save_gif(folder / "media" / "prediction.gif", np.concatenate(columns, 2), fps=8, every=1)
    save_traversal(folder, learner, batch)


def save_gif(path: Path, video: Array, *, fps: int = 20, scale: int = 2, every: int = 4) -> None:
    """Write frames (L, H, W, C) uint8 as an animated GIF, each ``every``-th one, enlarged."""
    size = (video.shape[2] * scale, video.shape[1] * scale)
    frames = [Image.fromarray(frame).resize(size, Image.Resampling.NEAREST) for frame in video[::every]]
    settings: Any = {"save_all": True, "append_images": frames[1:], "duration": int(1000 * every / fps), "loop": 0, "optimize": False}
    write_atomically(path, lambda file: frames[0].save(file, "GIF", **settings), need=video[::every].nbytes * scale**2, advice=_ADVICE)


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """An .npz, whole or not at all."""
    need = sum(np.asarray(value).nbytes for value in arrays.values())
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays), need=need, advice=_ADVICE)
