"""README and docs: links lead somewhere, and no verb is left out. (docs/fidelity.md has a test of its own.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from diswm.verbs import VERBS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "results").glob("*.md")])


def anchors(page: Path) -> set[str]:
    """Those of its headings, as code hosts make them: small letters, no marks, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    bad = []
    for link in links:
        if re.match(r"\w+:", link):  # elsewhere
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            bad.append(link)
    assert bad == []


def test_the_front_page_names_every_verb() -> None:
    text = (ROOT / "README.md").read_text()
    assert [verb for verb in VERBS if f"`{verb}`" not in text and f"diswm {verb}" not in text and f"make {verb}" not in text] == []


def test_the_guide_explains_every_verb() -> None:
    text = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    assert [verb for verb in VERBS if not re.search(rf"^## .*diswm {verb}\b", text, re.MULTILINE) and verb != "demo"] == []
