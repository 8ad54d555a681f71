"""Exported graphs compute what the networks do, for any number of rows: those that `test_export` has not at hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from diswm.contract import Array
from diswm.model.heads import OneHotActor
from diswm.model.world import ModelConfig, WorldModel
from diswm.portable.graphs import Graph, graphs, picture, write_graph

ort = pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
SMALL = ModelConfig(z_dim=4, stoch=8, deter=16, hidden=16, depth=4, units=16)
ROWS = 3


@pytest.fixture(scope="module")
def plain() -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(dataclasses.replace(SMALL, encoder="plain"), 2).requires_grad_(False)


def run(folder: Path, graph: Graph, world: WorldModel, **feed: Array) -> dict[str, Array]:
    write_graph(folder / "graph.onnx", graph, world)
    session = ort.InferenceSession(folder / "graph.onnx")
    assert [node.name for node in session.get_inputs()] == list(graph.takes) == list(feed)
    return dict(zip(graph.gives, session.run(list(graph.gives), feed), strict=True))


def images() -> Array:
    return np.random.default_rng(1).integers(0, 256, (ROWS, 64, 64, 3), np.uint8)


def test_a_choice_comes_out_one_hot(plain: WorldModel, tmp_path: Path) -> None:
    torch.manual_seed(0)
    actor = OneHotActor(plain.feature_size, 2, 1, 16)
    feature = np.random.default_rng(2).standard_normal((64, plain.feature_size)).astype(np.float32)
    got = run(tmp_path, graphs(plain, actor)["actor"], plain, feature=feature)["next_action"]
    want = np.eye(2)[actor(torch.from_numpy(feature)).detach().numpy().argmax(-1)]
    np.testing.assert_array_equal(got, want)
    assert 0 < got[:, 0].sum() < 64, "both choices are made"


def test_a_plain_encoder_has_no_variance(plain: WorldModel, tmp_path: Path) -> None:
    got = run(tmp_path, graphs(plain, None)["encoder"], plain, image=images())
    assert list(got) == ["mean"]
    np.testing.assert_allclose(got["mean"], plain.encode(torch.from_numpy(images())).mean, atol=1e-5)


def test_a_code_is_drawn_as_a_first_frame_would_be(tmp_path: Path) -> None:
    """Filtering a frame from a zero state and decoding is the same as drawing the code of that frame."""
    torch.manual_seed(0)
    world = WorldModel(SMALL, 2).requires_grad_(False)
    image = torch.from_numpy(images())
    post = world.step(image, torch.zeros(ROWS, 2), world.rssm.initial(ROWS), None)
    want = ((world.decode(post.feature) + 0.5) * 255).clamp(0, 255).movedim(1, -1)
    drawn = run(tmp_path, picture(world), world, code=world.encode(image).mean.numpy())["picture"]
    assert (drawn.shape, drawn.dtype) == ((ROWS, 64, 64, 3), np.uint8)
    np.testing.assert_allclose(drawn, want, atol=0.51)  # rounded
    assert np.ptp(want.numpy()) > 20
