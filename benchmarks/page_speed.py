"""How fast the page of `diswm explore` draws: ``python benchmarks/page_speed.py [RUN ...] --out results/page_speed.md``.

Opens the page in a headless Chromium and moves its sliders, one move after the other's picture: how long the networks take for a picture,
how long it takes from the move until the picture is on the canvas (which waits for the screen, 60 times a second), and how many pictures a
sweep shows in a second. Of runs, and of the presets' sizes with untrained weights: how long a network takes does not depend on them.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from chromium import PATH, Chromium
from pages import arguments, opening, table

from diswm import bench
from diswm.config import TrainRun
from diswm.contract import IMAGE_SHAPE, DiswmError
from diswm.explorer import page
from diswm.explorer.bundle import bundle, networks_and_frames
from diswm.explorer.frames import Frames
from diswm.explorer.webruntime import read_runtime
from diswm.methods import for_training
from diswm.portable.graphs import require_exporter
from diswm.presets import apply_preset
from diswm.runtime import prepare

SMOOTH = 30  # pictures a second, at least
TOLD = {"networks": "networks_50", "from a move to its picture": "moves_50", "processor time": "busy"}
MEASURE = """(async () => {
  const panel = explorer.panels[0], networks = [], moves = [];
  const [decode, draw] = [panel.decode.bind(panel), panel.draw.bind(panel)];
  let tell = () => {};
  panel.decode = async (code) => {
    const before = performance.now(), found = await decode(code);
    networks.push(performance.now() - before);
    return found;
  };
  panel.draw = async () => { await draw(); tell(); };
  for (let i = 0; i < MOVES; i++) {
    const drawn = new Promise((done) => { tell = done; }), { slider } = panel.sliders[i % panel.sliders.length];
    const before = performance.now();
    slider.value = Number(slider.value) > 0 ? -2 : 2;
    slider.dispatchEvent(new Event("input"));
    await drawn;
    moves.push(performance.now() - before);
  }
  return { networks, moves };
})()"""
SWEEP = """(async () => {
  const panel = explorer.panels[0], count = panel.count, begun = performance.now();
  panel.sweep(0);
  await new Promise((done) => setTimeout(done, SECONDS * 1000));
  panel.stop();
  return 1000 * (panel.count - count) / (performance.now() - begun);
})()"""


def untrained(preset: str, method: str) -> dict[str, Any]:
    """What a page needs of networks of a preset's sizes."""
    config = apply_preset(for_training(TrainRun(), method), preset, "train")
    world = bench.build(config, "cpu", "float32").world.eval().requires_grad_(False)
    rng = np.random.default_rng(0)
    noise = Frames(rng.integers(0, 256, (32, *IMAGE_SHAPE), np.uint8), {}, 1, "noise", "nothing was trained")
    return {"name": preset, "title": "untrained", "route": method, **networks_and_frames(world, noise, rng)}


def measure(browser: Chromium, run: dict[str, Any], folder: Path, moves: int, seconds: float) -> dict[str, float]:
    """Milliseconds of the networks and from a move to its picture (median, 90% quantile), processor time of the page for a move, and
    pictures a second of a sweep."""
    path = folder / "page.html"
    path.write_text(page.document([run], read_runtime()))
    browser.show(path)
    browser.js("new Promise((done) => { const wait = () => explorer.panels[0].count ? done() : setTimeout(wait, 20); wait(); })")
    before = busy(browser)
    found = browser.js(MEASURE.replace("MOVES", str(moves)))
    used = busy(browser) - before
    assert not browser.problems, browser.problems
    times = {f"{name}_{q}": float(np.quantile(found[name], q / 100)) for name in ("networks", "moves") for q in (50, 90)}
    rate = browser.js(SWEEP.replace("SECONDS", str(seconds)))
    return {**times, "busy": 1000 * used / moves, "rate": rate, "megabytes": path.stat().st_size / 1e6}


def busy(browser: Chromium) -> float:
    """Seconds that a processor worked for the thread that scripts and networks run in, whatever else the machine did meanwhile."""
    browser.call("Performance.enable", timeDomain="threadTicks")
    found = {row["name"]: row["value"] for row in browser.call("Performance.getMetrics")["metrics"]}
    return float(found["TaskDuration"])


def written(found: Mapping[str, dict[str, float]], moves: int, load: float) -> str:
    """The page of results."""
    head = ["page of", "networks, a picture", "from a move to its picture", "processor time for it", "pictures a second of a sweep", "page"]
    rows = [head]
    for name, row in found.items():
        times = [f"{row[f'{part}_50']:.1f} ms (90%: {row[f'{part}_90']:.1f})" for part in ("networks", "moves")]
        rows.append([name, *times, f"{row['busy']:.1f} ms", f"{row['rate']:.0f}", f"{row['megabytes']:.1f} MB"])
    about = (
        f"The page of `diswm explore` in headless Chromium, WebAssembly with SIMD in one thread: medians of {moves} moves of sliders, each "
        f"made when the picture of the one before was there. {SMOOTH} pictures a second leave {1000 / SMOOTH:.0f} ms for each; a browser "
        "shows at most 60. Processor time is that of the page's main thread, which other programs hardly lengthen; painting adds its own."
    )
    return "\n\n".join([*opening("page_speed", "cpu", load), about, table(rows)]) + "\n"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("runs", nargs="*", type=Path, help="pages of these as well")
    parser.add_argument("--presets", nargs="*", default=["cpu", "paper"])
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3.0, help="of the sweep")
    args = parser.parse_args()
    load, found = os.getloadavg()[0], dict[str, dict[str, float]]()
    if PATH is None:
        parser.error("no chromium here (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder:
        browser = Chromium(Path(folder) / "profile")
        try:
            require_exporter()
            prepare("cpu", args.threads)
            pages: dict[str, Callable[[], dict[str, Any]]] = {}
            for preset in args.presets:
                pages[f"{preset}, untrained"] = partial(untrained, preset, args.method)
            pages |= {str(run): partial(bundle, run, None) for run in args.runs}
            for name, make in pages.items():
                found[name] = row = measure(browser, make(), Path(folder), args.moves, args.seconds)
                told = ", ".join(f"{part} {row[key]:.1f} ms" for part, key in TOLD.items())
                print(f"{name:18} {told}, {row['rate']:.0f} pictures a second of a sweep", flush=True)
        except DiswmError as error:
            parser.error(str(error))
        finally:
            browser.close()
    if args.out:
        args.out.write_text(written(found, args.moves, load))
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
