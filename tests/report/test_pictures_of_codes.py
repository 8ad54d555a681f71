"""What a change does to the code, the map of offline and online frames, the traversal around a filtered state."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakerun import SET1, SET2, scene

from diswm.report import effects, maps, sections, strips
from diswm.report.reading import read_run
from diswm.report.summary import find_teacher, find_videos


def write_changes(path: Path, share: np.ndarray | None = None) -> None:
    share = np.array([[0.1, 0.9], [0.8, 0.0]]) if share is None else share
    images = np.stack([scene(1, SET1), scene(1, SET2), scene(2, SET1)])
    np.savez(path, groups=np.array(["colour of <sky>", "pose"]), share=share, images=images, kl=np.array([2.0, 3.0]), poses=np.array(64))


def write_clips(path: Path) -> None:
    rng = np.random.default_rng(0)
    online = np.arange(40) >= 20
    apart = rng.normal(size=(40, 5, 3)) + 50 * online[:, None, None]
    np.savez(path, teacher=apart, student=rng.normal(size=(40, 5, 4)), online=online, rows=np.array(10))


def test_a_change_is_a_column_and_the_most_used_dimension_comes_first(run: Path) -> None:
    write_changes(run / "media" / effects.FILE)
    media = effects.effect_media(read_run(run))
    assert media is not None
    drawing = effects.effect(media)
    assert drawing.numbers is not None
    assert [row[:2] for row in drawing.numbers.rows] == [[1, 3.0], [0, 2.0]]
    assert "colour of <sky> dimension 1 (0.90) and pose dimension 0 (0.80)" in drawing.alt
    assert "64 pairs of frames" in drawing.caption
    html = sections.traversal(read_run(run), None, run / "figures")
    assert 'id="changes"' in html
    assert "<sky>" not in html
    assert (run / "figures" / "changes.png").is_file()


@pytest.mark.parametrize("share", [np.zeros((3, 2)), np.full((2, 2), np.nan), np.zeros((2, 0))])
def test_damaged_changes_are_told_and_not_shown(run: Path, share: np.ndarray) -> None:
    write_changes(run / "media" / effects.FILE, share)
    loaded = read_run(run)
    assert effects.effect_media(loaded) is None
    assert effects.FILE in loaded.problems[-1]


def test_columns_of_a_traversal_are_named_by_what_they_are() -> None:
    """From -3 to 3 in nine steps are quarters, which one digit would round to uneven ones."""
    steps = [strips._deviations(value, " sd") for value in np.linspace(-3, 3, 9)]
    assert steps == ["−3 sd", "−2.25 sd", "−1.5 sd", "−0.75 sd", "0 sd", "+0.75 sd", "+1.5 sd", "+2.25 sd", "+3 sd"]


def test_a_traversal_around_a_filtered_state_stands_beside_that_from_zero(run: Path) -> None:
    path = run / "media" / "traversal.npz"
    loaded = read_run(run)
    media = strips.traversal_media(loaded)
    assert media is not None
    assert strips.filtered_media(loaded, media) is None, "an older run has none"
    np.savez(path, **media, filtered=media["images"][::-1], seen=np.array(7))
    around = strips.filtered_media(loaded, media)
    assert around is not None
    assert np.array_equal(around["images"], media["images"][::-1])
    assert "seen 7 frames" in strips.traversal_grid(around).caption
    assert "from a zero state" in strips.traversal_grid(media).caption
    np.savez(path, **media, filtered=media["images"][:1], seen=np.array(7))
    assert strips.filtered_media(loaded, media) is None


def test_the_map_tells_sources_apart_in_the_code_itself(run: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    write_clips(run / "media" / maps.FILE)
    media = maps.clips_media(read_run(run))
    assert media is not None
    drawing = maps.plane(media, 3)
    assert "100% by the teacher’s code" in drawing.caption
    assert "a clip, 20 of the videos and 20 of the replay: 5 frames spread over 10 steps" in drawing.caption
    assert drawing.numbers is not None
    assert len(drawing.numbers.rows) == 80
    again = maps.plane(media, 3).numbers
    assert again is not None
    assert list(again.rows) == list(drawing.numbers.rows)


def test_a_map_of_frames_as_older_runs_have_it_is_told_of(run: Path) -> None:
    np.savez(run / "media" / maps.FILE, teacher=np.zeros((40, 3)), student=np.zeros((40, 4)), online=np.arange(40) >= 20)
    loaded = read_run(run)
    assert maps.clips_media(loaded) is None
    assert f"it has teacher (40, 3), student (40, 4), online (40,); diswm traverse {run} makes it anew" in loaded.problems[-1]


def shown(run: Path) -> str:
    """The section on videos."""
    loaded = read_run(run)
    teacher, _ = find_teacher(loaded, None)
    return sections.videos(loaded, teacher, *find_videos(loaded, teacher, None), run / "figures")


def test_the_map_is_in_the_report_or_why_it_is_not(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    monkeypatch.setattr("diswm.report.strips.sample_rows", lambda folders, run: [])
    assert f"was recorded: <code>diswm traverse {run}</code>" in shown(run)
    write_clips(run / "media" / maps.FILE)
    assert 'id="clips"' in shown(run)
    with (run / "figures" / "clips.csv").open() as file:
        assert {row["code"] for row in csv.DictReader(file)} == {"teacher", "student"}
    np.savez(run / "media" / maps.FILE, teacher=np.zeros((40, 5, 3)), student=np.zeros((40, 5, 4)), online=np.arange(40) >= 20, rows=10)
    assert "No map of offline and online clips: the code does not vary" in shown(run)
    (run / "media" / maps.FILE).unlink()
    shutil.rmtree(run.parent / "videos")
    html = shown(run)
    assert "No map of offline and online clips was recorded: the video folder" in html
    assert "diswm traverse" not in html
    shutil.rmtree(run.parent / "teacher")
    assert "map of offline" not in shown(run), "a run without a teacher has none"
