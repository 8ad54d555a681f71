"""`diswm export` and `diswm push`: what they write is the run again, with and without diswm."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch

import diswm
from diswm import envs
from diswm.build import load, load_learner, load_video_model
from diswm.contract import Array, DiswmError
from diswm.model.rssm import Latent
from diswm.model.world import WorldModel
from diswm.portable.folder import without_folders
from diswm.portable.graphs import Graph, write_graph

pytestmark = pytest.mark.xdist_group("export")

ort = pytest.importorskip("onnxruntime", reason="needs the extra 'export'")


@pytest.fixture(scope="session")
def exported(agent: Path) -> Path:
    """Without encoder and decoder, which take seconds and are those of a video model as well."""

    def write(path: Path, graph: Graph, world: WorldModel) -> None:
        if path.stem in ("encoder", "decoder"):
            path.write_text(f"{graph.takes} {graph.gives}")
        else:
            write_graph(path, graph, world)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diswm.portable.folder.write_graph", write)
        return diswm.export(agent, out=agent.parent / "exported")


@pytest.fixture(scope="session")
def exported_video(teacher: Path) -> Path:
    return diswm.export(teacher, out=teacher.parent / "exported_video")


def test_the_onnx_policy_acts_as_pytorch_does(agent: Path, exported: Path) -> None:
    """50 steps of the run's toy, so two episodes of 25 decisions; each keeps its own memory of the same frames."""
    policy, torch_policy = ort.InferenceSession(exported / "policy.onnx"), load(agent)
    env = envs.make(small.train_config(Path("unused")).env)
    actions, done = [], True
    state = {"action": np.ones((1, 2), np.float32), "stoch": np.ones((1, 8), np.float32), "deter": np.ones((1, 16), np.float32)}
    for step in range(50):
        if first := done:
            image = env.reset(seed=step)[0]
            torch_policy.reset()
        found = policy.run(["next_action", "next_stoch", "next_deter"], {"image": image[None], "is_first": np.array([first]), **state})
        state = dict(zip(state, found, strict=True))
        want = torch_policy.act(image)
        np.testing.assert_allclose(state["action"][0], want, atol=1e-4)
        actions.append(want)
        image, _, terminated, truncated, _ = env.step(want)
        done = terminated or truncated
    assert np.std(actions, 0).min() > 1e-3, "actions that are all alike show nothing"
    env.close()


@pytest.fixture
def feed() -> dict[str, Array]:
    """Three rows."""
    rng = np.random.default_rng(0)
    rows = {name: rng.standard_normal((3, size)).astype(np.float32) for name, size in (("action", 2), ("stoch", 8), ("deter", 16))}
    return {"image": rng.integers(0, 256, (3, 64, 64, 3), np.uint8), **rows, "is_first": np.array([False, True, False])}


def test_the_parts_together_are_the_policy(exported: Path, feed: dict[str, Array]) -> None:
    assert {path.stem for path in exported.glob("*.onnx")} == {"encoder", "decoder", "step", "actor", "policy"}
    assert (exported / "encoder.onnx").read_text() == "('image',) ('mean', 'logvar')"
    assert (exported / "decoder.onnx").read_text() == "('feature',) ('picture',)"
    parts = {name: ort.InferenceSession(exported / f"{name}.onnx") for name in ("step", "actor", "policy")}
    feature = parts["step"].run(["feature"], feed)[0]
    np.testing.assert_allclose(parts["actor"].run(None, {"feature": feature})[0], parts["policy"].run(["next_action"], feed)[0], atol=1e-6)


