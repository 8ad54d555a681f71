"""Time to sample windows from a full replay, and to restore it: ``python benchmarks/replay_speed.py [folder] [rows]``.

Writes and removes a replay of ``rows`` (100,000, 1.2 GB) under ``folder`` (the system's temporary one). The file is in the
page cache while it is timed, as it is in a run whose replay is smaller than the memory.
"""

import functools
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from diswm.data.replay import Replay

EPISODE, ACTION, EXTRAS = 251, 6, {"teacher_mean": 20}


def episode(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "image": rng.integers(0, 256, (EPISODE, 64, 64, 3), np.uint8),
        "action": rng.uniform(-1, 1, (EPISODE, ACTION)).astype(np.float32),
        "reward": np.zeros(EPISODE, np.float32),
        "is_terminal": np.zeros(EPISODE, bool),
        "teacher_mean": np.zeros((EPISODE, 20), np.float32),
    }


def milliseconds(call: Callable[[], object], repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return times


def main(parent: str | None, rows: int) -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=parent) as name:
        replay = Replay(Path(name), capacity=rows, action_dim=ACTION, extras=EXTRAS)
        example = episode(rng)
        adds = milliseconds(lambda: replay.add(example), rows // EPISODE)
        print(f"rows {len(replay)}, {replay.bytes_per_row} bytes a row, {replay.bytes_on_disk / 2**30:.2f} GiB on disk")
        print(f"add one episode of {EPISODE} rows: median {np.median(adds):.1f} ms")
        for batch, length in ((16, 32), (50, 50)):
            times = milliseconds(functools.partial(replay.sample, rng, batch, length), 100)
            print(f"sample ({batch}, {length}): median {np.median(times):.2f} ms, p95 {np.percentile(times, 95):.2f} ms")
        state = replay.state()
        replay.close()
        took = milliseconds(lambda: Replay.restore(Path(name), state, capacity=rows, action_dim=ACTION, extras=EXTRAS).close(), 1)[0]
        print(f"restore, every row's number checked: {took:.0f} ms")
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None, int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
