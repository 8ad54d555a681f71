"""What the page needs of a run: two graphs, frames, and facts of each dimension of its code."""

from __future__ import annotations

import base64
import gzip
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from diswm.build import load_learner
from diswm.contract import Array, DiswmError
from diswm.explorer.carriers import carriers
from diswm.explorer.frames import Frames, gather, visible
from diswm.model.dists import standard_kl
from diswm.model.encoder import Code
from diswm.model.world import WorldModel
from diswm.portable.graphs import Graph, graphs, picture, write_graph
from diswm.report.strips import QUIET
from diswm.report.summary import summarise
from diswm.trainers.run import read_config
from diswm.trainers.seeds import generator

SHOWN = 24


def bundle(folder: Path, videos: Path | None) -> dict[str, Any]:
    """Plain values, fit for JSON. DiswmError for a run without a Gaussian code."""
    head = read_config(folder)
    learner = load_learner(folder, "cpu")
    world = learner.world.eval().requires_grad_(False)
    if not world.encoder.noise_size:
        raise DiswmError(f"{folder}: its encoder has no Gaussian code to play with. diswm, paper, no_distill and no_disentangle have one.")
    frames = gather(folder, learner, videos)
    if not videos:
        frames = frames._replace(factors=visible(frames.factors, folder))
    summary = summarise(folder)
    agent = head["kind"] == "train"
    return {
        "name": folder.resolve().name,
        "title": summary["task"] if agent else f"videos of {summary['source']}",
        "route": f"{summary['method']}, {'an agent' if agent else 'pretrained on videos'}",
        **networks_and_frames(world, frames, generator(head["config"]["seed"], "media")),
    }


def networks_and_frames(world: WorldModel, frames: Frames, rng: np.random.Generator) -> dict[str, Any]:
    """The part of it that does not depend on a run's folder."""
    code = world.encode(torch.from_numpy(np.ascontiguousarray(frames.image)))
    rows = chosen(len(frames.image), frames.group)
    return {
        "source": frames.source,
        "missing": frames.missing,
        "dims": _dimensions(code, frames, rng),
        "encoder": _graph(graphs(world, None)["encoder"], world),
        "picture": _graph(picture(world), world),
        "frames": [png(frames.image[row]) for row in rows],
        "origins": [frames.origin(row) for row in rows],
    }


def _dimensions(code: Code, frames: Frames, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Mean and spread of the aggregate posterior, information and factors of each dimension, in order."""
    mean, spread = code.mean.mean(0), torch.sqrt(code.mean.var(0) + code.logvar.exp().mean(0))  # law of total variance
    kl = standard_kl(code.mean, code.logvar).mean(0)
    named = carriers(code.mean.numpy(), frames.factors, frames.group, rng)
    rows = zip(mean.tolist(), spread.tolist(), kl.tolist(), named, strict=True)
    return [
        {"mean": m, "spread": s, "kl": k, "quiet": k < QUIET, "factors": [[one.name, round(one.correlation, 3)] for one in found]}
        for m, s, k, found in rows
    ]


def chosen(count: int, group: int) -> list[int]:
    """Rows to show: spread over all groups, and in each group at another place."""
    shown = min(SHOWN, count)
    groups = max(count // group, 1)
    rows = [index * groups // shown * group + (index * 7) % group for index in range(shown)]
    return list(dict.fromkeys(rows))


def _graph(graph: Graph, world: Any) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "graph.onnx"
        write_graph(path, graph, world)
        return packed(path.read_bytes())


def packed(data: bytes) -> str:
    """gzip and base64: what a page can hold and unpack."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def png(image: Array) -> str:
    """A frame as a data URL."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
