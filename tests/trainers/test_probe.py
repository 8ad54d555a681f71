"""Scores along training: they cost what they may, and change nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch
from test_resume import after, flat_state, signalled  # type: ignore[import-not-found]

from diswm import api
from diswm.agents import Dreamer
from diswm.contract import DiswmError
from diswm.data.factorset import Drawn, FactorSet, read_set
from diswm.factorsets import draw_factors
from diswm.trainers.probe import Probe, ProbeConfig

pytestmark = pytest.mark.xdist_group("probe")

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

ALWAYS = {"probe__every": 6, "probe__points": 120, "probe__share": 1e9}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_factors("toy", n=120, out=tmp_path_factory.mktemp("drawn") / "toy")


@pytest.fixture(scope="module")
def probed(teacher: Path, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("probed") / "agent"
    assert api.train(small.train_config(out, "diswm", teacher=str(teacher), probe__factors=str(drawn), **ALWAYS))
    return out


def probes(run: Path) -> list[dict[str, Any]]:
    return [event for event in small.events(run) if event["kind"] == "probe"]


def test_student_and_teacher_are_scored_at_the_start_every_so_often_and_at_the_end(probed: Path) -> None:
    # 3 first updates, and one every 5 of the 55 steps after the prefill: 14, of which 0, 6 and 12 are probed before, and the end.
    assert [row["updates"] for row in probes(probed)] == [0, 6, 12, 14]
    for row in probes(probed):
        values = {name: value for name, value in row.items() if name.startswith("probe/")}
        assert np.isfinite(list(values.values())).all()
        assert {
            "probe/mig",
            "probe/mcc",
            "probe/ridge_r2",
            "probe/active_units",
            "probe/teacher_cka",
            "probe/teacher_matched",
        } <= values.keys()
        assert values["probe/negative_transfer"] == 0.0
    assert len({row["probe/of_teacher_ridge_r2"] for row in probes(probed)}) == 1, "the teacher is frozen"


def test_a_run_with_scores_is_the_run_without(probed: Path, agent: Path) -> None:
    (mine, _), (other, _) = flat_state(probed), flat_state(agent)
    assert mine.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in mine.items())
    assert [e for e in small.events(probed) if e["kind"] != "probe"] == small.events(agent)


def test_a_stopped_run_has_the_same_scores(
    probed: Path, teacher: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small.train_config(tmp_path / "agent", "diswm", teacher=str(teacher), probe__factors=str(drawn), **ALWAYS)
    for count in (6, 7):  # before and after the update that a probe comes with
        with monkeypatch.context() as patch:
            patch.setattr(Dreamer, "update", after(count, Dreamer.update, signalled(signal.SIGINT)))
            assert api.train(config) is False
    assert api.train(config) is True
    assert small.events(config.out) == small.events(probed)
    (mine, rest), (theirs, other) = flat_state(config.out), flat_state(probed)
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    for found in (rest, other):
        assert found["probe"].pop("seconds") > found["probe"].pop("last") > 0.0
    assert rest == other


def test_pretraining_draws_a_set_of_its_videos_world_and_goes_on_with_it(
    videos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small.pretrain_config(tmp_path / "teacher", videos, **{**ALWAYS, "probe__every": 5})
    with monkeypatch.context() as patch:
        patch.setattr("diswm.agents.WorldLearner.update", after(5, api.WorldLearner.update, signalled(signal.SIGINT)))
        assert api.pretrain(config) is False
    before = small.tree(config.out / "factors")
    assert read_set(config.out / "factors").world == "toy"
    assert api.pretrain(config) is True
    assert small.tree(config.out / "factors") == before
    assert [row["updates"] for row in probes(config.out)] == [0, 5, 10]
    (mine, _), (theirs, _) = flat_state(config.out), flat_state(teacher)
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_optional_scores_are_left_out_where_the_world_is_not_known(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in videos.glob("*.npz"):
        (bare / path.name).symlink_to(path)
    asked = small.pretrain_config(tmp_path / "asked", bare, **ALWAYS)
    with pytest.raises(DiswmError, match="do not say which world they show"):
        api.pretrain(asked)
    assert not asked.out.exists()
    config = small.pretrain_config(tmp_path / "teacher", bare, **ALWAYS, probe__optional=True)
    assert api.pretrain(config)
    assert probes(config.out) == []
    assert not (config.out / "factors").exists()
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("no scores of the code along training")]
    assert len(said) == 1


# ---- the probe alone


class Log:
    """Stands in for a run."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.rows = seconds, []  # type: ignore[var-annotated]

    def log(self, kind: str, **values: Any) -> None:
        self.rows.append(values)


