"""The command line: precedence of settings, and one line for every mistake, with nothing written."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch
from PIL import Image

import diswm
from diswm import api
from diswm.agents import Dreamer
from diswm.arguments import ExploreArgs
from diswm.cli import main
from diswm.config import CollectRun, PretrainRun, TrainRun, flat
from diswm.data.episodes import save_episode
from diswm.parsing import parse
from diswm.verbs import VERBS

Refused = Callable[..., str]
TOY = ["--preset=paper", *(f"--{name.replace('_', '-')}={value}" for name, value in small.TRAIN.items())]
VIDEO = ["--preset=paper", *(f"--{name.replace('_', '-')}={value}" for name, value in small.VIDEO.items())]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """The config that a command line leads to."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> Any:
        found: list[Any] = []
        for verb in ("collect", "pretrain", "train"):
            monkeypatch.setattr(api, verb, lambda config: (found.append(config), True)[1])
        assert main(args) == 0
        return found[0]

    return run


# ---- help


def test_overview_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for args in ([], ["--help"], ["help"]):
        assert main(args) == 0
        out = capsys.readouterr().out
        assert all(f"  {verb} " in out for verb in VERBS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"diswm {diswm.__version__}\n"


@pytest.mark.parametrize(("verb", "config"), [("collect", CollectRun()), ("pretrain", PretrainRun()), ("train", TrainRun())])
def test_help_shows_every_setting(verb: str, config: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert not end.value.code
    out = capsys.readouterr().out
    missing = [name for name in flat(config) if f"--{name.replace('_', '-')}" not in out.replace("no-", "")]
    assert missing == []
    assert "--preset paper|cpu|demo|tiny" in out
    assert ("[--task TASK]" in out) == hasattr(config, "env")


@pytest.mark.parametrize(
    "verb", ["evaluate", "factors", "metrics", "traverse", "report", "demo", "doctor", "import-checkpoint", "export-checkpoint"]
)
def test_help_of_small_verbs(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert not end.value.code
    assert "--out" in capsys.readouterr().out or verb == "traverse"


# ---- precedence


def test_flags_win_over_the_file_and_the_file_over_the_preset(configured: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("train: {frames: 111, batch: 3}\nmodel.z_dim: 7\nseed: 5\n")
    assert configured("train", "no_distill").train.frames == 100_000  # the default preset, cpu
    assert configured("train", "no_distill", "--preset", "paper").train.frames == 1_000_000
    assert configured("train", "no_distill", "--preset=tiny").train.frames == 1_000
    found = configured("train", "no_distill", "--config", "run.yaml", "--train.frames", "222")
    assert (found.train.frames, found.train.batch, found.model.z_dim, found.seed) == (222, 3, 7, 5)
    assert found.train.length == 32, "the preset's, where neither says otherwise"
    assert "distill" not in found.weights


def test_the_method_may_stand_first_or_in_the_file(configured: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("method: dreamerv2\n")
    for args in (["dreamerv2"], ["--method", "dreamerv2"], ["--method=dreamerv2"], ["--config", "run.yaml"]):
        found = configured("train", *args)
        assert (found.method, found.model.encoder) == ("dreamerv2", "plain")
        assert "beta" not in found.weights
    found = configured("train", "no_distill", "--config", "run.yaml")
    assert (found.method, found.model.encoder) == ("no_distill", "gaussian"), "what is typed wins"
    assert "beta" in found.weights
    assert configured("train").method == "diswm"
    assert configured("train", "--preset", "paper").method == "paper", "the preset's, where none is named"
    assert configured("train", "diswm", "--preset", "paper").method == "diswm"
    assert configured("train", "--preset", "paper", "--config", "run.yaml").method == "dreamerv2"
    assert configured("pretrain", "no_disentangle").weights.keys() == {"image", "dyn", "rep"}


def test_a_flag_of_several_values_takes_them_at_once_or_one_by_one(configured: Callable[..., Any]) -> None:
    for args in (["--ablate", "beta=0.1", "distill=1"], ["--ablate=beta=0.1", "--ablate", "distill=1"]):
        found = configured("train", "diswm", *args, "--seed", "3")
        assert (found.ablate, found.weights["beta"], found.seed) == (("beta=0.1", "distill=1"), 0.1, 3)


def test_the_package_runs_as_a_module() -> None:
    told = subprocess.run([sys.executable, "-m", "diswm", "--version"], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("diswm ")


def test_only_a_process_of_its_own_ends_without_a_look_for_garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who calls `main` with words goes on afterwards."""
    at_exit: list[Any] = []
    monkeypatch.setattr("atexit.register", at_exit.append)
    words = ["traverse", str(tmp_path / "nothing")]
    assert main(words) == 2
    assert not at_exit
    monkeypatch.setattr(sys, "argv", ["diswm", *words])
    assert main() == 2
    assert at_exit == [gc.freeze]


def test_who_asks_for_scores_along_training_is_told_why_there_are_none(configured: Callable[..., Any], tmp_path: Path) -> None:
    assert configured("train", "no_distill").probe.optional, "of the preset"
    assert not configured("train", "no_distill", "--probe.every", "100").probe.optional
    assert configured("train", "no_distill", "--probe.every", "100", "--probe.optional").probe.optional
    (tmp_path / "run.yaml").write_text("probe: {every: 70}\n")
    found = configured("train", "no_distill", "--config", "run.yaml")
    assert (found.probe.every, found.probe.optional) == (70, False)


def test_task_is_short_for_env_task(configured: Callable[..., Any]) -> None:
    assert configured("train", "no_distill", "--task", "toy").env.task == "toy"
    assert configured("train", "no_distill", "--task=toy").env.task == "toy"
    assert configured("collect", "--task", "toy").env.task == "toy"


def test_a_run_has_a_folder_of_its_own_unless_one_is_named(configured: Callable[..., Any], tmp_path: Path) -> None:
    assert configured("train", "no_distill", "--task", "toy", "--seed", "3").out == Path("runs/toy_no_distill_3")
    assert configured("train", "no_distill", "--out", "x").out == Path("x")
    assert configured("pretrain", "diswm", "--seed", "1").out == Path("runs/teacher_diswm_1")
    assert configured("collect", "--task", "toy").out == Path("videos/toy")
    (tmp_path / "run.yaml").write_text("out: here\n")
    assert configured("train", "no_distill", "--config", "run.yaml").out == Path("here")


@pytest.mark.parametrize("method", ["diswm", "paper", "no_distill", "no_disentangle", "dreamerv2", "dv2_finetune"])
@pytest.mark.parametrize("preset", ["paper", "cpu", "demo", "tiny"])
def test_presets_apply_to_every_verb_and_method(configured: Callable[..., Any], preset: str, method: str) -> None:
    found = configured("train", method, "--preset", preset)
    assert found.anneal.keys() <= found.weights.keys()
    assert configured("pretrain", method, "--preset", preset).method == method
    assert configured("collect", "--preset", preset).collect.frames > 0


def test_flags_reach_the_tables(configured: Callable[..., Any]) -> None:
    found = configured("train", "diswm", "--weights.beta", "2", "--anneal.distill.over", "7", "--env.distract.colours", "set2")
    assert (found.weights["beta"], found.anneal["distill"].over, found.env.distract.colours) == (2.0, 7, "set2")


def test_colours_that_are_named_take_the_place_of_the_paper_presets_phases(configured: Callable[..., Any]) -> None:
    def trained(*args: str) -> tuple[Any, ...]:
        found = configured("train", "--preset", "paper", *args)
        return found.env.distract.colours, found.env.phases, found.unseen

    assert trained() == ("set1", ("0:set1", "0.5:set2"), "none")
    assert trained("--distract", "colour:easy") == ("own", (), "auto")
    assert trained("--distract", "camera:easy", "--phases", "0:set2") == ("none", ("0:set2",), "none")


def test_a_warning_is_a_line_without_a_place_in_the_code(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "worse.png").write_text("no picture")
    args = ["collect", "--task", "toy", "--collect.frames", "100", "--distract", f"background:image,folder={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "diswm", *args, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    (said,) = [line for line in done.stderr.splitlines() if "worse.png" in line]
    assert said.startswith("diswm: background: ")
    assert "backdrops.py" not in done.stderr


# ---- the whole way


@pytest.mark.usefixtures("words_alone")
def test_train_evaluate_traverse_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "agent"
    args = ["train", "no_distill", *TOY, f"--out={out}", "--train.frames=120", "--train.eval-every=1000", "--eval.episodes=1"]
    assert main(args) == 0
    trained = capsys.readouterr().out.splitlines()
    assert trained[-2].startswith("Switch at frame 60, from colours set1 to colours set2: what it cost cannot be said; no evaluation")
    assert trained[-1].startswith("Forgotten of phase 1 (colours set1): cannot be said; the return there is")
    assert main(["evaluate", str(out), "--episodes", "1", "--device", "cpu"]) == 0
    *_, switch, memory, path = capsys.readouterr().out.splitlines()
    assert [switch, memory, path] == [*trained[-2:], str(out / "evaluation.json")], "the same agent, the same episodes"
    assert main(["traverse", str(out), "--device", "cpu"]) == 0
    assert str(out / "media" / "traversal.npz") in capsys.readouterr().out
    assert main(["report", str(out)]) == 0
    assert (out / "report.html").stat().st_size > 1000
    assert json.loads((out / "summary.json").read_text())["returns"].keys() >= {"random", "trained_seen", "trained_unseen"}


def test_an_interrupt_is_exit_code_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(api, "train", lambda config: False)
    assert main(["train", "no_distill"]) == 130

    def broken_off(config: Any) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "train", broken_off)
    assert main(["train", "no_distill"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_a_full_disk_anywhere_is_one_line(monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    def full(config: Any) -> bool:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(api, "train", full)
    assert "somewhere: No space left" in refused("train", "no_distill")
    monkeypatch.setattr(api, "train", lambda config: [][0])
    with pytest.raises(IndexError):  # a bug of ours stays one
        main(["train", "no_distill"])


# ---- names and values


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["trian"], "no verb 'trian'. Did you mean train"),
        (["train", "diswn"], "no method 'diswn'. Did you mean diswm"),
        (["pretrain", "papper"], "no method 'papper'. Did you mean paper"),
        (["train", "no_distill", "--task", "toyy"], "no task 'toyy'. Did you mean toy"),
        (["collect", "--task", "waker_walk"], "no task 'waker_walk'. Did you mean walker_walk"),
        (["train", "--preset", "tny"], "no preset 'tny'. Did you mean tiny"),
        (["train", "--preset"], "--preset needs a value"),
        (["train", "--preset", "--seed", "1"], "--preset needs a value"),
        (["train", "--config"], "--config needs a value"),
        (["train", "--train.frams", "3"], "no setting '--train.frams'. Did you mean --train.frames"),
        (["train", "no_distill", "--method", "diswm"], "Two methods are named"),
        (["train", "no_distill", "--weights.distill", "3"], "no setting '--weights.distill'"),
        (["train", "--train.frames", "many"], "Error parsing --train.frames: 'many' is no whole number. `diswm train --help`"),
        (["train", "--train.replay-gb", "1GB"], "Error parsing --train.replay-gb: '1GB' is no number. `diswm train --help`"),
        (["train", "--unseen", "set3"], "--unseen"),
        (["train", "no_distill", "--unseen", "set1"], "they are not unseen. Choose --unseen set2 or --unseen none."),
        (["train", "no_distill", "--phases", "0:set1, 0.5:set2", "--unseen", "set2"], "they are not unseen. Choose --unseen none."),
        (["train", "no_distill", "--phases", "0:set1, 0.3:set2, 0.6:none"], "Leave one of set1, set2, none out of the phases."),
        (["train", "diswm", "stray"], "stray"),
        (["train", "no_distill", "--train.frames"], "--train.frames"),
        (["train", "no_distill", "--train.batch", "0"], "train.batch=0 must be a number above 0"),
        (["train", "no_distill", "--learner.lr", "nan"], "learner.lr=nan"),
        (["train", "no_distill", "--env.action-repeat", "0"], "action_repeat=0 must be an integer from 1"),
        (["train", "no_distill", "--task", "toy", "--env.image-size", "32"], "64 x 64 x 3"),
        (["train", "no_distill", "--task", "toy", "--device", "cuda"], "device 'cuda' cannot be used"),
        (["train", "no_distill", "--task", "toy", "--device", "abacus"], "device 'abacus' cannot be used"),
        (["train", "dreamerv2", "--teacher", "t"], "--teacher t changes nothing: this dreamerv2 has no teacher"),
        (["train", "diswm", "--ablate", "no_distill", "--teacher", "t"], "this diswm has no teacher"),
        (["train", "no_distill", "--task", "toy", "--start", "nothing"], "nothing: is not a run"),
        (["train", "diswm", "--task", "toy"], "needs a video model: pretrain one"),
        (["train", "no_distill", "--task", "toy", "--train.length", "52"], "have at most 51 rows"),
        (["pretrain"], "no videos to learn from"),
        (["pretrain", "--task", "toy"], "no setting"),
        (["evaluate"], "needs the folder of a run"),
        (["evaluate", "nothing", "--episode", "2"], "Did you mean --episodes"),
        (["evaluate", "nothing", "--episodes", "two"], "--episodes"),
        (["evaluate", "nothing"], "nothing: is not a run"),
        (["traverse", "nothing"], "nothing: is not a run"),
        (["report", "nothing"], "nothing"),
        (["train", "no_distill", "--config", "none.yaml"], "none.yaml: cannot be read"),
        (["collect", "--task", "toy", "--collect.policy", "nobody"], "nobody: is not a run"),
        (["collect", "--task", "toy", "--collect.frames", "0"], "collect.frames=0"),
        (["train", "no_distill", "--task", "toy", "--seed", f"{2**63}"], "must be a number from 0 and below 2**63"),
        (["demo", "--seed", "-1", "--out", "x"], "seed=-1 must be a number from 0"),
        (["train", "no_distill", "--task", "toy", "--out", "x" * 300], "File name too long"),
        (["pretrain", "--videos", "x" * 300], "File name too long"),
        (["report", "x" * 300], "File name too long"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_mistakes(refused: Refused, args: list[str], words: str) -> None:
    if "cuda" in args and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert words in refused(*args)


def test_wandb_that_is_not_installed(refused: Refused, monkeypatch: pytest.MonkeyPatch, videos: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    assert "pip install 'diswm[wandb]'" in refused("train", "no_distill", *TOY, "--wandb", "--out=x")
    assert "pip install 'diswm[wandb]'" in refused("pretrain", *VIDEO, f"--videos={videos}", "--wandb", "--out=x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trian: {frames: 3}", "no setting 'trian'"),
        ("train: {fames: 3}", "Did you mean train.frames"),
        ("train: {frames: many}", "train.frames='many'"),
        ("train: [", "cannot be read"),
        ("- train", "expected settings"),
        ("", "expected settings"),
        ("method: nobody", "no method 'nobody'"),
        ("method: dreamerv2\nweights: {distill: 1}", "The method dreamerv2 has the terms"),
        ("method: no_distill\nanneal: {distill: {over: 3}}", "schedules without a term: distill"),
        ("train.frames: 3\ntrain: 4", "train"),
        (f"learner.lr: 1{'0' * 400}", "learner.lr=inf must be a number above 0"),
    ],
)
def test_files_of_settings(refused: Refused, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    assert words in refused("train", "--config", "run.yaml")


# ---- teachers


def test_teachers_that_do_not_fit(refused: Refused, teacher: Path, agent: Path, tmp_path: Path) -> None:
    train = ["train", "diswm", *TOY, "--out=x"]
    assert "nowhere: is not a run" in refused(*train, "--teacher", "nowhere")
    assert "is a run of `diswm train`" in refused(*train, "--teacher", agent)
    (tmp_path / "file").write_text("")
    assert "file: is not a run" in refused(*train, "--teacher", "file")
    words = refused(*train, "--model.z-dim=5", "--teacher", teacher)
    assert "the teacher has z_dim 4, this run 5" in words
    assert "--model.z-dim 4" in words
    assert "the teacher has encoder gaussian, this run plain" in refused("train", "dv2_finetune", *TOY, "--out=x", "--teacher", teacher)
    assert "diswm pretrain METHOD" in refused("train", "dv2_finetune", *TOY, "--out=x", "--teacher", teacher)
    begun = tmp_path / "begun"
    shutil.copytree(teacher, begun)
    shutil.rmtree(begun / "checkpoints")
    assert "has no checkpoint yet" in refused(*train, "--teacher", begun)
    (begun / "config.json").write_text("{")
    assert "is not a run" in refused(*train, "--teacher", begun)
    (begun / "config.json").write_text('{"format": 1, "kind": "pretrain", "config": {"strange": 1}}')
    assert "no setting 'strange'" in refused(*train, "--teacher", begun)


# ---- videos


def noise(rows: int, size: int = 64) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(rows).integers(0, 256, (rows, size, size, 3), np.uint8)}


def test_videos_that_cannot_be_used(refused: Refused, tmp_path: Path) -> None:
    pretrain = ["pretrain", *VIDEO, "--out=x"]
    assert "nowhere: there is no such file or folder. Expected video files (mp4" in refused(*pretrain, "--videos", "nowhere")
    (tmp_path / "empty").mkdir()
    assert "No episodes in empty" in refused(*pretrain, "--videos", "empty")
    (tmp_path / "file").write_text("")
    assert "file: is not a folder, and no .tar, .tar.gz or .tar.xz archive. Expected video files" in refused(*pretrain, "--videos", "file")
    save_episode(tmp_path / "short", noise(4))
    assert "the longest of 1 has 4 rows, the window 5" in refused(*pretrain, "--videos", "short")
    save_episode(tmp_path / "large", noise(9, 32))
    assert "64 x 64 x 3; the data set large has (32, 32, 3)" in refused(*pretrain, "--videos", "large")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "one.npz").write_bytes(b"not a zip")
    np.savez(tmp_path / "bad" / "two.npz", reward=np.zeros(9))
    words = refused(*pretrain, "--videos", "bad")
    assert "None of 2 files can be used" in words
    assert "one.npz" in words


def test_bad_files_among_good_ones_are_named_and_left_out(tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(videos, mixed)
    first, _, _ = sorted(mixed.glob("*.npz"))
    first.write_bytes(first.read_bytes()[:3000])
    np.savez(mixed / "strange.npz", reward=np.zeros(9))
    (mixed / "loop.npz").symlink_to("loop.npz")
    assert main(["pretrain", *VIDEO, f"--videos={mixed}", f"--out={tmp_path / 'x'}", "--pretrain.updates=2"]) == 0
    said = capsys.readouterr()
    assert first.name in said.out
    assert "strange.npz" in said.out
    assert "left out 3 of 5 video files" in said.out
    assert "Warning" not in said.err


# ---- folders


def test_folders_of_others(refused: Refused, tmp_path: Path, agent: Path, teacher: Path, videos: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    assert "neither an empty folder nor a run" in refused("train", "no_distill", *TOY, "--out=mine")
    assert "neither an empty folder nor a run" in refused("pretrain", *VIDEO, f"--videos={videos}", "--out=mine")
    assert "neither an empty folder nor a run" in refused("train", "no_distill", *TOY, "--out=mine/thesis.tex")
    assert "neither an empty folder nor a data set" in refused("collect", "--task=toy", "--collect.frames=100", "--out=mine")
    shutil.copytree(agent, tmp_path / "agent")
    words = refused("train", "diswm", *TOY, "--out=agent", f"--teacher={teacher}", "--seed=1", "--train.batch=3")
    assert "seed is 0 there, 1 here" in words
    assert "train.batch is 2 there, 3 here" in words
    assert "is a run of `diswm train`" in refused("pretrain", *VIDEO, f"--videos={videos}", "--out=agent")
    (tmp_path / "agent" / "config.json").write_text("[]")
    assert "is not a run" in refused("train", "diswm", *TOY, "--out=agent", f"--teacher={teacher}")


def test_a_folder_of_videos_is_not_mixed(refused: Refused, tmp_path: Path, videos: Path) -> None:
    shutil.copytree(videos, tmp_path / "videos")
    collect = ["collect", "--task=toy", "--out=videos", "--collect.frames=400"]
    assert "holds videos with seed 0, not 1" in refused(*collect, "--seed=1")
    assert "holds videos with task toy, not toy_sparse" in refused("collect", "--task=toy_sparse", "--out=videos")


def test_folders_that_are_no_finished_agent(refused: Refused, tmp_path: Path, teacher: Path, agent: Path) -> None:
    shutil.copytree(teacher, tmp_path / "teacher")
    assert "is a run of `diswm pretrain`" in refused("evaluate", "teacher")
    shutil.copytree(agent, tmp_path / "agent")
    assert "episodes=0" in refused("evaluate", "agent", "--episodes", "0")
    (tmp_path / "file").write_text("")
    with pytest.MonkeyPatch.context() as patch:  # it says so before it plays
        patch.setattr(api, "evaluate_all", lambda *args: pytest.fail("played"))
        assert "Cannot write in file" in refused("evaluate", "agent", "--out", "file")
        patch.setattr(os, "access", lambda path, mode: Path(path).name != "agent")
        assert "Cannot write in agent: Permission denied" in refused("evaluate", "agent")
    shutil.rmtree(tmp_path / "agent" / "checkpoints")
    assert "has no checkpoint yet" in refused("evaluate", "agent")
    assert "has no checkpoint yet" in refused("traverse", "agent")
    for verb in ("evaluate", "traverse", "report"):
        (tmp_path / "other").mkdir(exist_ok=True)
        assert "other" in refused(verb, "other")


def test_traversing_a_plain_encoder(refused: Refused, tmp_path: Path) -> None:
    assert main(["train", "dreamerv2", *TOY, "--out=plain", "--train.frames=60", "--eval.episodes=1"]) == 0
    assert "no Gaussian code to traverse" in refused("traverse", "plain", "--device", "cpu")


@pytest.mark.usefixtures("words_alone")
@pytest.mark.parametrize("flag", ["--run", "--runs"])
def test_the_run_may_be_named_as_help_shows_it(agent: Path, tmp_path: Path, flag: str) -> None:
    assert main(["report", flag, str(agent), "--out", str(tmp_path / "page")]) == 0
    assert (tmp_path / "page" / "report.html").exists()


@pytest.mark.usefixtures("words_alone")
def test_several_runs_make_one_page(agent: Path, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(agent, tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config["config"]["seed"] += 1
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    both = [str(agent), str(tmp_path / "other")]
    assert main(["report", *both, "--out", str(tmp_path / "both.html"), "--title", "Both"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "both.html")
    assert "<h1>Both</h1>" in (tmp_path / "both.html").read_text()
    assert (tmp_path / "both_files" / "table_runs.csv").exists()
    assert "no group 'nobody'" in refused("report", *both, "--baseline", "nobody")
    (tmp_path / "empty").mkdir()
    assert "holds none" in refused("report", "empty")


def test_brackets_in_the_name_of_a_folder_are_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ü [x] [" / "red]"
    assert main(["collect", "--task=toy", "--collect.frames=100", f"--out={out}"]) == 0
    assert f"{out}: 1 whole episode, 100 frames" in capsys.readouterr().out


def test_a_replay_that_cannot_be_made(refused: Refused) -> None:
    assert "disk" in refused("train", "no_distill", *TOY, "--out=x", "--train.replay-rows=100000000000", "--train.replay-gb=1e9")
    assert "holds nothing" in refused("train", "no_distill", *TOY, "--out=x", "--train.replay-gb=1e-9")


def test_three_lines_to_act(agent: Path) -> None:
    loaded = diswm.load(agent)
    assert isinstance(loaded, Dreamer)
    assert loaded.device.type == "cpu"
    loaded.reset()
    action = loaded.act(np.zeros((64, 64, 3), np.uint8))
    assert (action.shape, action.dtype) == ((2,), np.float32)
    image = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    first = [loaded.act(frame) for frame in image]
    assert all((np.abs(action) <= 1).all() for action in first)
    loaded.reset()
    again = [loaded.act(frame) for frame in np.concatenate([np.zeros_like(image[:1]), image])]
    np.testing.assert_array_equal(first, again[1:])
    loaded.reset()
    assert not np.array_equal(loaded.act(image[5]), first[5]), "it remembers what it saw"


def test_a_second_positional_may_be_named(tmp_path: Path) -> None:
    """As `diswm explore --help` lists it."""
    for args in ([str(tmp_path / "a"), str(tmp_path / "b")], [str(tmp_path / "a"), "--other", str(tmp_path / "b")]):
        found = parse(ExploreArgs, "explore", args)
        assert (found.run, found.other) == (tmp_path / "a", tmp_path / "b")
