"""Checkpoints are whole or absent, hold no pickle, and what is damaged is said in words."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small
import torch

import diswm
from diswm import api
from diswm.build import checkpoint as newest
from diswm.contract import DiswmError
from diswm.trainers import checkpoint, run
from diswm.trainers.checkpoint import last_checkpoint, load_checkpoint, load_model, save_checkpoint


def state(value: float) -> dict[str, Any]:
    """Every kind of thing that a checkpoint must keep."""
    return {
        "agent": {
            "model": {"world": {"w": torch.full((2, 3), value)}},
            "optimiser": {"state": {0: {"step": torch.tensor(value)}, 11: {}}, "betas": [0.9, 0.999]},
        },
        "counters": {"updates": int(value)},
        "sampler": {"state": {"state": 2**127 + 1}},
        "acting": None,
        "nested": [torch.arange(3), {"x": 1.5}],
    }


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, "000000001-000000002", state(7))
    found = load_checkpoint(path)
    assert torch.equal(found["agent"]["model"]["world"]["w"], torch.full((2, 3), 7.0))
    assert found["agent"]["optimiser"]["state"].keys() == {0, 11}, "integer keys stay integers"
    assert found["sampler"]["state"]["state"] == 2**127 + 1
    assert found["acting"] is None
    assert torch.equal(found["nested"][0], torch.arange(3))
    assert torch.equal(load_model(path)["world"]["w"], torch.full((2, 3), 7.0))
    assert sorted(p.name for p in path.iterdir()) == ["model.safetensors", "state.json", "training.safetensors"]


def test_saving_at_the_same_count_keeps_the_order(tmp_path: Path) -> None:
    for value in range(1, 13):
        save_checkpoint(tmp_path, "000000005-000000010", state(value))
        path = last_checkpoint(tmp_path)
        assert path is not None
        assert load_checkpoint(path)["counters"] == {"updates": value}
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
    save_checkpoint(tmp_path, "000000005-000000011", state(99))
    assert load_checkpoint(newest_of(tmp_path))["counters"] == {"updates": 99}


def newest_of(folder: Path) -> Path:
    path = last_checkpoint(folder)
    assert path is not None
    return path


class Killed(BaseException):
    """The process is gone: no handler of ours runs."""


OPERATIONS = [(Path, "mkdir"), (checkpoint, "save_file"), (Path, "write_text"), (checkpoint, "_sync"), (os, "replace"), (shutil, "rmtree")]


def breaking(patch: pytest.MonkeyPatch, at: int, error: Callable[[], BaseException]) -> list[str]:
    """Let the ``at``-th file operation raise instead; the names of those that were asked for."""
    asked: list[str] = []

    def wrap(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            asked.append(name)
            if len(asked) == at:
                raise error()
            return original(*args, **kwargs)

        return operation

    for owner, name in OPERATIONS:
        patch.setattr(owner, name, wrap(name, getattr(owner, name)))
    return asked


def count_operations(folder: Path, name: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        asked = breaking(patch, 0, Killed)
        save_checkpoint(folder, name, state(0))
    assert {"mkdir", "save_file", "write_text", "_sync", "replace", "rmtree"} <= set(asked)
    return len(asked)


@pytest.mark.parametrize("name", ["000000002-000000002", "000000001-000000001"], ids=["new count", "same count"])
def test_a_kill_between_any_two_operations_leaves_a_checkpoint(tmp_path: Path, name: str) -> None:
    save_checkpoint(tmp_path / "probe", "000000001-000000001", state(1))
    total = count_operations(tmp_path / "probe", name)
    for at in range(1, total + 1):
        folder = tmp_path / str(at)
        save_checkpoint(folder, "000000001-000000001", state(1))
        with pytest.MonkeyPatch.context() as patch:
            breaking(patch, at, Killed)
            with pytest.raises(Killed):
                save_checkpoint(folder, name, state(2))
        found = load_checkpoint(newest_of(folder))["counters"]["updates"]
        assert found in (1, 2)
        save_checkpoint(folder, "000000003-000000003", state(3))
        assert [path.name for path in folder.iterdir()] == ["000000003-000000003"], "what the kill left is cleared away"


@pytest.mark.parametrize("at", [2, 3, 4, 5, 8])
def test_a_full_disk_is_said_and_costs_nothing(tmp_path: Path, at: int) -> None:
    save_checkpoint(tmp_path, "000000001-000000001", state(1))
    before = small.tree(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        breaking(patch, at, lambda: OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(DiswmError, match=r"could not be written.*No space left.*untouched"):
            save_checkpoint(tmp_path, "000000002-000000002", state(2))
    assert small.tree(tmp_path) == before


def test_safetensors_own_error_is_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    def full(*args: Any, **kwargs: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    save_checkpoint(tmp_path, "000000001-000000001", state(1))
    before = small.tree(tmp_path)
    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(DiswmError, match="No space left"):
        save_checkpoint(tmp_path, "000000002-000000002", state(2))
    assert small.tree(tmp_path) == before


def test_a_full_disk_at_the_end_of_training(agent: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "agent"
    shutil.copytree(agent, folder)
    before = small.tree(folder / "checkpoints")

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(DiswmError, match="No space left"):
        api.train(small.train_config(folder, "diswm", teacher=str(teacher), train__frames=170))
    assert small.tree(folder / "checkpoints") == before
    assert not list(folder.rglob("*.tmp"))


def test_a_full_disk_while_logging_and_for_small_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = run.Run(tmp_path / "run", "train", {"seed": 0})

    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    opened.log("update", x=1.0)
    kept = opened._metrics
    opened._metrics = Full()  # type: ignore[assignment]
    with pytest.raises(DiswmError, match="disk is full"):
        opened.log("update", x=1.0)
    opened._metrics = kept
    opened.close()
    run.write_json(tmp_path / "x.json", {"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(DiswmError, match="disk is full"):
            run.write_json(tmp_path / "x.json", {"a": 2})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["cut", "empty", "gone", "garbled"])
def test_a_damaged_checkpoint_is_refused_in_words(agent: Path, teacher: Path, tmp_path: Path, name: str, how: str) -> None:
    folder = tmp_path / "agent"
    shutil.copytree(agent, folder)
    path = newest(folder) / name
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "garbled": b"\xff" * 64 + data[64:]}[how])
    if name == "state.json" and how == "gone":
        with pytest.raises(DiswmError, match="no checkpoint"):
            diswm.load(folder)
        return
    with pytest.raises(DiswmError, match="is damaged") as told:
        load_checkpoint(path.parent)
    assert str(path.parent) in str(told.value)
    before = small.tree(folder)
    with pytest.raises(DiswmError, match="is damaged"):
        api.train(small.train_config(folder, "diswm", teacher=str(teacher), train__frames=170))
    assert small.tree(folder) == before
    if name != "training.safetensors":
        with pytest.raises(DiswmError, match="is damaged"):
            diswm.load(folder)


def test_json_of_another_kind_is_damage(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, "000000001-000000001", state(1))
    for text in ("[]", "{}", '{"format": 1}', '{"format": 1, "model": {"$tensor": "nothing"}, "state": {}}'):
        (path / "state.json").write_text(text)
        with pytest.raises(DiswmError):
            load_checkpoint(path)


def test_no_run_holds_or_reads_pickle(agent: Path, teacher: Path) -> None:
    known = {".json", ".jsonl", ".safetensors", ".npz", ".gif", ".bin"}
    found = {
        path.suffix for folder in (agent, teacher) for path in folder.rglob("*") if path.is_file() and path.parent.name != "tensorboard"
    }
    assert found <= known, found
    assert {path.suffix for path in (agent / "checkpoints").rglob("*") if path.is_file()} == {".json", ".safetensors"}
    source = Path(diswm.__file__).parent
    released = source / "released.py"  # reads and writes the release's own files, which are pickles; as tensors alone
    assert re.findall(r"torch\.load\(.*", released.read_text()) == ['torch.load(path, map_location="cpu", weights_only=True)']
    for path in {*source.rglob("*.py")} - {released}:
        assert not re.search(r"torch\.load|torch\.save|import pickle|cloudpickle|joblib|allow_pickle=True", path.read_text()), path
