"""Progress is said where there is no terminal, and signals wait for a good moment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import small

from diswm import api
from diswm.trainers import progress
from diswm.trainers.progress import Bar, Interrupt, console


def test_a_distraction_is_no_picture(capsys: pytest.CaptureFixture[str]) -> None:
    console.print("texture:train: of :smile: [b]")
    assert capsys.readouterr().out == "texture:train: of :smile: [b]\n"


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar("train", 1000, "frames", every=0.0)
    bar.update(250, "image 3")
    bar.update(500)
    bar.close()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("train: 250/1,000  ")
    assert first.endswith("image 3")
    assert " frames/s " in first
    assert second.startswith("train: 500/1,000  ")
    assert second.endswith("image 3"), "a note stays"


def test_a_rate_that_is_forgotten_no_longer_counts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    bar = Bar("train", 1000, "frames", every=0.0)
    clock[0] = 200.0
    bar.update(100)  # 100 frames in 100 s: 900 s for the other 900
    bar.restart()
    bar.update(100, "image 3")
    clock[0] = 210.0
    bar.update(200)  # 100 frames in 10 s: 80 s for the other 800
    bar.close()
    assert capsys.readouterr().out.splitlines() == [
        "train: 100/1,000  1 frames/s  15 min 0 s left",
        "train: 100/1,000  image 3",
        "train: 200/1,000  10 frames/s  1 min 20 s left  image 3",
    ]


def test_what_is_done_aside_takes_no_time_of_the_rate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    bar = Bar("train", 1000, "frames", every=0.0)
    clock[0] = 110.0
    bar.update(100, "image 3")  # 10 frames/s: 90 s for the other 900
    with bar.aside():
        clock[0] = 510.0
        bar.update(100, "evaluating")
    clock[0] = 520.0
    bar.update(300)  # 300 frames in 20 s: 47 s for the other 700
    with contextlib.suppress(KeyError), bar.aside():
        clock[0] = 920.0
        raise KeyError
    clock[0] = 930.0
    bar.update(450)  # 450 in 30 s
    bar.close()
    assert capsys.readouterr().out.splitlines() == [
        "train: 100/1,000  10 frames/s  1 min 30 s left  image 3",
        "train: 100/1,000  10 frames/s  1 min 30 s left  evaluating",
        "train: 300/1,000  15 frames/s  0 min 46 s left  image 3",
        "train: 450/1,000  15 frames/s  0 min 36 s left  image 3",
    ]


def test_names_from_files_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.print("left out \x1b]0;title\x07 of \udcff: \u00fc\nand more")
    assert capsys.readouterr().out == "left out \\x1b]0;title\\x07 of \\udcff: \u00fc\nand more\n"


def test_seldom_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar("train", 10, "frames", every=1e9)
    for count in range(10):
        bar.update(count)
    assert capsys.readouterr().out == ""


def test_every_long_stage_shows_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    original = Bar.__init__

    def eager(self: Bar, *args: object, **kwargs: object) -> None:
        original(self, *args, **{**kwargs, "every": 0.0})  # type: ignore[arg-type]

    monkeypatch.setattr(progress.Bar, "__init__", eager)
    api.collect(small.collect_config(tmp_path / "videos", collect__frames=100))
    api.pretrain(small.pretrain_config(tmp_path / "teacher", tmp_path / "videos", pretrain__updates=2))
    api.train(small.train_config(tmp_path / "agent", "diswm", teacher=str(tmp_path / "teacher"), train__frames=130))
    out = capsys.readouterr().out
    for start in ("collect: ", "read videos: 1/1", "pretrain: 2/2", "train: 130/130", "evaluate, random: ", "evaluate, unseen: "):
        assert any(line.startswith(start) for line in out.splitlines()), start
    assert "evaluating: 0 episodes done" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_is_noted_and_a_second_breaks_off(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "quiet", False)  # and give it back: a closed terminal silences it
    first = signal.signal(number, signal.default_int_handler)  # whatever these tests run under: nohup ignores one of the three
    try:
        with Interrupt("stopping") as stop:
            assert not stop.requested
            os.kill(os.getpid(), number)
            assert stop.requested
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, first)


def test_under_nohup_a_closed_terminal_changes_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt("stopping") as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_work_goes_on_where_nobody_reads_its_words(tmp_path: Path) -> None:
    # `diswm train ... | head -1`
    work = "import sys, pathlib; from diswm.trainers.progress import console\n"
    work += "for line in range(3): sys.stdin.readline(); console.print(line)\n"
    work += "pathlib.Path(sys.argv[1]).write_text('saved'); print('plain words')"
    process = subprocess.Popen(
        [sys.executable, "-c", work, str(tmp_path / "work")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    process.stdin.write("\n\n")
    process.stdin.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
    assert (tmp_path / "work").read_text() == "saved"
