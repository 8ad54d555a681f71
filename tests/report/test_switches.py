"""What is told of switches in mid-training: on the page and, in the same sentences, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from diswm.report import sections, switch_lines, switches
from diswm.report.phases import memories
from diswm.report.reading import read_run

SET1, SET2, SET3 = ({"colours": name, "on": [f"colours {name}"]} for name in ("set1", "set2", "none"))
ABRUPT = [SET1 | {"start": 0.0, "end": 0.0}, SET2 | {"start": 0.5, "end": 0.5}]
CURVE = {200: [90.0, 110.0], 400: [190.0, 210.0], 600: [110.0, 130.0], 1_000: [180.0, 200.0]}
"""Means of 100 and 200 before the middle of 1,000 frames, of 120 and 190 after it."""
ENDS = {"seen": [180.0, 200.0], "phase 1": [80.0, 100.0]}


def phased(folder: Path, phases: list[dict[str, Any]], curve: dict[int, list[float]], ends: dict[str, list[float]]) -> Path:
    """A run of 1,000 frames."""
    folder.mkdir()
    config = {"method": "diswm", "train": {"frames": 1_000, "eval_every": 200}}
    (folder / "config.json").write_text(json.dumps({"format": 1, "kind": "train", "version": "0", "config": config}))
    rows = [{"kind": "eval", "split": "seen", "frames": frames, "returns": returns} for frames, returns in curve.items()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {name: {"returns": returns, **SET1} for name, returns in ends.items()}
    (folder / "evaluation.json").write_text(json.dumps({**found, "frames": 1_000, "phases": phases}))
    return folder


def cells(html: str) -> list[list[str]]:
    """The table, row by row."""
    rows = html.split("<tbody>")[1].split("</tbody>")[0].split("<tr>")[1:]
    return [[cell.split(">", 1)[1].split("</t")[0] for cell in row.replace("<th", "<td").split("<td")[1:]] for row in rows]


def test_the_switch_is_told_in_numbers(tmp_path: Path) -> None:
    """Drop 200 - 120 = 80 in each pair of episodes; 190 lacks 10 of 200, less than a tenth: recovered after 1,000 - 500 frames."""
    run = phased(tmp_path / "run", ABRUPT, CURVE, ENDS)
    assert cells(switches.section(read_run(run))) == [
        ["500", "colours set1", "colours set2", "200.0", "120.0", "<b>80.0</b><small>80.0 to 80.0</small>", "500"]
    ]
    assert switch_lines(run)[0] == (
        "Switch at frame 500, from colours set1 to colours set2: return 200.0 before, 120.0 after, "
        "a drop of 80.0 (95% interval 80.0 to 80.0); recovered within 500 frames."
    )


def test_forgotten_is_the_old_set_now_against_the_old_set_before_the_switch(tmp_path: Path) -> None:
    """90 - 200 = -110 in each pair, where the last evaluation before the switch is at 400; that the new set has 190 is said beside it."""
    run = phased(tmp_path / "run", ABRUPT, CURVE, ENDS)
    told = (
        "Forgotten of phase 1 (colours set1): return 200.0 before the switch (evaluation at frame 400), 90.0 now, "
        "a change of -110.0 (95% interval -110.0 to -110.0 over 2 episodes): it has forgotten. On the present set it has 190.0."
    )
    assert switch_lines(run)[-1] == told
    assert told.replace("-1", "−1") in switches.section(read_run(run))


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ([80.0, 100.0], "it has forgotten"),  # changes of -110 and -110
        ([190.0, 210.0], "no forgetting can be claimed"),  # 0 and 0
        ([150.0, 300.0], "no forgetting can be claimed"),  # -40 and 90
        ([290.0, 300.0], "it is better there now"),  # 100 and 90
    ],
)
def test_what_the_interval_allows_to_be_said(tmp_path: Path, now: list[float], told: str) -> None:
    # The agent is far worse on the new set (10) in all of them: that is no forgetting, nor the contrary.
    run = phased(tmp_path / "run", ABRUPT, CURVE, {"seen": [10.0, 10.0], "phase 1": now})
    assert f": {told}. On the present set it has 10.0." in switch_lines(run)[-1]


def test_one_episode_gives_numbers_and_no_claim(tmp_path: Path) -> None:
    curve, ends = ({name: found[:1] for name, found in whole.items()} for whole in (CURVE, ENDS))
    run = phased(tmp_path / "run", ABRUPT, curve, ends)  # type: ignore[arg-type]
    switch, memory = switch_lines(run)
    assert "return 190.0 before, 110.0 after, a drop of 80.0 (one episode, so no interval); recovered within 500 frames" in switch
    assert "return 190.0 before the switch (evaluation at frame 400), 80.0 now, a change of -110.0; one episode gives no interval" in memory
    assert "it has forgotten" not in memory
    assert "one episode, no interval" in switches.section(read_run(run))


def test_of_unequal_numbers_of_episodes_those_with_the_same_seeds_count(tmp_path: Path) -> None:
    """The first of five has the seed of the only one before the switch: 80 against 190, not the mean of all against it."""
    run = phased(
        tmp_path / "run", ABRUPT, {400: [190.0], 600: [110.0]}, {"seen": [180.0] * 5, "phase 1": [80.0, 900.0, 900.0, 900.0, 900.0]}
    )
    assert "190.0 before the switch (evaluation at frame 400), 80.0 now, a change of -110.0" in switch_lines(run)[-1]


def test_evaluations_within_a_gradual_switch_are_counted_and_told(tmp_path: Path) -> None:
    """From 300 to 700: those at 400 and 600 are within; before is 100 (at 200), after 190 (at 1,000), within a tenth of 100: no drop."""
    gradual = [ABRUPT[0], SET2 | {"start": 0.3, "end": 0.7}]
    run = phased(tmp_path / "run", gradual, CURVE, ENDS)
    html = switches.section(read_run(run))
    assert cells(html)[0][0] == "300 to 700"
    assert cells(html)[0][-1] == "2"
    assert "Within: evaluations during a gradual switch" in html
    assert "count neither before nor after" in html
    assert "2 evaluations fell within the switch at frames 300 to 700" in switch_lines(run)[1]
    abrupt = switches.section(read_run(phased(tmp_path / "abrupt", ABRUPT, CURVE, ENDS)))
    assert "Within" not in abrupt


def test_a_missing_side_is_told_with_the_evaluations_that_would_show_it(tmp_path: Path) -> None:
    """Set 1 is on alone from 0 to 500; evaluations every 250 frames fall at 250 and 500 at least."""
    run = phased(tmp_path / "run", ABRUPT, {600: [110.0, 130.0], 1_000: [180.0, 200.0]}, ENDS)
    mend = "no evaluation fell between frames 0 and 500, where phase 1 (colours set1) was on alone: --train.eval-every 250 or less"
    switch, memory = switch_lines(run)
    assert mend in switch
    assert "the return there is 90.0 now" in memory
    assert mend in memory
    assert mend in switches.section(read_run(run))


def test_the_set_of_an_earlier_phase_counts_neither_as_before_nor_as_recovered(tmp_path: Path) -> None:
    """Set 2 from 500 to 550 was never evaluated: what is at 400 is of set 1. And set 3, at 190, recovers nothing that set 2 had cost."""
    three = [*ABRUPT, SET3 | {"start": 0.55, "end": 0.55}]
    run = phased(tmp_path / "run", three, CURVE, ENDS)
    lines = switch_lines(run)
    assert "what it cost cannot be said; no evaluation fell between frames 500 and 550" in lines[0]
    assert "what it cost cannot be said; no evaluation fell between frames 500 and 550" in lines[1]
    later = [*ABRUPT, SET3 | {"start": 0.8, "end": 0.8}]
    assert (
        "120.0 after, a drop of 80.0 (95% interval 80.0 to 80.0); not recovered before the next switch"
        in switch_lines(phased(tmp_path / "later", later, CURVE, ENDS))[0]
    )


def test_each_earlier_phase_is_told(tmp_path: Path) -> None:
    three = [*ABRUPT, SET3 | {"start": 0.8, "end": 0.8}]
    run = read_run(phased(tmp_path / "run", three, CURVE, ENDS | {"phase 2": [110.0, 130.0]}))
    assert [(memory.phase, memory.before, memory.now) for memory in memories(run)] == [
        (1, [190.0, 210.0], [80.0, 100.0]), (2, [110.0, 130.0], [110.0, 130.0]),
    ]  # fmt: skip


def test_older_runs_measured_the_phase_before_the_last_alone(tmp_path: Path) -> None:
    old = [
        {"start": 0.0, "end": 0.0, "colours": "set1", "distractions": []},
        {"start": 0.5, "end": 0.5, "colours": "set2", "texture": "wood", "distractions": ["camera"]},
        {"start": 0.8, "end": 0.8, "colours": "none", "distractions": []},
    ]
    run = phased(tmp_path / "run", old, CURVE, {"seen": [180.0, 200.0], "earlier": [110.0, 130.0]})
    lines = switch_lines(run)
    assert "to set2, texture wood, camera: return 200.0 before" in lines[0]
    assert f"it was not evaluated at the end; its return before the switch was 200.0; `diswm evaluate {run}` measures it" in lines[-2]
    assert "phase 2 (set2, texture wood, camera): return 120.0 before the switch (evaluation at frame 600), 120.0 now" in lines[-1]


def test_the_table_of_returns_has_the_earlier_sets(tmp_path: Path) -> None:
    run = read_run(phased(tmp_path / "run", ABRUPT, CURVE, ENDS))
    html = sections.returns(run, tmp_path / "figures")
    row = html.split("Trained, back on phase 1")[1].split("</tr>")[0]
    assert "colours set1" in row
    assert "<b>90.0</b>" in row


def test_an_evaluation_elsewhere_is_told_in_place_of_the_own_one(tmp_path: Path) -> None:
    run = phased(tmp_path / "run", ABRUPT, CURVE, ENDS)
    other = phased(tmp_path / "other", ABRUPT, {}, {"seen": [1.0, 1.0], "phase 1": [195.0, 195.0]})
    assert "195.0 now" in switch_lines(run, other / "evaluation.json")[-1]


def test_a_run_without_a_switch_tells_nothing(tmp_path: Path) -> None:
    run = phased(tmp_path / "run", ABRUPT[:1], CURVE, ENDS)
    assert switches.section(read_run(run)) == ""
    assert switch_lines(run) == []
