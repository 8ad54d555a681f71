"""The page of several runs: what it counts, what it says, what lies beside it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakerun import SET1, fake_run, write_prediction, write_traversal
from fakestudy import BUDGET, fake_study, fake_trial
from test_page import read
from test_pictures_of_codes import write_changes, write_clips

from diswm.contract import DiswmError
from diswm.report import effects, maps, write_report

ONLY_TABLES = {"table_cost.csv", "table_runs.csv"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study in full, made once."""
    root = fake_study(tmp_path_factory.mktemp("drawn") / "study")
    first = root / "walker_walk" / "diswm" / "0"
    (first / "media").mkdir()
    write_prediction(first / "media" / "prediction.npz", SET1, clips=1, length=6, context=2)
    write_traversal(first / "media" / "traversal.npz", dims=3, columns=3)
    for seed, value in ((0, 100.0), (1, 300.0)):
        cells = [{"distraction": "none", "level": "", "returns": [value, value]}]
        (root / "walker_walk" / "diswm" / str(seed) / "matrix.json").write_text(json.dumps({"cells": cells}))
    return write_report(root, title="A study")


@pytest.fixture(autouse=True)
def _quick(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other page goes without its charts, which take seconds; `drawn` was made before this took hold."""
    for module in ("comparison", "sections"):
        monkeypatch.setattr(f"diswm.report.{module}.publish", lambda drawing, folder: f"<figure>{drawing.alt and drawing.caption}</figure>")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_what_changes_do_and_maps_of_clips_stand_beside_each_other(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    root = fake_study(tmp_path / "study")
    media = root / "walker_walk" / "diswm" / "1" / "media"  # the first run that has some stands for its group
    media.mkdir()
    write_changes(media / effects.FILE)
    write_clips(media / maps.FILE)
    text = read(write_report(root, out=tmp_path / "both.html", title="Two words")).text
    assert text.count("diswm, seed 1") == 2
    assert "Same source: of the 10 nearest codes" in text
    assert "What a change does: of the variance of each dimension" in text
    assert "again with diswm report " in text
    assert f"--out {tmp_path / 'both.html'} --title 'Two words'" in text
    still = {code: np.zeros((40, 5, 3)) for code in maps.CODES}
    np.savez(media / maps.FILE, **still, online=np.arange(40) >= 20, rows=10)
    assert "Same source" not in read(write_report(root)).text, "codes that do not vary have no map"


def numbers(row: dict[str, str], *keys: str) -> list[float]:
    return [float(row[key]) for key in keys]


def test_the_page_stands_alone_and_closes_its_elements(drawn: Path) -> None:
    reader = read(drawn)
    assert "A study" in reader.text
    assert all(address.startswith(("data:image/", "#")) for address in reader.addresses)
    assert "script" not in reader.tags
    assert all(reader.alts)
    assert len(reader.ids) == len(set(reader.ids))
    assert {a[1:] for a in reader.addresses if a.startswith("#")} <= set(reader.ids)


def test_returns_are_means_over_the_seeds_that_finished(drawn: Path) -> None:
    """diswm: 400, 420, 440; area of a straight line half its end. dreamerv2 on walker_walk: 300 and 320, as seed 2 stopped."""
    ours, theirs = rows(drawn.parent / "figures" / "table_returns_walker_walk.csv")
    assert numbers(ours, "seen", "seen_low", "seen_high", "unseen", "random", "area") == [420, 400, 440, 210, 10, 210]
    assert (ours["seen_over"], ours["seeds_finished"], ours["seeds"]) == ("seeds", "3", "3")
    assert numbers(theirs, "seen", "seen_low", "seen_high", "seeds_finished", "seeds") == [310, 300, 320, 2, 3]
    text = read(drawn).text
    assert "2 of 3" in text
    assert "unfinished, 50% of 4,000 frames" in text
    assert "dreamerv2 (3 seeds, 1 unfinished)" in text
    assert "11 finished, 1 unfinished" in text


def test_differences_are_taken_seed_by_seed(drawn: Path) -> None:
    """100 below in every seed, in area 50: no spread at all. Two pairs are too few for a claim."""
    (three,) = rows(drawn.parent / "figures" / "table_differences_cheetah_run.csv")
    assert numbers(three, "pairs", "seen", "seen_low", "seen_high", "area") == [3, -100, -100, -100, -50]
    assert three["verdict_in_area"] == "lower"
    (two,) = rows(drawn.parent / "figures" / "table_differences_walker_walk.csv")
    assert (two["pairs"], two["verdict_in_area"]) == ("2", "fewer than 3 pairs: no verdict")
    text = read(drawn).text
    assert "cheetah_run: dreamerv2 is below diswm in area under the curve by 50.0 (95% interval −50.0 to −50.0, 3\xa0pairs)" in text
    assert "walker_walk: dreamerv2 is" not in text


def test_all_tasks_are_summed_up(drawn: Path) -> None:
    """Shares of 1,000: both tasks 0.40, 0.42, 0.44 each twice; a quarter of six values, one, is cut off each end: 0.42.

    None of dreamerv2's 300, 320, 340 beats any of diswm's 400, 420, 440.
    """
    ours, theirs = rows(drawn.parent / "figures" / "table_overall.csv")
    assert numbers(ours, "seeds", "tasks", "iqm") == pytest.approx([3, 2, 0.42])
    assert ours["probability_of_improvement"] == ""
    assert numbers(theirs, "seeds", "probability_of_improvement") == [2, 0]


def test_every_figure_and_table_lies_beside_the_page(drawn: Path) -> None:
    names = {path.name for path in (drawn.parent / "figures").iterdir()}
    for task in ("walker_walk", "cheetah_run"):
        assert {f"curves_{task}.png", f"curves_{task}.csv", f"returns_{task}.png", f"differences_{task}.png"} <= names
    assert {"prediction_walker_walk_0.png", "traversal_walker_walk_0.png", "matrix_walker_walk_0.png"} <= names
    assert names > ONLY_TABLES
    curve = rows(drawn.parent / "figures" / "curves_walker_walk.csv")
    assert [row["mean_return"] for row in curve if (row["group"], row["seed"]) == ("dreamerv2", "2")] == ["0.0", "85.0", "170.0"]
    (cell,) = rows(drawn.parent / "figures" / "matrix_walker_walk_0.csv")
    assert numbers(cell, "mean", "low", "high", "episodes") == [200, 100, 300, 2], "of several seeds each counts once"


def test_the_summary_holds_the_same(drawn: Path) -> None:
    found = json.loads((drawn.parent / "summary.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    group = found["tasks"]["walker_walk"]["groups"]["diswm"]
    assert (group["returns"]["trained_seen"]["mean"], group["finished"], group["seeds"]) == (420.0, 3, ["0", "1", "2"])
    assert found["tasks"]["cheetah_run"]["differences"]["dreamerv2"]["return, seen colours"]["mean"] == -100.0
    assert found["overall"]["diswm"]["iqm"]["mean"] == pytest.approx(0.42)
    assert (found["title"], found["baseline"]) == ("A study", "diswm")
    assert sum(run["finished"] for run in found["runs"]) == 11


def test_one_seed_has_its_episodes_alone(tmp_path: Path) -> None:
    """Two episodes, 390 and 410; of its area there is no interval."""
    fake_trial(tmp_path / "a", 400)
    fake_trial(tmp_path / "b", 300, method="dreamerv2", reached=1_000)
    page = write_report([tmp_path / "a", tmp_path / "b"], out=tmp_path / "out" / "two.html")
    assert page == tmp_path / "out" / "two.html"
    ours, theirs = rows(tmp_path / "out" / "two_files" / "table_returns_walker_walk.csv")
    assert numbers(ours, "seen", "seen_low", "seen_high") == [400, 390, 410]
    assert (ours["seen_over"], ours["area_over"], theirs["seen"]) == ("episodes", "", "")
    text = read(page).text
    assert "390.0\xa0to\xa0410.0 over episodes" in text
    assert "one value, no interval" in text
    assert "nothing can be claimed" in text
    assert "All tasks" not in text
    assert "Pictures" not in text
    assert "Robustness" not in text


def test_where_nothing_is_unseen_the_rest_is_compared(tmp_path: Path) -> None:
    for method, level in (("diswm", 400), ("dreamerv2", 300)):
        for seed in range(3):
            fake_trial(tmp_path / method / str(seed), level + seed, seed=seed, method=method, task="gym/CartPole-v1", unseen=False)
    page = write_report([tmp_path / "diswm", tmp_path / "dreamerv2"], out=tmp_path / "out.html")
    ours, theirs = rows(tmp_path / "out_files" / "table_returns_gym_CartPole-v1.csv")
    assert numbers(ours, "seen", "seeds_finished") == [401, 3]
    assert (ours["unseen"], theirs["unseen"]) == ("", "")
    (gap,) = rows(tmp_path / "out_files" / "table_differences_gym_CartPole-v1.csv")
    assert (gap["seen"], gap["unseen"], gap["verdict_in_area"]) == ("-100.0", "", "lower")
    assert "No unseen world: of its task." in read(page).text
    json.loads((tmp_path / "out_files" / "summary.json").read_text(), parse_constant=lambda name: pytest.fail(name))


def test_groups_of_other_budgets_are_not_subtracted(tmp_path: Path) -> None:
    for seed in range(3):
        fake_trial(tmp_path / "a" / str(seed), 400, seed=seed)
        fake_trial(tmp_path / "b" / str(seed), 300, seed=seed, train__frames=BUDGET // 2)
    page = write_report(tmp_path)
    assert "diswm, train.frames=2,000" in read(page).text
    assert "No difference can be taken" in read(page).text
    fake_trial(tmp_path / "c" / "0", 350, method="dreamerv2")
    write_report(tmp_path)
    other, ours = rows(tmp_path / "figures" / "table_differences_walker_walk.csv")
    assert (other["pairs"], other["verdict_in_area"]) == ("0", "no seed finished in both at one budget")
    assert numbers(ours, "pairs", "seen") == [1, -50]


def test_runs_that_left_next_to_nothing_have_a_page(tmp_path: Path) -> None:
    for seed in (0, 1):
        run = fake_trial(tmp_path / str(seed), 1, seed=seed)
        for name in ("metrics.jsonl", "evaluation.json", "cost.json"):
            (run / name).unlink()
    text = read(write_report(tmp_path)).text
    assert "No learning curve: no run was evaluated yet" in text
    assert "0 finished, 2 unfinished" in text
    assert "No returns at the budget" in text
    assert "metrics.jsonl is missing" in text


def test_hostile_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=https://evil.example/x> $\\frac{$"
    fake_trial(tmp_path / "a", 400, method=evil, task=f"../{evil}")
    fake_trial(tmp_path / "b", 300, method="dreamerv2", seed=1, task=f"../{evil}")
    reader = read(write_report(tmp_path, title=evil))
    assert "script" not in reader.tags
    assert evil in reader.text
    assert not list(tmp_path.parent.glob("*alert*"))


def test_video_models_have_a_section_of_their_own(run: Path, tmp_path: Path) -> None:
    """Beside several agents they are listed; beside one agent in a folder they are on its page."""
    page = write_report(tmp_path)
    assert page == run / "report.html"
    assert "The teacher, on its videos" in read(page).text
    fake_run(tmp_path / "second")
    text = read(write_report(tmp_path)).text
    assert "Video models" in text
    (first, _) = rows(tmp_path / "figures" / "table_video_models.csv")
    assert (first["run"], first["method"], first["videos"]) == ("teacher", "diswm", "videos")


def test_a_baseline_is_for_several(run: Path) -> None:
    with pytest.raises(DiswmError, match="is one run, and a baseline is for several"):
        write_report(run, baseline="diswm")


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fake_trial(tmp_path / "s" / "a", 1)
    fake_trial(tmp_path / "s" / "b", 1, seed=1)
    with pytest.raises(DiswmError, match="could not be written"):
        write_report(tmp_path / "s", out=tmp_path / "file" / "page.html")


def test_a_page_about_other_runs_is_not_written_over(tmp_path: Path) -> None:
    """A demo has the page of its agent beside it, where the page of agent and teacher would go; so would those of two pairs of runs."""
    demo = tmp_path / "demo"
    agent, teacher = fake_run(demo).rename(demo / "agent"), demo / "teacher"
    page = write_report(agent, out=demo)
    before = page.read_bytes(), (demo / "summary.json").read_bytes()
    with pytest.raises(DiswmError, match=f"is a page about agent.*--out {demo / 'comparison.html'}.*--out {page}"):
        write_report([agent, teacher])
    assert (page.read_bytes(), (demo / "summary.json").read_bytes()) == before
    assert write_report(agent, out=demo) == page, "a demo writes its own anew"
    assert write_report([agent, teacher], out=page) == page, "one that is named is written over"
    assert write_report([teacher, agent], title="Both") == page, "and is then about these"
    moved = demo.rename(tmp_path / "moved")
    assert write_report([moved / "agent", moved / "teacher"]) == moved / "report.html", "all may move together"


def test_a_page_about_several_is_written_anew_when_there_are_more_of_them(tmp_path: Path) -> None:
    """However they are named: one by one, or by their folder; but not for others."""
    first, second, third = (fake_trial(tmp_path / str(seed), 1, seed=seed) for seed in (0, 1, 2))
    page = write_report([first, second])
    assert write_report(tmp_path) == page
    assert write_report([second, first]) == page
    write_report([first, second])
    with pytest.raises(DiswmError, match="is a page about 0, 1"):
        write_report([second, third])


def test_an_older_page_is_about_its_folder_and_a_foreign_one_about_nothing(tmp_path: Path) -> None:
    runs = [fake_trial(tmp_path / str(seed), 1, seed=seed) for seed in (0, 1)]
    (tmp_path / "report.html").write_text("<title>2 runs · DisWM report</title>")
    with pytest.raises(DiswmError, match="not known to be about these"):
        write_report(runs)
    assert "DisWM" in write_report(tmp_path).read_text()
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(DiswmError, match="not known to be about these"):
        write_report(tmp_path)


def test_the_success_of_episodes_is_told(tmp_path: Path) -> None:
    """One of two episodes, and both: 50% and 100%, 75% on the mean."""
    for seed, won in ((0, [True, False]), (1, [True, True])):
        path = fake_trial(tmp_path / str(seed), 400, seed=seed, task="drawer_open") / "evaluation.json"
        found: dict[str, Any] = json.loads(path.read_text())
        found["seen"]["successes"] = won
        path.write_text(json.dumps(found))
    write_report(tmp_path)
    (row,) = rows(tmp_path / "figures" / "table_returns_drawer_open.csv")
    assert numbers(row, "success", "success_low", "success_high") == [0.75, 0.5, 1.0]
