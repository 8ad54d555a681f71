"""A complete fake run for every test of the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakerun import fake_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A complete run, with its teacher and videos beside it."""
    return fake_run(tmp_path)
