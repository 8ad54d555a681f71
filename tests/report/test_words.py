"""Numbers as people read them."""

from __future__ import annotations

import pytest

from diswm.report import words


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.1235, "0.123"), (1.234, "1.23"), (40.0, "40.0"), (650.04, "650.0"), (12345.6, "12,346"), (-150, "−150.0"), (0, "0.000"),
     (0.0002, "2.00e−04"), (-0.0002, "−2.00e−04"), (None, "–"), (float("nan"), "–"), (float("inf"), "–"), ("x", "–"), (True, "–")],
)  # fmt: skip
def test_number(value: object, said: str) -> None:
    assert words.number(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(4.24, "4.2 s"), (42, "42 s"), (59.7, "60 s"), (61, "1 min 01 s"), (3725, "1 h 02 min"), (86400 * 3 + 3600 * 4, "3 d 4 h"),
     (None, "–"), (-1, "–")],
)  # fmt: skip
def test_duration(seconds: object, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("size", "said"), [(512, "512 B"), (1536, "1.5 KiB"), (3 * 2**30, "3.0 GiB"), (200 * 2**20, "200 MiB"), (None, "–")]
)
def test_size(size: object, said: str) -> None:
    assert words.size(size) == said


def test_small_words() -> None:
    assert words.count(1234567) == "1,234,567"
    assert words.plural(1, "episode") == "1 episode"
    assert words.plural(1200, "episode") == "1,200 episodes"
    assert words.listing(["a", "b", "c"]) == "a, b and c"
    assert words.esc('<a href="x">&') == "&lt;a href=&quot;x&quot;&gt;&amp;"
