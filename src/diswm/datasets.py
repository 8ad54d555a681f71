"""The verbs of `diswm data` as functions: look into videos of any kind, convert them, draw a preview."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from diswm.data.cameras import remarks
from diswm.data.convert import Conversion, convert
from diswm.data.fit import Fit
from diswm.data.manifest import read_manifest, skipped_clips
from diswm.data.readers import Source, open_source
from diswm.data.survey import preview, survey
from diswm.trainers.progress import Bar, console, progress

SHOWN = 8
"""Lines of a list that are printed; all of it is in the manifest."""


def data_info(path: Path | str) -> dict[str, Any]:
    """What a file or folder of videos is: kind, clips, frames, sizes, fps, cameras, factors, what is damaged or skipped and why.

    By headers, checksums and, of our own data sets, the hashes of their manifest; nothing is decoded or written. An archive is unpacked
    for the time of the call. Raises DiswmError for what holds no videos.
    """
    path = Path(path)
    with _opened(path) as source, progress("look into", len(source.clips), "clips") as bar:
        return survey(path, source, lambda done, total: bar.update(done))


def data_convert(
    sources: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    size: int = 64,
    fit: Fit = "crop",
    fps: float | None = None,
    camera: str | None = None,
) -> Path:
    """Make one data set of ours, in the folder ``out``, of all ``sources``; clips that cannot be used are named.

    Where ``out`` is the whole result of the same conversion of the same files (by their hashes), nothing is done; where it is damaged, it
    is replaced. Raises DiswmError, naming the sources that have changed, where it is the result of another.
    """
    paths = [Path(source) for source in ([sources] if isinstance(sources, str | Path) else sources)]
    out = Path(out)
    with progress("convert", 1, "clips") as bar:
        done = convert(paths, out, Conversion(size, fit, fps, camera), unpacking(bar), converting(bar), hashing(bar), console.print)
    manifest = read_manifest(out)
    if not done:
        console.print(f"{out}: is the result of this conversion already; nothing is to be done")
    report(manifest)
    console.print(f"{out}: {len(manifest['clips'])} clips, {manifest['rows']:,} frames in {manifest['episodes']} episodes")
    return out


def data_preview(
    path: Path | str,
    out: Path | str = "preview.png",
    *,
    size: int = 64,
    fit: Fit = "crop",
    fps: float | None = None,
    camera: str | None = None,
) -> Path:
    """Write a picture (.png) or an animation (.gif) of a few clips as a conversion with these settings shows them."""
    with _opened(Path(path)) as source:
        names = preview(source, Path(out), Conversion(size, fit, fps, camera))
    console.print(f"{out}: {', '.join(names)}")
    return Path(out)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Source]:
    """The clips; what an archive is unpacked to goes at the end."""
    with tempfile.TemporaryDirectory(prefix="diswm-") as cache:
        with progress("look into", 1, "files") as bar:
            source = open_source(path, Path(cache), unpacking(bar))
        yield source


def unpacking(bar: Bar) -> Any:
    """Shows on the bar how far an archive is unpacked."""
    return lambda done, total: bar.update(0, f"unpacking, {done / total:.0%}")


def hashing(bar: Bar) -> Any:
    """Shows on the bar how far the sources are compared with those of an earlier conversion."""
    return lambda done, total: bar.update(0, f"hashing, {done / max(total, 1):.0%}")


def converting(bar: Bar) -> Any:
    """Shows on the bar how far clips are converted."""

    def watch(done: int, total: int, frames: int) -> None:
        bar.total = total
        bar.update(done, f"decoding, {frames:,} frames")

    return watch


def report(manifest: Mapping[str, Any]) -> None:
    """Say which clips a conversion left out, and which it could use a part of only."""
    skipped = skipped_clips(manifest)
    damaged = [(clip["name"], clip["damage"]) for clip in manifest.get("clips", []) if clip.get("damage")]
    for word, clips in (("left out", skipped), ("damaged", damaged)):
        for name, why in clips[:SHOWN]:
            console.print(f"{word} {name}: {why}")
        if len(clips) > SHOWN:
            console.print(f"{word}: {len(clips)} clips in all; manifest.json names them")
    for line in remarks(manifest):
        console.print(line)


def text(info: Mapping[str, Any]) -> str:
    """The facts of ``data_info`` for a reader."""
    about = "" if not info["clips_of_unknown_length"] else f", and {info['clips_of_unknown_length']} clips of unknown length"
    rows = [
        ("kind", info["kind"]),
        ("clips", f"{info['clips']:,}"),
        ("frames", f"{info['frames']:,}{about}{_promise(info)}"),
        ("sizes", _counts(info["sizes"])),
        ("fps", _counts(info["fps"])),
        ("cameras", _counts(info["cameras"]) + ("; they are mixed unless --camera takes one" if len(info["cameras"]) > 1 else "")),
        ("factors", ", ".join(f"{name} ({size})" for name, size in info["factors"].items())),
        ("task", info.get("task", "")),
        ("source", str(info.get("source", ""))),
        ("conversion", ", ".join(f"{name} {value}" for name, value in info.get("conversion", {}).items() if value is not None)),
        ("other files", _counts(info["other"])),
        ("hashes", _hashes(info)),
    ]
    lines = [f"{info['path']}", *(f"  {name:<12} {value}" for name, value in rows if value)]
    for word in ("damaged", "skipped"):
        lines += [f"  {word:<12} {name}: {why}" for name, why in info[word][:SHOWN]]
        if len(info[word]) > SHOWN:
            lines.append(f"  {word:<12} {len(info[word])} in all")
    return "\n".join(lines)


def problem(info: Mapping[str, Any]) -> str:
    """What makes the data set unfit as it is, and what to do; nothing where it can be used."""
    if broken := info.get("broken"):
        count = f"{len(broken)} of its {info['promised']['files']} files {'is' if len(broken) == 1 else 'are'}"
        return f"{info['path']}: {count} damaged or missing. {info['remedy']}"
    if not info["clips"]:
        return f"{info['path']}: none of its {len(info['skipped'])} clips can be used."
    return ""


def _promise(info: Mapping[str, Any]) -> str:
    """What the manifest counts, where that is another number: of a task each picture shows several frames of the simulator."""
    promised = info.get("promised", {})
    rows, frames = promised.get("rows"), promised.get("frames")
    other = f"; the manifest lists {rows:,}" if isinstance(rows, int) and rows != info["frames"] else ""
    simulated = isinstance(frames, int) and frames != rows
    return other + (f" ({frames:,} of the simulator, whose resets do not count)" if simulated else "")


def _hashes(info: Mapping[str, Any]) -> str:
    """How many files are as the manifest says."""
    if not (files := info.get("promised", {}).get("files")):
        return ""
    good = files - len(info["broken"])
    return f"{good:,} of {files:,} files are as the manifest says"


def _counts(counts: Mapping[str, int]) -> str:
    """``640 x 480 (12), 320 x 240 (1)``, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    more = f" and {len(ordered) - SHOWN} others" if len(ordered) > SHOWN else ""
    return ", ".join(f"{name} ({count:,})" for name, count in ordered[:SHOWN]) + more
