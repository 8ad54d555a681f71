"""What counts as an operation, and that the page has what a step adds."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_views_and_empty_memory_are_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setitem(sys.modules, "launches", launches := importlib.import_module("launches"))
    x = torch.ones(4, 6)
    assert launches.counted(lambda: x.view(6, 2, 2).permute(2, 0, 1)[0].t().unbind(0)[1].detach().expand(3, 6).new_empty(5))[0] == 0
    assert launches.counted(lambda: torch.relu(x @ x.t() + 1).add_(1))[0] == 4  # product, sum, relu, sum in place


def test_a_step_more_adds_what_a_step_is(benchmark: Callable[..., list[str]], tmp_path: Path) -> None:
    """All steps together are most of each part."""
    *_, world, behaviour, together = benchmark("launches", "--out", str(tmp_path / "page.md"))
    of_world, of_behaviour = ([int(cell.replace(",", "")) for cell in row.strip("| ").split("|")[1:]] for row in (world, behaviour))
    for column in (0, 2):  # with Triton and without
        (all_world, step), (all_behaviour, imagined) = (cells[column : column + 2] for cells in (of_world, of_behaviour))
        assert all_world / 2 < 50 * step < all_world
        assert all_behaviour / 2 < 14 * imagined < all_behaviour
        assert f"| {all_world + all_behaviour:,} |" in together
    assert of_world[1] < of_world[3]
    assert of_behaviour[1] < of_behaviour[3]
    text = (tmp_path / "page.md").read_text()
    assert text.startswith("# launches")
    assert text.rstrip().endswith(together)
