"""A table once: on the page with aligned numbers, and as CSV with all digits."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diswm.metrics.scores import Interval
from diswm.report import words
from diswm.report.words import esc


class Numbers(NamedTuple):
    """What a figure or a table shows, as rows of plain values for a CSV."""

    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Estimate(NamedTuple):
    """A mean with its interval, and what was resampled for it: seeds, pairs, episodes; nothing where one value is all there is."""

    found: Interval
    over: str
    values: Sequence[float] = ()


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: how a value stands on the page (`show` gives safe HTML) and in the CSV (`plain` gives one value a key)."""

    head: str
    keys: tuple[str, ...]
    show: Callable[[Any], str] = esc
    plain: Callable[[Any], Sequence[Any]] = lambda value: (value,)
    kind: str = ""


def num(head: str, key: str, show: Callable[[Any], str] = words.number) -> Column:
    """A column of numbers, at the right edge."""
    return Column(head, (key,), show, kind="num")


def estimates(head: str, key: str, usual: str = "seeds") -> Column:
    """A column of estimates or None: the mean, below it its interval, and what that is over where it is not the `usual`."""

    def show(value: Estimate | None) -> str:
        if value is None:
            return words.MISSING
        low_high = words.interval(value.found.low, value.found.high).replace(" ", "\u00a0")  # what it is over may take a line of its own
        small = low_high if value.over == usual else f"{low_high} over {value.over}" if value.over else "one value, no interval"
        return f"<b>{words.number(value.found.mean)}</b><small>{small}</small>"

    def plain(value: Estimate | None) -> Sequence[Any]:
        return (*value.found, value.over) if value else ("", "", "", "")

    return Column(head, (key, f"{key}_low", f"{key}_high", f"{key}_over"), show, plain, "num")


def table(columns: Sequence[Column], rows: Sequence[Sequence[Any]], caption: str = "") -> str:
    """A table that scrolls on its own; the first cell of a row names it."""
    heads = "".join(f'<th scope="col"{_kind(column)}>{esc(column.head)}</th>' for column in columns)
    body = ""
    for row in rows:
        cells = [f"{_kind(column)}>{column.show(value)}" for column, value in zip(columns, row, strict=True)]
        body += f'<tr><th scope="row"{cells[0]}</th>{"".join(f"<td{cell}</td>" for cell in cells[1:])}</tr>'
    said = f"<caption>{caption}</caption>" if caption else ""
    dense = " dense" if len(columns) > 6 else ""
    return f'<div class="scroll{dense}" tabindex="0"><table>{said}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def numbers(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Numbers:
    """The same for a CSV."""
    head = [key for column in columns for key in column.keys]
    return Numbers(head, [[v for column, value in zip(columns, row, strict=True) for v in column.plain(value)] for row in rows])


def write_csv(path: Path, numbers: Numbers) -> None:
    """The rows, floats to six digits, nothing for what was not measured."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(numbers.head)
    writer.writerows([_digits(value) if isinstance(value, float) else value for value in row] for row in numbers.rows)
    write_whole(path, out.getvalue())


def _digits(value: float) -> float | str:
    return "" if math.isnan(value) else float(f"{value:.6g}")


def write_whole(path: Path, content: str) -> None:
    """Whole or not at all: a full disk leaves the file that was there."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(content, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _kind(column: Column) -> str:
    return f' class="{column.kind}"' if column.kind else ""
