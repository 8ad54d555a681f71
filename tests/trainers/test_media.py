"""Pictures on the disk: whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diswm.contract import DiswmError
from diswm.trainers import media


def test_a_film_that_does_not_fit_the_disk_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    path = tmp_path / "film.gif"
    media.save_gif(path, video)
    before = path.read_bytes()

    def full(self: Image.Image, file: Any, *args: Any, **settings: Any) -> None:
        file.write(b"GIF89a")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DiswmError, match="disk is full"):
        media.save_gif(path, video)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["film.gif"]
