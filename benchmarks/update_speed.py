"""Seconds of one update, at the paper's sizes unless told otherwise: ``python benchmarks/update_speed.py [--device cuda] [--json]``.

In float32 and, where the machine has units for it, in bfloat16; the FLOPs of its products and convolutions; the share of what the
machine gives on those very shapes, measured in the same run; sampling, acting and peak memory. ``--sweep`` adds how the time grows with
batch x length, code size and number of actions (each doubled), on one line each. With ``--json`` the last line is one object.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys

from diswm import bench
from diswm.config import TrainRun, merge
from diswm.contract import DiswmError
from diswm.methods import for_training
from diswm.presets import PRESETS, apply_preset
from diswm.runtime import prepare


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="paper")
    parser.add_argument("--method", default="diswm")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads for PyTorch; 0: one per core")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        device = prepare(args.device, args.threads)
        config = apply_preset(for_training(TrainRun(), args.method), args.preset, "train")
    except DiswmError as error:
        parser.error(str(error))
    found = bench.bench(config, device)
    found["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print("\n".join(bench.lines(found, config)))
    print(f"peak memory        {found['peak_rss_bytes'] / 2**30:9.2f} GiB")
    if args.sweep:
        found["growth_when_doubled"] = sweep(config, device)
        for name, ratio in found["growth_when_doubled"].items():
            print(f"twice the {name:8} {ratio:9.2f} times the time")
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
