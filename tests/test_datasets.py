"""`diswm data` and `diswm pretrain --videos` on videos of any kind, as a user types them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import films
import pytest
import small

import diswm
from diswm import api
from diswm.cli import main
from diswm.data.episodes import list_episodes
from diswm.data.manifest import read_manifest
from diswm.data.videos import Videos

Refused = Callable[..., str]


@pytest.fixture
def films_folder(tmp_path: Path) -> Path:
    """A film, a folder of frames and a file that is neither."""
    films.movie(tmp_path / "v" / "a.mp4", films.frames(12, height=64, width=96))
    films.stills(tmp_path / "v" / "b", films.frames(8))
    (tmp_path / "v" / "bad.avi").write_text("no film")
    return tmp_path / "v"


def test_info_says_what_there_is(films_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = small.tree(films_folder.parent)
    assert main(["data", "info", str(films_folder)]) == 0
    assert small.tree(films_folder.parent) == before
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:6] == [
        str(films_folder),
        "kind 2 video files, 1 folder of frames",
        "clips 2",
        "frames 20",
        "sizes 96 x 64 (1), 32 x 32 (1)",
        "fps 10 (1), unknown (1)",
    ]
    assert lines[6].startswith("skipped bad.avi: cannot be read")
    assert diswm.data_info(films_folder)["frames"] == 20


def test_convert_and_convert_again(films_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = films_folder.parent / "out"
    args = ["data", "convert", str(films_folder), "--out", str(out), "--size", "16", "--fit", "letterbox"]
    assert main(args) == 0
    said = capsys.readouterr().out
    assert "left out bad.avi: cannot be read" in said
    assert f"{out}: 2 clips, 20 frames in 2 episodes" in said
    assert read_manifest(out)["image_shape"] == [16, 16, 3]
    before = small.tree(out)
    assert main(args) == 0
    assert "nothing is to be done" in capsys.readouterr().out
    assert small.tree(out) == before
    assert diswm.data_convert([films_folder], out, size=16, fit="letterbox") == out


def test_info_of_damage_says_what_mends_it_and_fails(films_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = films_folder.parent / "out"
    args = ["data", "convert", str(films_folder), "--out", str(out), "--size", "16"]
    assert main(args) == 0
    assert main(["data", "info", str(out)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "frames 20 sizes" in said
    assert "hashes 2 of 2 files are as the manifest says" in said
    path = list_episodes(out)[1]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert main(["data", "info", str(out)]) == 1
    said, err = capsys.readouterr()
    assert "frames 12; the manifest lists 20 sizes" in " ".join(said.split())
    assert "hashes 1 of 2 files are as the manifest says" in " ".join(said.split())
    assert err == (
        f"diswm: {out}: 1 of its 2 files is damaged or missing. Convert it again: "
        f"`diswm data convert v --out {out} --size 16 --fit crop`, or fetch it again where somebody else made it.\n"
    )
    with pytest.warns(UserWarning, match=r"differs from its hash in the manifest. Convert it again: `diswm data convert v"):
        Videos(out, length=2)
    capsys.readouterr()
    assert main(args) == 0
    assert f"{path.name} differs from its hash in the manifest; it is converted again" in (capsys.readouterr().out)
    assert main(["data", "info", str(out)]) == 0


def test_info_of_nothing_but_bad_films_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.mp4").write_text("no film")
    assert main(["data", "info", str(tmp_path)]) == 1
    said, err = capsys.readouterr()
    assert "skipped      bad.mp4: cannot be read" in said
    assert err == f"diswm: {tmp_path}: none of its 1 clips can be used.\n"


def test_convert_says_which_source_has_changed(films_folder: Path, refused: Refused) -> None:
    assert main(["data", "convert", str(films_folder), "--out", str(films_folder.parent / "out")]) == 0
    films.movie(films_folder / "a.mp4", films.frames(5))
    said = refused("data", "convert", films_folder, "--out", films_folder.parent / "out")
    assert "is there already, but its sources are others: a.mp4 has changed. Choose another folder with --out, or remove it." in said


def test_cameras_are_not_mixed_unnoticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films.lerobot(tmp_path / "robot", lengths=(9,))
    assert main(["data", "info", str(tmp_path / "robot")]) == 0
    assert "they are mixed unless --camera takes one" in capsys.readouterr().out
    assert main(["data", "convert", str(tmp_path / "robot"), "--out", str(tmp_path / "out")]) == 0
    assert f"2 cameras are mixed, each clip is of one: {films.TOP} (1 clips)" in capsys.readouterr().out
    assert api.pretrain(small.pretrain_config(tmp_path / "runs" / "a", tmp_path / "robot", pretrain__updates=1))
    assert "2 cameras are mixed" in capsys.readouterr().out


def test_preview_writes_a_picture(films_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "preview", str(films_folder), "--out", str(tmp_path / "p.gif")]) == 0
    assert f"{tmp_path / 'p.gif'}: a.mp4, b/" in capsys.readouterr().out
    assert (tmp_path / "p.gif").read_bytes().startswith(b"GIF8")
    assert diswm.data_preview(films_folder, tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_pretraining_on_films_decodes_them_once(
    films_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert api.pretrain(small.pretrain_config(tmp_path / "runs" / "a", films_folder, pretrain__updates=2))
    assert "left out bad.avi: cannot be read" in capsys.readouterr().out
    (folder,) = (path for path in (tmp_path / "runs" / "cache").iterdir() if path.is_dir())
    assert [clip["rows"] for clip in read_manifest(folder)["clips"]] == [12, 8]
    before = small.tree(folder)
    monkeypatch.setitem(sys.modules, "av", None)  # what would decode again fails
    assert api.pretrain(small.pretrain_config(tmp_path / "runs" / "b", films_folder, pretrain__updates=2))
    assert small.tree(folder) == before
    assert [path.name for path in (tmp_path / "runs" / "cache").iterdir() if path.is_dir()] == [folder.name]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    for args in (["data"], ["data", "--help"]):
        assert main(args) == 0
        out = capsys.readouterr().out
        assert all(f"  {verb} " in out for verb in ("info", "convert", "preview"))
    for verb, flag in [("info", "--path"), ("convert", "--fit"), ("preview", "--out")]:
        with pytest.raises(SystemExit) as end:
            main(["data", verb, "--help"])
        assert not end.value.code
        assert flag in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["data", "convrt"], "no verb 'data convrt'. Did you mean data convert"),
        (["data", "info"], "`diswm data info` needs a file or folder of videos"),
        (["data", "convert", "--out", "o"], "needs files or folders of videos first"),
        (["data", "convert", "nowhere", "--out", "o"], "nowhere: there is no such file or folder. Expected video files"),
        (["data", "info", "nowhere"], "nowhere: there is no such file or folder. Expected video files"),
        (["data", "convert", "nowhere"], "--out"),
        (["data", "convert", "nowhere", "--out", "o", "--fit", "crp"], "Did you mean crop"),
        (["data", "preview", "nowhere", "--size", "x"], "x"),
        (["pretrain", "--videos", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_take_one_line(refused: Refused, args: list[str], words: str) -> None:
    assert words in refused(*args)


def test_only_bad_films_are_refused_with_nothing_written(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.mp4").touch()
    assert "None of 1 clips can be used" in refused("data", "convert", tmp_path / "v", "--out", tmp_path / "o")
    assert "None of 1 clips can be used" in refused("pretrain", "--videos", tmp_path / "v", "--out", tmp_path / "runs" / "t")


def test_no_decoder_and_no_compiler_is_loaded_before_it_is_needed() -> None:
    code = """if True:
        import sys, torch, diswm.api, diswm.cli, diswm.datasets
        from diswm.agents.optimiser import Optimiser
        layer = torch.nn.Linear(1, 1)
        optimiser = Optimiser(layer, lr=0.1, eps=1e-5, clip=1.0)
        optimiser.step(layer.weight.sum())
        optimiser.load(optimiser.adam.state_dict())
        print(sorted({"av", "h5py", "pyarrow", "torch._dynamo"} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