def test_a_step_filters_and_starts_anew_at_first_frames(agent: Path, exported: Path, feed: dict[str, Array]) -> None:
    step, world = ort.InferenceSession(exported / "step.onnx"), load_learner(agent, "cpu").world
    assert [node.name for node in step.get_inputs()] == list(feed)
    got = dict(zip([node.name for node in step.get_outputs()], step.run(None, feed), strict=True))
    assert list(got) == ["next_stoch", "next_deter", "feature"]
    image, action, stoch, deter = (torch.from_numpy(feed[name].copy()) for name in ("image", "action", "stoch", "deter"))
    for tensor in (action, stoch, deter):
        tensor[1] = 0  # the episode of the second row begins
    with torch.no_grad():
        want = world.step(image, action, Latent(stoch, stoch, stoch, deter), None)
    np.testing.assert_allclose(got["next_stoch"], want.stoch, atol=1e-5)
    np.testing.assert_allclose(got["next_deter"], want.deter, atol=1e-5)
    np.testing.assert_array_equal(got["feature"], np.concatenate([got["next_stoch"], got["next_deter"]], 1))


def test_the_card_tells_how_to_use_it_and_is_right(agent: Path, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (exported / "README.md").read_text()
    found = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert found
    assert found[1].count("\n") <= 10
    steps: list[Any] = []

    class Watched:
        def __init__(self) -> None:
            self.env = envs.make(small.train_config(Path("unused")).env)

        def reset(self) -> Any:
            return self.env.reset(seed=3)

        def step(self, action: Any) -> Any:
            steps.append(action)
            return self.env.step(action)

    monkeypatch.chdir(exported)
    exec(found[1], {"env": Watched()})
    assert len(steps) == 25
    assert np.shape(steps[0]) == (2,)
    returns = json.loads((agent / "evaluation.json").read_text())["seen"]["returns"]
    assert f"| colours of training | {np.mean(returns):.3g}" in card
    assert "150 frames, 14 updates" in card


def test_a_video_model_exports_what_it_has(teacher: Path, videos: Path, exported_video: Path) -> None:
    files = {path.name for path in exported_video.iterdir()}
    assert files == {"README.md", "config.json", "model.safetensors", "encoder.onnx", "decoder.onnx", "step.onnx"}
    card = (exported_video / "README.md").read_text()
    assert "An action-free video model" in card
    assert "Returns" not in card
    found = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert found
    world = load_video_model(teacher)
    images = np.load(next(videos.glob("*.npz")))["image"][:3]
    names: dict[str, Any] = {"images": images}
    exec(found[1].replace('f"{name}', f'f"{exported_video}/{{name}}'), names)
    frames = torch.from_numpy(images)
    np.testing.assert_allclose(names["mean"], world.encode(frames).mean, atol=1e-5)
    post = world.observe(frames[None], torch.zeros(1, 3, 0), None).post  # all three frames, as the card's loop saw them
    want = ((world.decode(post.feature[0, -1]) + 0.5) * 255).clamp(0, 255).movedim(0, -1)
    assert names["picture"].dtype == np.uint8
    np.testing.assert_allclose(names["picture"], want, atol=0.51)


# ---- as a run again


def test_an_exported_run_loads_like_the_run(agent: Path, teacher: Path, exported: Path, exported_video: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(diswm.load(exported).act(image), load(agent).act(image))
    ours, theirs = load_video_model(teacher).state_dict(), load_video_model(exported_video).state_dict()
    assert all(bool((value == theirs[name]).all()) for name, value in ours.items())
    assert str(agent.parent) not in (exported / "config.json").read_text() + (exported / "README.md").read_text()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("/home/me/runs/x", "x"), ("~/runs/x", "x"), ("runs/x", "runs/x"), ("walker_walk", "walker_walk"),
        ("source=/data/videos", "source=videos"),
        ("background:video,folder=/data/DAVIS,dynamic", "background:video,folder=DAVIS,dynamic"),
    ],
)  # fmt: skip
def test_where_things_lay_stays_at_home(said: str, kept: str) -> None:
    assert without_folders({"a": [said], "b": 1}) == {"a": [kept], "b": 1}


