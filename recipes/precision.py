"""What bfloat16 changes in what is learned: FOLDER/float32/<seed> and FOLDER/bfloat16/<seed> -> results/precision.{md,csv,png}.

python recipes/precision.py runs/precision
"""

from __future__ import annotations

import argparse
from pathlib import Path

import curves
import study
import transfer

from diswm.contract import DiswmError
from diswm.report.trials import MEASURES, Trial, by_variant

NAMES = ("float32", "bfloat16")


def noise(trials: list[Trial]) -> list[list[str]]:
    """Rows: how far apart the seeds of one precision are, beside which a difference has to be read."""
    rows = []
    for name, members in by_variant(trials).items():
        done = [trial for trial in members if trial.finished]
        spreads = [[MEASURES[measure](trial) for trial in done] for measure in MEASURES]
        rows.append(
            [f"seeds of {name}, largest less smallest", str(len(done)), *(f"{max(v) - min(v):.1f}" if v else "-" for v in spreads), "", ""]
        )
    return rows


def report(folder: Path, results: Path, command: str) -> None:
    """Write the three files. DiswmError where one of the two is missing."""
    trials = [trial for trial in study.read_study(folder) if trial.variant in NAMES]
    groups = transfer.order(trials, NAMES[0])
    if missing := [name for name in NAMES if name not in groups]:
        raise DiswmError(f"{folder}: has no runs in {', '.join(missing)}. Expected {folder}/{missing[0]}/<seed>; the recipe makes them.")
    task, budget = trials[0].run.text("env.task", "?"), trials[0].budget
    results.mkdir(parents=True, exist_ok=True)
    curves.draw(trials, results / "precision.png", f"{task} under colour distraction, by precision")
    study.write_csv(results / "precision.csv", trials)
    parts = [
        "# precision",
        study.origin(command, trials),
        f"`{trials[0].run.text('method', '?')}` on {task}, {budget:,} frames, in float32 and with products and convolutions in bfloat16; "
        f"the same seeds, one teacher (videos of {study.source(trials)}).",
        "![curves](precision.png)",
        curves.table(trials),
        "Differences seed by seed, and how far apart seeds of the same precision are:",
        study.markdown(["", *transfer.HEAD[1:]], [*transfer.differences(groups, NAMES[0]), *noise(trials)]),
        study.CELLS
        + " A seed begins with the same weights and the same episodes in both. After some hundred updates rounding has led the two "
        "apart, as any other change of the last digit would, so that a pair ends as far from each other as two seeds may.",
        study.unfinished(trials),
        "Minutes are those of this comparison, whatever else the machine did; what a precision costs is in speed.md.",
        "The release's networks and losses under bfloat16, number by number: `python benchmarks/parity.py FOLDER --precision bfloat16` "
        "(activations within 2% of the largest, losses and gradient norms within 0.5%; `tests/test_parity.py`).",
    ]
    study.write_text(results / "precision.md", parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--command", default="recipes/precision.sh")
    parser.add_argument("--results", type=Path, default=study.RESULTS)
    args = parser.parse_args()
    try:
        report(args.folder, args.results, args.command)
    except DiswmError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
