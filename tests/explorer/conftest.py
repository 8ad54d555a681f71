"""Pages of the toy's runs, made once."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from diswm.build import networks
from diswm.explorer.bundle import bundle
from diswm.hub import WEIGHTS
from diswm.trainers.checkpoint import save_networks

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))  # the browser, which a benchmark needs as well
import chromium

pytest.importorskip("onnxscript", reason="needs the extra 'export'")


@pytest.fixture(scope="session")
def lively(agent: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Agent and teacher with larger weights: as hardly trained as they are, their pictures would not depend on the code."""
    parent, found = tmp_path_factory.mktemp("lively"), []
    for run in (agent, teacher):
        folder = Path(shutil.copytree(run, parent / run.name, ignore=shutil.ignore_patterns("replay")))
        nets = networks(run)
        for name in ("rssm.post_hidden.weight", "rssm.post_stats.weight", "decoder.stem.0.weight", "decoder.convs.8.weight"):
            nets["world"][name] *= 4
        save_networks(folder / WEIGHTS, nets)
        found.append(folder)
    return found


@pytest.fixture(scope="session")
def bundles(lively: list[Path]) -> list[dict[str, Any]]:
    """What a page holds of agent and teacher; where no browser runs them without their networks, which take most of a minute."""
    with pytest.MonkeyPatch.context() as patch:
        if chromium.PATH is None:
            patch.setattr("diswm.explorer.bundle.write_graph", lambda path, graph, world: path.write_bytes(" ".join(graph.gives).encode()))
        return [bundle(folder, None) for folder in lively]
