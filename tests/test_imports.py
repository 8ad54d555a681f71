"""The garbage collector stands still while large packages are imported, and is then as it was."""

from __future__ import annotations

import contextlib
import gc

import pytest

from diswm.imports import uncollected


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_afterwards_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        inside = []
        with contextlib.suppress(ImportError), uncollected():
            inside.append(gc.isenabled())
            raise ImportError
        assert inside == [False]
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
