"""Squares out of any picture, and slower films out of fast ones."""

import numpy as np
import pytest
from PIL import Image

from diswm.contract import DiswmError
from diswm.data.fit import slower, square


def thirds(height=30, width=90):
    """Red, green and blue, each a third of the width."""
    image = np.zeros((height, width, 3), np.uint8)
    for index in range(3):
        image[:, index * width // 3 : (index + 1) * width // 3, index] = 255
    return Image.fromarray(image)


def test_crop_keeps_the_centre_letterbox_all_with_bars_and_stretch_all():
    crop, letterbox, stretch = (square(thirds(), 30, fit) for fit in ("crop", "letterbox", "stretch"))
    assert {image.shape for image in (crop, letterbox, stretch)} == {(30, 30, 3)}
    assert (crop == [0, 255, 0]).all()  # the green third is the centred square
    assert not letterbox[:10].any()  # 90 x 30 becomes 30 x 10: rows 10 to 19
    assert not letterbox[20:].any()
    for image in (letterbox[10:20], stretch):
        assert (image[:, 3:8] == [255, 0, 0]).all()
        assert (image[:, 13:17] == [0, 255, 0]).all()
        assert (image[:, 22:27] == [0, 0, 255]).all()


def test_an_upright_picture_gets_its_bars_at_the_sides():
    image = square(Image.fromarray(np.full((80, 40, 3), 200, np.uint8)), 16, "letterbox")
    np.testing.assert_array_equal(image.any((0, 2)), [False] * 4 + [True] * 8 + [False] * 4)  # 40 x 80 becomes 8 x 16


def test_a_picture_of_the_size_comes_as_it_is_and_a_larger_one_antialiased():
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for fit in ("crop", "letterbox", "stretch"):
        np.testing.assert_array_equal(square(Image.fromarray(noise), 16, fit), noise)
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # one pixel each: picking pixels would give all black or all white
    assert np.abs(square(Image.fromarray(stripes), 8, "crop").astype(int) - 127).max() <= 8


def test_an_unknown_fit_is_named_with_the_nearest():
    with pytest.raises(DiswmError, match="Did you mean letterbox"):
        square(thirds(), 8, "leterbox")


@pytest.mark.parametrize(
    ("fps", "target", "kept"),
    [
        (30, 10, [0, 3, 6, 9]),
        (10, 4, [0, 2, 5, 7]),  # ticks at 0, 2.5, 5, 7.5 frames: the frame on show
        (10, 9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (10, 30, list(range(10))),  # none is shown twice
        (29.97, 30, list(range(10))),
        (None, None, list(range(10))),
    ],
)
def test_which_frames_of_ten_are_kept(fps, target, kept):
    assert [index for index in range(10) if slower(fps, target)(index)] == kept


def test_a_rate_that_is_unknown_cannot_be_lowered():
    with pytest.raises(DiswmError, match=r"has no frames per second.*for 5. Leave --fps out"):
        slower(None, 5)
