"""The page of the gallery stands alone and says what it shows; the pictures for documents; the verb."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import diswm
from diswm import matrix
from diswm.cli import main
from diswm.pictures import overview, worlds, writing
from diswm.pictures.page import document, sheet
from diswm.pictures.worlds import View, World


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three distractions instead of all: one without and two with strengths, of which the toy refuses one."""
    monkeypatch.setattr(matrix, "_ROWS", {name: matrix._ROWS[name] for name in ("none", "colours", "light")})


def test_documents_show_a_row_without_the_usual_strength_at_its_hardest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "_ROWS", {name: matrix._ROWS[name] for name in ("colours", "colours, DMC-GB")})
    (world,) = writing.draw(["toy"], 0, 1, ("medium",))
    assert [strip.cell.level for strip in world.strips] == ["medium", "hard"]
    text = diswm.gallery(["toy"], out=tmp_path / "gallery.md").read_text()
    assert "Without that strength, so at the hardest: colours, DMC-GB." in text


@pytest.mark.usefixtures("few")
def test_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    page = diswm.gallery(["toy", "gym/Nowhere-v0"], out=tmp_path / "shown", frames=2)
    assert page == tmp_path / "shown" / "gallery.html"
    assert [file.name for file in page.parent.iterdir()] == ["gallery.html"]
    text = page.read_text()
    assert text.count("<img ") == 1 + 3, "none and three strengths of colours"
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert "<script" not in text
    assert text.count("cannot show the distraction light") == 1
    assert "Nothing to compare: numpy alone draws this world." in text
    assert re.search(r"Not made here: There is no Gymnasium environment &#x27;Nowhere-v0&#x27;", text)
    data = re.findall(r'src="data:image/webp;base64,([^"]+)" width="262" height="128" alt="([^"]*)"', text)
    assert [alt for _, alt in data] == ["none", "colours easy", "colours medium", "colours hard"]
    assert Image.open(io.BytesIO(base64.b64decode(data[0][0]))).size == (2 * 64 + 3, 64)


def test_frames_stand_in_a_grid_pixel_by_pixel() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 5, 5, 3), dtype=np.uint8)
    data, size = sheet(frames)
    assert size == (13, 13), "two by two of 5 pixels, 3 between"
    found = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for index, frame in enumerate(frames):
        row, column = divmod(index, 2)
        assert np.array_equal(found[8 * row :, 8 * column :][:5, :5], frame)
    assert sheet(frames[:3])[1] == (3 * 5 + 2 * 3, 5)


def test_renderers_stand_side_by_side_and_one_may_be_missing() -> None:
    black, grey = np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 8, 8, 3), 12, np.uint8)
    views = (View("warp", "warp", black), View("gl", "gl-egl", grey), View("original", "dm_control", None, "no <OpenGL> here"))
    text = document([World("walker_walk", "warp", (), views)], 0, "a test")
    assert "12.0 of 255 from warp" in text
    assert "no &lt;OpenGL&gt; here" in text
    assert text.count("<img ") == 3, "two renderers and their difference"


@pytest.mark.usefixtures("few")
def test_pictures_for_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gallery.md"
    assert main(["gallery", "--tasks", "toy", "gym/Nowhere-v0", "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == str(out)
    assert re.search(r"^diswm: error: gym/Nowhere-v0 is not in it: There is no Gymnasium environment 'Nowhere-v0'\..*$", said.err, re.M)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["gallery-1.png", "gallery.md"]
    text = out.read_text()
    assert "![none; colours; light](gallery-1.png)" in text
    assert "renderers.png" not in text, "the toy has but one"
    assert "- `gym/Nowhere-v0`: There is no Gymnasium environment" in text
    assert "diswm gallery --seed 0 --tasks toy gym/Nowhere-v0 --out gallery.md" in text


@pytest.mark.usefixtures("few")
def test_a_world_that_nobody_asked_for_may_be_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worlds, "TASKS", ("toy", "gym/Nowhere-v0"))  # as where an extra is not installed
    for tasks in ([], ["--tasks", "toy"]):
        assert main(["gallery", *tasks, "--frames", "1", "--out", str(tmp_path)]) == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("diswm: ")]
        assert [line.partition(" is not in it")[0] for line in lines] == ([] if tasks else ["diswm: gym/Nowhere-v0"])


def test_it_is_refused_in_words_and_broken_off_without_a_trace(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "There is no task 'toi'" in refused("gallery", "--tasks", "toi")
    assert "--frames" in refused("gallery", "--tasks", "toy", "--frames", "0")
    assert "seed=-1 must be a number from 0" in refused("gallery", "--tasks", "toy", "--seed", "-1")
    (tmp_path / "film.mp4").touch()
    assert "film.mp4: is a file" in refused("gallery", "--out", str(tmp_path / "film.mp4"))  # before anything is drawn
    (tmp_path / "film.mp4").unlink()

    def stop(*_: object) -> World:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "draw_world", stop)
    assert main(["gallery", "--tasks", "toy"]) == 130
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_as_few_as_there_may_be_and_of_nearly_the_same_width() -> None:
    """At most seven distractions in each: 22 take four of 5 or 6, where four of 7, 7, 7 and 1 would be the greedy way."""
    for count, widths in ((0, []), (1, [1]), (7, [7]), (8, [4, 4]), (22, [5, 6, 5, 6])):
        labels = [str(i) for i in range(count)]
        parts = overview.columns(labels)
        assert [len(part) for part in parts] == widths
        assert [label for part in parts for label in part] == labels
