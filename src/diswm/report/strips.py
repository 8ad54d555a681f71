"""The pictures: what the model predicts, what its code holds, what the videos look like."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from diswm.contract import IMAGE_SHAPE, Array
from diswm.report import words
from diswm.report.canvas import INK, KEPT, MUTED, NARROW, OPEN, WIDE, Drawing, animation, mosaic, places
from diswm.report.reading import Run
from diswm.report.tables import Numbers
from diswm.report.unlike import policy

SIDE, GAP = IMAGE_SHAPE[0], 3
MAX_CLIPS, MAX_DIMS, SAMPLES = 3, 12, 8
QUIET = 0.05  # nats: a dimension below is as good as unused
ROWS = ("real", "reconstruction", "prediction")


def prediction_media(run: Run) -> dict[str, Array] | None:
    """media/prediction.npz, checked; a damaged or empty one counts as absent and is told of."""
    media = run.arrays("prediction.npz", (*ROWS, "context"))
    if media is None:
        return None
    shapes = {media[row].shape for row in ROWS}
    good = len(shapes) == 1 and media["real"].ndim == 5 and media["real"].shape[2:] == IMAGE_SHAPE and media["real"].size
    if not good or any(media[row].dtype != np.uint8 for row in ROWS) or media["context"].size != 1:
        found = ", ".join(sorted(map(str, shapes)))
        run.problems.append(f"media/prediction.npz should hold uint8 clips (N, T, 64, 64, 3) of one shape, it has {found}")
        return None
    media["context"] = np.clip(media["context"].reshape(()), 0, media["real"].shape[1])
    return media


def traversal_media(run: Run) -> dict[str, Array] | None:
    """media/traversal.npz, checked in the same way."""
    media = run.arrays("traversal.npz", ("images", "values", "kl"))
    if media is None:
        return None
    images, values, kl = media["images"], media["values"], media["kl"]
    good = images.ndim == 5 and images.dtype == np.uint8 and images.shape[2:] == IMAGE_SHAPE and images.size
    if not good or kl.shape != images.shape[:1] or values.shape != images.shape[1:2] or not np.isfinite(kl).all():
        wanted = "images (D, V, 64, 64, 3), values (V,) and finite kl (D,)"
        run.problems.append(f"media/traversal.npz should hold {wanted}; its images are {images.shape}")
        return None
    return media


def filtered_media(run: Run, media: dict[str, Array]) -> dict[str, Array] | None:
    """The traversal around a filtered state that media/traversal.npz holds beside that from zero; None where it has none."""
    found = run.arrays("traversal.npz", (), optional=("filtered", "seen"))
    if not found or len(found) < 2:
        return None
    images, seen = found["filtered"], found["seen"]
    if images.shape != media["images"].shape or images.dtype != np.uint8 or seen.size != 1:
        return None
    return {**media, "images": images, "seen": seen}


def prediction_strip(media: dict[str, Array], name: str) -> Drawing:
    """Real, reconstructed and predicted frames of the first clips, with the place where the model stops seeing."""
    length, context = media["real"].shape[1], int(media["context"])

    def draw(narrow: bool) -> Figure:
        clips = 1 if narrow else min(2, len(media["real"]))
        columns = shown_frames(length, context, 5 if narrow else 10)
        split = int((columns < context).sum())
        tops = places(3 * clips, SIDE, wide=np.where((np.arange(3 * clips) % 3 == 0) & (np.arange(3 * clips) > 0), 18, 0))
        lefts = places(len(columns), SIDE, wide=np.where((np.arange(len(columns)) == split) & (split > 0), 12, 0))
        sheet = mosaic(np.stack([media[row][clip][columns] for clip in range(clips) for row in ROWS]), tops, lefts)
        rows = [*(("real", "reconstr.", "predicted") if narrow else ROWS)] * clips
        figure, axes = _sheet_axes(sheet, rows, narrow, bottom=0.36)
        axes.set_yticks(tops + SIDE / 2, rows)
        axes.set_xticks(lefts + SIDE / 2, [str(f) if narrow or c else f"frame {f}" for c, f in enumerate(columns)])
        axes.xaxis.tick_top()
        if split < len(columns):
            edge = lefts[split] - (GAP + 12) / 2 - 0.5 if split else -GAP
            axes.vlines(edge, -4, sheet.shape[0] + 26, color=OPEN, linewidth=2, clip_on=False)
            axes.text(edge + 10, sheet.shape[0] + 8, "open loop →", ha="left", va="top", color=OPEN, fontsize=9.5, fontweight="bold")
            if split:
                axes.text(edge - 10, sheet.shape[0] + 8, "sees frames", ha="right", va="top", color=MUTED, fontsize=9.5)
        return figure

    return Drawing(
        name,
        "Left of the line the model has seen the frame; right of it the third row runs on alone, "
        f"from the first {words.plural(context, 'frame')}. "
        "Look for the body's pose in the last columns, not for the background, which is easy.",
        f"Film strips of real, reconstructed and predicted frames; open-loop prediction begins at frame {context} of {length}.",
        draw,
    )


def shown_frames(length: int, context: int, columns: int) -> Array:
    """Frames to show: spread evenly, with the last one seen and the first one predicted always among them."""
    columns = min(columns, length)
    if not 0 < context < length:
        return np.unique(np.linspace(0, length - 1, columns).round().astype(int))
    before = min(context, max(1, round(columns * 0.3)))
    after = min(length - context, columns - before)
    seen = np.linspace(0, context - 1, before) if before > 1 else np.array([context - 1.0])
    return np.unique(np.concatenate([seen, np.linspace(context, length - 1, after)]).round().astype(int))


def prediction_film(media: dict[str, Array]) -> tuple[bytes, bytes]:
    """The same clips moving, real | reconstruction | prediction; a bar above the prediction while it runs alone."""
    clips, context = min(MAX_CLIPS, len(media["real"])), int(media["context"])
    frames = []
    for t in range(media["real"].shape[1]):
        sheet = mosaic(np.stack([[media[row][clip, t] for row in ROWS] for clip in range(clips)]), places(clips, SIDE), places(3, SIDE))
        bar = np.zeros((4, sheet.shape[1], 4), np.uint8)
        if t >= context:
            bar[:3, -SIDE:] = (*bytes.fromhex(OPEN[1:]), 255)
        frames.append(np.concatenate([bar, sheet]))
    return animation(frames, 100)


def pixel_change(images: Array) -> Array:
    """How far each dimension moves the picture, in grey levels of 255: images (D, V, H, W, C) -> (D,).

    The mean over pixels and channels of the distance between the brightest and the darkest value that the row gives.
    """
    return (images.max(1).astype(np.float64) - images.min(1)).mean(axis=(1, 2, 3))


def traversal_grid(media: dict[str, Array], name: str = "traversal", most: int = MAX_DIMS) -> Drawing:
    """One row a code dimension, most informative first: the decoded frame as that one number moves."""
    kl, values, change = media["kl"].astype(float), media["values"].astype(float), pixel_change(media["images"])
    used = int((kl >= QUIET).sum())
    ranked = np.argsort(-kl, kind="stable")
    order = ranked[: min(used + 2, most)]  # two unused ones, to see what unused looks like

    def draw(narrow: bool) -> Figure:
        columns = np.unique(np.linspace(0, len(values) - 1, min(len(values), 5 if narrow else 11)).round().astype(int))
        tops, lefts = places(len(order), SIDE), places(len(columns), SIDE)
        rows = [f"dim {d}\n{kl[d]:.2f} nats\n{change[d]:.1f} levels" for d in order]
        figure, axes = _sheet_axes(mosaic(media["images"][order][:, columns], tops, lefts), rows, narrow)
        axes.set_yticks(tops + SIDE / 2, rows)
        axes.set_xticks(lefts + SIDE / 2, [_deviations(values[c], "" if narrow else " sd") for c in columns])
        axes.xaxis.tick_top()
        return figure

    around = words.plural(int(media["seen"]), "frame") if "seen" in media else ""
    rest = f"{used} of {len(kl)} dimensions carry {QUIET} nats or more; {len(order)} are shown."
    return Drawing(
        name,
        f"The same around a filtered state: the code of the frame that comes after the model has seen {around}. Look for what the past "
        "holds fast: a row that moved the picture from zero and hardly moves it here tells what the model knew already."
        if around
        else "Each row moves one dimension of the code of a frame, from a zero state as the paper’s pictures, by the standard deviations "
        "above of what all frames have, and holds the others. Rows are ordered by their KL (nats), which is how much the dimension is "
        "used; below it how far it moves the picture, in grey levels of 255 between the extremes of a pixel. "
        f"Look for rows that change one thing only (colour, or pose), and for rows with a small KL that change nothing. {rest}",
        f"Latent traversals {'around a filtered state' if around else 'from zero'}, most used first: "
        f"{words.listing([f'dimension {d} with {kl[d]:.2f} nats' for d in order])}.",
        draw,
        Numbers(("dimension", "kl_nats", "pixel_change_levels"), [[int(d), float(kl[d]), float(change[d])] for d in ranked]),
    )


def _deviations(value: float, unit: str) -> str:
    return f"{value:+.3g}{unit}".replace("-", "−") if abs(value) >= 0.005 else f"0{unit}"


def samples(rows: list[tuple[str, str, Array]]) -> Drawing:
    """Frames of the videos and of the task: (label, colour, frames (n, 64, 64, 3)) a row."""

    def draw(narrow: bool) -> Figure:
        columns = 5 if narrow else SAMPLES
        tiles = np.full((len(rows), columns, *IMAGE_SHAPE), 128, np.uint8)
        for r, (_, _, frames) in enumerate(rows):
            tiles[r] = frames[np.arange(columns) * len(frames) // columns]
        tops = places(len(rows), SIDE)
        labels = [words.wrapped(label, 11 if narrow else 20) for label, _, _ in rows]
        figure, axes = _sheet_axes(mosaic(tiles, tops, places(columns, SIDE)), labels, narrow, top=0.06)
        axes.set_yticks(tops + SIDE / 2, labels)
        for tick, (_, colour, _) in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_color(colour)
        axes.set_xticks([])
        return figure

    names = words.listing([label for label, _, _ in rows])
    return Drawing(
        "samples",
        "One row a source of frames. Look for what changes between rows beside the colours: "
        "the body, the camera, the floor; that is what has to be bridged.",
        f"Sample frames from {names}.",
        draw,
    )


def sample_rows(folders: list[tuple[str, Path]], run: Run) -> list[tuple[str, str, Array]]:
    """What can be shown: each (named) video folder (or each of its sub-folders with episodes), then the task, seen and unseen."""
    rows = []
    for name, folder in folders:
        parts = [part for part in [folder, *sorted(p for p in folder.iterdir() if p.is_dir())] if any(part.glob("*.npz"))]
        for part in parts[:4]:
            frames = _video_frames(part, run.problems)
            if frames is not None:
                whole = part == folder or part.name == "train_eps"  # the released data sets keep their episodes one level down
                rows.append((f"videos: {name}" if whole else f"videos: {name} {part.name}", KEPT, frames))
    for split in ("seen", "unseen"):
        frames = _gif_frames(run.path / "media" / f"eval_{split}.gif")
        if frames is not None:
            rows.append((f"task: {policy(run, split)}", INK, frames))
    return rows


def _video_frames(folder: Path, problems: list[str]) -> Array | None:
    """SAMPLES frames from episodes spread over the folder, each from another place of its episode."""
    files = sorted(folder.glob("*.npz"))
    frames = []
    for place, index in enumerate(np.linspace(0, len(files) - 1, SAMPLES).round().astype(int)):
        try:
            with np.load(files[index], allow_pickle=False) as file:
                images = file["image"]
            if images.ndim == 4 and images.shape[1:] == IMAGE_SHAPE and images.dtype == np.uint8:
                frames.append(images[(2 * place + 1) * len(images) // (2 * SAMPLES)])
        except (OSError, ValueError, KeyError, EOFError, IndexError, zipfile.BadZipFile) as error:
            problems.append(f"{files[index].name} could not be read: {error}")
    return np.stack(frames) if frames else None


def _gif_frames(path: Path) -> Array | None:
    """SAMPLES frames spread over an episode's film."""
    try:
        with Image.open(path) as film:
            frames = [np.asarray(f.convert("RGB").resize((SIDE, SIDE))) for f in ImageSequence.Iterator(film)]
    except (OSError, ValueError, EOFError):
        return None
    return np.stack(frames)[np.arange(SAMPLES) * len(frames) // SAMPLES] if frames else None


def gif_still(path: Path) -> bytes | None:
    """The first frame of a film as PNG; None when it cannot be read."""
    data = io.BytesIO()
    try:
        with Image.open(path) as film:
            film.convert("RGB").save(data, "PNG")
    except (OSError, ValueError, EOFError):
        return None
    return data.getvalue()


def _sheet_axes(sheet: Array, rows: list[str], narrow: bool, *, top: float = 0.3, bottom: float = 0.06) -> tuple[Figure, Axes]:
    """Axes that the picture fills, in a figure as high as it asks for; margins in inches, the left one for the row labels."""
    width, size = (NARROW, 8.5) if narrow else (WIDE, 9.5)
    left = 0.12 + size / 72 * 0.6 * max(len(line) for row in rows for line in row.split("\n"))
    height = (width - left - 0.02) * sheet.shape[0] / sheet.shape[1]
    figure = Figure(figsize=(width, height + top + bottom))
    total = height + top + bottom
    axes = figure.add_axes((left / width, bottom / total, (width - left - 0.02) / width, height / total))
    axes.imshow(sheet, aspect="auto")
    axes.autoscale(False)  # what is drawn around the picture must not shrink it
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=4, labelsize=size)
    return figure, axes
