"""The scripts that sum up studies, on made-up runs: what they count, what they leave out and say."""

from __future__ import annotations

import csv
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import small

from diswm.cli import main
from diswm.config import TrainRun, merge, to_dict
from diswm.contract import DiswmError
from diswm.methods import for_training

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
BUDGET = 3_000


@pytest.fixture(scope="module")
def recipes() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(RECIPES))
    try:
        yield {name: importlib.import_module(name) for name in ("study", "transfer", "ablations", "curves", "keep", "precision")}
    finally:
        sys.path.remove(str(RECIPES))


def fake(folder: Path, level: float, *, reached: int = BUDGET, method: str = "diswm", **changes: Any) -> None:
    """A run whose curve climbs in a straight line from 0 to `level` at BUDGET, as far as it got."""
    folder.mkdir(parents=True)
    settings = {"train.frames": BUDGET, "env.task": "walker_walk", **{name.replace("__", "."): value for name, value in changes.items()}}
    config = to_dict(merge(for_training(TrainRun(), method), settings))
    (folder / "config.json").write_text(json.dumps({"format": 1, "kind": "train", "version": "0", "config": config}))
    rows = [{"kind": "eval", "split": "seen", "frames": f, "returns": [level * f / BUDGET]} for f in range(0, reached + 1, 1_000)]
    if reached == BUDGET:
        rows.append({"kind": "eval", "split": "unseen", "frames": BUDGET, "returns": [level / 2]})
        final = {name: {"returns": [value], "colours": "set1"} for name, value in (("random", 5.0), ("seen", level), ("unseen", level / 2))}
        (folder / "evaluation.json").write_text(json.dumps({**final, "frames": BUDGET}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cost = {
        "frames": reached,
        "seconds": 120.0,
        "peak_rss_bytes": 2**30,
        "machine": "Box, 2 cores",
        "device": "cpu",
        "threads": 1,
        "torch": "2",
    }
    (folder / "cost.json").write_text(json.dumps(cost))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """diswm at 300, 320, 340, no_distill 100 below it seed by seed, dreamerv2 with one of two seeds finished."""
    folder = tmp_path / "study"
    teacher = folder / "teachers" / "diswm"
    teacher.mkdir(parents=True)
    (teacher / "config.json").write_text(
        json.dumps({"format": 1, "kind": "pretrain", "config": {"videos": ["somewhere/videos/cheetah_run"]}})
    )
    (teacher / "metrics.jsonl").touch()
    for seed in range(3):
        fake(folder / "diswm" / str(seed), 300 + 20 * seed, teacher=str(teacher))
        fake(folder / "no_distill" / str(seed), 200 + 20 * seed, method="no_distill")
    fake(folder / "dreamerv2" / "0", 100, method="dreamerv2")
    fake(folder / "dreamerv2" / "1", 400, method="dreamerv2", reached=2_000)
    return folder


def cells(text: str, start: str) -> list[str]:
    """The cells of the row of a table that begins so."""
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_transfer_counts_pairs_and_says_what_is_missing(study: Path, tmp_path: Path, recipes: dict[str, ModuleType]) -> None:
    results = tmp_path / "results"
    recipes["transfer"].report(study, results, name="transfer", reference="diswm", command="SEEDS='0 1 2' recipes/transfer.sh")
    text = (results / "transfer.md").read_text()
    # The area under a straight line from 0 is half its end: 160 in the middle of 150, 160 and 170.
    assert cells(text, "diswm") == ["diswm", "3 of 3", "160.0 (150.0 to 170.0)", "320.0 (300.0 to 340.0)", "160.0 (150.0 to 170.0)", "2"]
    assert cells(text, "dreamerv2")[1:5] == ["1 of 2", "50.0 (one seed)", "100.0 (one seed)", "50.0 (one seed)"]
    # Levels overlap between seeds, differences do not: that is what pairs are for.
    pairs = cells(text, "diswm - no_distill")[1:]
    assert pairs == ["3", "50.0 (50.0 to 50.0)", "100.0 (100.0 to 100.0)", "50.0 (50.0 to 50.0)", "50 ± 0", "higher"]
    assert cells(text, "diswm - dreamerv2")[1:3] == ["1", "100.0 (one seed)"]
    assert cells(text, "diswm - dreamerv2")[-1] == "fewer than 3 pairs: no verdict"
    assert "in at least one of 2 with a chance of 44% if" in text  # 1 - (3/4)^2
    assert "- dreamerv2, seed 1: 2,000 of 3,000 frames" in text
    assert "Fewer than 3 finished seeds, so no result: dreamerv2." in text
    assert "SEEDS='0 1 2' recipes/transfer.sh" in text
    assert "Box, 2 cores, cpu, 1 thread, torch 2. Seeds: 0, 1, 2." in text
    assert "videos of cheetah_run" in text
    assert "somewhere" not in text, "no paths of a machine"
    assert (results / "transfer.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((results / "transfer.csv").open()))
    assert [row["mean_return"] for row in rows if row["variant"] == "dreamerv2" and row["seed"] == "1"] == ["0.0", "133.33", "266.67"]
    assert [row["mean_return"] for row in rows if row["split"] == "unseen" and row["variant"] == "diswm"] == ["150.0", "160.0", "170.0"]


def test_transfer_without_a_reference_or_a_finished_run(tmp_path: Path, recipes: dict[str, ModuleType]) -> None:
    fake(tmp_path / "s" / "no_distill" / "0", 100, method="no_distill", reached=1_000)
    fake(tmp_path / "s" / "dreamerv2" / "0", 100, method="dreamerv2", reached=2_000)
    begun = tmp_path / "s" / "dreamerv2" / "1"
    fake(begun, 100, method="dreamerv2")
    for name in ("metrics.jsonl", "evaluation.json", "cost.json"):
        (begun / name).unlink()
    recipes["transfer"].report(tmp_path / "s", tmp_path / "r", name="t", reference="diswm", command="x")
    text = (tmp_path / "r" / "t.md").read_text()
    assert cells(text, "no_distill")[1:5] == ["0 of 1", "-", "-", "-"]
    assert "- dreamerv2, seed 1: 0 of 3,000 frames" in text
    assert "videos of not recorded" in text


def test_precisions_are_compared_seed_by_seed_beside_their_noise(tmp_path: Path, recipes: dict[str, ModuleType]) -> None:
    for seed, (single, half) in enumerate([(300, 310), (320, 300), (340, 350)]):
        fake(tmp_path / "s" / "float32" / str(seed), single)
        fake(tmp_path / "s" / "bfloat16" / str(seed), half)
    recipes["precision"].report(tmp_path / "s", tmp_path / "r", "recipes/precision.sh")
    text = (tmp_path / "r" / "precision.md").read_text()
    # Differences -10, 20 and -10 at the end; half of that in area and on unseen colours. Their mean is 0.
    assert cells(text, "float32 - bfloat16")[1:] == [
        "3",
        "0.0 (-5.0 to 10.0)",
        "0.0 (-10.0 to 20.0)",
        "0.0 (-5.0 to 10.0)",
        "0 ± 22",  # standard deviation 8.66, over the root of 3: 5.0; t at 97.5% with two degrees of freedom: 4.303
        "no difference shown",
    ]
    assert cells(text, "seeds of float32, largest less smallest")[1:5] == ["3", "20.0", "40.0", "20.0"]
    assert cells(text, "seeds of bfloat16, largest less smallest")[1:5] == ["3", "25.0", "50.0", "25.0"]
    assert (tmp_path / "r" / "precision.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "r" / "precision.csv").is_file()
    shutil.rmtree(tmp_path / "s" / "bfloat16")
    with pytest.raises(DiswmError, match="has no runs in bfloat16"):
        recipes["precision"].report(tmp_path / "s", tmp_path / "r", "")


def test_a_run_that_was_given_less_is_not_finished(study: Path, recipes: dict[str, ModuleType]) -> None:
    fake(study / "diswm" / "3", 300, train__frames=2 * BUDGET, reached=BUDGET - 1_000)
    trials = recipes["study"].read_study(study)
    assert {trial.budget for trial in trials} == {2 * BUDGET}
    assert not any(trial.finished for trial in trials)


def test_studies_that_cannot_be_compared(study: Path, tmp_path: Path, recipes: dict[str, ModuleType]) -> None:
    with pytest.raises(DiswmError, match="holds no runs <variant>/<seed>"):
        recipes["study"].read_study(tmp_path / "nothing")
    fake(study / "diswm" / "9", 1, env__task="cheetah_run")
    with pytest.raises(DiswmError, match="several targets, cheetah_run, walker_walk"):
        recipes["study"].read_study(study)


def test_ablations_have_their_panels(tmp_path: Path, recipes: dict[str, ModuleType]) -> None:
    main, other = tmp_path / "s" / "walker_walk", tmp_path / "s" / "cartpole_swingup"
    for seed in ("0", "1"):
        for level, variant in enumerate(("diswm", "no_distill", "no_disentangle", "beta=1.5", "beta=0.0015", "code=10", "code=5")):
            fake(main / variant / seed, 100 + level)
        fake(other / "source=finger_spin" / seed, 50, env__task="cartpole_swingup")
        fake(other / "dreamerv2" / seed, 40, env__task="cartpole_swingup", method="dreamerv2")
    fake(main / "distill=1" / "0", 9, reached=1_000)
    (tmp_path / "s" / "videos" / "x").mkdir(parents=True)
    panels = {title: (target, list(shown)) for target, title, shown in recipes["ablations"].collect(tmp_path / "s")}
    assert panels == {
        "ablation (Figure 7)": ("walker_walk", ["diswm", "without distillation", "without disentanglement"]),
        "weight of the distillation (Figure 7)": ("walker_walk", ["0", "0.1 (diswm)", "1"]),
        "beta (Figure 7)": ("walker_walk", ["0", "0.0015", "0.015 (diswm)", "1.5"]),
        "dimensions of the code (Figure I)": ("walker_walk", ["5", "10", "20 (diswm)"]),
        "videos of the teacher (Figure 8)": ("cartpole_swingup", ["finger_spin", "none (DreamerV2)"]),
    }
    recipes["ablations"].report(tmp_path / "s", tmp_path / "r", name="ablations", command="PRESET=tiny recipes/ablations.sh")
    text = (tmp_path / "r" / "ablations.md").read_text()
    assert cells(text, "0.0015")[1:4] == ["2 of 2", "52.0 (52.0 to 52.0)", "104.0 (104.0 to 104.0)"]
    assert cells(text, "1") == ["1", "0 of 1", "-", "-", "-"]
    assert "- distill=1, seed 0: 1,000 of 3,000 frames" in text
    assert (tmp_path / "r" / "ablations.png").stat().st_size > 10_000
    with (tmp_path / "r" / "ablations.csv").open() as file:
        assert {row["target"] for row in csv.DictReader(file)} == {"walker_walk", "cartpole_swingup"}
    with pytest.raises(DiswmError, match="holds no panel"):
        recipes["ablations"].collect(tmp_path / "nothing")


def test_the_labels_of_the_panels_are_the_defaults(recipes: dict[str, ModuleType]) -> None:
    config = for_training(TrainRun(), "diswm")
    values = {"distill": config.weights["distill"], "beta": config.weights["beta"], "code": config.model.z_dim,
              "distill_kind": config.learner.distill_kind}  # fmt: skip
    labels = {panel.name: panel.others["diswm"] for panel in recipes["ablations"].PANELS if panel.name in values}
    assert labels == {name: f"{value} (diswm)" for name, value in values.items()}


def test_curves(study: Path, tmp_path: Path, recipes: dict[str, ModuleType]) -> None:
    recipes["curves"].report(study, tmp_path / "r", name="learn", note="A note.")
    text = (tmp_path / "r" / "learn.md").read_text()
    assert "- diswm, seen colours: 320 (300 to 340 over 3 seeds)" in text
    assert "| dreamerv2 | 1 | 2,000 | 267 so far | - | - | 2 | 1.00 GiB |" in text
    assert "A note." in text
    assert (tmp_path / "r" / "learn.png").exists()


@pytest.mark.parametrize("script", ["transfer.py", "ablations.py", "curves.py"])
def test_a_folder_that_is_no_study_is_one_line(script: str, tmp_path: Path) -> None:
    extra = ["--name", "x"] if script == "curves.py" else []
    done = subprocess.run([sys.executable, RECIPES / script, tmp_path, *extra], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "holds no" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", ["transfer.sh", "ablations.sh", "study.sh", "learn_cpu.sh", "demo.sh", "disentanglement.sh"])
def test_shell_scripts_parse(script: str) -> None:
    assert subprocess.run(["bash", "-n", RECIPES / script], check=False).returncode == 0


def called(recipe: str, root: Path, out: Path, fails: str = "none", **settings: str) -> tuple[int, list[list[str]]]:
    """Exit status of a recipe, and the programs that it calls, with their arguments.

    In place of .venv's programs stand two that write down how they were called; ``fails`` is a verb whose call fails.
    """
    programs = root / ".venv" / "bin"
    if not programs.exists():
        programs.mkdir(parents=True)
        (root / "recipes").symlink_to(RECIPES)
        for name in ("diswm", "python"):
            (programs / name).write_text(
                """#!/bin/sh\n{ printf '%s\\0' "${0##*/}" "$@"; echo; } >>"$CALLS"\n[ "$1" != "$FAILS" ] || exit 3\n"""
            )
            (programs / name).chmod(0o755)
    calls = root / "calls"
    calls.write_text("")
    env = {**os.environ, **settings, "CALLS": str(calls), "FAILS": fails}
    done = subprocess.run(["bash", root / "recipes" / recipe, out], env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, [line.split("\0")[:-1] for line in calls.read_text().splitlines()]


@pytest.mark.usefixtures("words_alone")
def test_a_recipe_makes_its_study_and_goes_on(
    tmp_path: Path, recipes: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """recipes/transfer.sh whole, on sprites at the smallest sizes: videos, teacher, a variant, page; with one more, that alone is made.

    What it calls is called in this process, as each of its own would spend seconds on imports: no call depends on what another printed.
    """

    def flags(values: dict[str, Any], *without: str) -> str:
        return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in values.items() if name not in without)

    settings = {
        **{"PRESET": "tiny", "SOURCE": "toy", "TARGET": "toy", "SEEDS": "0", "KINDS": "mse_mean=0.2", "RESULTS": str(tmp_path / "results")},
        **{"FRAMES": "150", "VIDEO_FRAMES": "200", "UPDATES": "4"},
        "TRAIN_FLAGS": flags(small.TRAIN, "env.task", "train.frames"),
        "VIDEO_FLAGS": flags(small.VIDEO, "pretrain.updates"),
    }
    said, scripts = [], {"recipes/transfer.py": recipes["transfer"]}
    for methods in (" ", "no_distill"):
        status, calls = called("transfer.sh", tmp_path / "root", tmp_path / "s", METHODS=methods, **settings)
        assert status == 0
        for program, *args in calls:
            if program == "diswm":
                assert main(args) == 0
            else:
                monkeypatch.setattr(sys, "argv", args)
                scripts[args[0]].main()
        said.append(capsys.readouterr().out)
    assert [text.count("finished") for text in said] == [2, 3], "of teacher and agents"
    assert [text.count("resuming") for text in said] == [0, 2]
    assert (tmp_path / "s" / "report.html").exists()
    text = (tmp_path / "results" / "transfer.md").read_text()
    assert [cells(text, name)[1] for name in ("mse_mean@0.2", "no_distill")] == ["1 of 1", "1 of 1"]
    assert "KINDS='mse_mean=0.2'" in text
    config = json.loads((tmp_path / "s" / "mse_mean@0.2" / "0" / "config.json").read_text())["config"]
    assert (config["learner"]["distill_kind"], config["weights"]["distill"]) == ("mse_mean", 0.2)


def test_a_recipe_stops_at_a_call_that_fails(tmp_path: Path) -> None:
    status, calls = called("transfer.sh", tmp_path / "root", tmp_path / "s", fails="pretrain", SEEDS="0", METHODS="dreamerv2 diswm")
    assert (status, [call[1] for call in calls]) == (3, ["collect", "train", "pretrain"])


def test_a_kept_study_reads_as_the_study_did(recipes: dict[str, ModuleType], study: Path, tmp_path: Path) -> None:
    """Also its videos, where the teacher is no longer at the path that the runs name."""
    kept = tmp_path / "kept"
    for run in sorted(path.parent for path in study.glob("*/*/config.json")):
        recipes["keep"].keep(run, kept / run.relative_to(study), study)
    assert not [path for path in kept.rglob("*.json*") if str(tmp_path) in path.read_text()], "no place on this machine is told"
    before, after = (recipes["study"].read_study(folder) for folder in (study, kept))
    assert [(t.variant, t.seed, t.curve, t.finished, t.frames) for t in after] == [
        (t.variant, t.seed, t.curve, t.finished, t.frames) for t in before
    ]
    shutil.rmtree(study / "teachers")
    assert recipes["study"].source(after) == "cheetah_run"


def test_of_updates_one_in_twenty_is_kept(recipes: dict[str, ModuleType]) -> None:
    """60 updates with an evaluation after each tenth: updates 20, 40 and 60 stay, and all 6 evaluations; a line cut off goes."""
    lines = []
    for update in range(1, 61):
        lines.append(json.dumps({"kind": "update", "updates": update}))
        if update % 10 == 0:
            lines.append(json.dumps({"kind": "eval", "updates": update}))
    kept = [json.loads(line) for line in recipes["keep"].thinned([*lines, '{"kind": "upd'])]
    assert [row["updates"] for row in kept if row["kind"] == "update"] == [20, 40, 60]
    assert [row["updates"] for row in kept if row["kind"] == "eval"] == [10, 20, 30, 40, 50, 60]


def test_what_is_kept_is_replaced_by_a_longer_run_alone(recipes: dict[str, ModuleType], tmp_path: Path) -> None:
    target = tmp_path / "kept" / "0"

    def keep(run: Path, target: Path) -> None:
        recipes["keep"].keep(run, target, run.parent)

    fake(tmp_path / "a" / "0", 100, reached=1_000)
    fake(tmp_path / "b" / "0", 100, reached=2_000, threads=1)
    fake(tmp_path / "c" / "0", 100, reached=2_000, seed=1)
    (tmp_path / "a" / "0" / "metrics.json").write_text("{}")
    keep(tmp_path / "a" / "0", target)
    keep(tmp_path / "a" / "0", target)
    assert (target / "metrics.json").read_text() == "{}"
    keep(tmp_path / "b" / "0", target)
    assert not (target / "metrics.json").exists(), "the scores were of a code that has learned on since"
    with pytest.raises(DiswmError, match="went further"):
        keep(tmp_path / "a" / "0", target)
    with pytest.raises(DiswmError, match="another config"):
        keep(tmp_path / "c" / "0", target)
    assert json.loads((target / "cost.json").read_text())["frames"] == 2_000
