"""Weights of the release in and out: exact there and back, any sizes, and one line for every file that does not fit."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch
from released_like import random_parts, save_parts
from torch import Tensor

import diswm
from diswm import api, exchange, released
from diswm.build import checkpoint, load_video_model
from diswm.cli import main
from diswm.config import merge
from diswm.contract import DiswmError
from diswm.exchange import export_checkpoint, import_checkpoint, imported_teacher
from diswm.released import PARTS, read_parts
from diswm.trainers.checkpoint import load_model

Parts = dict[str, dict[str, Tensor]]
VIDEO = ("encoder", "decoder", "rssm")


def same(one: Parts, two: Parts) -> None:
    """Files, names, their order and every bit."""
    assert one.keys() == two.keys()
    for part, state in one.items():
        assert list(state) == list(two[part]), part
        for name, value in state.items():
            assert value.dtype == two[part][name].dtype
            assert value.stride() == two[part][name].stride()
            assert value.numpy().tobytes() == two[part][name].numpy().tobytes(), f"{part} {name}"


def networks(run: Path) -> dict[str, Any]:
    """What the checkpoint of a run holds."""
    return load_model(checkpoint(run))


def equal(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    return torch.equal(one, two)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All seven files of an agent with sizes of its own."""
    return save_parts(tmp_path / "given", random_parts())


