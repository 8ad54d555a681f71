"""Charts of several runs, published numbers, the heat map of information."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fakestudy import BUDGET, fake_trial

from diswm.report import anchors, charts, information
from diswm.report.canvas import NARROW, new_figure
from diswm.report.reading import read_run
from diswm.report.study import find_runs, make_study
from diswm.report.trials import mean_curve, shared


def test_labels_are_moved_apart_and_keep_their_order() -> None:
    """Three at one height, 1 apart: around it. One far off stays."""
    assert charts.apart([5.0, 5.0, 5.0, 9.0], 1.0) == pytest.approx([4.0, 5.0, 6.0, 9.0], abs=0.05)
    moved = charts.apart([3.0, 1.0, 2.9], 0.5)
    assert np.argsort(moved).tolist() == [1, 2, 0]
    assert moved[0] - moved[2] >= 0.5 - 1e-6


def test_groups_differ_in_colour_and_marker_and_later_in_dashes() -> None:
    styles = list(charts.looks([str(i) for i in range(10)]).values())
    assert len({style.colour for style in styles[:8]}) == len({style.marker for style in styles[:8]}) == 8
    assert styles[8].colour == styles[0].colour
    assert styles[8].dashes != styles[0].dashes


@pytest.mark.parametrize("names", [("training episodes", "random policy", "seen colours", "unseen colours"), ("diswm (3 seeds)",) * 5])
def test_a_legend_stays_within_a_narrow_figure(names: tuple[str, ...]) -> None:
    """Four labels in three columns are two, one and one: wider than two pairs."""
    figure = new_figure(NARROW, 4)
    axes = figure.add_subplot()
    for name in names:
        axes.plot([0, 1], label=name)
    charts.legend(figure, narrow=True)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("narrow", [False, True])
def test_labels_of_several_lines_do_not_run_into_each_other(narrow: bool) -> None:
    names = [f"diswm, distill_kind=softmax_{kind}, distill=6" for kind in ("mean", "sample")]
    rows = {title: {name: [1.0, 2.0] for name in names} for title in ("area", "seen", "unseen")}
    figure = charts._panels(rows, charts.looks(names), narrow, zero=False)
    figure.draw_without_rendering()
    first, second = (label.get_window_extent() for label in figure.axes[0].get_yticklabels())
    assert first.y0 >= second.y1


def test_the_mean_covers_the_frames_that_all_seeds_reached(tmp_path: Path) -> None:
    """400 and 200 at the end, the second stopped half-way: at 2,000 frames 200 and 100, so 150 between them."""
    fake_trial(tmp_path / "a", 400)
    fake_trial(tmp_path / "b", 200, seed=1, reached=BUDGET // 2)
    groups = make_study(find_runs([tmp_path])[0]).tasks["walker_walk"]
    grid, found = mean_curve(groups["diswm"])
    assert grid == [0, 1_000, 2_000]
    assert found[-1].tolist() == [150.0, 100.0, 200.0]
    assert shared([]) == []
    drawing = charts.learning_curves("walker_walk", groups, charts.looks(["diswm"]), "curves")
    assert drawing is not None
    for narrow in (False, True):
        axes = drawing.draw(narrow).axes[0]
        assert axes.get_legend_handles_labels()[1] == ["diswm (2 seeds, 1 unfinished)", "random policy"]
        assert axes.get_xlim()[1] >= BUDGET


def test_published_numbers_are_true_frames() -> None:
    """The paper counts 0.1 M where 200,000 frames were stepped on the suite, and 100,000 on Pusher."""
    assert anchors.curves("walker_walk", 200_000)["DisWM, paper"][0] == (200_000, 461.0)
    assert anchors.curves("pusher", 100_000)["DisWM, paper"][0] == (100_000, -73.0)
    assert list(anchors.curves("walker_walk", 150_000)) == ["DreamerV3, clean", "DrQ-v2, clean"]
    assert anchors.curves("toy", 1e9) == {}
    assert {a.source for task in ("walker_walk", "drawer_open", "cheetah_run") for a in anchors.published(task)} <= anchors.SOURCES.keys()
    near = {a.label: a for a in anchors.nearest("walker_walk", 240_000)}
    assert (near["DreamerV3, clean"].frames, near["DreamerV3, clean"].value) == (250_000, 887.0)
    assert [a.value for a in anchors.nearest("drawer_open", 1e6) if a.method == "diswm"] == [70.0]


@pytest.mark.parametrize("frames", [100_000, 2_000_000])
def test_anchors_are_drawn_within_the_budget(frames: int) -> None:
    figure = charts.new_figure(9, 4)
    axes = figure.add_subplot()
    axes.set_xlim(0, frames)
    charts.draw_anchors(axes, "walker_walk", frames, named=True)
    names = {text.get_text() for text in axes.texts}
    assert names == set(anchors.curves("walker_walk", frames))
    assert all(max(line.get_xdata()) <= frames for line in axes.lines)
    assert not axes.get_legend_handles_labels()[0]


def test_information_is_read_and_ordered(run: Path) -> None:
    """Dimension 2 tells all of factor a (1.0 of 1.0 nats), dimension 0 half of b: these come first, on a diagonal."""
    told = {"factors": ["b", "a"], "nats": [[1.0, 0.0], [0.0, 0.1], [0.0, 1.0]], "entropy": [2.0, 1.0]}
    (run / "metrics.json").write_text(json.dumps({"independent": {"information": told}}))
    found = information.read_information(read_run(run))
    assert found is not None
    drawing = information.heat_map(*found)
    assert "Chance" not in drawing.caption, "an older file does not tell"
    assert "Chance alone gives 0.07" in information.heat_map(*found[:3], 0.066).caption
    assert "b by dimension 0 (0.50) and a by dimension 2 (1.00)" in drawing.alt
    axes = drawing.draw(False).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dim 0", "dim 2", "dim 1"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b", "a"]
    drawing.draw(True)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{}", True), ("[", True), ('{"independent": {}}', False),
     ('{"independent": {"information": {"factors": ["a"], "nats": [[1, 2]], "entropy": [1]}}}', True)],
)  # fmt: skip
def test_a_damaged_file_of_scores_counts_as_absent(run: Path, text: str, said: bool) -> None:
    (run / "metrics.json").write_text(text)
    loaded = read_run(run)
    assert information.read_information(loaded) is None
    assert any("metrics.json" in problem and "jsonl" not in problem for problem in loaded.problems) == said
