"""What every page shares: the document, its navigation and footer, and how it is written."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from diswm.contract import DiswmError, some
from diswm.report.style import CSS
from diswm.report.tables import write_whole
from diswm.report.words import esc

Card = tuple[str, str, str, str]
"""(class, label, the number, what stands below it)."""
_MARK = '<meta name="diswm-subject" content="{}">'
_HEAD = 1 << 18
"""Bytes of a page in which its mark stands."""


def document(title: str, body: str, about: str) -> str:
    """The whole file; `title` is plain text, `body` is HTML, `about` is its `subject`."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{_MARK.format(esc(about))}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{esc(title)}</title><style>{CSS}</style></head><body>{body}</body></html>\n'
    )


def sections(parts: Iterable[tuple[str, str, str, str]]) -> str:
    """The navigation and the sections, each (anchor, title, lead, html)."""
    parts = list(parts)
    links = "".join(f'<li><a href="#{anchor}-section">{title}</a></li>' for anchor, title, _, _ in parts)
    whole = "".join(
        f'<section id="{anchor}-section"><h2>{title}</h2><p class="lead">{lead}</p>{inner}</section>'
        for anchor, title, lead, inner in parts
    )
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{whole}</main>'


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


def target(folder: Path, out: Path | None, runs: Sequence[Path], named: Sequence[Path]) -> Path:
    """The page's path: `out` is a .html file or a folder, `folder` is where it goes otherwise.

    DiswmError where nobody named the place and a page that is about others than these `runs`, found where `named` says, lies there. Of a
    page about several there may have been fewer or more.
    """
    place = folder if out is None else Path(out)
    page = place if place.suffix.lower() in (".html", ".htm") else place / "report.html"
    if out is not None or not page.is_file():
        return page
    ours, about = _about(page)
    old, new = set(about or ()), set(_ways(page, runs))
    if old == new or (min(len(old), len(new)) > 1 and (old <= new or new <= old)):
        return page
    if about is None and ours and [path.resolve() for path in named] == [page.parent.resolve()]:
        return page  # of an older version, and so of what lies in its folder
    told = f"a page about {some(sorted(old), 4)}" if old else "there already, and not known to be about these"
    other = folder / "comparison.html"
    raise DiswmError(f"{page}: is {told}. Choose another name with --out, such as --out {other}, or write over it with --out {page}.")


def subject(page: Path, runs: Iterable[Path]) -> str:
    """What a page is about, for its mark: the runs as they lie from the page, so that all may move together."""
    return json.dumps(_ways(page, runs))


def _ways(page: Path, runs: Iterable[Path]) -> list[str]:
    return sorted({os.path.relpath(run.resolve(), page.parent.resolve()) for run in runs})


def _about(page: Path) -> tuple[bool, list[str] | None]:
    """Whether a page is a report, and what its mark says; None without one."""
    try:
        with page.open("rb") as file:
            head = file.read(_HEAD).decode("utf-8", "replace")
    except OSError as error:
        raise unwritable(page, error) from error
    found = re.search(_MARK.format('([^"]*)'), head)
    return "DisWM report" in head, list(json.loads(html.unescape(found[1]))) if found else None


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
