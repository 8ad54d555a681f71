"""What every page shares: the document, its navigation and footer, and how it is written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from diswm.contract import DiswmError
from diswm.report.style import CSS
from diswm.report.tables import write_whole
from diswm.report.words import esc

Card = tuple[str, str, str, str]
"""(class, label, the number, what stands below it)."""


def document(title: str, body: str) -> str:
    """The whole file; `title` is plain text, `body` is HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
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


def target(folder: Path, out: Path | None) -> Path:
    """The page's path: `out` is a .html file or a folder, `folder` is where it goes otherwise."""
    out = folder if out is None else Path(out)
    return out if out.suffix.lower() in (".html", ".htm") else out / "report.html"


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
