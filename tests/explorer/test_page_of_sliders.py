"""The page as a file: whole, alone, and refused in words where something is missing."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chromium
import numpy as np
import pytest
import small

import diswm
from diswm import api
from diswm.build import load_learner
from diswm.contract import DiswmError
from diswm.explorer import page, webruntime
from diswm.explorer.bundle import chosen
from diswm.explorer.frames import gather, visible
from diswm.explorer.webruntime import WebRuntime

pytestmark = pytest.mark.xdist_group("explorer")


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch, bundles: list[dict[str, Any]], agent: Path) -> None:
    """Without the networks' runtime, and without writing their graphs again."""
    monkeypatch.setattr(page, "read_runtime", lambda: WebRuntime(b"script", b"wasm"))
    monkeypatch.setattr(page, "bundle", lambda folder, videos: bundles[folder != agent])


@pytest.mark.usefixtures("stubs")
def test_the_page_needs_nothing_else(agent: Path, teacher: Path, tmp_path: Path) -> None:
    path = diswm.explore(agent, teacher, out=tmp_path / "x", show=False)
    assert path == tmp_path / "x" / "explore.html"
    assert [found.name for found in path.parent.iterdir()] == ["explore.html"]
    text = path.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"(?:src|href)=[\"'](?!data:)|https?://|@import|\bfetch\(|XMLHttpRequest", text)
    held = re.search(r'<script type="application/json" id="runs">(.*?)</script>', text)
    assert held
    assert [run["name"] for run in json.loads(held[1])] == ["agent", "teacher"]


