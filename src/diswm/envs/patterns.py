"""Pictures that are drawn and not loaded, so that every distraction works offline and free of anyone's licence.

Each is a pure function of its number: nothing is stored, and the same number is the same picture on every machine.
"""

from __future__ import annotations

import numpy as np

from diswm.contract import Array

FLOORS = ("checks", "stripes", "noise", "bricks", "dots", "diagonal", "rings", "blocks", "waves")
"""Patterns of the texture distraction; every third is for testing (see `part`)."""
TABLES = ("grid", "wood", "metal", "marble", "fabric", "blanket", "black")
"""Textures of DrawerWorld's table (Wang et al. 2021): the first two for training, metal for testing. Pictures of wood, metal, marble and
fabric come with metaworld; the others are drawn here."""
TABLE_SETS = {"all": TABLES, "train": TABLES[:2], "test": TABLES[2:3]}
CLIPS = 90
"""Drawn clips of each kind, as many as the 60 + 30 of the DAVIS 2017 split."""
FRAMES = 100
"""Frames of a drawn clip."""


def part(count: int, split: str) -> list[int]:
    """Those of ``count`` numbers that are in a set: every third is for testing, the others for training."""
    return [i for i in range(count) if split == "all" or (i % 3 == 2) == (split == "test")]


FLOOR_SETS = {split: tuple(FLOORS[i] for i in part(len(FLOORS), split)) for split in ("all", "train", "test")}


def floor(index: int, height: int, width: int) -> Array:
    """Pattern ``index`` of ``FLOORS`` in two greys-to-colours of its own, (height, width, 3) uint8; opposite edges meet."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    rng = np.random.default_rng([77, index])
    turn = 2 * np.pi
    waves = [(i, j, rng.uniform(0, turn)) for i in range(-3, 4) for j in range(4) if i or j]
    draw = {
        "checks": lambda: ((x * 4).astype(int) + (y * 4).astype(int)) % 2,
        "stripes": lambda: (x * 8).astype(int) % 2,
        "noise": lambda: 0.5 + np.asarray(sum(np.cos(turn * (i * x + j * y) + phase) for i, j, phase in waves)) / 12,
        "bricks": lambda: (np.abs(y * 6 % 1 - 0.5) < 0.42) & (np.abs((x * 3 + (y * 6).astype(int) % 2 / 2) % 1 - 0.5) < 0.46),
        "dots": lambda: np.hypot(x * 4 % 1 - 0.5, y * 4 % 1 - 0.5) < 0.3,
        "diagonal": lambda: ((x + y) * 6).astype(int) % 2,
        "rings": lambda: (np.hypot(x - 0.5, y - 0.5) * 10).astype(int) % 2,
        "blocks": lambda: rng.uniform(size=(8, 8))[(y * 8).astype(int), (x * 8).astype(int)],
        "waves": lambda: 0.5 + 0.5 * np.sin(turn * (4 * y + 0.3 * np.sin(turn * 2 * x))),
    }[FLOORS[index]]
    share = np.clip(np.asarray(draw(), np.float64), 0, 1)[..., None]
    dark, light = rng.uniform(0.05, 0.35, 3), rng.uniform(0.5, 0.95, 3)
    return ((dark * (1 - share) + light * share) * 255 + 0.5).astype(np.uint8)


def table(name: str, height: int, width: int) -> Array:
    """The drawn textures of ``TABLES``, (height, width, 3) uint8: dm_control's dark blue checks for ``grid``, a tartan for ``blanket``."""
    y, x = (np.mgrid[0:height, 0:width] + 0.5) / np.array([height, width]).reshape(2, 1, 1)
    colours = {
        "grid": [[0.1, 0.2, 0.3], [0.2, 0.3, 0.4]],
        "blanket": [[0.55, 0.1, 0.12], [0.1, 0.25, 0.2], [0.85, 0.8, 0.65]],
        "black": [[0, 0, 0]],
    }
    if name == "grid":
        thread = ((x >= 0.5) ^ (y >= 0.5)).astype(int)
    elif name == "blanket":  # a twill: every second pair of threads along the diagonal runs the other way
        bands = np.array([0, 0, 0, 0, 2, 1, 1, 1, 1, 2])
        over = ((x * width).astype(int) + (y * height).astype(int)) // 2 % 2 == 0
        thread = bands[(np.where(over, x, y) * 3 * len(bands)).astype(int) % len(bands)]
    else:
        thread = np.zeros((height, width), int)
    return (np.array(colours[name])[thread] * 255 + 0.5).astype(np.uint8)


def frame(kind: str, clip: int, time: int, size: int) -> Array:
    """Frame ``time`` of drawn clip ``clip`` of ``shapes``, ``noise`` or ``plain``, (size, size, 3) uint8."""
    rng = np.random.default_rng([{"shapes": 1, "noise": 2, "plain": 3}[kind], clip])
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    if kind == "plain":
        top, bottom = rng.uniform(0, 1, (2, 3))
        shift = 0.25 * np.sin(2 * np.pi * time / FRAMES)
        share = np.clip(y + shift, 0, 1)[..., None]
        image = top * (1 - share) + bottom * share
    elif kind == "noise":
        image = _noise(rng, x, y, time)
    else:
        image = _shapes(rng, x, y, time, size)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _noise(rng: np.random.Generator, x: Array, y: Array, time: int) -> Array:
    """A sum of plane waves in three colours that run each at its own speed: smooth, and nowhere alike."""
    image = np.zeros((*x.shape, 3))
    for _ in range(12):
        direction, phase = rng.normal(0, 9, 2), rng.uniform(0, 2 * np.pi)
        colour, speed = rng.normal(0, 0.09, 3), rng.uniform(-0.12, 0.12)
        image += colour * np.cos(direction[0] * x + direction[1] * y + phase + speed * time)[..., None]
    return image + rng.uniform(0.35, 0.65, 3)


def _shapes(rng: np.random.Generator, x: Array, y: Array, time: int, size: int) -> Array:
    """Discs and rectangles that cross a gradient and are mirrored at the edges."""
    top, bottom = rng.uniform(0.1, 0.9, (2, 3))
    image = top * (1 - y[..., None]) + bottom * y[..., None]
    for _ in range(9):
        start, speed, half = rng.uniform(0, 1, 2), rng.normal(0, 0.012, 2), rng.uniform(0.05, 0.2, 2)
        colour, round_ = rng.uniform(0, 1, 3), rng.uniform() < 0.5
        centre = np.abs((start + speed * time + 1) % 2 - 1)  # to and fro between 0 and 1
        if round_:
            outside = np.hypot(x - centre[0], y - centre[1]) - half[0]
        else:
            outside = np.maximum(np.abs(x - centre[0]) - half[0], np.abs(y - centre[1]) - half[1])
        cover = np.clip(0.5 - outside * size, 0, 1)[..., None]  # an edge of one pixel
        image = image * (1 - cover) + colour * cover
    return image
