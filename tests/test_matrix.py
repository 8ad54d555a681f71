"""The robustness matrix: every distraction at every strength, the same episodes, cell by cell."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import diswm
from diswm import api, envs, matrix
from diswm.cli import main
from diswm.contract import DiswmError
from diswm.envs import patterns
from diswm.envs.specs import Plan
from diswm.envs.vector import InProcess
from diswm.report import anchors
from diswm.trainers.evaluate import Abandoned, evaluate, mean_actor


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rows instead of all."""
    monkeypatch.setattr(matrix, "_ROWS", {name: matrix._ROWS[name] for name in ("none", "colours", "colours, set 2", "light")})


def test_every_row_is_a_distraction_that_there_is() -> None:
    found = matrix.cells(patterns.TABLES)
    assert len({cell.key for cell in found}) == len(found) == 10 + 2 * 2 + 10 * 3 + 7, "of one strength, of two, of three; textures"
    for cell in found:
        envs.with_distractions(envs.EnvConfig(task="walker_walk"), cell.texts)


def test_published_numbers_stand_beside_a_row_that_there_is() -> None:
    standard = {cell.texts: cell for cell in matrix.cells()}
    told = {task: anchors.zero_shot(task) for task in ("walker_walk", "cartpole_swingup", "finger_spin")}
    for found in told.values():
        assert [(cell.distraction, cell.level) for cell in (standard[text,] for text in found)] == [
            ("colours, DMC-GB", "hard"),
            ("films, DMC-GB", "easy"),
        ]
    assert [[anchor.value for anchor in found.values()] for found in told.values()] == [[760, 819], [837, 782], [977, 808]]
    assert anchors.zero_shot("toy") == {}


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["none"], [("none", "")]),
        (["texture"], [("texture", ""), ("texture, wood", ""), ("texture, metal", "")]),
        (["light, moving"], [("light, moving", level) for level in matrix.LEVELS]),
        (["together"], [(name, level) for name in ("all together", "all, moving") for level in matrix.LEVELS]),
        (["set2,moving"], [("set2,moving", "")]),
        (["camera:{level},roll"], [("camera:{level},roll", level) for level in matrix.LEVELS]),
        (["background:video,folder=/a/films", "background:video,folder=/a/films"], [("background:video,folder=films", "")]),
        (
            ["background:video,folder=/a/films", "background:video,folder=/b/films"],
            [("background:video,folder=films", ""), ("background:video,folder=/b/films", "")],
        ),
    ],
)
def test_rows_are_chosen_by_kind_name_or_distraction(words: list[str], keys: list[tuple[str, str]]) -> None:
    assert [cell.key for cell in matrix.chosen(words, ("wood", "metal"))] == keys


def test_all_and_one_more() -> None:
    found = matrix.chosen(["all", "colour:set2+light:{level}"])
    assert found[:-3] == matrix.cells() == matrix.chosen([])
    assert [cell.texts for cell in found[-3:]] == [("colour:set2", f"light:{level}") for level in matrix.LEVELS]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("lights", r"There is no row of the matrix called 'lights'\. Did you mean .*light.*--distract"),
        ("camera:{level}x", "There is no value of the distraction camera"),
        ("camera:easy+camera:hard", "named twice"),
        ("camera:easy+set1+colour:set2", "named twice"),
    ],
)
def test_a_row_that_is_none(word: str, said: str) -> None:
    with pytest.raises(DiswmError, match=said):
        matrix.chosen([word])


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
        assert cells["light", level]["returns"] == []
        assert "cannot show the distraction light" in cells["light", level]["refused"]
    bare = envs.with_distractions(envs.EnvConfig(task="toy", time_limit=50), ["none"])
    pair = InProcess([envs.make(bare), envs.make(bare)])
    assert cells["none", ""]["returns"] == evaluate(mean_actor(diswm.load(agent)), pair, asked[0]).returns
    assert cells["none", ""]["returns"] != cells["colours", "hard"]["returns"]


@pytest.mark.parametrize("trained", ["ted1", "easy,delta=0.5", "color_hard,train"])
def test_cells_are_the_same_whatever_colours_the_agent_trained_on(trained: str) -> None:
    def worlds(env: envs.EnvConfig) -> list[Plan]:
        return [matrix._world(env, cell).plan() for cell in matrix.cells()]

    assert worlds(envs.with_distractions(envs.EnvConfig(), [f"colour:{trained}"])) == worlds(envs.EnvConfig())


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
    assert len(json.loads((tmp_path / "matrix.json").read_text())["cells"]) == 2 + 3, "two are played, three are not shown by the toy"
    api.evaluate(agent, matrix=True, episodes=1, out=tmp_path)
    assert calls == 3 + 3, "two cells were done, three of five were left"
    api.evaluate(agent, matrix=True, episodes=1, out=tmp_path)
    assert calls == 6, "all is done"
    api.evaluate(agent, matrix=True, episodes=2, out=tmp_path)
    assert calls == 11, "other episodes: all anew"
    with pytest.raises(DiswmError, match=r"was made with episodes 2\. Say the same to add rows to it, or another place with --out"):
        api.evaluate(agent, matrix=True, rows=["none"], episodes=1, out=tmp_path)
    assert calls == 11
    (tmp_path / "matrix.json").write_text('{"task": "toy", "cells": [')
    with pytest.raises(DiswmError, match=r"matrix\.json: is damaged .* Delete it"):
        api.evaluate(agent, matrix=True, episodes=2, out=tmp_path)


