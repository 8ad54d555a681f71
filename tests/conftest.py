"""What many tests need: videos, a teacher and an agent of the toy, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import small

from diswm import api
from diswm.cli import main


@pytest.fixture(scope="session", autouse=True)
def few_poses() -> Iterator[None]:
    """Each run ends with a look at what its factors do to its code, by many pictures: a tenth of the time of most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diswm.closeups.POSES", 16)
        yield


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


@pytest.fixture
def words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of runs and studies go without their charts, which take seconds."""
    for page in ("sections", "comparison"):
        monkeypatch.setattr(f"diswm.report.{page}.publish", lambda drawing, folder: f"<figure>{drawing.alt and drawing.caption}</figure>")


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command line where it must complain; what it said, after "diswm: error: "."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str | Path) -> str:
        before = small.tree(tmp_path)
        capsys.readouterr()
        assert main([str(arg) for arg in args]) == 2
        err = capsys.readouterr().err
        assert err.startswith("diswm: error: "), err
        assert err.count("\n") == 1, err
        assert err.endswith("\n")
        assert "Traceback" not in err
        assert small.tree(tmp_path) == before, "something was written or lost"
        return err.removeprefix("diswm: error: ").strip()

    return run
