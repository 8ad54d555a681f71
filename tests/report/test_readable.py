"""Scores of the code beside the return, for runs that were scored along training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakestudy import BUDGET, fake_trial

from diswm.report import readable
from diswm.report.charts import looks
from diswm.report.reading import read_run
from diswm.report.trials import Trial, trial_of


def trial(folder: Path, level: float, seed: int, *, told: float | None) -> Trial:
    """A run whose R2 climbs straight from 0 to ``told`` at the budget."""
    run = fake_trial(folder / str(seed), level, seed=seed)
    rows = [{"kind": "probe", "frames": f, "probe/ridge_r2": told * f / BUDGET} for f in (0, BUDGET // 2, BUDGET)] if told else []
    with (run / "metrics.jsonl").open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    # Lines in the order of their frames, as a run writes them.
    lines = sorted((run / "metrics.jsonl").read_text().splitlines(), key=lambda line: json.loads(line)["frames"])
    (run / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
    return trial_of(read_run(run), "diswm", str(seed))


def test_scores_stand_beside_the_return_of_the_same_frames(tmp_path: Path) -> None:
    found = readable.path_of(trial(tmp_path, 400.0, 0, told=0.8), "ridge_r2")
    assert found is not None
    assert found.at.tolist() == [0, 1_000, 2_000, 3_000, 4_000]
    assert found.there.tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8]), "between two probes on the line between them"
    assert found.returns.tolist() == pytest.approx([0, 100, 200, 300, 400])
    assert readable.path_of(trial(tmp_path, 400.0, 1, told=None), "ridge_r2") is None


def test_scores_of_the_runs_of_a_group_are_one_row(tmp_path: Path) -> None:
    runs = [trial(tmp_path, 100.0, seed, told=None) for seed in range(4)]
    for run, mig in zip(runs, (0.2, 0.4), strict=False):
        found = {"independent": {"rows": [{"name": "mig", "value": mig}], "factors": []}}
        (run.run.path / "metrics.json").write_text(json.dumps(found))
    (runs[2].run.path / "metrics.json").write_text("{")
    ((group, count, first, *others),) = readable.score_rows({"diswm": runs, "none": []})
    assert (group, count) == ("diswm", 2)
    assert first.found.mean == pytest.approx(0.3)
    assert first.over == "seeds"
    assert set(others) == {None}, "a score that no run has"
    assert "metrics.json" in runs[2].run.problems[-1]


def test_whether_readable_codes_earn_more_is_said_of_five_runs_and_more(tmp_path: Path) -> None:
    runs = [trial(tmp_path, 100.0 * (seed + 1), seed, told=0.1 * (seed + 1)) for seed in range(5)]
    drawing = readable.along("walker_walk", {"diswm": runs}, looks(["diswm"]), "readable")
    assert drawing is not None
    assert "rank correlation 1.00 over 5 runs" in drawing.caption
    assert drawing.numbers is not None
    assert drawing.numbers.rows[-1] == ["walker_walk", "diswm", "4", "ridge_r2", 4000.0, pytest.approx(0.5), 500.0]
    few = readable.along("walker_walk", {"diswm": runs[:2]}, looks(["diswm"]), "readable")
    assert few is not None
    assert "2 runs, too few to say" in few.caption
    assert readable.along("walker_walk", {"diswm": [trial(tmp_path, 9.0, 9, told=None)]}, looks(["diswm"]), "readable") is None
