"""The robustness matrix: every distraction at every strength, the same episodes, cell by cell."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import diswm
from diswm import api, envs, matrix
from diswm.cli import main
from diswm.contract import DiswmError
from diswm.envs.vector import InProcess
from diswm.trainers.evaluate import Abandoned, evaluate, mean_actor


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows instead of all."""
    rows = {name: matrix._ROWS[name] for name in ("none", "colours", "colours, set 2")} | {"smoke": ("light:{level}",)}
    monkeypatch.setattr(matrix, "_ROWS", rows)


def test_every_row_is_a_distraction_that_there_is() -> None:
    found = matrix.cells()
    assert len({cell.key for cell in found}) == len(found) == 4 + 9 * 3, "four rows of one strength, nine of three"
    for cell in found:
        envs.with_distractions(envs.EnvConfig(task="walker_walk"), cell.texts)


def test_cells_hold_what_the_agent_gets_there(agent: Path, tmp_path: Path, few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def spy(actor: Any, made: Any, seeds: Sequence[int], *more: Any) -> Any:
        asked.append(list(seeds))
        return evaluate(actor, made, seeds, *more)

    monkeypatch.setattr(matrix, "evaluate", spy)
    path = api.evaluate(agent, matrix=True, episodes=2, out=tmp_path)
    cells = {(cell["distraction"], cell["level"]): cell for cell in json.loads(path.read_text())["cells"]}
    assert set(cells) == {cell.key for cell in matrix.cells()}
    assert len(asked) == 5, "one for none, three for colours, one for set 2; the toy has no light"
    assert all(seeds == asked[0] for seeds in asked)
    for level in matrix.LEVELS:
        assert cells["smoke", level]["returns"] == []
        assert "light" in cells["smoke", level]["refused"]
    bare = envs.with_distractions(envs.EnvConfig(task="toy"), ["none"])
    pair = InProcess([envs.make(bare), envs.make(bare)])
    assert cells["none", ""]["returns"] == evaluate(mean_actor(diswm.load(agent)), pair, asked[0]).returns
    assert cells["none", ""]["returns"] != cells["colours", "hard"]["returns"]


def test_it_goes_on_where_it_was_stopped(agent: Path, tmp_path: Path, few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def stops(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Abandoned
        return evaluate(*given)

    monkeypatch.setattr(matrix, "evaluate", stops)
    with pytest.raises(KeyboardInterrupt):
        api.evaluate(agent, matrix=True, episodes=1, out=tmp_path)
    assert len(json.loads((tmp_path / "matrix.json").read_text())["cells"]) == 2
    api.evaluate(agent, matrix=True, episodes=1, out=tmp_path)
    assert calls == 3 + 3, "two cells were done, three of five were left"
    api.evaluate(agent, matrix=True, episodes=1, out=tmp_path)
    assert calls == 6, "all is done"
    api.evaluate(agent, matrix=True, episodes=2, out=tmp_path)
    assert calls == 11, "other episodes: all anew"
    (tmp_path / "matrix.json").write_text('{"task": "toy", "cells": [')
    with pytest.raises(DiswmError, match=r"matrix\.json: is damaged .* Delete it"):
        api.evaluate(agent, matrix=True, episodes=2, out=tmp_path)


def test_the_command_writes_table_and_picture(agent: Path, tmp_path: Path, few: None, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(agent, run)
    assert main(["evaluate", str(run), "--matrix", "--episodes", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    written = ["matrix.md", "matrix.csv", "figures/matrix.png", "matrix.json"]
    assert said[-4:] == [str(run / name) for name in written], "every file that was written"
    assert [line.split("  ")[0] for line in said[-9:-4]] == ["distraction", *matrix._ROWS], "and the table"
    assert "not shown by this task" in said[-5]
    assert (run / "matrix.csv").is_file()
    assert (run / "figures" / "matrix.png").is_file()
    assert main(["report", str(run)]) == 0
    assert "Robustness" in (run / "report.html").read_text()
