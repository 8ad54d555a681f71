"""Functions compiled by numba at first use. Needs the extra `fast`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile at first use, and keep the result beside the source or in the user's cache."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(cache=True, error_model="numpy", **options)(function)
        except RuntimeError:  # there is no place that may be written: each process compiles
            return njit(error_model="numpy", **options)(function)

    return wrap


part = compiled(forceinline=True)
"""For a part of others: compiled with each of them in one way, so that no last bit depends on what comes from the cache."""