class Reads(torch.nn.Module):
    """An "encoder" whose code is the mean of each colour of the picture, times ``gain``, and noise."""

    noise_size = 3

    def __init__(self, gain: float, seed: int = 0) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain))
        self.seed = seed

    def forward(self, x: torch.Tensor) -> Any:
        noise = torch.randn(len(x), 3, generator=torch.Generator().manual_seed(self.seed + len(x)))
        return type("Code", (), {"mean": self.gain * x.mean((2, 3)) * 10 + noise})


def coloured(count: int = 400) -> FactorSet:
    """Frames of one colour, whose three channels are the factors."""
    values = np.random.default_rng(0).uniform(0, 1, (count, 3))
    image = np.broadcast_to((values * 255).astype(np.uint8)[:, None, None], (count, 64, 64, 3)).copy()
    drawn = tuple(Drawn(f"colour.sky.{c}", "continuous", 0.0, 1.0, "colour.sky", i) for i, c in enumerate("rgb"))
    return FactorSet(image, values, drawn, {"independent": {"world": "none"}})


def test_what_would_take_too_long_is_left_out_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    run = Log(seconds=0.0)
    probe = Probe(run, Reads(1.0), coloured(), ProbeConfig(every=10, points=200), seed=0)  # type: ignore[arg-type]
    for updates in range(0, 31, 5):
        probe.due(updates)
    assert len(run.rows) == 1, "the first is made: it says what one takes"
    assert "left out where they would take over 3%" in capsys.readouterr().out
    run.seconds = 1e6
    probe.due(40)
    assert run.rows[1]["left_out"] == 3
    probe.due(40, final=True)
    assert len(run.rows) == 2, "once at a count"


def test_negative_transfer_is_a_code_nearer_to_the_teacher_that_tells_less(capsys: pytest.CaptureFixture[str]) -> None:
    run, student = Log(1e6), Reads(2.0, seed=0)
    probe = Probe(run, student, coloured(), ProbeConfig(every=1, points=400), seed=0, teacher=Reads(0.0, seed=7))  # type: ignore[arg-type]
    probe.due(0)
    probe.due(1)
    assert [row["probe/negative_transfer"] for row in run.rows] == [0.0, 0.0]
    student.gain.data.zero_()
    student.seed = 7  # the teacher's own noise
    for updates in (2, 3):
        probe.due(updates)
    assert [row["probe/negative_transfer"] for row in run.rows[2:]] == [1.0, 1.0]
    assert capsys.readouterr().out.count("negative transfer?") == 1
    assert run.rows[2]["probe/teacher_cka"] == pytest.approx(1.0)
    # Without noise a line reads all: the code was 20 x colour / 255 and noise of deviation 1, and uniform colours have 1 / sqrt(12).
    assert run.rows[0]["probe/ridge_r2"] == pytest.approx(20**2 / 12 / (20**2 / 12 + 1), abs=0.02)
    student.gain.data.fill_(float("nan"))
    probe.due(4)
    assert not any(name.startswith("probe/") for name in run.rows[4]), "training that diverged says so itself"


def test_bad_settings_are_refused_before_anything_is_trained(teacher: Path, drawn: Path, tmp_path: Path) -> None:
    def train(**changes: Any) -> None:
        api.train(
            small.train_config(tmp_path / "agent", "diswm", teacher=str(teacher), **{**ALWAYS, "probe__factors": str(drawn), **changes})
        )

    with pytest.raises(DiswmError, match="50 labelled frames are too few"):
        train(probe__points=50)
    with pytest.raises(DiswmError, match="is no folder"):
        train(probe__factors=str(tmp_path / "nowhere"))
    manifest = json.loads((drawn / "manifest.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    for path in drawn.glob("*.npz"):
        (other / path.name).symlink_to(path)
    (other / "manifest.json").write_text(
        json.dumps(manifest | {"task": "walker_run", "independent": manifest["independent"] | {"world": "walker"}})
    )
    with pytest.raises(DiswmError, match=r"has factors of walker \(walker_run\)"):
        train(probe__factors=str(other))
    assert not (tmp_path / "agent").exists()
