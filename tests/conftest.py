"""Videos and a teacher of the toy, made once for all tests that need them."""

from __future__ import annotations

from pathlib import Path

import pytest
import small

from diswm import api


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes of the toy."""
    folder = tmp_path_factory.mktemp("small") / "videos"
    assert api.collect(small.collect_config(folder))
    return folder


@pytest.fixture(scope="session")
def teacher(videos: Path) -> Path:
    """A video model of them."""
    folder = videos.parent / "teacher"
    assert api.pretrain(small.pretrain_config(folder, videos))
    return folder


@pytest.fixture(scope="session")
def agent(teacher: Path) -> Path:
    """A finished run of diswm with that teacher."""
    folder = teacher.parent / "agent"
    assert api.train(small.train_config(folder, "diswm", teacher=str(teacher)))
    return folder