# ---- there and back


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        (PARTS, "train"),
        ((*VIDEO, "reward", "actor", "value"), "train"),
        ((*VIDEO, "actor"), "train"),
        (VIDEO, "pretrain"),
        ((*VIDEO, "teacher_encoder"), "pretrain"),
        ((*VIDEO, "reward", "value"), "pretrain"),
    ],
)
def test_import_export_import_is_exact(tmp_path: Path, parts: tuple[str, ...], kind: str) -> None:
    given = random_parts(parts=parts)
    run = import_checkpoint(save_parts(tmp_path / "given", given), out=tmp_path / "run")
    assert json.loads((run / "config.json").read_text())["kind"] == kind
    out = export_checkpoint(run, out=tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{part}.pt" for part in parts)
    same(read_parts(tmp_path / "given"), read_parts(out))
    again = import_checkpoint(out, out=tmp_path / "again")
    assert equal(networks(run), networks(again))


@pytest.mark.parametrize("sizes", [{"z_dim": 3, "act_dim": 1}, {"act_dim": 0}, {"depth": 2, "deter": 5, "stoch": 1}, {"layer_norm": False}])
def test_shapes_decide_the_sizes(tmp_path: Path, sizes: dict[str, Any]) -> None:
    parts = PARTS if sizes.get("act_dim", 2) else VIDEO
    run = import_checkpoint(save_parts(tmp_path / "given", random_parts(parts=parts, **sizes)), out=tmp_path / "run")
    config = json.loads((run / "config.json").read_text())["config"]
    found = {**config["model"], "act_dim": sizes.get("act_dim")}
    assert {name: found[name] for name in sizes} == sizes
    same(read_parts(tmp_path / "given"), read_parts(export_checkpoint(run, out=tmp_path / "out")))


def test_layers_and_units_are_read_too(tmp_path: Path) -> None:
    given = random_parts(units=7, reward_units=5, reward_layers=1, actor_layers=2, critic_layers=4)
    run = import_checkpoint(save_parts(tmp_path / "given", given), out=tmp_path / "run")
    config = json.loads((run / "config.json").read_text())["config"]
    assert (config["model"]["reward_layers"], config["model"]["units"]) == (1, 5)
    assert [config["dreamer"][name] for name in ("actor_layers", "critic_layers", "units")] == [2, 4, 7]
    same(read_parts(tmp_path / "given"), read_parts(export_checkpoint(run, out=tmp_path / "out")))


def test_our_own_runs_go_out_and_come_back(tmp_path: Path, agent: Path, teacher: Path) -> None:
    out = export_checkpoint(agent, out=tmp_path / "agent")
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{part}.pt" for part in PARTS)
    back = import_checkpoint(out, out=tmp_path / "run", task="toy")
    ours, theirs = networks(agent), networks(back)
    assert all(equal(ours[name], theirs[name]) for name in ("world", "actor", "critic"))
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(diswm.load(agent).act(image), diswm.load(back).act(image))
    taught = imported_teacher(back).state_dict()
    assert equal(dict(taught), dict(load_video_model(teacher).encoder.state_dict()))
    video = import_checkpoint(export_checkpoint(teacher, out=tmp_path / "video"), out=tmp_path / "video_run")
    assert equal(networks(teacher)["world"], networks(video)["world"])


def test_a_teacher_may_have_other_channels(tmp_path: Path) -> None:
    """Its code is what a student is held against, and codes have one size."""
    given = random_parts() | {"teacher_encoder": random_parts(parts=("teacher_encoder",), depth=8)["teacher_encoder"]}
    run = import_checkpoint(save_parts(tmp_path / "given", given), out=tmp_path / "run")
    assert imported_teacher(run).convs[0].weight.shape[0] == 8
    same(read_parts(tmp_path / "given"), read_parts(export_checkpoint(run, out=tmp_path / "out")))


def test_an_agent_whose_teacher_is_gone_goes_out_without_it(tmp_path: Path, agent: Path) -> None:
    moved = tmp_path / "agent"
    shutil.copytree(agent, moved)
    config = json.loads((moved / "config.json").read_text())
    config["config"]["teacher"] = str(tmp_path / "gone")
    (moved / "config.json").write_text(json.dumps(config))
    assert "teacher_encoder.pt" not in os.listdir(export_checkpoint(moved, out=tmp_path / "out"))


# ---- an imported run among the others


def like_small(parts: tuple[str, ...] = PARTS, act_dim: int = 2) -> Parts:
    """Weights of the sizes that the tests' runs have; the toy takes 2 actions."""
    return random_parts(parts=parts, z_dim=4, stoch=8, deter=16, hidden=16, depth=4, act_dim=act_dim, units=16, reward_units=16)


@pytest.mark.parametrize("parts", [VIDEO, PARTS])
def test_it_teaches(tmp_path: Path, parts: tuple[str, ...]) -> None:
    run = import_checkpoint(save_parts(tmp_path / "given", like_small(parts, act_dim=3)), out=tmp_path / "run")
    assert load_video_model(run).act_dim == 0
    assert api.train(small.train_config(tmp_path / "agent", "diswm", teacher=str(run), train__frames=60, eval__episodes=1))
    start = {"model__encoder": "gaussian", "train__frames": 60, "eval__episodes": 1}
    assert api.train(small.train_config(tmp_path / "tuned", "dv2_finetune", teacher=str(run), **start))


def test_every_verb_takes_an_imported_agent(tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_parts(tmp_path / "given", like_small())
    run, out = str(tmp_path / "run"), tmp_path / "run"
    assert main(["import-checkpoint", str(tmp_path / "given"), "--out", run, "--task", "toy"]) == 0
    assert main(["evaluate", run, "--episodes", "1", "--device", "cpu"]) == 0
    assert json.loads((out / "evaluation.json").read_text())["seen"]["returns"]
    assert main(["traverse", run, "--device", "cpu"]) == 0
    assert main(["report", run]) == 0
    assert (out / "report.html").stat().st_size > 1000
    action = diswm.load(run).act(np.zeros((64, 64, 3), np.uint8))
    assert action.shape == (2,)
    assert main(["export-checkpoint", run, "--out", str(tmp_path / "out")]) == 0
    same(read_parts(tmp_path / "given"), read_parts(tmp_path / "out"))
    assert "actions 2" in capsys.readouterr().out


def test_every_verb_takes_an_imported_video_model(tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(import_checkpoint(save_parts(tmp_path / "given", like_small(VIDEO)), out=tmp_path / "run"))
    assert main(["traverse", run, "--videos", str(videos), "--device", "cpu"]) == 0
    assert main(["report", run]) == 0
    assert main(["traverse", run, "--device", "cpu"]) == 2
    assert "names no videos" in capsys.readouterr().err
    assert main(["evaluate", run]) == 2


def test_an_imported_run_is_not_trained_on(tmp_path: Path, videos: Path) -> None:
    run = import_checkpoint(save_parts(tmp_path / "given", like_small()), out=tmp_path / "run", task="toy")
    with pytest.raises(DiswmError, match="imported weights"):
        api.train(small.train_config(run))
    video = import_checkpoint(save_parts(tmp_path / "video", like_small(VIDEO)), out=tmp_path / "video_run")
    with pytest.raises(DiswmError, match="imported weights"):
        api.pretrain(small.pretrain_config(video, videos))


def test_runs_start_from_imported_weights_and_go_on_from_their_own(tmp_path: Path, videos: Path) -> None:
    agent = import_checkpoint(save_parts(tmp_path / "given", like_small()), out=tmp_path / "agent", task="toy")
    video = import_checkpoint(save_parts(tmp_path / "seen", like_small(VIDEO)), out=tmp_path / "video")
    # Without a single update the weights are still those that it started from.
    still = {"train__frames": 60, "train__prefill_steps": 40, "train__first_updates": 0, "eval__episodes": 1}
    config = small.train_config(tmp_path / "more", start=str(agent), **still)
    assert api.train(config)
    theirs, ours = load_model(checkpoint(agent)), load_model(checkpoint(tmp_path / "more"))
    for net in ("world", "actor", "critic", "slow_critic"):
        assert all(torch.equal(theirs[net][name], value) for name, value in ours[net].items()), net
    shutil.rmtree(agent)  # a run that was begun needs it no more
    assert api.train(merge(config, {"train.frames": 200}))
    assert not torch.equal(load_model(checkpoint(tmp_path / "more"))["actor"]["net.0.weight"], theirs["actor"]["net.0.weight"])

    assert api.train(small.train_config(tmp_path / "seen_first", start=str(video), **still))
    assert api.pretrain(small.pretrain_config(tmp_path / "seen_on", videos, start=str(video), pretrain__updates=1, learner__lr=1e-9))
    given = load_video_model(video).state_dict()
    for run in ("seen_first", "seen_on"):
        world = load_model(checkpoint(tmp_path / run))["world"]
        torch.testing.assert_close(world["encoder.stats.weight"], given["encoder.stats.weight"])
        torch.testing.assert_close(world["rssm.inp.weight"][:, :8], given["rssm.inp.weight"])


def test_what_does_not_fit_is_no_start(tmp_path: Path) -> None:
    other = import_checkpoint(save_parts(tmp_path / "given", like_small(act_dim=3)), out=tmp_path / "other")
    with pytest.raises(DiswmError, match=r"its agent has 3 actions, this task takes 2 actions\. Start from an agent of the same body"):
        api.train(small.train_config(tmp_path / "run", start=str(other)))
    with pytest.raises(DiswmError, match=r"has model\.z_dim 4, this run 5\. Use --model\.z-dim 4"):
        api.train(small.train_config(tmp_path / "run", start=str(other), model__z_dim=5))
    assert not (tmp_path / "run").exists()


def test_the_task_is_asked_for_where_it_matters(tmp_path: Path) -> None:
    save_parts(tmp_path / "given", like_small(act_dim=5))
    nameless = import_checkpoint(tmp_path / "given", out=tmp_path / "nameless")
    for verb in (api.evaluate, api.traverse):
        with pytest.raises(DiswmError, match="with --task"):
            verb(nameless, device="cpu")
    with pytest.raises(DiswmError, match=r"given: its agent gives 5 numbers, the task toy takes 2 numbers\. Name the task that it was"):
        import_checkpoint(tmp_path / "given", out=tmp_path / "wrong", task="toy")
    assert not (tmp_path / "wrong").exists()
    head = json.loads((nameless / "config.json").read_text())
    head["config"]["env"]["task"] = "toy"  # as of a version that did not look
    (nameless / "config.json").write_text(json.dumps(head))
    with pytest.raises(DiswmError, match="gives 5 numbers, the task toy takes 2"):
        api.evaluate(nameless, device="cpu")
    with pytest.raises(DiswmError, match=r"no task 'toi'\. Did you mean toy"):
        import_checkpoint(tmp_path / "given", out=tmp_path / "x", task="toi")


def test_a_task_whose_simulator_is_not_here_is_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise DiswmError("walker_walk needs dm_control: pip install 'diswm[dmc]'.")

    monkeypatch.setattr(exchange, "make", missing)
    run = import_checkpoint(save_parts(tmp_path / "given", like_small()), out=tmp_path / "run", task="walker_walk")
    assert json.loads((run / "config.json").read_text())["config"]["env"]["task"] == "walker_walk"
    assert "whether its actions are those of walker_walk cannot be tried here: walker_walk needs dm_control" in capsys.readouterr().out


def test_what_was_not_there_starts_fresh_and_does_not_go_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = import_checkpoint(save_parts(tmp_path / "given", random_parts(parts=(*VIDEO, "actor"))), out=tmp_path / "run")
    assert "reward.pt, value.pt were not there" in capsys.readouterr().out
    assert sorted(os.listdir(export_checkpoint(run, out=tmp_path / "out"))) == ["actor.pt", "decoder.pt", "encoder.pt", "rssm.pt"]


# ---- what does not fit

Refused = Callable[..., str]


@pytest.fixture
def refused(refused: Refused) -> Refused:
    """What an import that is refused says; it leaves nothing."""
    return lambda *args: refused("import-checkpoint", *(args or ("given", "--out", "run")))


def change(folder: Path, part: str, name: str, value: Any) -> None:
    """One tensor of a file replaced, taken out (None) or added."""
    state = torch.load(folder / f"{part}.pt", weights_only=True)
    state[name] = value
    torch.save({key: item for key, item in state.items() if item is not None}, folder / f"{part}.pt")


def nested() -> Tensor:
    """Rows of several lengths in one tensor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that these are a prototype of PyTorch's
        return torch.nested.nested_tensor([torch.zeros(1), torch.zeros(3)])


@pytest.mark.parametrize(
    ("part", "name", "value", "words"),
    [
        ("encoder", "encoder.2.weight", torch.zeros(3, 3), ["encoder.pt: 'encoder.2.weight' has shape (3, 3), expected (4, 4, 4, 4)"]),
        ("encoder", "dis_encoder.0.weight", torch.zeros(13, 32), ["has shape (13, 32), expected a multiple of 2"]),
        (
            "decoder",
            "decoder.0.weight",
            torch.zeros(32, 7),
            ["decoder.pt: 'decoder.0.weight' has shape (32, 7), expected (32, 6)", "code size 6"],
        ),
        ("rssm", "_obs_out_layers.0.weight", torch.zeros(10, 18), ["rssm.pt", "(10, 18), expected (10, 15)"]),
        ("rssm", "_inp_layers.0.weight", torch.zeros(10, 2), ["has 2 columns, expected 5"]),
        ("rssm", "_cell._layer.bias", None, ["rssm.pt: lacks _cell._layer.bias"]),
        ("rssm", "surprise.weight", torch.zeros(1), ["rssm.pt: has the unknown surprise.weight"]),
        (
            "actor",
            "_dist_layer.weight",
            torch.zeros(6, 12),
            ["actor.pt: '_dist_layer.weight' has shape (6, 12), expected (4, 12)", "actions 2"],
        ),
        ("value", "_mean_layers.0.bias", torch.zeros(7), ["value.pt", "expected (12,)", "12 units"]),
        ("reward", "_mean_layers.4.weight", torch.zeros(2, 11), ["reward.pt", "expected (1, 11)"]),
        ("teacher_encoder", "dis_encoder.0.bias", torch.zeros(8), ["teacher_encoder.pt", "expected (12,)"]),
        (
            "encoder",
            "encoder.0.bias",
            torch.tensor([1, 2, float("nan"), 4]),
            ["encoder.pt: 'encoder.0.bias' has numbers that are not finite"],
        ),
        ("encoder", "encoder.0.bias", torch.tensor([1, 2, float("inf"), 4]), ["not finite"]),
        ("encoder", "encoder.0.bias", torch.zeros(4, dtype=torch.float64), ["is float64", "Expected float32"]),
        ("encoder", "encoder.0.bias", torch.zeros(4, dtype=torch.int32), ["is int32"]),
        ("encoder", "encoder.0.bias", torch.zeros(4).to_sparse(), ["sparse"]),
        ("encoder", "encoder.0.bias", torch.zeros(4, device="meta"), ["meta"]),
        ("encoder", "encoder.0.bias", torch.zeros(1).expand(1 << 40), ["more than the file holds"]),
        ("encoder", "encoder.0.bias", nested(), ["is float32, nested on cpu"]),
        ("encoder", "encoder.0.bias", [1.0, 2.0], ["'encoder.0.bias' is an object of type list"]),
        ("encoder", "dis_encoder.0.weight", torch.zeros(0, 32), ["has shape (0, 32)"]),
        ("encoder", "encoder.0.weight", torch.zeros(1 << 40, 0), ["has shape (1099511627776, 0)", "no side above 65,536"]),
        ("rssm", "_cell._layer.weight", torch.zeros(3 << 40, 0), ["expected a multiple of 3 rows, no side above 65,536"]),
    ],
)
def test_tensors_that_do_not_fit(folder: Path, refused: Refused, part: str, name: str, value: Any, words: list[str]) -> None:
    change(folder, part, name, value)
    said = refused()
    for word in words:
        assert word in said


def test_files_that_are_missing(folder: Path, refused: Refused) -> None:
    (folder / "rssm.pt").unlink()
    assert "has no rssm.pt, found encoder.pt, decoder.pt" in refused()
    assert "is not a folder" in refused("nowhere", "--out", "run")
    assert "is not a folder" in refused(folder / "encoder.pt", "--out", "run")
    assert "needs the folder of released weights" in refused("--out", "run")


def test_an_actor_without_actions(tmp_path: Path, refused: Refused) -> None:
    save_parts(tmp_path / "given", {**random_parts(), **random_parts(parts=VIDEO, act_dim=0)})
    assert "takes no actions, but there is an actor.pt" in refused()


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch hacked",)


def test_files_that_would_run_code(folder: Path, refused: Refused, tmp_path: Path) -> None:
    torch.save({"encoder.0.weight": Hostile()}, folder / "encoder.pt")
    said = refused()
    assert "encoder.pt: asks for " in said
    assert "system" in said
    (folder / "encoder.pt").write_bytes(pickle.dumps(Hostile()))
    assert "encoder.pt: " in refused()
    assert not (tmp_path / "hacked").exists()
    assert "weights_only" not in said, "PyTorch's advice to load it all the same"


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.99])
def test_truncated_files(folder: Path, refused: Refused, part: float) -> None:
    path = folder / "rssm.pt"
    os.truncate(path, int(path.stat().st_size * part))
    assert "rssm.pt: " in refused()


@pytest.mark.parametrize("value", [b"hello", b"PK\x03\x04", bytes(100)])
def test_files_of_other_kinds(folder: Path, refused: Refused, value: bytes) -> None:
    (folder / "decoder.pt").write_bytes(value)
    assert "decoder.pt: " in refused()


@pytest.mark.parametrize("value", [[torch.zeros(2)], torch.zeros(2), {}, {"model": {"a": torch.zeros(2)}}, {1: torch.zeros(2)}, None])
def test_objects_that_are_no_state_dict(folder: Path, refused: Refused, value: Any) -> None:
    torch.save(value, folder / "decoder.pt")
    assert "Expected a plain state dict" in refused()


def test_a_folder_in_place_of_a_file(folder: Path, refused: Refused) -> None:
    (folder / "decoder.pt").unlink()
    (folder / "decoder.pt").mkdir()
    assert "decoder.pt: is not a file" in refused()


def test_a_broken_link_is_no_missing_file(folder: Path, refused: Refused) -> None:
    (folder / "actor.pt").unlink()
    (folder / "actor.pt").symlink_to("nowhere")
    assert "actor.pt: is not a file" in refused()


def test_however_tensors_lie_in_memory_they_mean_the_same(folder: Path, tmp_path: Path) -> None:
    """Turned, with gaps, cut from one storage, with a sign that is not written out."""
    plain = read_parts(folder)
    for part, state in plain.items():
        whole = torch.cat([value.flatten() for value in state.values()])
        parts = {
            name: piece.view(state[name].shape) for name, piece in zip(state, whole.split([v.numel() for v in state.values()]), strict=True)
        }
        if part in ("encoder", "teacher_encoder"):
            parts = {name: torch.complex(value, -value).conj().imag for name, value in parts.items()}
        elif part != "rssm":
            parts = {name: value.movedim(0, -1).contiguous().movedim(-1, 0) for name, value in parts.items()}
        torch.save(parts, folder / f"{part}.pt")
    assert torch.load(folder / "encoder.pt", weights_only=True)["encoder.0.bias"].is_neg(), "the case is what it says"
    same(plain, read_parts(export_checkpoint(import_checkpoint(folder, out=tmp_path / "run"), out=tmp_path / "out")))


def test_a_file_that_unpacks_without_end(folder: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(released, "MAX_BYTES", 1 << 18)
    with zipfile.ZipFile(folder / "rssm.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 19))
    assert "takes 512 KiB, more than the limit of 256 KiB" in refused()


def test_folders_that_are_there_already(folder: Path, refused: Refused, teacher: Path, tmp_path: Path) -> None:
    assert "is there already" in refused("given", "--out", teacher)
    (tmp_path / "file").write_text("mine")
    assert "is there already" in refused("given", "--out", "file")
    (tmp_path / "empty").mkdir()
    assert main(["import-checkpoint", "given", "--out", "empty"]) == 0
    assert "is there already" in refused("given", "--out", "empty")


def test_a_full_disk_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = import_checkpoint(folder, out=tmp_path / "run")
    before = small.tree(tmp_path)
    monkeypatch.setattr("diswm.trainers.checkpoint.save_file", full)
    with pytest.raises(DiswmError, match="No space left"):
        import_checkpoint(folder, out=tmp_path / "other")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiswmError, match="The disk is full"):
        export_checkpoint(run, out=tmp_path / "out")
    assert small.tree(tmp_path) == before


def test_the_default_folder_has_the_name_of_the_given_one(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["import-checkpoint", "given"]) == 0
    assert (tmp_path / "runs" / "given" / "config.json").is_file()
    assert main(["export-checkpoint", "runs/given"]) == 0
    same(read_parts(folder), read_parts(tmp_path / "runs" / "given" / "export"))


def test_networks_that_the_layout_has_no_names_for(tmp_path: Path, videos: Path) -> None:
    assert api.pretrain(small.pretrain_config(tmp_path / "plain", videos, "dreamerv2", pretrain__updates=1))
    with pytest.raises(DiswmError, match="has the encoder 'plain'"):
        export_checkpoint(tmp_path / "plain", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(DiswmError, match="is not a run"):
        export_checkpoint(tmp_path / "nowhere", out=tmp_path / "out")
