"""The page on the kinds of the constraint and on scores beside returns, from made-up numbers."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from test_studies import BUDGET, RECIPES, cells, fake  # type: ignore[import-not-found]

from diswm.contract import DiswmError
from diswm.metrics.disentangle import names
from diswm.objectives.disentangle import STRENGTH

DEAD = "no dimension of the code varies: every score is that of a code that tells nothing"
MODEL = {"z_dim": 20, "depth": 16}
SCALE = {"updates": 9, "windows": 8, "batch": 4, "length": 4, "points": 200, "model": MODEL}


@pytest.fixture(scope="module")
def page() -> Iterator[ModuleType]:
    sys.path.insert(0, str(RECIPES))
    try:
        yield importlib.import_module("disentanglement")
    finally:
        sys.path.remove(str(RECIPES))


def made(folder: Path, world: str, kind: str, level: float, seeds: int = 3, *, chance: float = 0.0, **changes: Any) -> None:
    """Runs whose scores are all ``level``, a hundredth more from seed to seed."""
    for seed in range(seeds):
        scores = dict.fromkeys(names(), level + seed / 100)
        scores |= {} if kind in ("pixels", "untrained") else {"image": changes.get("image", 50.0), "code_kl": changes.get("nats", 20.0)}
        scores = {} if seed in changes.get("diverged", ()) else scores
        found = {
            "world": world, "distract": "colour:color_easy", "kind": kind, "seed": seed, "scale": SCALE, "factors": 14,
            "strength": changes.get("strength"),
            "scores": scores, "nulls": dict.fromkeys(names(), chance), "notes": changes.get("notes", []), "seconds": 60.0,
            "machine": {"machine": "Box, 2 cores", "device": "cpu", "threads": 1, "torch": "2"},
        }  # fmt: skip
        path = folder / world / f"{kind}@{changes.get('strength')}" / f"{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    for world in ("reacher_easy", "toy"):
        made(folder, world, "none", 0.1)
        made(folder, world, "beta_vae", 0.2)
        made(folder, world, "beta_tcvae", 0.3)
        made(folder, world, "dip_vae_i", 0.5, image=60.0)  # a fifth more error
        made(folder, world, "dip_vae_ii", 0.0, notes=[DEAD])
        made(folder, world, "factor_vae", 0.9, diverged=[1] if world == "toy" else [])
        made(folder, world, "pixels", 0.15)
    return folder


def test_the_rule_takes_the_best_that_costs_nothing_and_says_of_the_rest_why_not(
    study: Path, tmp_path: Path, page: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.report(study, [], tmp_path / "results", "recipes/disentanglement.sh")
    text = (tmp_path / "results" / "disentanglement.md").read_text()
    assert "nan" not in text.lower()
    # Every score is a tenth above beta_vae's in each seed, chance is 0: so is their mean.
    assert cells(text, "`beta_tcvae`")[1:] == ["3", "0.100 (0.100 to 0.100)", "0.100", "+0.0%", "higher"]
    assert cells(text, "`dip_vae_i`")[-2:] == ["+20.0%", "higher, at the cost of the image"]
    assert cells(text, "`none`")[-1] == "lower"
    assert cells(text, "`factor_vae`")[1:] == ["2", "–", "–", "–", "fewer than 3 seeds: nothing"]
    assert "**By this rule `beta_tcvae` would become the default.** The code still has `beta_vae`" in text
    assert "Not judged: `factor_vae`." in text
    monkeypatch.setattr(page, "DEFAULT", "beta_tcvae")
    assert "**By this rule `beta_tcvae` is the default**" in page.choice(page.table_of(page.read(study)))[1]
    assert "- toy, principal components of pixels (0.160): all kinds but `dip_vae_ii` and `none` are above it." in text
    assert f"- `dip_vae_ii` in toy, seeds 0, 1 and 2: {DEAD}" in text
    assert text.index("## toy") < text.index("## reacher_easy")
    toy = text[text.index("## toy") : text.index("## reacher_easy")]
    head = cells(toy, "score")
    assert head[1] == "`beta_vae`"
    assert head[-2:] == ["principal components of pixels", "chance"]
    assert cells(toy, "SAP")[1] == "0.210 (0.200 to 0.220)"
    assert cells(toy, "image: half the squared error of a frame")[-2] == "–", "pixels draw no pictures"
    rows = list(csv.DictReader((tmp_path / "results" / "disentanglement.csv").open()))
    assert len(rows) == 2 * 7 * 3
    assert (tmp_path / "results" / "disentanglement.png").read_bytes().startswith(b"\x89PNG")


def test_a_strength_is_taken_by_the_rule(tmp_path: Path, page: ModuleType) -> None:
    strengths = importlib.import_module("strengths")
    own = strengths.DEFAULTS["beta_tcvae"]
    assert strengths.DEFAULTS == {"beta_vae": 1, **STRENGTH}
    made(tmp_path, "toy", "beta_vae", 0.2, strength=1.0)
    made(tmp_path, "toy", "beta_vae", 0.4, strength=4.0, image=56.0)  # 12% more error
    made(tmp_path, "toy", "beta_tcvae", 0.3, strength=own)
    made(tmp_path, "toy", "beta_tcvae", 0.5, seeds=1, strength=own / 2, image=52.5)
    made(tmp_path, "toy", "beta_tcvae", 0.7, strength=own * 2)
    collapsed = tmp_path / "toy" / f"beta_tcvae@{own * 2}" / "2.json"  # of a seed that the others do not have
    collapsed.write_text(collapsed.read_text().replace('"code_kl": 20.0', '"code_kl": 0.2'))
    made(tmp_path, "toy", "dip_vae_i", 0.9)  # of this kind one alone
    runs = page.read(tmp_path)
    found = strengths.tried(runs)
    assert found.keys() == {"beta_vae", "beta_tcvae"}
    # Over seed 0, which all strengths of the kind have: at half the strength 0.5 beside 0.3, and 52.5 / 50 of the image error.
    half, whole, double = found["beta_tcvae"]
    assert (half.strength, half.runs, half.sum, half.image, half.nats) == (own / 2, 1, pytest.approx(0.5), pytest.approx(0.05), 20)
    assert whole.sum == pytest.approx(0.3)
    assert not double.counts
    assert strengths.chosen(found["beta_tcvae"]) == half
    assert strengths.chosen(found["beta_vae"]).strength == 1
    assert [one.runs for one in found["beta_vae"]] == [3, 3]
    text = strengths.section(runs)
    assert f"another than the code has: `beta_tcvae` {own / 2:g} (the code has {own:g})." in text
    assert [cells(text, f"`beta_vae` | {strength}")[-1] for strength in (1, 4)] == ["**taken**", "image"]
    assert cells(text, f"`beta_tcvae` | {own * 2:g}")[-1] == "collapses"
    kept = page.table_of(runs)["toy"]
    assert {kind: {run["strength"] for run in of_kind} for kind, of_kind in kept.items()} == {
        "beta_vae": {1.0}, "beta_tcvae": {own}, "dip_vae_i": {None}
    }, "the rest of the page is of the strengths in the code"  # fmt: skip
    assert strengths.section([run for run in runs if strengths.is_default(run)]) == ""


def test_chance_counts_nothing(tmp_path: Path, page: ModuleType) -> None:
    for kind, level in (("beta_vae", 0.2), ("none", 0.6)):
        made(tmp_path, "toy", kind, level, seeds=1, chance=0.2)
    found = page.table_of(page.read(tmp_path))["toy"]
    assert found["beta_vae"][0]["scores"]["sum"] == pytest.approx(0)
    assert found["none"][0]["scores"]["sum"] == pytest.approx(0.5)  # (0.6 - 0.2) / (1 - 0.2)
    assert "rule decides nothing" in page.choice(page.table_of(page.read(tmp_path)))[1], "one seed"


def test_a_code_that_collapsed_is_named(tmp_path: Path, page: ModuleType) -> None:
    made(tmp_path, "toy", "beta_vae", 0.2)
    made(tmp_path, "toy", "pixels", 0.2)  # has no nats to judge by
    assert page.remarks(page.table_of(page.read(tmp_path))).endswith("no code collapsed.")
    made(tmp_path, "toy", "factor_vae", 0.2, nats=0.05)
    told = page.remarks(page.table_of(page.read(tmp_path)))
    assert "- `factor_vae` in toy, seeds 0, 1 and 2: the code collapsed (below 0.5 nats)" in told
    assert "beta_vae" not in told


def test_what_is_no_study_is_refused(study: Path, tmp_path: Path, page: ModuleType) -> None:
    with pytest.raises(DiswmError, match="holds no scores"):
        page.read(tmp_path / "nothing")
    path = study / "toy" / "none@None" / "0.json"
    path.write_text(path.read_text().replace('"updates": 9', '"updates": 8'))
    with pytest.raises(DiswmError, match="several scales"):
        page.read(study)


def agent(folder: Path, level: float, score: float | None = None, probes: bool = False, **changes: Any) -> None:
    fake(folder, level, **changes)
    if score is not None:
        rows = [{"name": name, "value": score} for name in ("mig", "mcc", "ridge_r2")]
        (folder / "metrics.json").write_text(json.dumps({"independent": {"rows": rows}}))
    if probes:  # the score climbs as the return does
        rows = [{"kind": "probe", "frames": frames, "probe/ridge_r2": frames / BUDGET} for frames in range(0, BUDGET + 1, 500)]
        rows += [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sorted(rows, key=lambda row: row["frames"])))


def test_scores_and_returns_of_runs(study: Path, tmp_path: Path, page: ModuleType) -> None:
    runs = tmp_path / "runs"
    for seed in range(3):
        agent(runs / "diswm" / str(seed), 300 + 10 * seed, 0.5 + seed / 100)
        agent(runs / "no_distill" / str(seed), 200 + 10 * seed, 0.4 - seed / 100, method="no_distill")
    agent(runs / "no_distill" / "3", 100, method="no_distill")  # never scored
    agent(runs / "dreamerv2" / "0", 100, 0.9, method="dreamerv2", reached=2_000)
    # The same run once more, elsewhere, as kept runs are; and a run that was scored along training.
    agent(tmp_path / "kept" / "diswm" / "0", 300)
    agent(tmp_path / "kept" / "paper" / "0", 330, probes=True)
    page.report(study, [tmp_path / "kept", runs], tmp_path / "results", "x")
    text = (tmp_path / "results" / "disentanglement.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| walker_walk | linear probe R2"))
    _, _, over, inner, along = [cell.strip() for cell in row.strip("|").split("|")]
    # By score no_distill 2, 1, 0, then diswm 0, 1, 2, then paper; by return the first three the other way round: 1 - 6 x 8 / (7 x 48).
    assert over.startswith("0.857 (")
    # Less the mean of the method: one climbs with the return, the other falls as steeply.
    assert "6 runs): no relation shown" in inner
    assert along == "0 runs: too few to say", "a run with four evaluations has no order to speak of"
    assert "- no_distill, seed 3 (walker_walk): was never scored, and has no checkpoint here" in text
    assert "- dreamerv2, seed 0 (walker_walk): 2,000 of 3,000 frames" in text
    assert "diswm, seed 0" not in text, "the copy without scores is the same run"
    assert "nan" not in text.lower()
