"""The folder that `diswm export` writes, and `diswm push`, which uploads it."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from diswm.agents import Dreamer
from diswm.build import load_learner, networks
from diswm.data.disk import whole_folder
from diswm.hub import CONFIG, WEIGHTS, check_name, require_hub, upload
from diswm.portable.card import card
from diswm.portable.graphs import graphs, require_exporter, write_graph
from diswm.report.summary import summarise
from diswm.trainers.checkpoint import save_networks
from diswm.trainers.progress import progress
from diswm.trainers.run import read_config

_ADVICE = "Free some space or choose another folder with --out."
_FOLDERS = re.compile(r"(^|=)[/~][^,]*/")


def export(run: Path | str, *, out: Path | str) -> Path:
    """Write a run as ONNX graphs (``graphs``), model.safetensors, config.json and a model card (README.md) into ``out``.

    ``diswm.load`` takes the folder like a run. Returns ``out``. DiswmError for a folder that is no run, where the extra ``export``
    is not installed, for a folder that is there already and for a full disk; then nothing is written.
    """
    require_exporter()
    folder, out = Path(run), Path(out)
    head = read_config(folder)
    learner = load_learner(folder, "cpu")
    parts = graphs(learner.world, learner.actor if isinstance(learner, Dreamer) else None)
    nets = {name: net for name, net in networks(folder).items() if name != "aside"}
    need = 3 * sum(value.nbytes for net in nets.values() for value in net.values())  # the graphs hold most of them again, some twice
    config = {**head, "config": without_folders(head["config"])}
    with whole_folder(out, need=need, advice=_ADVICE) as new, progress(f"export {folder.name}", len(parts), "graphs") as bar:
        save_networks(new / WEIGHTS, nets)
        (new / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
        (new / "README.md").write_text(card(summarise(folder), config, learner.world, list(parts)), encoding="utf-8")
        for done, (name, graph) in enumerate(parts.items(), 1):
            write_graph(new / f"{name}.onnx", graph, learner.world)
            bar.update(done, f"{name}.onnx")
    return out


def push(run: Path | str, repo_id: str, *, private: bool = False) -> str:
    """Export a run to ``repo_id`` (user/name) of a model hub, whence ``diswm.load("hub:user/name")`` takes it. Returns its address.

    DiswmError where the extras ``export`` and ``hub`` are not installed, and for what the hub refuses.
    """
    require_hub()
    check_name(repo_id)
    with tempfile.TemporaryDirectory() as scratch:
        return upload(export(run, out=Path(scratch) / "export"), repo_id, private=private)


def without_folders(value: Any) -> Any:
    """A config in which paths from the root or a home are cut to their last names: where things lay here is nobody's concern."""
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    return _FOLDERS.sub(r"\1", value) if isinstance(value, str) else value
