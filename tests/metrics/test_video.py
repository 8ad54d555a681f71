"""PSNR and SSIM against cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from diswm.metrics.video import PSNR_CAP, psnr, ssim


@pytest.fixture
def video() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (2, 3, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("offset", [1, 5, 50])
def test_psnr_of_a_constant_offset(video: np.ndarray, offset: int) -> None:
    # the mean squared error is offset^2, so PSNR = 20 log10(255 / offset); uint8 arithmetic that wrapped would miss it
    got = psnr(video, video + np.uint8(offset))
    assert got.shape == (2, 3)
    np.testing.assert_allclose(got, 20 * np.log10(255 / offset), rtol=1e-6)


def test_identical_frames(video: np.ndarray) -> None:
    assert (psnr(video, video) == PSNR_CAP).all()
    np.testing.assert_allclose(ssim(video, video), 1.0)


def test_ssim_of_two_flat_frames_is_the_luminance_term() -> None:
    # No variance: SSIM = (2ab + C1) / (a^2 + b^2 + C1) with C1 = (0.01 * 255)^2 = 6.5025
    a, b = np.full((1, 16, 16, 3), 100, np.uint8), np.full((1, 16, 16, 3), 50, np.uint8)
    expected = (2 * 100 * 50 + 6.5025) / (100**2 + 50**2 + 6.5025)
    np.testing.assert_allclose(ssim(a, b), [expected], rtol=1e-9)


def test_ssim_of_one_window_by_hand() -> None:
    # An 11 x 11 frame holds one window: the weighted moments can be written out.
    rng = np.random.default_rng(3)
    a, b = (rng.integers(0, 256, (11, 11, 1), dtype=np.uint8) for _ in range(2))
    g = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    w = np.outer(g, g) / np.outer(g, g).sum()
    x, y = a[..., 0].astype(float), b[..., 0].astype(float)
    mx, my = (w * x).sum(), (w * y).sum()
    vx, vy, cov = (w * (x - mx) ** 2).sum(), (w * (y - my) ** 2).sum(), (w * (x - mx) * (y - my)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    np.testing.assert_allclose(ssim(a, b), expected, rtol=1e-9)


def test_ssim_falls_with_noise_and_is_symmetric(video: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    little, much = (np.clip(video + rng.normal(0, s, video.shape), 0, 255).astype(np.uint8) for s in (5, 60))
    assert (ssim(video, much) < ssim(video, little)).all()
    np.testing.assert_allclose(ssim(video, much), ssim(much, video))


def test_what_is_no_pair_of_videos_is_refused(video: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one shape"):
        psnr(video, video[:1])
    with pytest.raises(ValueError, match="uint8"):
        psnr(video.astype(np.float32), video.astype(np.float32))
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(video[..., :8, :8, :], video[..., :8, :8, :])
    with pytest.raises(ValueError, match="empty"):
        psnr(video[:0], video[:0])
