"""A page names what differs between seen and unseen worlds, whatever it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakerun import fake_run, write_config

from diswm.report import write_report
from diswm.report.reading import read_run
from diswm.report.unlike import policy, what_differs


def evaluated(path: Path, seen: dict[str, Any], unseen: dict[str, Any], colours: str = "set1") -> Path:
    """A run folder with these entries and nothing else."""
    path.mkdir(exist_ok=True)
    write_config(path, "train", {"env": {"task": "toy", "distract": {"colours": colours}}})
    (path / "evaluation.json").write_text(json.dumps({"seen": seen, "unseen": unseen}))
    return path


@pytest.mark.parametrize(
    ("seen", "unseen", "what"),
    [
        ({"on": ["colours set1"]}, {"on": ["colours set2"]}, "colours"),
        ({"on": ["colours none", "texture wood"]}, {"on": ["colours none", "texture metal"]}, "textures"),
        ({"on": ["colours set1", "background video moving train"]}, {"on": ["colours set2", "background video moving test"]},
         "colours and backgrounds"),
        ({"on": ["colours set1", "camera easy", "light hard"]}, {"on": ["colours none"]}, "colours, cameras and lights"),
        ({"colours": "set1"}, {"colours": "set2"}, "colours"),
        ({"colours": "none", "texture": "wood"}, {"colours": "none", "texture": "metal"}, "textures"),
        ({"on": ["old and new distractions, mixed"]}, {"on": ["colours none"]}, "worlds"),
        ({"on": ["colours none"]}, {"absent": "no unseen world: the task has no distractions"}, "worlds"),
        ({}, {}, "colours"),
    ],
)  # fmt: skip
def test_what_differs_is_named(tmp_path: Path, seen: dict[str, Any], unseen: dict[str, Any], what: str) -> None:
    run = read_run(evaluated(tmp_path / "run", seen, unseen))
    assert what_differs(run) == what
    assert [policy(run, split) for split in ("random", "seen", "unseen")] == ["random policy", f"seen {what}", f"unseen {what}"]


def test_of_several_runs_only_what_differs_in_all(tmp_path: Path) -> None:
    colours = read_run(evaluated(tmp_path / "a", {"on": ["colours set1"]}, {"on": ["colours set2"]}))
    textures = read_run(evaluated(tmp_path / "b", {"on": ["texture wood"]}, {"on": ["texture metal"]}))
    assert what_differs(colours, colours) == "colours"
    assert what_differs(colours, textures) == "worlds"


def test_pages_of_textures_do_not_speak_of_colours(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    found = json.loads((run / "evaluation.json").read_text())
    for split, texture in (("random", "wood"), ("seen", "wood"), ("unseen", "metal")):
        found[split] |= {"colours": "none", "texture": texture, "on": ["colours none", f"texture {texture}"]}
    (run / "evaluation.json").write_text(json.dumps(found))
    text = write_report(run).read_text(encoding="utf-8")
    said = "Return, seen textures|Return, unseen textures|Trained, unseen textures|On the textures of training|On unseen textures|"
    said += "on textures never met|task: unseen textures|the same behaviour under seen and unseen textures"
    assert [words for words in said.split("|") if words not in text] == []
    assert "seen colours" not in text
    assert "training colours" not in text
