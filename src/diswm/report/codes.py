"""The section on the code against true factors: the table of scores, which factor is readable, and how both went along training."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diswm.contract import DiswmError
from diswm.report import figures, information, words
from diswm.report.canvas import publish
from diswm.report.reading import Row, Run
from diswm.report.words import esc

FILE = "metrics.json"
SETS = {"independent": "Independent factors", "on_policy": "The run's own frames"}
LEADS = {
    "independent": "Every factor was drawn on its own, so that all scores have their meaning.",
    "on_policy": "Factors move together here: a code may seem to tell of one by telling of another. Probes only, whole episodes apart.",
}
NAMES = {
    "mig": "mutual information gap",
    "dci_disentanglement": "DCI, disentanglement",
    "dci_completeness": "DCI, completeness",
    "dci_informativeness": "DCI, informativeness",
    "sap": "SAP",
    "factor_vae_score": "FactorVAE score",
    "beta_vae_score": "beta-VAE score",
    "irs": "IRS",
    "mcc": "mean correlation, matched",
    "ridge_r2": "linear probe, R2",
    "gaussian_total_correlation": "Gaussian total correlation (nats; low is good)",
}
_TABLE = ("value", "low", "high", "null")


def write_scores(path: Path) -> Path:
    """From a metrics.json: metrics.csv and metrics.md beside it. Returns the .md. DiswmError for a file that cannot be read."""
    found = read_scores(path)
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["set", "score", "factor", *_TABLE, "dimension", "correlation"])
    for name in SETS:
        for row in found[name]["rows"]:
            table.writerow([name, row["name"], "", *(_plain(row.get(key)) for key in _TABLE), "", ""])
        for row in found[name]["factors"]:
            ends = [_plain(row.get(key)) for key in (*_TABLE, "dimension", "correlation")]
            table.writerow([name, "ridge_r2", row["name"], *ends])
    path.with_suffix(".csv").write_text(out.getvalue(), encoding="utf-8")
    page = path.with_suffix(".md")
    page.write_text("\n".join(_markdown(found)) + "\n", encoding="utf-8")
    return page


def _markdown(found: dict[str, Any]) -> list[str]:
    lines = [f"# Code of {found.get('run')} against the factors of {found.get('world')}", ""]
    for name, title in SETS.items():
        part = found[name]
        lines += [f"## {title}", "", _lead(name, part), ""]
        if part["rows"]:
            lines += ["| score | value | 95% interval | chance |", "|---|---|---|---|"]
            lines += [
                f"| {_named(row)} | {words.number(row['value'])} | {_ends(row)} | {words.number(row.get('null'))} |" for row in part["rows"]
            ]
            lines += [
                "",
                "| factor | linear probe, R2 | 95% interval | chance | nearest dimension (correlation) |",
                "|---|---|---|---|---|",
            ]
            lines += [
                f"| {row['name']} | {words.number(row['value'])} | {_ends(row)} | {words.number(row.get('null'))} | {_nearest(row)} |"
                for row in part["factors"]
            ]
        lines += ["", *(f"- {note}" for note in part["notes"]), ""]
    fixed = [f"- {name}: {why}" for name, why in (found.get("fixed") or {}).items()]
    return [*lines, "## Not varied", "", *([f"- {found['note']}"] if found.get("note") else []), *fixed]


def _lead(name: str, part: dict[str, Any]) -> str:
    return f"{part.get('source')}. {LEADS[name]}" if part["rows"] else f"Not scored: {part.get('missing', 'no reason is known')}."


def section(run: Run, folder: Path) -> str:
    """Tables of a run that was scored, and curves of one that was probed along training; empty where it was neither."""
    drawing = figures.probes(run)
    html = publish(drawing, folder) if drawing else ""
    hurts = [row for row in run.of("probe") if row.get("probe/negative_transfer") == 1.0]
    if hurts:
        html += (
            f'<p class="lead after">Negative transfer: from update {words.count(hurts[0].get("updates"))} on there are scores at which the '
            "code is nearer to the teacher's than at the start, but tells less of the factors.</p>"
        )
    path = run.path / FILE
    if not path.is_file():
        return html
    try:
        found = read_scores(path)
    except DiswmError as error:
        run.problems.append(str(error))
        return html
    known = information.read_information(run)
    told = publish(information.heat_map(*known), folder) if known else ""
    return html + told + "".join(_part(found[name], title, LEADS[name]) for name, title in SETS.items())


def read_scores(path: Path) -> dict[str, Any]:
    """The content of a metrics.json, both sets with rows, factors and notes. DiswmError for a file that cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        parts = {name: {"rows": [], "factors": [], "notes": [], **found.get(name, {"missing": "was not scored"})} for name in SETS}
        for part in parts.values():
            for row in [*part["rows"], *part["factors"]]:
                if not isinstance(row["name"], str) or not math.isfinite(row["value"]):
                    raise ValueError(f"the score {row.get('name')} is no number")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DiswmError(f"{path}: cannot be read ({error}). Make it with `diswm metrics RUN`.") from error
    return {**found, **parts}


def _part(part: dict[str, Any], title: str, lead: str) -> str:
    if not part["rows"]:
        return f'<h3>{title}</h3><p class="missing">{esc(part.get("missing", "Not scored"))}.</p>'
    notes = f"<ul>{''.join(f'<li>{esc(note)}</li>' for note in part['notes'])}</ul>" if part["notes"] else ""
    heads = ("Score", "Value", "95% interval", "Chance")
    scores = [(esc(_named(row)), words.number(row["value"]), _ends(row), words.number(row.get("null"))) for row in part["rows"]]
    more = ("Factor", "Linear probe, R2", "95% interval", "Chance", "Nearest dimension (correlation)")
    each = [
        (esc(row["name"]), words.number(row["value"]), _ends(row), words.number(row.get("null")), _nearest(row)) for row in part["factors"]
    ]
    return f'<h3>{title}</h3><p class="lead">{esc(part.get("source", ""))}. {lead}</p>{_table(heads, scores)}{_table(more, each)}{notes}'


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col"{"" if i == 0 else " class=num"}>{name}</th>' for i, name in enumerate(heads))
    body = "".join(f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td class=num>{cell}</td>" for cell in row[1:])}</tr>' for row in rows)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _named(row: Row) -> str:
    return NAMES.get(row["name"], row["name"].replace("_", " "))


def _ends(row: Row) -> str:
    return words.interval(row.get("low"), row.get("high"))


def _nearest(row: Row) -> str:
    return f"{row['dimension']} ({words.number(row['correlation'])})"


def _plain(value: Any) -> Any:
    return "" if value is None else round(value, 6) if isinstance(value, float) else value
