"""What every page shares: the document, its navigation and footer, and how it is written."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from diswm.contract import DiswmError
from diswm.report.style import CSS
from diswm.report.tables import write_whole
from diswm.report.words import esc

Card = tuple[str, str, str, str]
"""(class, label, the number, what stands below it)."""
_MARK = '<meta name="diswm-subject" content="{}">'
_HEAD = 1_000
"""Bytes of a page in which its mark stands."""


def document(title: str, body: str, about: str) -> str:
    """The whole file; `title` is plain text, `body` is HTML, `about` is its `subject`."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{_MARK.format(about)}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{esc(title)}</title><style>{CSS}</style></head><body>{body}</body></html>\n'
    )


def sections(parts: Iterable[tuple[str, str, str, str]]) -> str:
    """The navigation and the sections, each (anchor, title, lead, html)."""
    parts = list(parts)
    links = "".join(f'<li><a href="#{anchor}-section">{title}</a></li>' for anchor, title, _, _ in parts)
    html = "".join(
        f'<section id="{anchor}-section"><h2>{title}</h2><p class="lead">{lead}</p>{inner}</section>'
        for anchor, title, lead, inner in parts
    )
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{html}</main>'


def cards(found: Iterable[Card]) -> str:
    """The numbers that a page leads with."""
    drawn = (
        f'<div class="{tone}"><dt>{label}</dt><dd><div class="big">{big}</div><div class="sub">{sub}</div></dd></div>'
        for tone, label, big, sub in found
    )
    return f'<dl class="headline">{"".join(drawn)}</dl>'


def footer(problems: Iterable[str], about: str) -> str:
    """What was wrong with the files, and where the page comes from; `about` is HTML."""
    listed = "".join(f"<li>{esc(problem)}</li>" for problem in dict.fromkeys(problems))
    told = f"<p>While reading the run:</p><ul>{listed}</ul>" if listed else ""
    return f"<footer>{told}<p>{about}</p></footer>"


def target(folder: Path, out: Path | None, runs: Sequence[Path]) -> Path:
    """The page's path: `out` is a .html file or a folder, `folder` is where it goes otherwise.

    DiswmError where nobody named the place and a page that is not about these `runs` lies there.
    """
    place = folder if out is None else Path(out)
    page = place if place.suffix.lower() in (".html", ".htm") else place / "report.html"
    if out is None and page.is_file() and _subject_of(page) != subject(page, runs):
        raise DiswmError(
            f"{page}: is a page about something else. Choose another name with --out, such as --out {folder / 'comparison.html'}, "
            f"or write over it with --out {page}."
        )
    return page


def subject(page: Path, runs: Iterable[Path]) -> str:
    """What a page is about, for its mark: changes with the runs, as they lie from the page, so that all may move together."""
    ways = sorted({os.path.relpath(run.resolve(), page.parent.resolve()) for run in runs})
    return hashlib.sha256(json.dumps(ways).encode()).hexdigest()[:16]


def _subject_of(page: Path) -> str:
    """The mark of a page; one without any, as older versions wrote them, is about the folder that it lies in."""
    try:
        with page.open("rb") as file:
            head = file.read(_HEAD).decode("ascii", "replace")
    except OSError as error:
        raise unwritable(page, error) from error
    found = re.search(_MARK.format("(\\w+)"), head)
    return found[1] if found else subject(page, [page.parent])


def beside(page: Path) -> Path:
    """The folder of a page's figures and numbers: two pages in one folder do not share it."""
    return page.with_name("figures" if page.name == "report.html" else f"{page.stem}_files")


def summary_file(page: Path) -> Path:
    """summary.json, beside report.html; of a page of another name in the folder of its figures, where it overwrites nobody's."""
    return (page.parent if page.name == "report.html" else beside(page)) / "summary.json"


def write(page: Path, text: str, summary: dict[str, Any]) -> None:
    """The page and its summary."""
    write_whole(page, text)
    summary_file(page).parent.mkdir(parents=True, exist_ok=True)
    write_whole(summary_file(page), json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def unwritable(page: Path, error: OSError) -> DiswmError:
    """The error for a place that cannot be written to."""
    return DiswmError(f"the report could not be written to {page.parent} ({error}): expected a folder that can be written")
