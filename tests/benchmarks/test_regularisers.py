"""The comparison of kinds: how poses walk, what is scored, and that it runs at its tiny scale and goes on where it was."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from diswm.data.factorset import Drawn, FactorSet
from diswm.objectives.disentangle import STRENGTH

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield importlib.import_module("regularisers")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_poses_turn_back_at_the_ends_of_their_range_and_angles_come_round(script: ModuleType) -> None:
    low, high = np.array([-1.0, -np.pi]), np.array([1.0, np.pi])
    steps = np.array([[[0.0, 0.0], [0.5, 0.5], [0.5, 0.5]]])
    found = script.walk(np.array([[0.8, 3.0]]), steps, low, high, np.array([False, True]))
    # 0.8, 1.3 and 1.8 turned back at 1: 0.8, 0.7, 0.2. 3, 3.5, 4 less a turn where beyond pi.
    np.testing.assert_allclose(found[0], [[0.8, 3.0], [0.7, 3.5 - 2 * np.pi], [0.2, 4.0 - 2 * np.pi]])


def test_dead_codes_and_codes_that_diverged_have_no_number_that_is_none(script: ModuleType) -> None:
    rng = np.random.default_rng(0)
    drawn = (Drawn("slide", "continuous", 0, 1, "slide", 0), Drawn("colour.a.r", "continuous", 0, 1, "colour.a", 0))
    given = FactorSet(np.zeros((200, 1, 1, 3), np.uint8), rng.random((200, 2)), drawn, {})
    values, nulls, notes = script.scored(np.zeros((200, 4), np.float32), given, 0)
    assert any("no dimension of the code varies" in note for note in notes)
    assert np.isfinite([*values.values(), *nulls.values()]).all()
    assert (values["mig"], values["active_units"], values["mcc"]) == (0, 0, 0)
    assert values["pose_r2"] == pytest.approx(0, abs=0.1)
    values, _, _ = script.scored(given.values[:, :1] * [[1.0, 0.0]], given, 0)
    assert values["pose_r2"] == pytest.approx(1, abs=0.01), "the first dimension is the slide"
    assert values["colour_r2"] < 0.1
    values, _, notes = script.scored(np.full((200, 4), np.nan), given, 0)
    assert values == {}
    assert "diverged" in notes[0]


def test_a_kind_has_a_strength(script: ModuleType) -> None:
    parse = script.Variant.parse
    assert [str(parse(text)) for text in ("none", "pixels", "beta_vae", "beta_tcvae@2")] == ["none", "pixels", "beta_vae@1", "beta_tcvae@2"]
    assert str(parse("dip_vae_i")) == f"dip_vae_i@{STRENGTH['dip_vae_i']:g}", "runs of another default are not taken for these"
    own, four = (script.learner_of(parse(text), 0, script.TINY, "cpu") for text in ("beta_vae", "beta_vae@4"))
    assert four.weights["beta"] == 4 * own.weights["beta"]
    learner = script.learner_of(parse("dip_vae_ii@7"), 0, script.TINY, "cpu")
    assert learner.config.disentangle_strength == 7
    assert learner.weights["beta"] == own.weights["beta"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("beta", "no kind 'beta'; known: beta_vae"),
        ("none@2", "none has no strength"),
        ("beta_tcvae@strong", "must be a number above 0, as in beta_tcvae@"),
        ("beta_tcvae@0", "above 0"),
        ("beta_tcvae@nan", "above 0"),
    ],
)
def test_a_strength_that_is_none_is_refused(script: ModuleType, text: str, why: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=why):
        script.Variant.parse(text)


class HerePool:
    """A pool of this process alone: a worker would spend seconds on imports."""

    def __init__(self, make: Callable[[], Callable[..., Any]], workers: int) -> None:
        self.function, self.calls = make(), list[tuple[Any, ...]]()

    def __enter__(self) -> HerePool:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    @property
    def free(self) -> bool:
        return not self.calls

    def call(self, *args: Any) -> None:
        self.calls.append(args)

    def results(self, seconds: float) -> list[tuple[tuple[Any, ...], Any]]:
        call = self.calls.pop()
        return [(call, self.function(*call))]


def test_it_runs_and_goes_on_where_it_was(tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """First in processes of its own, then in this one."""
    command = [str(ROOT / "benchmarks" / "regularisers.py"), "--tiny", "--device=cpu", "--workers=1", f"--out={tmp_path}", "--seeds=1"]
    command += ["--worlds", "toy", "--kinds", "factor_vae@3", "pixels"]
    said = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True, timeout=300).stdout.splitlines()
    assert said[-1] == f"{tmp_path}: all runs are there"
    files = {path.parent.name: path for path in tmp_path.glob("toy/*/0.json")}
    assert set(files) == {"factor_vae@3", "pixels"}
    text = {kind: path.read_text() for kind, path in files.items()}
    assert "NaN" not in "".join(text.values())
    assert [(found["kind"], found["strength"]) for found in map(json.loads, text.values())] == [("factor_vae", 3.0), ("pixels", None)]
    assert {"image", "code_kl", "mig", "pose_r2"} <= json.loads(text["factor_vae@3"])["scores"].keys()
    files["pixels"].write_text(text["pixels"].replace('"seconds"', '"kept": 1, "seconds"'))  # what is there is not made again
    files["factor_vae@3"].unlink()
    monkeypatch.setattr(script, "Pool", HerePool)
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        script.main()
    assert not end.value.code
    assert json.loads(files["pixels"].read_text())["kept"] == 1
    assert json.loads(files["factor_vae@3"].read_text())["scores"] == json.loads(text["factor_vae@3"])["scores"], "as it was"
