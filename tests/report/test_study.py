"""Which runs lie in a folder, and what sets them apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fakestudy import BUDGET, fake_study, fake_trial

from diswm.contract import DiswmError
from diswm.report.study import find_runs, make_study


def test_runs_are_found_where_they_lie(tmp_path: Path) -> None:
    """In any folder above them, each once; not inside a run, nor in a data set."""
    root = fake_study(tmp_path / "s")
    run = root / "walker_walk" / "diswm" / "0"
    shutil.copytree(run, run / "onnx")
    (root / "videos").mkdir()
    (root / "videos" / "manifest.json").write_text("{}")
    shutil.copytree(run, root / "videos" / "episode")
    found, problems = find_runs([run, root, root / "cheetah_run"])
    assert len(found) == len({found.path for found in found}) == 12
    assert found[0].path == run
    assert problems == []


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DiswmError, match=r"empty is no run folder and holds none: expected .* or a folder of such folders"):
        find_runs([tmp_path / "empty"])
    with pytest.raises(DiswmError, match="nothing is not a folder"):
        find_runs([tmp_path / "nothing"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DiswmError, match="holds none"):
        find_runs([tmp_path])
    fake_trial(tmp_path / "run", 100)
    found, problems = find_runs([tmp_path])
    assert [run.path.name for run in found] == ["run"]
    assert "other" in problems[0]


def test_groups_are_named_by_what_differs(tmp_path: Path) -> None:
    """Seeds, folders and threads set nothing apart; the method's own weights are not told; another batch is, of every group."""
    fake_trial(tmp_path / "a", 1, seed=0)
    fake_trial(tmp_path / "b", 1, seed=1)
    fake_trial(tmp_path / "c", 1, method="dreamerv2", weights__image=3.0, weights__beta=1.0)
    fake_trial(tmp_path / "d", 1, ablate=["distill=1"], weights__distill=1.0)
    study = make_study(find_runs([tmp_path])[0])
    assert [(name, len(trials)) for name, trials in study.tasks["walker_walk"].items()] == [
        ("diswm", 2), ("dreamerv2", 1), ("diswm, distill=1", 1)
    ]  # fmt: skip
    assert study.differing == ["weights.beta", "weights.distill", "weights.image"]
    fake_trial(tmp_path / "e", 1, seed=2, train__batch=50)
    assert make_study(find_runs([tmp_path])[0]).groups[:2] == ["diswm, train.batch=16", "dreamerv2, train.batch=16"]


def test_weights_are_told_where_one_method_has_several(tmp_path: Path) -> None:
    fake_trial(tmp_path / "a", 1, weights__beta=0.5)
    fake_trial(tmp_path / "b", 1, weights__beta=2.0)
    fake_trial(tmp_path / "c", 1, method="no_disentangle")
    assert make_study(find_runs([tmp_path])[0]).groups == ["diswm, weights.beta=0.5", "diswm, weights.beta=2", "no_disentangle"]


def test_a_setting_that_an_older_version_lacks_sets_nothing_apart(tmp_path: Path) -> None:
    fake_trial(tmp_path / "a", 1, seed=0)
    fake_trial(tmp_path / "b", 1, seed=1, learner__new="yes")
    assert make_study(find_runs([tmp_path])[0]).groups == ["diswm"]


def test_many_differences_are_cut_and_stay_apart(tmp_path: Path) -> None:
    for name, last in (("a", 1), ("b", 2), ("c", 3)):
        fake_trial(tmp_path / name, 1, **{f"train__{key}": 0 if name == "a" else 1 for key in "pqr"}, train__z=last)
    names = make_study(find_runs([tmp_path])[0]).groups
    cut = ", ".join(f"train.{key}=1" for key in "pqr")
    assert names[1:] == [f"diswm, {cut}, 1 more", f"diswm, {cut}, 1 more #2"]


def test_teachers_of_one_kind_are_one_setting(tmp_path: Path) -> None:
    """One a seed, t/0 and t/1 or t_0 and t_1, or the same one somewhere else; a teacher of another name is another."""
    for seed in (0, 1):
        fake_trial(tmp_path / "a" / str(seed), 1, seed=seed, teacher=f"/x/t/{seed}")
        fake_trial(tmp_path / "b" / str(seed), 1, seed=seed + 2, teacher=f"/y/t_{seed + 2}")
    assert make_study(find_runs([tmp_path])[0]).groups == ["diswm"]
    fake_trial(tmp_path / "c", 1, teacher="/x/other")
    assert make_study(find_runs([tmp_path])[0]).groups == ["diswm, teacher=t", "diswm, teacher=other"]


def test_a_copy_of_a_run_counts_once(tmp_path: Path) -> None:
    fake_trial(tmp_path / "kept" / "0", 100, reached=1_000)
    fake_trial(tmp_path / "run" / "0", 100)
    study = make_study(find_runs([tmp_path])[0])
    assert [trial.frames for trial in study.trials] == [BUDGET]
    assert "kept" in study.problems[0]


def test_the_baseline_is_the_first_named_or_the_one_asked_for(tmp_path: Path) -> None:
    first = fake_trial(tmp_path / "x" / "a", 1, ablate=["beta=0"])
    fake_trial(tmp_path / "x" / "b", 1)
    assert make_study(find_runs([tmp_path])[0]).baseline == "diswm", "in a folder what nothing was taken from comes first"
    runs = find_runs([first, tmp_path])[0]
    assert make_study(runs).baseline == "diswm, beta=0"
    assert make_study(runs, baseline="diswm").baseline == "diswm"
    with pytest.raises(DiswmError, match=r"no group 'diswn'. Did you mean diswm"):
        make_study(runs, baseline="diswn")


def test_a_strange_config_is_no_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text(json.dumps({"format": 1, "config": {"env": 3, "train": {"frames": "many"}, "ablate": "x"}}))
    fake_trial(tmp_path / "b", 1)
    study = make_study(find_runs([tmp_path])[0])
    assert set(study.tasks) == {"unknown task", "walker_walk"}
    assert study.tasks["unknown task"]["unknown, x"][0].budget == 0
