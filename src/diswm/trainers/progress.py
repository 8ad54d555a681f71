"""Progress on the terminal, and an interrupt that waits for a good moment."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from diswm.contract import plain


class _Console(Console):
    def print(self, *objects: Any, **more: Any) -> None:
        """As rich does; nothing in a text can command the terminal."""
        super().print(*(plain(one) if isinstance(one, str) else one for one in objects), **more)

    def on_broken_pipe(self) -> None:
        """Work whose words nobody reads any more (`diswm train ... | head`) goes on in silence, where rich would end the process."""
        self.quiet = True
        _close(sys.stdout)


def _close(stream: TextIO) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


console = _Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Brackets in the name of a folder are no markup, and `:train:` in a distraction is no picture of one."""


class Bar:
    """A bar with rate and time left on a terminal; elsewhere a line every ``every`` seconds."""

    def __init__(self, name: str, total: int, unit: str, *, done: int = 0, every: float = 30.0) -> None:
        self.name, self.total, self.unit, self.every = name, total, unit, every
        self.done = done
        self.said = time.monotonic()
        self.note = ""
        self._away = 0.0
        self._aside: float | None = None
        self._recent = deque([(self._clock(), done)], maxlen=64)  # the rate of late, as prefill and learning differ
        self._live: Progress | None = None
        self._task = None
        if console.is_terminal:
            columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[text]}")
            self._live = Progress(*columns, console=console, transient=True)
            self._live.start()
            self._task = self._live.add_task(name, total=total, completed=done, text="")

    def update(self, done: int, note: str = "") -> None:
        """Show that ``done`` of the total are done; a note stays until the next one."""
        self.done, self.note = done, note or self.note
        now, clock = time.monotonic(), self._clock()
        if clock - self._recent[-1][0] >= 1.0:
            self._recent.append((clock, done))
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=done, total=self.total, text=self._words())
        elif now - self.said >= self.every:
            self.said = now
            console.print(f"{self.name}: {done:,}/{self.total:,}  {self._words()}".rstrip())
            sys.stdout.flush()

    def restart(self) -> None:
        """Forget the rate so far: what comes runs at another."""
        self._recent.clear()
        self._recent.append((self._clock(), self.done))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The time of the block is left out of the rate; the note from before it comes back."""
        self._aside, note = time.monotonic(), self.note
        try:
            yield
        finally:
            self._away += time.monotonic() - self._aside
            self._aside, self.note = None, note

    def _clock(self) -> float:
        """Seconds, of which those aside are left out."""
        return (time.monotonic() if self._aside is None else self._aside) - self._away

    def _words(self) -> str:
        """Rate, time left and note; the first two once there is a rate."""
        then, before = self._recent[0]
        rate = (self.done - before) / max(self._clock() - then, 1e-9)
        pace = [f"{rate:.3g} {self.unit}/s", f"{_minutes((self.total - self.done) / rate)} left"] if rate > 0.0 else []
        return "  ".join([*pace, self.note]).rstrip()

    def close(self) -> None:
        """Take the bar down."""
        if self._live is not None:
            self._live.stop()


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)} min {int(seconds % 60)} s" if seconds < 360_000 else "long"


@contextmanager
def progress(name: str, total: int, unit: str, *, done: int = 0) -> Iterator[Bar]:
    """A bar for the time of the block."""
    bar = Bar(name, total, unit, done=done)
    try:
        yield bar
    finally:
        bar.close()


class Interrupt:
    """Inside the block, Ctrl-C, SIGTERM and a closed terminal set ``requested`` instead of breaking off: the loop saves and leaves.

    A second signal breaks off at once. Under `nohup` a closed terminal changes nothing.
    """

    def __init__(self, words: str = "stopping after this step; once more to break off without saving") -> None:
        self.requested = False
        self.words = words
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            try:
                self._before[number] = signal.signal(number, self._on_signal)
            except ValueError:  # not in the main thread: the caller handles signals
                break
        return self

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if number == signal.SIGHUP:  # a terminal that is gone refuses words
            console.quiet = True
            for stream in (sys.stdout, sys.stderr):
                if stream.isatty():
                    _close(stream)
        console.print(self.words)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
