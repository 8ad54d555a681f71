"""The kinds of the constraint on the code held against each other, and scores beside returns -> results/disentanglement.{md,csv,png}.

python recipes/disentanglement.py runs/disentanglement --runs results/runs
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import strengths
import study
import together

from diswm.agents import LearnerConfig
from diswm.contract import DiswmError
from diswm.metrics.scores import Interval, bootstrap_interval, stratified_bootstrap
from diswm.report import charts, words
from diswm.report.codes import NAMES
from diswm.report.trials import LEAST

SUMMED = ("mig", "dci_disentanglement", "dci_completeness", "sap", "factor_vae_score", "mcc")
REFERENCE = strengths.REFERENCE
BASELINES = {"untrained": "untrained encoder", "pixels": "principal components of pixels"}
DEFAULT = LearnerConfig().disentangle
PROBE_LOSS, IMAGE_GROWTH = 0.02, 0.05
LABELS = {
    "sum": "**sum score**", "image": "image: half the squared error of a frame", "code_kl": "nats of the code",
    "pose_r2": "linear probe R2, pose factors", "colour_r2": "linear probe R2, colour factors",
}  # fmt: skip
RULE = (
    "The rule, written before the numbers: a run's *sum score* is the mean, over MIG, both scores of DCI, SAP, FactorVAE score and MCC, "
    "of how far it came from chance (0) to the highest score (1). A kind becomes the default in the place of `beta_vae`, which is the "
    "paper's, if over all worlds, seed by seed, its sum score is higher with an interval above 0, its linear probe loses no more than "
    f"{PROBE_LOSS} and its image error grows by no more than {IMAGE_GROWTH:.0%}; of several, the one with the highest sum score. The "
    "intervals are widened so that all comparisons together err in one of twenty cases (Bonferroni), as far as few seeds let a bootstrap."
)
Run = dict[str, Any]
Table = dict[str, dict[str, list[Run]]]
"""World, kind -> its runs."""


def read(folder: Path) -> list[Run]:
    """What `benchmarks/regularisers.py` left. DiswmError where there is nothing, or runs of several scales."""
    runs: list[Run] = [json.loads(path.read_text()) for path in sorted(folder.glob("*/*/*.json")) if path.parents[1].name != "frames"]
    runs = [run for run in runs if "kind" in run]
    if not runs:
        raise DiswmError(f"{folder}: holds no scores <world>/<kind>/<seed>.json. Make them with benchmarks/regularisers.py --out {folder}.")
    if len({json.dumps(run["scale"], sort_keys=True) for run in runs}) > 1:
        raise DiswmError(f"{folder}: its runs are of several scales. Let benchmarks/regularisers.py go on, or take a folder for each.")
    return [{**run, "scores": {**summed(run), **run["scores"]}} for run in runs]


def table_of(runs: Iterable[Run]) -> Table:
    """The runs at the strengths that the code has; the toy world, the reference and the baselines in their places."""
    kept = [run for run in runs if strengths.is_default(run)]
    order = [REFERENCE, *sorted({run["kind"] for run in kept} - {REFERENCE}, key=lambda kind: (kind in BASELINES, kind))]
    found: Table = {}
    for run in sorted(kept, key=lambda run: (run["world"] != "toy", run["world"], order.index(run["kind"]), run["seed"])):
        found.setdefault(run["world"], {}).setdefault(run["kind"], []).append(run)
    return found


def summed(run: Run) -> dict[str, float]:
    """The sum score; nothing of a run without scores."""
    if any(name not in run["scores"] for name in SUMMED):
        return {}
    chance = {name: min(run["nulls"].get(name, 0.0), 0.999) for name in SUMMED}
    return {"sum": float(np.mean([(run["scores"][name] - chance[name]) / (1 - chance[name]) for name in SUMMED]))}


# ---- tables


def cell(values: Sequence[float]) -> str:
    """Mean and interval over seeds."""
    if not values:
        return words.MISSING
    found = bootstrap_interval(values)
    mean, low, high = (round(value, 3) for value in found)  # no table needs more of the smallest
    return f"{words.number(mean)} ({words.interval(low, high) if len(values) > 1 else 'one seed'})"


def world_table(kinds: dict[str, list[Run]]) -> str:
    """A line a score, a column a kind, and what chance gives."""
    every = [run for runs in kinds.values() for run in runs]
    known = list(dict.fromkeys(name for run in every for name in run["scores"]))
    names = [*(name for name in LABELS if name in known), *(name for name in known if name not in LABELS)]
    rows = []
    for name in names:
        nulls = [run["nulls"][name] for run in every if name in run["nulls"]]
        cells = [cell([run["scores"][name] for run in runs if name in run["scores"]]) for runs in kinds.values()]
        label = LABELS.get(name) or NAMES.get(name, name.replace("_", " "))
        rows.append([label, *cells, "0" if name == "sum" else words.number(float(np.mean(nulls))) if nulls else ""])
    return study.markdown(["score", *(BASELINES.get(kind, f"`{kind}`") for kind in kinds), "chance"], rows)


def gaps(found: Table, kind: str, name: str, *, ratio: bool = False) -> np.ndarray:
    """(seeds, worlds) of this kind less the reference, of seeds that have both everywhere; with ``ratio`` what it grows by."""
    pairs = []
    for kinds in found.values():
        own, other = ({run["seed"]: run["scores"][name] for run in kinds.get(k, []) if name in run["scores"]} for k in (kind, REFERENCE))
        pairs.append({s: own[s] / max(other[s], 1e-9) - 1 if ratio else own[s] - other[s] for s in own.keys() & other.keys()})
    seeds = sorted(set.intersection(*(set(pair) for pair in pairs)))
    return np.array([[pair[seed] for pair in pairs] for seed in seeds]).reshape(len(seeds), len(pairs))


def choice(found: Table) -> tuple[list[list[str]], str]:
    """Each kind beside the reference, and what the rule makes of it."""
    kinds = [kind for kind in dict.fromkeys(k for kinds in found.values() for k in kinds) if kind not in (REFERENCE, *BASELINES)]
    rows, better, few = [], {}, []
    for kind in kinds:
        table, probe, image = gaps(found, kind, "sum"), gaps(found, kind, "ridge_r2"), gaps(found, kind, "image", ratio=True)
        if len(table) < LEAST or not image.size:
            few.append(kind)
            rows.append([f"`{kind}`", str(len(table)), *[words.MISSING] * 3, f"fewer than {LEAST} seeds: nothing"])
            continue
        gap: Interval = stratified_bootstrap(table, lambda scores: np.mean(scores, (-2, -1)), level=1 - 0.05 / len(kinds), reps=20_000)
        lost, grown = float(probe.mean()), float(image.mean())
        verdict = "higher" if gap.low > 0 else "lower" if gap.high < 0 else "no difference shown"
        if gap.low > 0 and (lost < -PROBE_LOSS or grown > IMAGE_GROWTH):
            verdict += ", at the cost of " + words.listing(["the probe"] * (lost < -PROBE_LOSS) + ["the image"] * (grown > IMAGE_GROWTH))
        elif gap.low > 0:
            better[kind] = gap.mean
        ends = f"{words.number(gap.mean)} ({words.interval(gap.low, gap.high)})"
        rows.append([f"`{kind}`", str(len(table)), ends, words.number(lost), f"{grown:+.1%}".replace("-", "−"), verdict])
    if few == kinds:
        return rows, f"With fewer than {LEAST} seeds of all kinds in all worlds the rule decides nothing: `{REFERENCE}` stays the default."
    rest = f" Not judged: {words.listing([f'`{kind}`' for kind in few])}." if few else ""
    if better:
        best = max(better, key=lambda kind: better[kind])
        if best == DEFAULT:
            return rows, f"**By this rule `{best}` is the default**.{rest}"
        why = "the rule looks at codes alone; what agents earn with one and with the other is in [constraints.md](constraints.md)"
        return rows, f"**By this rule `{best}` would become the default.** The code still has `{DEFAULT}`: {why}.{rest}"
    return rows, f"**By this rule `{REFERENCE}` stays the default**: no other kind is shown to be better at no cost.{rest}"


def beside_baselines(found: Table) -> str:
    """Which kinds tell no more than pixels or an untrained encoder do."""
    lines = []
    for world, kinds in found.items():
        mean = {
            kind: float(np.mean(v)) for kind, runs in kinds.items() if (v := [r["scores"]["sum"] for r in runs if "sum" in r["scores"]])
        }
        trained = [kind for kind in mean if kind not in BASELINES]
        for kind, label in BASELINES.items():
            if kind not in mean or not trained:
                continue
            under = [f"`{one}`" for one in trained if mean[one] <= mean[kind]]
            who = f"all kinds{f' but {words.listing(under)}' if under else ''} are above it"
            who = who if len(under) < len(trained) else "no kind is above it: no code here is more disentangled than that"
            lines.append(f"- {world}, {label} ({words.number(mean[kind])}): {who}.")
    head = "By mean sum score over seeds, beside what needs no learning (the intervals below may overlap):"
    return "\n".join([head, "", *lines]) if lines else ""


def remarks(found: Table) -> str:
    """What runs had to say: dead codes, training that diverged; and codes that carry nothing."""
    told: dict[tuple[str, str, str], list[str]] = {}
    for world, kinds in found.items():
        for kind, runs in kinds.items():
            for run in runs:
                nats = run["scores"].get("code_kl", strengths.COLLAPSED)
                empty = [f"the code collapsed (below {strengths.COLLAPSED} nats): its scores are of what little varies"] * (
                    nats < strengths.COLLAPSED
                )
                for note in [*run["notes"], *empty]:
                    told.setdefault((world, kind, note), []).append(str(run["seed"]))
    lines = [
        f"- `{kind}` in {world}, seed{'s' * (len(seeds) > 1)} {words.listing(seeds)}: {note}" for (world, kind, note), seeds in told.items()
    ]
    none = "No run warned of dead codes, constant factors or training that diverged, and no code collapsed."
    return "\n".join(["Warnings:", "", *lines]) if lines else none


# ---- the files


def draw(found: Table, gathered: together.Gathered, path: Path) -> None:
    """Sum scores and probes by kind and world; below them returns beside scores."""
    kinds = list(dict.fromkeys(kind for kinds in found.values() for kind in kinds))
    styles, tasks = charts.looks(kinds), together.by_task(gathered.points)
    columns, lines = max(len(found), len(together.SHOWN) if tasks else 1), 2 + len(tasks)
    figure, axes = plt.subplots(lines, columns, figsize=(4.6 * columns, 3.4 * lines), layout="constrained", squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    for row, (name, label) in enumerate((("sum", "sum score (0: chance)"), ("ridge_r2", "linear probe, R2"))):
        for place, (world, runs) in zip(axes[row], found.items(), strict=False):
            place.set_axis_on()
            values = {kind: [run["scores"][name] for run in runs.get(kind, []) if name in run["scores"]] for kind in kinds}
            charts.dots(place, values, styles)
            place.set_yticks(range(len(kinds)), kinds if place is axes[row, 0] else [""] * len(kinds))
            place.axvline(0, color="0.3", linewidth=1)
            place.set_title(f"{world}: {label}", fontsize=10)
    for row, (task, points) in enumerate(tasks.items(), 2):
        looks = charts.looks(list(together.counted(points)))
        for place, name in zip(axes[row], together.SHOWN, strict=False):
            place.set_axis_on()
            together.scatter(place, points, name, looks)
            place.set_title(f"{task}: return beside {together.SHOWN[name]}", fontsize=10)
        if place.get_legend_handles_labels()[0]:
            place.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))  # many: beside the marks
    figure.savefig(path, dpi=130)
    plt.close(figure)


def write_csv(path: Path, runs: Sequence[Run], gathered: together.Gathered) -> None:
    """A line a run: of the study, and of the agents that exist."""
    lines = [["study", run["world"], run["kind"], run["strength"], run["seed"], "", run["scores"]] for run in runs]
    lines += [["agent", p.task, p.trial.variant, "", p.trial.seed, round(p.earned, 2), p.scores] for p in gathered.points]
    names = list(dict.fromkeys(name for line in lines for name in line[-1]))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["part", "world", "kind", "strength", "seed", "return", *names])
        writer.writerows([*head, *(float(f"{own[name]:.6g}") if name in own else "" for name in names)] for *head, own in lines)


def origin(runs: Sequence[Run], found: Table, command: str) -> str:
    """Where the numbers come from."""
    scale, here = runs[0]["scale"], runs[0]["machine"]
    model = scale["model"]
    firsts = {world: next(iter(kinds.values()))[0] for world, kinds in found.items()}
    worlds = "; ".join(f"{world} ({run['factors']} factors, `{run['distract']}`)" for world, run in firsts.items())
    had = {
        kind: value for kind, value in strengths.DEFAULTS.items() if kind != REFERENCE and any(kind in kinds for kinds in found.values())
    }
    return (
        f"`{command}`, {datetime.date.today()}. {here['machine']}, {here['device']}, one thread a run, torch {here['torch']}; "
        f"{words.plural(len(runs), 'run')}, {words.duration(sum(run['seconds'] for run in runs))} if one had followed the other.\n\n"
        f"A video model of each kind and seed: {scale['updates']:,} updates of {scale['batch']} windows of {scale['length']} frames (of "
        f"{scale['windows']:,} windows; poses walk, colours are new in each frame), code of {model['z_dim']}, depth {model['depth']}, "
        f"weights of `diswm pretrain`. Strengths: {words.listing([f'{kind} {value:g}' for kind, value in had.items()]) or 'none'}. "
        f"Then {scale['points']:,} frames never seen, each factor independent of the others: {worlds}. Chance: the same scores of "
        "shuffled points."
    )


def report(folder: Path, runs: Sequence[Path], results: Path, command: str) -> None:
    """Read both, write the three files."""
    every = read(folder)
    found = table_of(every)
    gathered = together.gather(runs, folder / "frames")
    results.mkdir(parents=True, exist_ok=True)
    draw(found, gathered, results / "disentanglement.png")
    write_csv(results / "disentanglement.csv", every, gathered)
    rows, said = choice(found)
    heads = ["kind", "seeds", f"sum score less {REFERENCE}'s", "linear probe", "image error", "sum score is"]
    tables = [part for world, kinds in found.items() for part in (f"## {world}", world_table(kinds))]
    study.write_text(results / "disentanglement.md", [
        "# disentanglement",
        origin(every, found, command),
        "![sum scores, probes, returns](disentanglement.png)",
        "## Which kind is the default, and why",
        RULE,
        said,
        study.markdown(heads, rows) if rows else "",
        beside_baselines(found),
        strengths.section(every),
        "All seeds learn from the same windows; a seed has the same first weights and batches whatever the kind.",
        *tables,
        "Each cell: mean over seeds and its 95% bootstrap interval over seeds; with three seeds, about their spread.",
        remarks(found),
        together.section(gathered),
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what benchmarks/regularisers.py made")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="agents, or folders of them, kept ones too")
    parser.add_argument("--results", type=Path, default=study.RESULTS)
    parser.add_argument("--command", default="recipes/disentanglement.sh")
    args = parser.parse_args()
    try:
        report(args.folder, args.runs, args.results, args.command)
    except DiswmError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
