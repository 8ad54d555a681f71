"""`diswm metrics`: the code of a run against true factors."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from diswm import api, scoring
from diswm.build import load_video_model, networks
from diswm.cli import main
from diswm.contract import DiswmError
from diswm.data.factorset import Drawn, FactorSet
from diswm.explorer.bundle import bundle
from diswm.factorsets import draw_factors
from diswm.hub import WEIGHTS
from diswm.metrics.disentangle import names
from diswm.report.codes import read_scores
from diswm.trainers.checkpoint import save_networks

pytestmark = pytest.mark.xdist_group("scoring")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_factors("toy", n=240, out=tmp_path_factory.mktemp("drawn") / "toy")


def rows(part: dict[str, Any]) -> dict[str, float]:
    return {row["name"]: row["value"] for row in part["rows"]}


def quick(run: Path, drawn: Path | None, out: Path, **options: Any) -> dict[str, Any]:
    return read_scores(scoring.score(run, **{"factors": drawn, "reps": 0, "out": out, **options}))


def test_an_agent_is_scored_on_independent_factors_and_apart_on_its_own_frames(
    agent: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["metrics", str(agent), "--factors", str(drawn), "--reps", "1", "--n", "200", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [str(tmp_path / "metrics.md"), str(tmp_path / "metrics.json")]
    text = (tmp_path / "metrics.json").read_text()
    assert "NaN" not in text
    found = json.loads(text)
    alone, own = found["independent"], found["on_policy"]
    assert set(rows(alone)) == set(names())
    assert set(rows(own)) == {"mcc", "ridge_r2"}
    assert (alone["points"], found["world"], found["dimensions"]) == (200, "toy", 4)
    assert len(alone["factors"]) == len(own["factors"]) == 14
    assert own["group"] == 7, "every fourth of an episode's 26 frames"
    for row in alone["rows"] + alone["factors"] + own["rows"]:
        assert math.isfinite(row["value"])
        assert row["low"] <= row["value"] <= row["high"]
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 1 + 14 + 14 + 2 + 14
    assert "| agent.x |" in (tmp_path / "metrics.md").read_text()


@pytest.mark.parametrize("n", ["0", "-5"])
def test_a_number_of_frames_that_is_none_is_refused(agent: Path, drawn: Path, n: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", str(agent), "--factors", str(drawn), "--n", n]) == 2
    assert f"n={n} must be a number of frames" in capsys.readouterr().err


def test_a_video_model_is_scored_on_a_set_of_its_own_videos_world(teacher: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(teacher, tmp_path / "teacher"))
    found = quick(run, None, tmp_path / "out", n=120)
    assert (run / "factors" / "manifest.json").is_file()
    assert found["independent"]["points"] == 120
    assert "48 points are too few" in found["on_policy"]["missing"], "its videos are three episodes, 16 frames of each are looked at"
    assert quick(run, None, tmp_path / "out", n=120) == found, "the set is there, and the scores are the same"


def test_what_a_run_need_not_have(teacher: Path, drawn: Path, tmp_path: Path) -> None:
    """Without decoder and dynamics an encoder is scored as with them; without an encoder nothing is."""
    run = Path(shutil.copytree(teacher, tmp_path / "teacher"))
    world = networks(run)["world"]
    save_networks(run / WEIGHTS, {"world": {name: value for name, value in world.items() if name.startswith("encoder.")}})
    with_all = quick(teacher, drawn, tmp_path / "a", on_policy=False)
    assert quick(run, drawn, tmp_path / "b", on_policy=False)["independent"] == with_all["independent"]
    assert with_all["on_policy"]["missing"] == "was not asked for"
    for draw in (lambda: api.traverse(run, device="cpu"), lambda: load_video_model(run), lambda: bundle(run, None)):
        with pytest.raises(DiswmError, match="have no decoder and no rssm, so that nothing can be drawn"):
            draw()
    save_networks(run / WEIGHTS, {"world": {name: value for name, value in world.items() if not name.startswith("encoder.")}})
    with pytest.raises(DiswmError, match=r'are not those of its.*Missing key\(s\).*"convs'):
        quick(run, drawn, tmp_path / "c")


@pytest.mark.filterwarnings("error:no dimension of the code")
def test_a_dead_code_has_defined_scores_and_that_is_said(teacher: Path, drawn: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(teacher, tmp_path / "teacher"))
    world = networks(run)["world"]
    world["encoder.stats.weight"] = world["encoder.stats.weight"] * 0
    save_networks(run / WEIGHTS, {"world": world})
    alone = quick(run, drawn, tmp_path / "out", on_policy=False)["independent"]
    assert any("no dimension of the code varies" in note for note in alone["notes"])
    assert all(math.isfinite(row["value"]) for row in alone["rows"] + alone["factors"])
    assert rows(alone)["active_units"] == rows(alone)["mcc"] == 0.0


def test_sets_that_do_not_fit_are_refused(teacher: Path, agent: Path, drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(DiswmError, match="50 points are too few"):
        quick(teacher, drawn, tmp_path, n=50)
    other = Path(shutil.copytree(drawn, tmp_path / "other"))
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"independent": manifest["independent"] | {"world": "reacher"}}))
    for run in (teacher, agent):
        with pytest.raises(DiswmError, match="has factors of reacher"):
            quick(run, other, tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_a_code_that_is_the_factors_is_perfect_and_an_angle_takes_two_numbers() -> None:
    rng = np.random.default_rng(0)
    values = np.stack([rng.uniform(-np.pi, np.pi, 3_000), rng.uniform(0, 1, 3_000), rng.integers(0, 3, 3_000)], 1)
    drawn = (
        Drawn("hinge", "angle", -np.pi, np.pi, "hinge", 0),
        Drawn("slide", "continuous", 0.0, 1.0, "slide", 0),
        Drawn("texture", "discrete", 0.0, 2.0, "texture", 0),
    )
    given = FactorSet(np.zeros((3_000, 1, 1, 3), np.uint8), values, drawn, {"independent": {"world": "none"}})
    code = np.concatenate([np.sin(values[:, :1]), np.cos(values[:, :1]), values[:, 1:]], 1)
    alone = scoring._independent(code, given, plain=False, reps=0, seed=0)
    assert rows(alone)["mcc"] == pytest.approx(1.0, abs=0.001)
    each = {row["name"]: row for row in alone["factors"]}
    assert each["hinge"]["value"] == pytest.approx(1.0, abs=0.002)
    assert each["slide"]["dimension"] == 2
    told = alone["information"]
    assert told["factors"] == ["hinge", "slide", "texture"]
    assert np.argmax(told["nats"], axis=0).tolist()[1:] == [2, 3]
    assert told["entropy"][1] == pytest.approx(math.log(10), abs=1e-4)  # ten classes of equal counts
    # By chance (bins - 1)(classes - 1) / 2N nats: of 20 bins 0.0285, 0.0285 and 0.0063, so 0.0102 of the entropies; of 3 bins 0.0011.
    assert told["chance"] == pytest.approx((3 * 0.0102 + 0.0011) / 4, abs=0.001)
    assert set(rows(scoring._independent(code, given, plain=True, reps=0, seed=0))) == {"mcc", "ridge_r2"}
