"""How close a predicted video is to the real one: PSNR and SSIM of every frame.

Both are measures of pixels. They are high for a model that paints the background well and misses the body, so they are
read beside the frames, and against the frame that is simply repeated.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

PEAK = 255.0
PSNR_CAP = 100.0  # identical frames have infinite PSNR, and one of them would make every average infinite
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


def psnr(real: Array, other: Array) -> Array:
    """Peak signal-to-noise ratio in dB of uint8 frames (..., H, W, C), one number a frame (...); at most 100."""
    _check(real, other)
    error = np.square(real.astype(np.float32) - other.astype(np.float32)).mean(axis=(-3, -2, -1), dtype=np.float64)
    return np.minimum(20 * np.log10(PEAK) - 10 * np.log10(np.maximum(error, 1e-12)), PSNR_CAP)


def ssim(real: Array, other: Array) -> Array:
    """Structural similarity of uint8 frames (..., H, W, C), one number a frame (...).

    Wang et al. (2004): Gaussian window of 11 pixels and sigma 1.5, K = (0.01, 0.03), the mean over the places where the
    window lies wholly inside the frame and over the colour channels.
    """
    _check(real, other)
    if min(real.shape[-3:-1]) < _WINDOW:
        raise ValueError(f"SSIM needs frames of at least {_WINDOW} x {_WINDOW} pixels, got {real.shape[-3:-1]}")
    lead = real.shape[:-3]
    a, b = (video.reshape(-1, *video.shape[-3:]) for video in (real, other))
    # Frame by frame: five blurred maps of a whole video at once would need 40 times its memory.
    scores = [_ssim_frame(x.astype(np.float64), y.astype(np.float64)) for x, y in zip(a, b, strict=True)]
    return np.asarray(scores, dtype=np.float64).reshape(lead)


def _ssim_frame(a: Array, b: Array) -> float:
    mean_a, mean_b, square_a, square_b, product = _blur(np.stack([a, b, a * a, b * b, a * b]))
    var_a, var_b, cov = square_a - mean_a**2, square_b - mean_b**2, product - mean_a * mean_b
    top = (2 * mean_a * mean_b + _C1) * (2 * cov + _C2)
    bottom = (mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2)
    return float((top / bottom).mean())


def _blur(maps: Array) -> Array:
    """Gaussian blur of (M, H, W, C) over H and W, where the whole window fits: (M, H - 10, W - 10, C)."""
    kernel = np.exp(-0.5 * (np.arange(_WINDOW) - _WINDOW // 2) ** 2 / _SIGMA**2)
    kernel /= kernel.sum()
    rows, columns = maps.shape[1] - _WINDOW + 1, maps.shape[2] - _WINDOW + 1
    maps = sum(weight * maps[:, i : i + rows] for i, weight in enumerate(kernel))
    return sum(weight * maps[:, :, i : i + columns] for i, weight in enumerate(kernel))


def _check(real: Array, other: Array) -> None:
    if real.shape != other.shape or real.ndim < 3:
        raise ValueError(f"expected two videos (..., H, W, C) of one shape, got {real.shape} and {other.shape}")
    if real.dtype != np.uint8 or other.dtype != np.uint8:
        raise ValueError(f"expected uint8 frames, got {real.dtype} and {other.dtype}")
    if real.size == 0:
        raise ValueError("the video is empty")
