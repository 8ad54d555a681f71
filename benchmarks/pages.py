"""What the benchmarks' command lines and pages of results share."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from diswm.report.words import plural
from diswm.trainers.run import machine


def arguments(about: str | None) -> argparse.ArgumentParser:
    """Method, device, threads and where to write; a benchmark adds its own."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="diswm")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads for PyTorch; 0: one per core")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--out", type=Path, help="write the page of results here")
    return parser


def opening(name: str, device: str, load: float = 0.0) -> list[str]:
    """Title of a page, and how, when and where its numbers were made."""
    here = machine()
    busy = f" Other programs kept {load:.1f} cores busy when it began." if load > 0.5 else ""
    return [
        f"# {name}",
        f"`{' '.join([f'python benchmarks/{name}.py', *sys.argv[1:]])}`, {datetime.date.today()}, {here['machine']}, {device}, "
        f"{plural(here['threads'], 'thread')}, torch {here['torch']}.{busy}",
    ]


def table(rows: Sequence[Sequence[str]]) -> str:
    """In Markdown, the first row as its head."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])
