"""Ablations: what each changes and nothing else, what is refused, and that the run folder says it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import small

from diswm import api
from diswm.ablations import ABLATIONS, ablate, check_record, check_teacher_record, method_of, slug, teacher_note
from diswm.cli import main
from diswm.config import PretrainRun, TrainRun, flat, from_dict, merge, to_dict
from diswm.contract import DiswmError
from diswm.methods import METHODS, check_terms, for_pretraining, for_training
from diswm.presets import PRESETS, apply_preset
from diswm.trainers.run import check_folder, read_config

TRAIN = for_training(TrainRun(), "diswm")
VIDEO = for_pretraining(PretrainRun(), "diswm")


def changed(before: Any, after: Any) -> dict[str, Any]:
    """The settings that differ; those that are gone as None."""
    old, new = flat(before), flat(after)
    return {name: new.get(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


@pytest.mark.parametrize(
    ("text", "in_training", "in_pretraining"),
    [
        ("no_distill", dict.fromkeys(["weights.distill", *(f"anneal.distill.{name}" for name in ("begin", "over", "floor"))]), None),
        ("no_disentangle", {"weights.beta": None}, {"weights.beta": None}),
        ("beta=0", {"weights.beta": 0.0}, {"weights.beta": 0.0}),
        ("beta=1.5e-3", {"weights.beta": 0.0015}, {"weights.beta": 0.0015}),
        ("disentangle=dip_vae_i", {"learner.disentangle": "dip_vae_i"}, {"learner.disentangle": "dip_vae_i"}),
        ("distill=1", {"weights.distill": 1.0}, None),
        ("distill_kind=mse_mean", {"learner.distill_kind": "mse_mean"}, None),
        ("code=10", {"model.z_dim": 10}, {"model.z_dim": 10}),
        ("source=v/reacher", {"teacher": Path("v/reacher")}, {"videos": (Path("v/reacher"),)}),
    ],
)
def test_an_ablation_changes_this_alone(text: str, in_training: dict[str, Any], in_pretraining: dict[str, Any] | None) -> None:
    after = ablate(TRAIN, [text])
    assert changed(TRAIN, after) == {"ablate": (text,), **in_training}
    check_record(after)
    check_terms(after.method, after.weights, method_of(after).weights, after.anneal)
    if in_pretraining is None:
        with pytest.raises(DiswmError, match="changes nothing: `diswm pretrain diswm` has no distill"):
            ablate(VIDEO, [text])
    else:
        before = ablate(VIDEO, [text])
        assert changed(VIDEO, before) == {"ablate": (text,), **in_pretraining}
        check_record(before)
        check_terms(before.method, before.weights, method_of(before).video_weights, {})


def test_every_ablation_is_tested_and_said() -> None:
    assert set(ABLATIONS) == {"no_distill", "no_disentangle", "beta", "disentangle", "distill", "distill_kind", "code", "source"}
    assert all(bool(one.drops) != bool(one.train) and one.about for one in ABLATIONS.values())


def test_the_methods_of_the_same_name_are_the_same() -> None:
    for name in ("no_distill", "no_disentangle"):
        assert ablate(TRAIN, [name]).weights == METHODS[name].weights
        assert ablate(TRAIN, [name]).anneal == METHODS[name].anneal
        assert method_of(ablate(TRAIN, [name])).teacher == METHODS[name].teacher


def test_several_go_together_and_through_json() -> None:
    config = ablate(TRAIN, ["no_distill", "beta=0", "code=5"])
    assert config == ablate(ablate(TRAIN, ["no_distill"]), ["beta=0", "code=5"])
    assert from_dict(TrainRun, json.loads(json.dumps(to_dict(config)))) == config
    assert slug(config) == "_no_distill_beta-0_code-5"
    assert slug(ablate(TRAIN, ["source=../a b/c"])) == "_source-..-a-b-c"
    assert slug(TRAIN) == ""


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("text", ["no_distill", "no_disentangle", "beta=0", "code=5"])
def test_every_preset_may_be_ablated(preset: str, text: str) -> None:
    config = ablate(apply_preset(TRAIN, preset, "train"), [text])
    check_record(config)
    check_terms(config.method, config.weights, method_of(config).weights, config.anneal)


@pytest.mark.parametrize(
    ("config", "texts", "words"),
    [
        (TRAIN, ["bta=0"], "There is no ablation 'bta'. Did you mean beta"),
        (TRAIN, ["zzz"], "There are: no_distill, no_disentangle, beta"),
        (TRAIN, ["beta"], "--ablate beta: weight of the constraint on the code, in both stages. Expected a value, such as"),
        (TRAIN, ["beta="], "Expected a value"),
        (TRAIN, ["no_distill=1"], "--ablate no_distill=1: without the teacher. Expected --ablate no_distill."),
        (TRAIN, ["beta=much"], "weights.beta='much' must be a number"),
        (TRAIN, ["code=2.5"], "model.z_dim='2.5' must be a whole number"),
        (TRAIN, ["distill_kind=l2"], "gaussian_kl, softmax_sample, softmax_mean, mse_mean are possible"),
        (TRAIN, ["beta=0", "beta=1"], "--ablate beta is given twice"),
        (TRAIN, ["no_disentangle", "beta=1"], "`diswm train diswm` has no beta"),
        (TRAIN, ["no_distill", "source=x"], "has no teacher"),
        (for_training(TrainRun(), "dreamerv2"), ["beta=0"], "`diswm train dreamerv2` has no beta (its terms: image, reward, dyn, rep)"),
        (for_training(TrainRun(), "dreamerv2"), ["code=5"], "has no code"),
        (for_training(TrainRun(), "no_distill"), ["no_distill"], "has no distill"),
    ],
)
def test_what_is_no_ablation_is_said(config: TrainRun, texts: list[str], words: str) -> None:
    with pytest.raises(DiswmError) as told:
        ablate(config, texts)
    assert words in str(told.value)


def test_a_record_is_true_or_refused() -> None:
    with pytest.raises(DiswmError, match=r"--ablate beta=0 and weights.beta=0.3 exclude each other"):
        check_record(merge(ablate(TRAIN, ["beta=0"]), {"weights.beta": 0.3}))
    with pytest.raises(DiswmError, match=r"--ablate code=5 and model.z_dim=7 exclude each other"):
        check_record(merge(ablate(VIDEO, ["code=5"]), {"model.z_dim": 7}))
    with pytest.raises(DiswmError, match="exclude each other"):
        check_record(ablate(TRAIN, ["beta=0", "no_disentangle"]))
    check_record(merge(ablate(TRAIN, ["beta=0"]), {"weights.reward": 3}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("code=5", "--ablate code=5 is of both stages, and this teacher was pretrained with model.z_dim=20"),
        ("beta=0", "pretrained with weights.beta=0.015. Pretrain one with `diswm pretrain diswm --ablate beta=0`"),
        ("no_disentangle", "pretrained with weights.beta=0.015"),
        ("disentangle=beta_tcvae", "pretrained with learner.disentangle=beta_vae"),
    ],
)
def test_both_stages_are_ablated_alike(text: str, words: str) -> None:
    student = merge(ablate(TRAIN, [text]), {"teacher": "t"})
    with pytest.raises(DiswmError) as told:
        check_teacher_record(student, VIDEO)
    assert words in str(told.value)
    check_teacher_record(student, ablate(VIDEO, [text]))


def test_ablations_of_one_stage_take_any_teacher() -> None:
    check_teacher_record(ablate(TRAIN, ["distill=1", "distill_kind=mse_mean", "source=t"]), VIDEO)
    check_teacher_record(ablate(TRAIN, ["no_disentangle"]), for_pretraining(PretrainRun(), "no_disentangle"))


def test_a_teacher_of_another_method_is_said() -> None:
    """`no_disentangle` is of both stages, also where it is the method and not a flag."""
    student = merge(for_training(TrainRun(), "no_disentangle"), {"teacher": "t"})
    assert "t was pretrained with beta, unlike the teacher of no_disentangle" in teacher_note(student, VIDEO)
    bare = for_pretraining(PretrainRun(), "no_disentangle")
    assert "t was pretrained without beta, unlike the teacher of diswm" in teacher_note(merge(TRAIN, {"teacher": "t"}), bare)
    alike = [(student, bare), (TRAIN, VIDEO), (TRAIN, ablate(VIDEO, ["beta=0", "code=5"])), (for_training(TrainRun(), "paper"), VIDEO)]
    alike += [(ablate(TRAIN, ["no_disentangle"]), bare), (for_training(TrainRun(), "dv2_finetune"), VIDEO)]
    assert [teacher_note(one, other) for one, other in alike] == [""] * len(alike)


def test_the_note_is_given(teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"train__frames": 110, "train__eval_every": 1000, "eval__episodes": 1}
    assert api.train(small.train_config(tmp_path / "agent", "no_disentangle", teacher=str(teacher), **changes))
    assert "was pretrained with beta" in " ".join(capsys.readouterr().out.split())


def test_runs_from_before_there_were_ablations_go_on(tmp_path: Path) -> None:
    config = to_dict(merge(TRAIN, {"out": str(tmp_path)}))
    old = {name: value for name, value in config.items() if name not in ("ablate", "start")}
    old["eval"] = {name: value for name, value in config["eval"].items() if name != "workers"}
    (tmp_path / "config.json").write_text(json.dumps({"format": 1, "kind": "train", "version": "0", "config": old}))
    check_folder(tmp_path, "train", config)
    with pytest.raises(DiswmError, match=r"ablate is None there, \['beta=0'\] here"):
        check_folder(tmp_path, "train", to_dict(ablate(merge(TRAIN, {"out": str(tmp_path)}), ["beta=0"])))


# ---- the command line


FLAGS = ["--preset=cpu", *(f"--{name.replace('_', '-')}={value}" for name, value in small.TRAIN.items())]
VIDEO_FLAGS = ["--preset=paper", *(f"--{name.replace('_', '-')}={value}" for name, value in small.VIDEO.items() if "z_dim" not in name)]
SHORT = ["--train.frames=130", "--train.eval-every=1000", "--eval.episodes=1"]


def test_pretrain_and_train_with_another_code(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [flag for flag in FLAGS if "z-dim" not in flag]
    teacher, agent = tmp_path / "teacher", tmp_path / "agent"
    assert main(["pretrain", *VIDEO_FLAGS, "--ablate", "code=3", f"--videos={videos}", f"--out={teacher}"]) == 0
    train = ["train", *flags, *SHORT, "--ablate=code=3", "--ablate", "distill_kind=mse_mean", f"--teacher={teacher}", f"--out={agent}"]
    assert main(train) == 0
    config = read_config(agent, "train")["config"]
    assert config["ablate"] == ["code=3", "distill_kind=mse_mean"]
    assert (config["model"]["z_dim"], config["learner"]["distill_kind"]) == (3, "mse_mean")
    updates = [line for line in small.events(agent) if line["kind"] == "update"]
    assert all(math.isfinite(line["loss/distill"]) for line in updates)
    assert main([*train, "--train.frames=150"]) == 0, "the same command goes on"
    assert small.events(agent)[-1]["frames"] == 150
    capsys.readouterr()
    assert main([arg for arg in train if "mse_mean" not in arg and arg != "--ablate"]) == 2
    err = capsys.readouterr().err
    assert "holds a run of another config: ablate is ['code=3', 'distill_kind=mse_mean'] there" in err
    assert main(["train", *flags, "--ablate=code=2", f"--teacher={teacher}", f"--out={tmp_path / 'x'}"]) == 2
    assert "this teacher was pretrained with model.z_dim=3" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_without_the_teacher_none_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *FLAGS, *SHORT, "--ablate", "no_distill", "--ablate", "beta=0"]) == 0
    updates = [line for line in small.events(tmp_path / "runs/toy_diswm_no_distill_beta-0_0") if line["kind"] == "update"]
    assert "loss/beta" in updates[-1]
    assert "loss/distill" not in updates[-1]


def test_the_file_and_the_flags_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(api, "train", lambda config: (found.append(config), True)[1])
    (tmp_path / "run.yaml").write_text("ablate: [beta=0]\nweights: {distill: 0.2}\n")
    assert main(["train", "--config", str(tmp_path / "run.yaml"), "--ablate", "no_distill"]) == 0
    assert found[0].ablate == ("beta=0", "no_distill")
    assert "distill" not in found[0].weights
    (tmp_path / "run.yaml").write_text("ablate: beta=0\n")
    assert main(["train", "--config", str(tmp_path / "run.yaml")]) == 0
    assert found[1].ablate == ("beta=0",)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["train", "--ablate", "kode=10"], "no ablation 'kode'. Did you mean code"),
        (["pretrain", "--ablate", "no_distill"], "`diswm pretrain diswm` has no distill"),
        (["train", "--ablate"], "--ablate needs a value"),
        (["train", "--ablate", "disentangle=beta_tc"], "learner.disentangle='beta_tc' is unknown"),
        (["train", "--learner.disentangle", "beta_tc", "--task", "toy"], "Did you mean beta_tcvae"),
        (["train", "dreamerv2", "--learner.disentangle", "factor_vae", "--task", "toy"], "kind of the term beta"),
        (["train", "--ablate", "no_distill", "--weights.distill", "3"], "no setting '--weights.distill'"),
        (["train", "--ablate", "no_distill", "--ablate", "beta=0", "--weights.beta", "3", "--task", "toy"], "exclude each other"),
        (["train", "--ablate", "code=0", "--ablate", "no_distill", "--task", "toy"], "model.z_dim=0 must be a number above 0"),
        (["collect", "--ablate", "beta=0"], "no setting '--ablate'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    args: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(args) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
