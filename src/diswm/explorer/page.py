"""The page: one HTML file that holds all it needs and asks the network for nothing."""

from __future__ import annotations

import json
import os
import re
import sys
import webbrowser
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from diswm.data.disk import write_atomically
from diswm.explorer.bundle import bundle, packed
from diswm.explorer.webruntime import WebRuntime, read_runtime
from diswm.portable.graphs import require_exporter
from diswm.report.style import CSS
from diswm.report.words import esc, listing
from diswm.trainers.progress import console

_ADVICE = "Free some space or choose another place with --out."
# Nothing is fetched, not even by mistake: the browser itself refuses.
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; style-src 'unsafe-inline'; img-src data:"


def explore(
    run: Path | str, other: Path | str | None = None, *, out: Path | None = None, videos: Path | None = None, show: bool = True
) -> Path:
    """Write a page with a slider for each dimension of a run's code and what its model draws of it; with ``other``, of both runs.

    ``out`` is the page (.html) or a folder; the run's own folder unless given, where a page with ``other`` has a name of its own.
    Frames are those of the run's own data, or of ``videos``. With ``show`` it is opened where there is a screen. Returns the page's
    path. DiswmError for a folder that is no run or has no Gaussian code, and where the extra ``export`` or onnxruntime-web is missing.
    """
    require_exporter()
    runtime = read_runtime()
    folders = [Path(run), *([Path(other)] if other else [])]
    names = names_of(folders)
    runs = [bundle(folder, videos) | {"name": name} for folder, name in zip(folders, names, strict=True)]
    page = _target(folders[0], out, names[1:])
    data = document(runs, runtime).encode()
    write_atomically(page, lambda file: file.write(data), need=len(data), advice=_ADVICE)
    for found in runs:
        if found["missing"]:
            console.print(f"{found['name']}: no factors are named, as {found['missing']}")
    if show and _has_screen():
        webbrowser.open(page.resolve().as_uri())
    return page


def _target(folder: Path, out: Path | None, beside: Sequence[str]) -> Path:
    if out is None:  # the page of a run alone stays
        return folder / ("_".join(["explore", *(re.sub(r"[^\w.-]+", "_", name) for name in beside)]) + ".html")
    return out if out.suffix.lower() in (".html", ".htm") else out / "explore.html"


def names_of(folders: Sequence[Path]) -> list[str]:
    """The names of runs: as much of the ends of their paths as tells them apart, and what a number is the seed of."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names) and not any(name.isdigit() for name in names):
            break
    return names


def _has_screen() -> bool:
    """Whether a window can open: on others, the browser that Python finds may be one that takes over the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def document(runs: list[dict[str, Any]], runtime: WebRuntime) -> str:
    """The page of one or two runs, as ``bundle`` gives them."""
    assets = files("diswm.explorer") / "assets"
    style, script, body = ((assets / name).read_text(encoding="utf-8") for name in ("explore.css", "explore.js", "explore.html"))
    names = listing(list(dict.fromkeys(run["title"] for run in runs)))
    routes = [f"<b>{esc(run['name'])}</b> · {esc(run['route'])}" for run in runs]
    filled = body.replace("{{title}}", esc(names)).replace("{{route}}", "<br>".join(routes))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><meta name="color-scheme" content="light dark">'
        f"<title>{esc(names)} · DisWM explorer</title><style>{CSS}{style}</style></head>"
        f'<body class="runs-{len(runs)}">{filled}'
        f'<script type="text/plain" id="ort">{packed(runtime.script)}</script>'
        f'<script type="text/plain" id="wasm">{packed(runtime.wasm)}</script>'
        f'<script type="application/json" id="runs">{in_script(runs)}</script>'
        f'<script type="module">{script}</script></body></html>\n'
    )


def in_script(value: Any) -> str:
    """JSON that cannot end the script element that it stands in, whatever a run is called."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
