"""Seconds of one update, at the paper's sizes unless told otherwise: ``python benchmarks/update_speed.py [--device cuda] [--json]``.

In float32 and, where the machine has units for it, in bfloat16, on a GPU from a CUDA graph and beside it launched piece by piece; the FLOPs
of its products and convolutions; the share of what the machine gives on those very shapes, measured in the same run; sampling, acting and
peak memory. ``--sweep`` adds how the time grows with batch x length, code size and number of actions (each doubled), on one line each.
With ``--json`` the last line is one object.

The page of results: ``python benchmarks/update_speed.py --sweep --out results/speed.md``; ``--released SECONDS`` adds how many times
faster it is than an update of the authors' release that was timed beside it on the same machine.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pages import arguments, table

from diswm import bench
from diswm.config import TrainRun, merge
from diswm.contract import DiswmError
from diswm.methods import for_training
from diswm.presets import PRESETS, apply_preset
from diswm.runtime import prepare
from diswm.trainers.run import machine, peak_rss_bytes


def sweep(config: TrainRun, device: str) -> dict[str, float]:
    """How many times longer an update takes with one size doubled; in proportion where that is 2 or less."""
    base = bench.update_speed(config, device, "auto", limit=False).update
    changes = {
        "batch": {"train.batch": 2 * config.train.batch},
        "length": {"train.length": 2 * config.train.length},
        "code": {"model.z_dim": 2 * config.model.z_dim},
    }
    times = {name: bench.update_speed(merge(config, change), device, "auto", limit=False).update for name, change in changes.items()}
    times["actions"] = bench.update_speed(config, device, "auto", limit=False, actions=2 * bench.ACTIONS).update
    return {name: seconds / base for name, seconds in times.items()}


def rows(found: Mapping[str, Any], released: float | None, every: int) -> Iterator[tuple[str, str]]:
    """What was measured, and the value."""
    chosen = found["update_seconds_bfloat16"] or found["update_seconds_float32"]
    gpu = found["gpu"]
    for name in ("bfloat16", "float32"):
        if seconds := found[f"update_seconds_{name}"]:
            times = f", {released / seconds:.2f} times the release ({released:.2f} s)" if released else ""
            yield f"update, {name}", f"{_seconds(seconds, gpu)}{times}"
            if eager := found.get(f"eager_seconds_{name}"):
                yield f"the same without a CUDA graph, {name}", f"{_seconds(eager, gpu)}, {eager / seconds:.1f} times as long"
            yield f"share of the limit, {name}", f"{found[f'share_of_limit_{name}']:.0%} of {_seconds(found[f'limit_seconds_{name}'], gpu)}"
    yield "arithmetic of an update", f"{found['flop'] / 1e9:,.0f} GFLOP"
    yield (
        "windows of a batch from the replay",
        f"{1e3 * found['sampling_seconds']:.1f} ms, {found['sampling_seconds'] / chosen:.1%} of an update",
    )
    yield "acting, one environment, without its picture", f"{1e3 * found['acting_seconds']:.2f} ms"
    if found["env_seconds"]:
        yield "environment, one agent step with its picture", f"{1e3 * found['env_seconds']:.2f} ms"
    yield (
        f"of the time between two updates ({every} steps), in updates",
        f"{chosen / (chosen + every * _beside(found) + max(found['sampling_seconds'] - chosen, 0)):.0%}",
    )
    for name, ratio in found.get("growth_when_doubled", {}).items():
        yield f"twice the {name}", f"{ratio:.2f} times the time"
    yield "peak memory of this benchmark", f"{found['peak_rss_bytes'] / 2**30:.2f} GiB"
    if gpu:
        yield "of the GPU", f"{found['peak_gpu_bytes'] / 2**30:.2f} GiB"


def _seconds(seconds: float, gpu: bool) -> str:
    return f"{1e3 * seconds:.2f} ms" if gpu else f"{seconds:.3f} s"


def _beside(found: Mapping[str, Any]) -> float:
    """Seconds of an agent step without its share of updates."""
    return float(found["acting_seconds"] + (found["env_seconds"] or 0.0))


def page(found: Mapping[str, Any], config: TrainRun, args: argparse.Namespace, load: float) -> str:
    """The page of results."""
    here = machine()
    device = f"{here['device']}, " if found["gpu"] else ""
    where = f"{here['machine']}, {device}{here['threads']} threads, torch {here['torch']}"
    words = [word for word in sys.argv[1:] if word != args.note and not word.startswith("--note")]
    command = " ".join(["python benchmarks/update_speed.py", *words])
    busy = f"Other programs kept {load:.1f} cores busy when it began. " if load > 0.5 else ""
    t = config.train
    lines = [("what", "measured"), *rows(found, args.released, t.update_every)]
    return "\n\n".join([
        "# update_speed",
        f"`{command}`, {datetime.date.today()}, {where}. {busy}".strip(),
        f"One update of `{args.method}` at the sizes of the preset `{args.preset}`: batch {t.batch} x {t.length}, "
        f"{config.dreamer.horizon} imagined states, on noise. The limit is the time that its products and convolutions need alone, each "
        "at the best rate that this machine gave on that very shape in the same run.",
        table(lines),
        *([args.note] if args.note else []),
    ])  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="paper")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--released", type=float, metavar="SECONDS", help="an update of the authors' release, timed beside this")
    parser.add_argument("--note", help="a paragraph at the end of the page")
    args = parser.parse_args()
    try:
        device = prepare(args.device, args.threads)
        config = apply_preset(for_training(TrainRun(), args.method), args.preset, "train")
    except DiswmError as error:
        parser.error(str(error))
    load = os.getloadavg()[0]
    found = bench.bench(config, device)
    found["peak_rss_bytes"] = peak_rss_bytes()
    if found["gpu"]:
        found["peak_gpu_bytes"] = torch.cuda.max_memory_reserved()
    print("\n".join(bench.lines(found, config)))
    print(f"peak memory        {found['peak_rss_bytes'] / 2**30:9.2f} GiB")
    if args.sweep:
        found["growth_when_doubled"] = sweep(config, device)
        for name, ratio in found["growth_when_doubled"].items():
            print(f"twice the {name:8} {ratio:9.2f} times the time")
    if args.out:
        args.out.write_text(page(found, config, args, load) + "\n")
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
