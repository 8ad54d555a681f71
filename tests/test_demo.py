"""The demo, in its smallest size: everything is there afterwards, and a second call does nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import small
from PIL import Image

from diswm import api
from diswm import demo as module
from diswm.contract import DiswmError
from diswm.demo import Stages, demo

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`diswm demo --tiny`."""
    pytest.importorskip("mujoco", reason="the demo's tasks need MuJoCo")
    pytest.importorskip("dm_control", reason="the demo's tasks need dm_control")
    out = tmp_path_factory.mktemp("demo") / "demo"
    done = subprocess.run([sys.executable, "-m", "diswm", "demo", "--tiny", "--out", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_the_page_and_its_numbers(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html")
    assert "http://" not in page.replace("http://www.w3.org", "")
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("random", "trained_seen", "trained_unseen"):
        entry = summary["returns"][name]
        assert entry["low"] <= entry["mean"] <= entry["high"]
        assert entry["episodes"] == 3
    assert summary["frames"] == 1000
    # 500 steps, 200 of them random: 4 + (500 - 200) / 25 = 16 updates.
    assert summary["updates"] == 16
    assert summary["seconds"] > 0
    assert summary["peak_rss_bytes"] > 2**20


def test_the_folders(folder: Path) -> None:
    media = {path.name for path in (folder / "agent" / "media").iterdir()}
    assert media == {"eval_random.gif", "eval_seen.gif", "eval_unseen.gif", "prediction.gif", "prediction.npz", "traversal.npz"} | {
        "changes.npz",
        "clips.npz",
    }
    with Image.open(folder / "agent" / "media" / "eval_seen.gif") as film:
        assert film.n_frames > 10  # type: ignore[attr-defined]
        assert film.size == (128, 128)
    for part in ("agent", "teacher"):
        assert all(event["kind"] in ("episode", "update", "eval") for event in small.events(folder / part))
        assert list((folder / part / "tensorboard").glob("events.out.tfevents.*"))
        assert (folder / part / "cost.json").exists()
    assert len(list((folder / "videos").glob("*.npz"))) == 5  # 1,000 frames in episodes of 200


def test_a_second_call_does_nothing_twice(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("collect", "pretrain", "train"):
        monkeypatch.setattr(api, verb, lambda config: pytest.fail("again"))
    before = {name: data for name, data in small.tree(folder).items() if name.split("/")[0] in ("videos", "teacher", "agent", "demo.json")}
    assert demo(folder, tiny=True)
    assert capsys.readouterr().out.count("done before") == 3
    after = {name: data for name, data in small.tree(folder).items() if name in before}
    assert after == before


def test_another_demo_is_not_written_over_it(folder: Path) -> None:
    with pytest.raises(DiswmError, match="holds a demo with"):
        demo(folder, seed=1, tiny=True)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(DiswmError, match="neither an empty folder nor a demo"):
        demo(tmp_path, tiny=True)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_stage_that_fails_is_tried_again(tmp_path: Path) -> None:
    stages = Stages(tmp_path, {"seed": 0})

    def fails() -> bool:
        raise DiswmError("no")

    assert stages.run("one", "first", lambda: True)
    with pytest.raises(DiswmError):
        stages.run("two", "second", fails)
    again = Stages(tmp_path, {"seed": 0})
    assert again.run("one", "first", lambda: pytest.fail("again"))
    assert again.run("two", "second", lambda: False) is False
    assert again.run("two", "second", lambda: True) is True
    assert [row["name"] for row in again.totals()["stages"]] == ["one", "two"]
    for text in ("{", "[1]"):
        (tmp_path / "demo.json").write_text(text)
        with pytest.raises(DiswmError, match="cannot be read"):
            Stages(tmp_path, {"seed": 0})


def test_an_interrupted_stage_stops_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []
    for verb, done in (("collect", True), ("pretrain", False), ("train", True)):
        monkeypatch.setattr(module.api, verb, lambda config, verb=verb, done=done: (asked.append(verb), done)[1])
    assert demo(tmp_path / "demo", tiny=True) is False
    assert asked == ["collect", "pretrain"]
    assert "the same command goes on" in capsys.readouterr().out
    assert demo(tmp_path / "demo", tiny=True) is False
    assert asked == ["collect", "pretrain", "pretrain"]