def test_weights_that_are_damaged_or_of_another_run(exported: Path, exported_video: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "other")
    shutil.copy(exported_video / "model.safetensors", tmp_path / "other")
    with pytest.raises(DiswmError, match="are not those of its config"):
        load(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(DiswmError, match="is damaged"):
        load(tmp_path / "other")


def test_export_is_refused_in_words(
    agent: Path, exported: Path, tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").touch()
    assert "is there already" in refused("export", agent, "--out", "there")
    assert "is not a run" in refused("export", "nowhere")
    assert "--repo-id" in refused("push", agent)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "pip install 'diswm[export]'" in refused("export", agent, "--out", "new")


# ---- the hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The functions of huggingface_hub over a folder; a call that the real ones would refuse fails here too."""
    library = pytest.importorskip("huggingface_hub", reason="needs the extra 'hub'")
    from inspect import signature

    root = tmp_path / "hub"
    real = {name: signature(getattr(library, name)) for name in ("create_repo", "upload_folder", "snapshot_download")}

    def create_repo(*args: Any, **given: Any) -> str:
        call = real["create_repo"].bind(*args, **given).arguments
        library.utils.validate_repo_id(call["repo_id"])
        (root / call["repo_id"]).mkdir(parents=True, exist_ok=call["exist_ok"])
        (root / call["repo_id"] / ".private").write_text(str(call["private"]))
        return f"https://hub/{call['repo_id']}"

    def upload_folder(*args: Any, **given: Any) -> None:
        call = real["upload_folder"].bind(*args, **given).arguments
        shutil.copytree(call["folder_path"], root / call["repo_id"], dirs_exist_ok=True)

    def snapshot_download(*args: Any, **given: Any) -> str:
        call = real["snapshot_download"].bind(*args, **given).arguments
        if not (root / call["repo_id"]).is_dir() or call["revision"] not in (None, "main"):
            raise OSError("404: Repository Not Found.\nMake sure that you are logged in.")
        cache = tmp_path / "cache" / call["repo_id"]
        for name in call["allow_patterns"]:
            cache.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / call["repo_id"] / name, cache)
        return str(cache)

    for function in (create_repo, upload_folder, snapshot_download):
        monkeypatch.setattr(library, function.__name__, function)
    return root


def test_pushed_and_loaded_again(
    agent: Path, exported: Path, hub: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    monkeypatch.setattr("diswm.portable.folder.export", lambda run, out: Path(shutil.copytree(exported, out)))  # the slow part
    assert diswm.push(agent, "me/walker", private=True) == "https://hub/me/walker"
    assert diswm.push(agent, "me/walker") == "https://hub/me/walker"  # again, over what is there
    assert {path.name for path in (hub / "me/walker").iterdir()} == {path.name for path in exported.iterdir()} | {".private"}
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name in ("hub:me/walker", "hub:me/walker@main"):
        np.testing.assert_array_equal(diswm.load(name).act(image), load(agent).act(image))
    with pytest.raises(DiswmError, match=r"hub:me/walker@v2: could not be fetched \(404: Repository Not Found\)\. Check"):
        diswm.load("hub:me/walker@v2")

    def nobody(*args: Any, **given: Any) -> str:
        raise OSError("401: Unauthorized.")

    monkeypatch.setattr("huggingface_hub.create_repo", nobody)
    assert "me/walker: could not be pushed (401: Unauthorized). Expected user/name; log in" in refused("push", agent, "me/walker")
    monkeypatch.setattr("diswm.portable.folder.export", None)  # a name is looked at first
    assert "'no such name/' is no name that a hub could have" in refused("push", agent, "no such name/")
    with pytest.raises(DiswmError, match="'a/b/c' is no name that a hub could have"):
        diswm.load("hub:a/b/c")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install 'diswm[hub]'" in refused("push", agent, "me/walker")
    with pytest.raises(DiswmError, match=r"diswm\[hub\]"):
        diswm.load("hub:me/walker")