def test_of_several_together_those_are_played_that_the_world_shows(agent: Path, tmp_path: Path) -> None:
    for rows in (["all together"], ["none"]):  # what is there stays
        api.evaluate(agent, matrix=True, rows=rows, episodes=1, out=tmp_path)
    found = json.loads((tmp_path / "matrix.json").read_text())["cells"]
    assert [(cell["distraction"], cell["texts"]) for cell in found] == [
        ("none", ["none"]),
        *(("all together", [f"colour:{level}", f"background:{level}"]) for level in matrix.LEVELS),
    ], "the toy has neither camera nor lights; rows stand in the order of the standard ones"
    assert all(cell["returns"] for cell in found)


def test_a_folder_of_films_is_a_row_beside_the_others(agent: Path, tmp_path: Path, few: None) -> None:
    def played() -> dict[str, Any]:
        return {cell["distraction"]: cell for cell in json.loads((tmp_path / "matrix.json").read_text())["cells"]}

    films = tmp_path / "films"
    (films / "sea").mkdir(parents=True)
    Image.new("RGB", (64, 64), (0, 90, 200)).save(films / "sea" / "0.png")
    api.evaluate(agent, matrix=True, rows=["none"], episodes=1, out=tmp_path)
    mine = f"background:video,folder={films}"
    api.evaluate(agent, matrix=True, rows=[mine], episodes=1, out=tmp_path)
    first = played()
    assert list(first) == ["none", "background:video,folder=films"], "what was there stays"
    row = first["background:video,folder=films"]
    assert (row["texts"], list(row["clips"]), len(row["returns"])) == ([mine], [str(films)], 1)
    row["returns"] = [-1.0]  # to be known again
    (tmp_path / "matrix.json").write_text(json.dumps(json.loads((tmp_path / "matrix.json").read_text()) | {"cells": [*first.values()]}))
    api.evaluate(agent, matrix=True, rows=[mine], episodes=1, out=tmp_path)
    assert played() == first, "the same clips: it is not played again"
    Image.new("RGB", (64, 64)).save(films / "night.png")
    (films / "sea").rename(films / "hill")
    api.evaluate(agent, matrix=True, rows=[mine], episodes=1, out=tmp_path)
    assert played()["background:video,folder=films"]["returns"] != [-1.0], "other clips"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("background:video,folder=nowhere", "nowhere.*holds no clips|nowhere.*cannot be opened"),
        ("light:0.2", "light:0.2: This task, drawn by numpy, cannot show the distraction light"),
    ],
)
def test_a_row_of_ones_own_that_cannot_be_shown(agent: Path, tmp_path: Path, word: str, said: str) -> None:
    with pytest.raises(DiswmError, match=said):
        api.evaluate(agent, matrix=True, rows=["all", word], episodes=1, out=tmp_path)
    assert not (tmp_path / "matrix.json").exists(), "said before anything is played"


def test_rows_are_of_the_matrix_alone(agent: Path) -> None:
    with pytest.raises(DiswmError, match="add --matrix"):
        api.evaluate(agent, rows=["none"])


@pytest.mark.usefixtures("words_alone")
def test_the_command_writes_table_and_picture(agent: Path, tmp_path: Path, few: None, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(agent, run)
    assert main(["evaluate", str(run), "--matrix", "--episodes", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    # none, three strengths of colours and set 2; light is refused. An episode of the run has 50 frames.
    assert any(
        "5 cells to play, 1 episode each of at most 50 frames: at most 250 frames; 3 this task does not show" in line for line in said
    )
    written = ["matrix.md", "matrix.csv", "figures/matrix.png", "matrix.json"]
    assert said[-4:] == [str(run / name) for name in written], "every file that was written"
    assert [line.split("  ")[0] for line in said[-9:-4]] == ["distraction", *matrix._ROWS], "and the table"
    assert "not shown by this task" in said[-5]
    assert (run / "matrix.csv").is_file()
    assert (run / "figures" / "matrix.png").is_file()
    assert main(["report", str(run)]) == 0
    assert "Robustness" in (run / "report.html").read_text()
