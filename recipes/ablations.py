"""The panels of the paper's Figures 7, I and 8: FOLDER/<target>/<variant>/<seed> -> results/ablations.{md,csv,png}.

python recipes/ablations.py runs/ablations
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import study

from diswm.contract import DiswmError
from diswm.report.trials import MEASURES, Trial, by_variant


class Panel(NamedTuple):
    """Variants <name>=<value>, and others that are values of it too: their labels."""

    title: str
    name: str
    others: dict[str, str]


PANELS = (
    Panel("ablation (Figure 7)", "", {"diswm": "diswm", "no_distill": "without distillation", "no_disentangle": "without disentanglement"}),
    Panel("weight of the distillation (Figure 7)", "distill", {"no_distill": "0", "diswm": "0.1 (diswm)"}),
    Panel("beta (Figure 7)", "beta", {"no_disentangle": "0", "diswm": "0.015 (diswm)"}),
    Panel("dimensions of the code (Figure I)", "code", {"diswm": "20 (diswm)"}),
    Panel("kind of distillation", "distill_kind", {"diswm": "gaussian_kl (diswm)"}),
    Panel("videos of the teacher (Figure 8)", "source", {"dreamerv2": "none (DreamerV2)"}),
)


def members(panel: Panel, groups: dict[str, list[Trial]]) -> dict[str, list[Trial]]:
    """Label -> trials of one panel, numbers in their order; empty unless a variant of its own is there."""
    own = {text.partition("=")[2]: text for text in groups if panel.name and text.startswith(panel.name + "=")}
    if not own and (panel.name or len(panel.others.keys() & groups.keys()) < 2):
        return {}
    found = {**{label: variant for variant, label in panel.others.items() if variant in groups}, **own}
    return {label: groups[found[label]] for label in (sorted(found, key=rank) if panel.name else found)}


def rank(label: str) -> tuple[float, str]:
    """Numbers by size, words after them."""
    try:
        return float(label.split(" ")[0]), label
    except ValueError:
        return float("inf"), label


def collect(folder: Path) -> list[tuple[str, str, dict[str, list[Trial]]]]:
    """(target, title, label -> trials) of every panel that has runs. DiswmError where there is none."""
    found = []
    for target in sorted(path for path in folder.glob("*") if path.is_dir() and path.name not in study.NOT_RUNS):
        groups = by_variant(study.read_study(target)) if any(target.glob("*/*/config.json")) else {}
        found += [(target.name, panel.title, shown) for panel in PANELS if (shown := members(panel, groups))]
    if not found:
        raise DiswmError(f"{folder}: holds no panel. Expected <target>/<variant>/<seed>; recipes/ablations.sh makes it.")
    return sorted(found, key=lambda one: [panel.title for panel in PANELS].index(one[1]))


def draw(panels: list[tuple[str, str, dict[str, list[Trial]]]], path: Path) -> None:
    """The curves of each panel."""
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(5.2 * columns, 3.9 * lines), layout="constrained", squeeze=False)
    for place in axes.flat[len(panels) :]:
        place.set_axis_off()
    for place, (target, title, shown) in zip(axes.flat, panels, strict=False):
        study.draw_curves(place, shown)
        place.set_title(f"{title}: {target}", fontsize=10)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def report(folder: Path, results: Path, *, name: str, command: str) -> None:
    """Read the study, write the three files."""
    panels = collect(folder)
    trials = list({id(trial): trial for _, _, shown in panels for group in shown.values() for trial in group}.values())
    results.mkdir(parents=True, exist_ok=True)
    draw(panels, results / f"{name}.png")
    study.write_csv(results / f"{name}.csv", trials)
    parts = []
    for target, title, shown in panels:
        rows = [
            [label, f"{sum(t.finished for t in group)} of {len(group)}", *(study.measured(group, measure) for measure in MEASURES)]
            for label, group in shown.items()
        ]
        taught = [trial for group in shown.values() for trial in group]
        parts += [
            f"## {title}",
            f"{target}, {taught[0].budget:,} frames; videos of {study.source(taught)}.",
            study.markdown(["value", "seeds finished", *MEASURES], rows),
        ]
    study.write_text(results / f"{name}.md", [
        f"# {name}",
        study.origin(command, trials),
        f"{study.CELLS} All seeds of a value share one teacher. The grids of values are ours.",
        f"![panels]({name}.png)",
        *parts,
        study.unfinished(trials),
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="ablations")
    parser.add_argument("--command", default="recipes/ablations.sh")
    parser.add_argument("--results", type=Path, default=study.RESULTS)
    args = parser.parse_args()
    try:
        report(args.folder, args.results, name=args.name, command=args.command)
    except DiswmError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
