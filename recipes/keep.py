"""The numbers of a study, small enough for a repository: FOLDER/<variant>/<seed> and FOLDER/teachers -> the same below RESULT.

python recipes/keep.py runs/transfer results/runs/transfer

Of each run its config (paths from the study's folder on), cost, final evaluation, scores of its code (`diswm metrics`) and metrics are
kept, of the updates' metrics one line in twenty. The other recipes read what is kept as they read the runs, so that a study may be made
in parts, on several days and machines. A run that went further takes the place of what was kept of it; a kept run that is not in FOLDER
stays.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from diswm.contract import DiswmError
from diswm.report.reading import read_run

FILES = ("config.json", "cost.json", "evaluation.json", "metrics.json")
EVERY = 20
NOT_THE_NUMBERS = ("out", "device", "threads", "wandb", "probe")
"""Settings that may differ between what is kept and what takes its place."""


def thinned(lines: list[str]) -> list[str]:
    """Every line that is not an update's, and one in ``EVERY`` of those. A last line that was cut off by a kill is left out."""
    kept, updates = [], 0
    for line in lines:
        try:
            kind = json.loads(line).get("kind")
        except ValueError:
            continue
        updates += kind == "update"
        if kind != "update" or updates % EVERY == 0:
            kept.append(line)
    return kept


def keep(run: Path, target: Path, study: Path) -> None:
    """One run. DiswmError where what is kept of it went further, or is of another config."""
    found = read_run(run)
    cut = f"{study.resolve().parent}/"  # where the study lies on this machine is nobody's business
    config = json.loads(json.dumps(found.config).replace(cut, ""))
    if (target / "config.json").is_file():
        before = read_run(target)
        if any(before.config.get(name) != value for name, value in config.items() if name not in NOT_THE_NUMBERS):
            raise DiswmError(f"{target}: is of a run with another config than {run}. Move one of them away.")
        if before.latest("frames") > found.latest("frames") or before.latest("updates") > found.latest("updates"):
            raise DiswmError(f"{target}: went further than {run}. Remove it to begin anew.")
        if any(before.latest(clock) < found.latest(clock) for clock in ("frames", "updates")):
            (target / "metrics.json").unlink(missing_ok=True)  # of a code that has learned on since
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (run / name).is_file():
            (target / name).write_text((run / name).read_text().replace(cut, ""))
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (target / "metrics.jsonl").write_text("".join(line + "\n" for line in thinned(lines)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a study: folders <variant>/<seed> and teachers/<name>")
    parser.add_argument("result", type=Path)
    args = parser.parse_args()
    runs = [path.parent for path in sorted(args.folder.glob("*/*/config.json")) if path.parent.parent.name != "videos"]
    if not runs:
        parser.error(f"{args.folder}: holds no runs <variant>/<seed>. Expected the folder of a study.")
    for run in runs:
        try:
            keep(run, args.result / run.relative_to(args.folder), args.folder)
        except DiswmError as error:
            parser.error(str(error))
        print(args.result / run.relative_to(args.folder))


if __name__ == "__main__":
    main()