@pytest.mark.usefixtures("stubs")
def test_a_page_with_another_run_leaves_the_one_alone(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "two" / "3"
    alone = diswm.explore(one, show=False)
    kept = alone.read_bytes()
    both = diswm.explore(one, other, show=False)
    assert both.parent == one
    assert both.name == "explore_two_3.html", "a number alone would be no name"
    assert alone.read_bytes() == kept


@pytest.mark.usefixtures("stubs")
def test_a_browser_opens_where_there_is_a_screen(agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    diswm.explore(agent, out=tmp_path / "a.html")
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    diswm.explore(agent, out=tmp_path / "a.html", show=False)
    assert opened == []
    diswm.explore(agent, out=tmp_path / "a.html")
    assert opened == [(tmp_path / "a.html").as_uri()]


def test_the_name_of_a_run_is_shown_and_never_obeyed(bundles: list[dict[str, Any]]) -> None:
    hostile = {**bundles[0], "name": "</script><b>", "title": "<img>", "route": "{{title}} & <i>"}
    text = page.document([hostile], WebRuntime(b"", b""))
    assert not re.search(r"<b>[^<]*</script><b>|<img>|<i>", text)
    assert text.count("</script>") == 4
    assert "&lt;/script&gt;&lt;b&gt;" in text


def test_a_run_is_bundled_with_its_frames_and_factors(bundles: list[dict[str, Any]], videos: Path) -> None:
    agent, teacher = bundles
    assert agent["title"] == "toy"
    assert teacher["title"] == "videos of toy"
    assert agent["source"] == "16 episodes of toy in which the agent acts, 26 frames each"
    assert agent["origins"][1] == "episode 1, frame 8"  # 24 of 16 episodes: the second is of the first one again, 7 frames on
    assert teacher["origins"][1] == "frame 22"  # of 512 every 512 / 24 = 21.3
    assert teacher["source"] == f"512 frames of {videos.name}"
    assert (agent["missing"], teacher["missing"]) == ("", "")
    for run in bundles:
        assert len(run["dims"]) == 4
        assert 16 <= len(run["frames"]) == len(run["origins"]) <= 24
        named = {name for dim in run["dims"] for name, _ in dim["factors"]}
        assert named <= {f"{part} {end}" for part in ("agent", "target") for end in (1, 2)} | {"size"} | {
            f"colour.{part} {end}" for part in ("background", "agent", "target") for end in ("red", "green", "blue")
        }
        assert named, "even random weights let the toy's bright colours through"


@pytest.mark.skipif(chromium.PATH is not None, reason="the browser runs the networks themselves")
def test_both_networks_are_in_it_packed(bundles: list[dict[str, Any]]) -> None:
    for run in bundles:
        assert [gzip.decompress(base64.b64decode(run[name])) for name in ("encoder", "picture")] == [b"mean logvar", b"picture"]


def test_frames_without_factors_where_the_data_is_gone(teacher: Path, videos: Path, tmp_path: Path) -> None:
    shutil.copytree(teacher, tmp_path / "run")
    config = (tmp_path / "run" / "config.json").read_text()
    (tmp_path / "run" / "config.json").write_text(config.replace(str(videos), str(tmp_path / "gone")))
    learner = load_learner(teacher, "cpu")
    found = gather(tmp_path / "run", learner, None)
    assert found.factors == {}
    assert "gone" in found.missing
    kept = np.load(tmp_path / "run" / "media" / "prediction.npz")["real"]
    np.testing.assert_array_equal(found.image, kept.reshape(-1, 64, 64, 3))
    assert not found.missing.endswith("."), "a sentence goes on with it"
    assert gather(tmp_path / "run", learner, videos).factors
    shutil.rmtree(tmp_path / "run" / "media")
    with pytest.raises(DiswmError, match="gone"):
        gather(tmp_path / "run", learner, None)


def test_videos_that_were_moved_with_their_run_are_found_beside_it(teacher: Path, videos: Path, tmp_path: Path) -> None:
    shutil.copytree(teacher, tmp_path / "run")
    config = (tmp_path / "run" / "config.json").read_text()
    (tmp_path / "run" / "config.json").write_text(config.replace(str(videos), f"elsewhere/{videos.name}"))
    shutil.copytree(videos, tmp_path / videos.name)
    assert gather(tmp_path / "run", load_learner(teacher, "cpu"), None).missing == ""


def test_colours_that_no_picture_shows_are_not_named(agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a walker's labels hold the colour of its suite's sites, of which it has none."""
    world = type("World", (), {"fixed": {"colour.site": "moves the picture in 0% of frames", "x": "held"}, "close": lambda self: None})
    monkeypatch.setattr("diswm.explorer.frames.FactorWorld", lambda config: world())
    factors = {name: np.zeros((4, 1)) for name in ("colour.site", "colour.self", "x")}
    assert list(visible(factors, agent)) == ["colour.self", "x"]


def test_runs_are_named_by_as_much_of_their_paths_as_tells_them_apart() -> None:
    assert page.names_of([Path("a/walker")]) == ["walker"]
    assert page.names_of([Path("a/walker"), Path("b/teacher")]) == ["walker", "teacher"]
    assert page.names_of([Path("a/b/walker"), Path("c/b/walker")]) == ["a/b/walker", "c/b/walker"]
    assert page.names_of([Path("runs/diswm/0"), Path("runs/diswm/1")]) == ["diswm/0", "diswm/1"], "a seed alone is no name"
    assert len(page.names_of([Path("a/walker"), Path("a/walker")])) == 2


@pytest.mark.parametrize(("count", "group"), [(512, 1), (512, 32), (5, 1), (30, 5), (7, 7)])
def test_shown_frames_are_spread(count: int, group: int) -> None:
    rows = chosen(count, group)
    assert len(set(rows)) == len(rows) <= 24
    assert max(rows) < count
    assert {row // group for row in rows} == set(range(count // group)) or len(rows) == 24


def test_what_is_missing_is_said(
    agent: Path, videos: Path, tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webruntime, "FOLDER", tmp_path / "share")
    said = refused("explore", agent)
    assert f"npm pack onnxruntime-web@{webruntime.VERSION} --pack-destination '{tmp_path / 'share'}'" in said
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / f"onnxruntime-web-{webruntime.VERSION}.tgz").write_bytes(b"something else")
    assert "is not the package that was released" in refused("explore", agent)
    monkeypatch.setattr(page, "read_runtime", lambda: WebRuntime(b"", b""))
    assert "is not a run" in refused("explore", "nowhere")
    assert api.pretrain(small.pretrain_config(tmp_path / "plain", videos, "dv2_finetune", pretrain__updates=2))
    assert "has no Gaussian code to play with" in refused("explore", "plain", agent)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'diswm[export]'" in refused("explore", agent)
