"""The page says what the run says, stands alone, and stays calm when parts are missing."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakerun import fake_run

from diswm.contract import DiswmError
from diswm.report import figures, strips, summarise, write_report
from diswm.report.reading import read_run

pytestmark = pytest.mark.xdist_group("page")

VOID = {"meta", "img", "source", "br"}


class Reader(HTMLParser):
    """Checks that elements close in order, and gathers addresses, texts, ids and tags."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append(tag)
        self.addresses += [known[k] or "" for k in ("src", "href", "srcset", "xlink:href", "data", "action") if k in known]
        self.ids += [known["id"] or ""] if "id" in known else []
        if tag in ("img", "svg") or known.get("role") == "img":
            self.alts.append(known.get("alt") or known.get("aria-label"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose page was made in full, once."""
    run = fake_run(tmp_path_factory.mktemp("drawn"))
    write_report(run)
    return run


@pytest.fixture(autouse=True)
def _quick(drawn: Path, words_alone: None) -> None:
    """Every other page; `drawn` was made before this took hold."""


def edit(path: Path, change: Any) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_the_page_tells_the_run(drawn: Path) -> None:
    text = read(drawn / "report.html").text
    # seen: (600 + 640 + 660 + 700 + 650) / 5 = 650; unseen: 2500 / 5 = 500; random: 200 / 5 = 40
    for said in ("walker_walk", "reacher_easy", "diswm", "650.0", "500.0", "40.0", "20,000", "1 h 02 min", "3.0 GiB", "set1", "set2"):
        assert said in text
    assert "beats the random one: return higher by 610.0" in text  # 650 - 40
    assert "loses return: difference −150.0" in text  # 500 - 650
    assert "say nothing about other seeds" in text


def test_the_page_stands_alone(drawn: Path) -> None:
    page = drawn / "report.html"
    reader = read(page)
    assert all(address.startswith(("data:image/", "#")) for address in reader.addresses)
    source = page.read_text(encoding="utf-8")
    assert "http://" not in source
    assert "https://" not in source
    assert "@import" not in source
    assert "script" not in reader.tags
    assert not re.search(r"url\((?!#)", source)


def test_every_picture_is_described_and_every_id_is_its_own(drawn: Path) -> None:
    reader = read(drawn / "report.html")
    assert reader.alts
    assert all(reader.alts)
    assert len(reader.ids) == len(set(reader.ids))
    assert {a[1:] for a in reader.addresses if a.startswith("#")} <= set(reader.ids)


def test_charts_follow_the_page_and_are_kept_as_png(drawn: Path) -> None:
    source = (drawn / "report.html").read_text(encoding="utf-8")
    assert "var(--seen)" in source.split("</style>")[1]
    assert "prefers-color-scheme: dark" in source
    names = {path.name for path in (drawn / "figures").iterdir()}
    numbers = {"learning_curve", "returns", "prediction_quality", "traversal", "losses", "teacher_prediction_quality", "teacher_losses"}
    expected = numbers | {"prediction", "samples", "teacher_prediction"}
    assert names == {f"{name}.png" for name in expected} | {f"{name}.csv" for name in numbers}


def test_what_a_figure_shows_is_kept_as_csv(drawn: Path) -> None:
    """Evaluations on both splits, and the training episodes; PSNR and SSIM of 3 videos x 8 frames."""
    rows = list(csv.DictReader((drawn / "figures" / "learning_curve.csv").open()))
    assert {row["kind"] for row in rows} == {"seen", "unseen", "training episode"}
    assert [row["frames"] for row in rows if row["kind"] == "seen"] == ["0.0", "10000.0", "20000.0"]
    quality = list(csv.DictReader((drawn / "figures" / "prediction_quality.csv").open()))
    assert len(quality) == 3 * 8
    assert all(float(row["psnr_db"]) > 5 and 0 < float(row["ssim"]) <= 1 for row in quality)


def test_summary_has_exactly_these_keys(drawn: Path) -> None:
    summary = json.loads((drawn / "summary.json").read_text())
    assert summary == summarise(drawn)
    assert set(summary) == {"returns", "seconds", "peak_rss_bytes", "frames", "updates", "task", "method", "source"}
    assert set(summary["returns"]) == {"random", "trained_seen", "trained_unseen"}
    for entry in summary["returns"].values():
        assert set(entry) == {"mean", "low", "high", "episodes", "values"}
        assert entry["low"] <= entry["mean"] <= entry["high"]
    assert summary["returns"]["trained_seen"]["mean"] == 650.0
    assert summary["returns"]["trained_seen"]["episodes"] == 5
    assert (summary["frames"], summary["updates"], summary["seconds"]) == (20_000, 60, 3725.0)
    assert (summary["task"], summary["method"], summary["source"]) == ("walker_walk", "diswm", "reacher_easy")


def test_success_and_texture_are_told_where_they_are_known(run: Path) -> None:
    def succeed(found: dict[str, Any]) -> None:
        found["seen"] |= {"successes": [True, True, False, True, True], "texture": "wood"}

    edit(run / "evaluation.json", succeed)
    assert summarise(run)["success"] == {"trained_seen": 0.8}
    text = read(write_report(run)).text
    assert "(80% success)" in text
    assert "texture wood" in text
    edit(run / "evaluation.json", lambda found: found["seen"].update(successes="x"))
    assert "success" not in summarise(run), "what is no list is nothing"


def test_totals_replace_the_cost_and_bring_stages(run: Path, tmp_path: Path) -> None:
    stages = [{"name": "collect", "seconds": 61, "note": "3 episodes"}, {"name": "train", "seconds": 3725.0, "note": ""}]
    page = write_report(run, out=tmp_path / "demo", totals={"seconds": 7200, "peak_rss_bytes": 2**30, "stages": stages})
    assert page == tmp_path / "demo" / "report.html"
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert (summary["seconds"], summary["peak_rss_bytes"]) == (7200, 2**30)
    text = read(page).text
    for said in ("2 h 00 min", "1.0 GiB", "collect", "1 min 01 s", "3 episodes"):
        assert said in text


def test_out_may_be_the_page_itself(run: Path, tmp_path: Path) -> None:
    assert write_report(run, out=tmp_path / "x" / "page.html") == tmp_path / "x" / "page.html"
    assert (tmp_path / "x" / "page_files" / "summary.json").is_file()


def test_two_pages_in_one_folder_keep_their_summaries(run: Path, tmp_path: Path) -> None:
    write_report(run, out=tmp_path / "x")
    before = (tmp_path / "x" / "summary.json").read_bytes()
    text = write_report(run, out=tmp_path / "x" / "other.html", totals={"seconds": 1}).read_text(encoding="utf-8")
    assert (tmp_path / "x" / "summary.json").read_bytes() == before
    assert json.loads((tmp_path / "x" / "other_files" / "summary.json").read_text())["seconds"] == 1
    assert "<code>other_files/summary.json</code>" in text


def test_a_bare_config_is_enough(run: Path) -> None:
    for path in run.iterdir():
        if path.name != "config.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    edit(run / "config.json", lambda head: head.__setitem__("config", {}))
    text = read(write_report(run)).text
    for said in (
        f"diswm evaluate {run}",
        f"No traversal was recorded: diswm traverse {run}",
        "No learning curve",
        "No prediction of this run's model",
        "this run had no teacher",
        "No source video is shown",
        "No update was logged",
        "metrics.jsonl is missing",
    ):
        assert said in text
    assert "nan" not in text.lower().replace("nanc", "")
    summary = summarise(run)
    assert summary["returns"]["random"] == {"mean": None, "low": None, "high": None, "episodes": 0, "values": []}
    assert (summary["task"], summary["source"], summary["frames"], summary["seconds"]) == ("unknown", "unknown", 0, None)


@pytest.mark.parametrize(
    "lost", ["metrics.jsonl", "evaluation.json", "cost.json", "media/prediction.npz", "media/traversal.npz", "media/eval_seen.gif"]
)
@pytest.mark.parametrize("damage", ["absent", "garbage", "half"])
def test_any_one_file_may_be_lost(run: Path, lost: str, damage: str) -> None:
    whole = (run / lost).read_bytes()
    (run / lost).unlink() if damage == "absent" else (run / lost).write_bytes(
        b"\x00{[" if damage == "garbage" else whole[: len(whole) // 2]
    )
    text = read(write_report(run)).text
    assert "walker_walk" in text
    if damage == "garbage":
        assert Path(lost).name in text.split("While reading the run:")[1]


def test_a_truncated_last_line_is_skipped_and_said(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "eval", "split": "se')
    assert "1 unreadable line(s)" in read(write_report(run)).text


def test_a_resumed_run_counts_its_frames_once(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "episode", "frames": 15_000, "updates": 45, "return": 1.0, "length": 9}) + "\n")
    (run / "cost.json").unlink()
    assert summarise(run)["frames"] == 15_000
    assert "came after the checkpoint" in read(write_report(run)).text


def test_one_episode_has_no_interval(run: Path) -> None:
    edit(run / "evaluation.json", lambda value: value["seen"].__setitem__("returns", [650.0]))
    text = read(write_report(run)).text
    assert "1 episode, no interval" in text
    assert "beats" not in text
    entry = summarise(run)["returns"]["trained_seen"]
    assert (entry["mean"], entry["low"], entry["high"], entry["episodes"]) == (650.0, 650.0, 650.0, 1)


def test_overlap_is_not_called_a_gain(run: Path) -> None:
    edit(run / "evaluation.json", lambda value: value["seen"].__setitem__("returns", [20.0, 35.0, 60.0, 41.0]))
    text = read(write_report(run)).text
    assert "no difference from the random policy can be claimed" in text
    assert "beats" not in text


def test_an_ablated_method_is_not_called_by_its_name_alone(run: Path) -> None:
    edit(run / "config.json", lambda head: head["config"].update(ablate=["no_distill", "beta=0"]))
    assert summarise(run)["method"] == "diswm, no_distill, beta=0"
    assert "diswm, no_distill, beta=0" in read(write_report(run)).text
    edit(run / "config.json", lambda head: head["config"].update(ablate=[]))
    assert summarise(run)["method"] == "diswm"


def test_a_nan_return_is_no_mean(run: Path) -> None:
    edit(run / "evaluation.json", lambda value: value["unseen"].__setitem__("returns", [500.0, float("nan")]))
    assert summarise(run)["returns"]["trained_unseen"]["mean"] is None
    json.loads((write_report(run).parent / "summary.json").read_text(), parse_constant=lambda name: pytest.fail(name))


def test_hostile_names_are_shown_and_not_obeyed(run: Path, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=https://evil.example/x> $\\frac{$"
    edit(run / "config.json", lambda head: head["config"].update(method=evil, seed=evil))
    edit(run / "config.json", lambda head: head["config"]["env"].update(task=evil))
    edit(tmp_path / "videos" / "manifest.json", lambda manifest: manifest.update(task=evil))
    edit(run / "evaluation.json", lambda value: value["seen"].update(colours=evil))
    edit(run / "cost.json", lambda value: value.update(machine=evil, device=evil))
    reader = read(write_report(run, totals={"stages": [{"name": evil, "seconds": "soon", "note": evil}]}))
    assert "script" not in reader.tags
    assert evil in reader.text
    assert all(address.startswith(("data:image/", "#")) for address in reader.addresses)


def test_a_pretraining_run_has_a_page(tmp_path: Path, run: Path) -> None:
    page = write_report(tmp_path / "teacher")
    text = read(page).text
    assert "video pretraining" in text
    assert "Imagination" in text
    assert "random policy" not in text
    assert "diswm evaluate" not in text


def test_a_page_elsewhere_leaves_the_run_alone(run: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    page = write_report(run, out=tmp_path / "pages" / "mine.html", title="Mine & yours")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert "mine_files/" in read(page).text
    assert "Mine & yours" in read(page).text


def test_paths_given_win_over_the_config(run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "videos", moved)
    assert "reacher_easy" not in read(write_report(run)).text
    assert summarise(run, videos=moved)["source"] == "reacher_easy"
    shutil.move(tmp_path / "teacher", tmp_path / "t")
    assert "teacher's run could not be read" in read(write_report(run)).text
    assert "The teacher, on its videos" in read(write_report(run, teacher=tmp_path / "t", videos=moved)).text


def test_videos_may_lie_one_folder_down(run: Path, tmp_path: Path) -> None:
    for colours in ("train_eps", "set2"):
        shutil.copytree(tmp_path / "videos", tmp_path / "nested" / colours)
    assert summarise(run, videos=tmp_path / "nested")["source"] == "reacher_easy"
    rows = strips.sample_rows([("reacher_easy", tmp_path / "nested")], read_run(run))
    assert [label for label, _, _ in rows] == [
        "videos: reacher_easy set2",
        "videos: reacher_easy",
        "task: seen colours",
        "task: unseen colours",
    ]
    assert all(frames.shape == (8, 64, 64, 3) for _, _, frames in rows)


@pytest.mark.parametrize("context", [0, 2, 8, 99])
def test_a_context_at_either_end_is_drawn(run: Path, context: int) -> None:
    path = run / "media" / "prediction.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "context": context})
    media = strips.prediction_media(read_run(run))
    assert media is not None
    drawings = [strips.prediction_strip(media, "a"), figures.quality(media, "b")]
    for drawing in drawings:
        for narrow in (False, True):
            drawing.draw(narrow).savefig(io.BytesIO(), format="svg")
    assert "last seen frame, repeated" in figures.quality(media, "b").draw(False).legends[0].get_texts()[2].get_text()


@pytest.mark.parametrize(("length", "context", "columns"), [(50, 10, 10), (50, 1, 10), (6, 5, 10), (6, 5, 5), (4, 2, 10), (50, 49, 5)])
def test_the_last_seen_and_the_first_predicted_frame_are_shown(length: int, context: int, columns: int) -> None:
    shown = strips.shown_frames(length, context, columns)
    assert {context - 1, context, length - 1} <= set(shown)
    assert len(shown) <= columns
    assert (np.diff(shown) > 0).all()


def test_the_code_is_shown_most_used_first(run: Path) -> None:
    media = strips.traversal_media(read_run(run))
    assert media is not None
    media["kl"] = np.array([0.001, 3.0, 0.7])
    media["images"] = np.full((3, 3, 64, 64, 3), 100, np.uint8)
    media["images"][1, 0] += 30  # dimension 1 brightens the whole picture by 30 levels,
    media["images"][2, :, :32] -= np.array([0, 4, 8], np.uint8)[:, None, None, None]  # dimension 2 darkens half of it by 8
    drawing = strips.traversal_grid(media)
    labels = [label.get_text().replace("\n", ", ") for label in drawing.draw(False).axes[0].get_yticklabels()]
    assert labels == ["dim 1, 3.00 nats, 30.0 levels", "dim 2, 0.70 nats, 4.0 levels", "dim 0, 0.00 nats, 0.0 levels"]
    assert drawing.numbers is not None
    assert drawing.numbers.rows == [[1, 3.0, 30.0], [2, 0.7, 4.0], [0, 0.001, 0.0]]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": 1}', '{"format": 99, "config": {}}'])
def test_what_is_no_run_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(DiswmError, match=r"diswm train|format 1"):
        write_report(tmp_path)
    with pytest.raises(DiswmError, match="not a folder"):
        summarise(tmp_path / "nothing")


def test_the_report_needs_no_torch() -> None:
    code = "import sys, diswm.report; sys.exit(int(any(m in sys.modules for m in ('torch', 'mujoco', 'gymnasium', 'matplotlib.pyplot'))))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_full_disk_leaves_the_page_that_was_there(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write_report(run, out=tmp_path)
    before = page.read_text()

    def full(path: Path, text: str, **_: Any) -> int:
        with path.open("w") as file:
            file.write(text[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiswmError, match="No space left"):
        write_report(run, out=tmp_path)
    assert page.read_text() == before
    assert not list(tmp_path.glob(".*.tmp"))
