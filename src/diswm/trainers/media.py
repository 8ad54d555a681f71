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

_ADVICE = "Free some space and give the same command again."
TRAVERSAL = np.linspace(-3, 3, 9)
"""Standard deviations that a traversal shows."""


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
def traverse(learner: WorldLearner, images: Array, values: Array) -> dict[str, Any] | None:
    """Change one dimension of the code of ``images[0]`` at a time and decode. None for an encoder without a Gaussian code.

    images (N, H, W, C) uint8 give the aggregate posterior; ``values`` (V,) are its standard deviations in each dimension,
    around its mean. From a zero state, as the paper's pictures. Gives images (E, V, H, W, C), kl (E,), values, base.
    """
    world = learner.world.eval()
    code = world.encode(torch.from_numpy(np.ascontiguousarray(images)).to(learner.device))
    if code.logvar.shape[-1] == 0:
        return None
    count = code.mean.shape[-1]
    steps = torch.from_numpy(values.astype(np.float32)).to(learner.device)
    spread = torch.sqrt(code.mean.var(0) + code.logvar.exp().mean(0))  # law of total variance
    targets = code.mean.mean(0)[:, None] + spread[:, None] * steps  # (E, V)
    embeds = code.mean[0].expand(count, len(values), count).clone()
    index = torch.arange(count, device=learner.device)
    embeds[index, :, index] = targets
    flat = embeds.flatten(0, 1)[:, None]
    action = flat.new_zeros(len(flat), 1, world.act_dim)
    post, _ = world.rssm.observe(flat, action, world.rssm.initial(len(flat)), flat.new_zeros(len(flat), 1, world.rssm.stoch))
    decoded = output_to_images(world.decode(post.feature[:, 0]))
    return {
        "images": decoded.unflatten(0, (count, len(values))).cpu().numpy(),
        "values": values,
        "kl": standard_kl(code.mean, code.logvar).mean(0).cpu().numpy(),
        "base": images[0],
    }


def save_traversal(folder: Path, learner: WorldLearner, images: Array) -> bool:
    """``media/traversal.npz`` of frames (..., H, W, C); whether the code can be traversed."""
    found = traverse(learner, images.reshape(-1, *images.shape[-3:]), TRAVERSAL)
    if found is not None:
        _save(folder / "media" / "traversal.npz", found)
    return found is not None


def look(folder: Path, learner: WorldLearner, batch: Batch) -> None:
    """``media/prediction.npz`` and ``prediction.gif`` (real | reconstruction | open loop), and the traversal."""
    found = predict(learner, batch, min(5, batch["image"].shape[1] // 2))
    _save(folder / "media" / "prediction.npz", found)
    columns = [np.concatenate(list(found[name][:3]), 1) for name in ("real", "reconstruction", "prediction")]
    save_gif(folder / "media" / "prediction.gif", np.concatenate(columns, 2), fps=8, every=1)
    save_traversal(folder, learner, batch["image"])


def save_gif(path: Path, video: Array, *, fps: int = 20, scale: int = 2, every: int = 4) -> None:
    """Write frames (L, H, W, C) uint8 as an animated GIF, each ``every``-th one, enlarged."""
    size = (video.shape[2] * scale, video.shape[1] * scale)
    frames = [Image.fromarray(frame).resize(size, Image.Resampling.NEAREST) for frame in video[::every]]
    settings: Any = {"save_all": True, "append_images": frames[1:], "duration": int(1000 * every / fps), "loop": 0, "optimize": False}
    write_atomically(path, lambda file: frames[0].save(file, "GIF", **settings), need=video[::every].nbytes * scale**2, advice=_ADVICE)


def _save(path: Path, arrays: dict[str, Any]) -> None:
    need = sum(np.asarray(value).nbytes for value in arrays.values())
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays), need=need, advice=_ADVICE)
