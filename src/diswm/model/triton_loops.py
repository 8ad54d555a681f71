"""`fused.Loops` compiled by Triton at first use, as functions of this module. Sums are of float32."""

from __future__ import annotations

import itertools
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

NORM_EPS = tl.constexpr(1e-5)  # nn.LayerNorm's own
LIMIT = tl.constexpr(1 - 1e-6)  # dists.clip_straight_through's
NUMBERS = 256  # a program's, where each stands for itself
PROGRAMS = 256  # that share the rows of a gradient, at most: each adds up what its rows give to the weights


@triton.jit
def _sigmoid(x):
    small = tl.exp(-tl.abs(x))
    return tl.where(x >= 0, 1.0, small) / (1.0 + small)


@triton.jit
def _tanh(x):
    small = tl.exp(-2.0 * tl.abs(x))
    return tl.where(x < 0, small - 1.0, 1.0 - small) / (1.0 + small)


@triton.jit
def _thirds(start, i, size: tl.constexpr, here):
    """Reset gate, candidate and update gate as float32, zeros beyond their ends."""
    reset = tl.load(start + i, mask=here, other=0.0).to(tl.float32)
    candidate = tl.load(start + size + i, mask=here, other=0.0).to(tl.float32)
    update = tl.load(start + 2 * size + i, mask=here, other=0.0).to(tl.float32)
    return reset, candidate, update


@triton.jit
def _add(place, size: tl.constexpr, here, reset, candidate, update):
    """Thirds onto what is there."""
    old_r, old_c, old_u = _thirds(place, 0, size, here)
    tl.store(place, old_r + reset, mask=here)
    tl.store(place + size, old_c + candidate, mask=here)
    tl.store(place + 2 * size, old_u + update, mask=here)


@triton.jit
def _normed(start, i, size: tl.constexpr, here):
    """The thirds of a row before layer norm's scale and shift, and 1 over its standard deviation."""
    reset, candidate, update = _thirds(start, i, size, here)
    mean = tl.sum(reset + candidate + update, 0) / (3 * size)
    reset = tl.where(here, reset - mean, 0.0)
    candidate = tl.where(here, candidate - mean, 0.0)
    update = tl.where(here, update - mean, 0.0)
    steep = 1.0 / tl.sqrt(tl.sum(reset * reset + candidate * candidate + update * update, 0) / (3 * size) + NORM_EPS)
    return reset * steep, candidate * steep, update * steep, steep


@triton.jit
def _gates(parts, state, new, scale, shift, size: tl.constexpr, block: tl.constexpr):
    n, i = tl.program_id(0), tl.arange(0, block)
    here = i < size
    reset, inner, update, _ = _normed(parts + n * 3 * size, i, size, here)
    scale_r, scale_c, scale_u = _thirds(scale, i, size, here)
    shift_r, shift_c, shift_u = _thirds(shift, i, size, here)
    candidate = _tanh(_sigmoid(reset * scale_r + shift_r) * (inner * scale_c + shift_c))
    old = tl.load(state + n * size + i, mask=here, other=0.0)
    result = old + _sigmoid(update * scale_u + shift_u - 1.0) * (candidate - old)
    tl.store(new + n * size + i, result, mask=here)


@triton.jit
def _gates_gradient(
    parts,
    state,
    grad,
    to_parts,
    to_state,
    total,
    scale,
    shift,
    count,
    size: tl.constexpr,
    block: tl.constexpr,
    weights: tl.constexpr,
    onto: tl.constexpr,
):
    first, i = tl.program_id(0), tl.arange(0, block)
    here = i < size
    scale_r, scale_c, scale_u = _thirds(scale, i, size, here)
    shift_r, shift_c, shift_u = _thirds(shift, i, size, here)
    sum_r, sum_c, sum_u = (tl.zeros([block], tl.float32), tl.zeros([block], tl.float32), tl.zeros([block], tl.float32))
    tilt_r, tilt_c, tilt_u = (tl.zeros([block], tl.float32), tl.zeros([block], tl.float32), tl.zeros([block], tl.float32))
    for n in range(first, count, tl.num_programs(0)):
        normed_r, normed_c, normed_u, steep = _normed(parts + n * 3 * size, i, size, here)
        inner = normed_c * scale_c + shift_c
        reset = _sigmoid(normed_r * scale_r + shift_r)
        update = _sigmoid(normed_u * scale_u + shift_u - 1.0)
        candidate = _tanh(reset * inner)
        old = tl.load(state + n * size + i, mask=here, other=0.0)
        above = tl.load(grad + n * size + i, mask=here, other=0.0)
        kept = above * (1.0 - update)
        if onto:
            kept += tl.load(to_state + n * size + i, mask=here, other=0.0)
        tl.store(to_state + n * size + i, kept, mask=here)
        slope_u = above * (candidate - old) * update * (1.0 - update)
        slope_c = above * update * (1.0 - candidate * candidate) * reset
        slope_r = slope_c * inner * (1.0 - reset)
        if weights:
            sum_r += slope_r
            sum_c += slope_c
            sum_u += slope_u
            tilt_r += slope_r * normed_r
            tilt_c += slope_c * normed_c
            tilt_u += slope_u * normed_u
        slope_r, slope_c, slope_u = slope_r * scale_r, slope_c * scale_c, slope_u * scale_u
        level = tl.sum(slope_r + slope_c + slope_u, 0) / (3 * size)
        tilt = tl.sum(slope_r * normed_r + slope_c * normed_c + slope_u * normed_u, 0) / (3 * size)
        row = to_parts + n * 3 * size + i
        tl.store(row, steep * (slope_r - level - normed_r * tilt), mask=here)
        tl.store(row + size, steep * (slope_c - level - normed_c * tilt), mask=here)
        tl.store(row + 2 * size, steep * (slope_u - level - normed_u * tilt), mask=here)
    if weights:
        to_scale = total + first * 6 * size + i
        _add(to_scale, size, here, tilt_r, tilt_c, tilt_u)
        _add(to_scale + 3 * size, size, here, sum_r, sum_c, sum_u)


@triton.jit
def _halves(stats, count, size: tl.constexpr, block: tl.constexpr):
    """The numbers of a program, each of a row and a column of its own: their places, and what stats has of them."""
    k = tl.program_id(0) * block + tl.arange(0, block)
    here = k < count
    n, i = k // size, k % size
    centre = tl.load(stats + n * 2 * size + i, mask=here, other=0.0).to(tl.float32)
    raw = tl.load(stats + n * 2 * size + size + i, mask=here, other=0.0).to(tl.float32)
    return k, n, i, here, centre, raw


@triton.jit
def _drawn(stats, noise, stride, mean, std, drawn, count, size: tl.constexpr, block: tl.constexpr, action: tl.constexpr):
    k, n, i, here, centre, raw = _halves(stats, count, size, block)
    spread = 2.0 * _sigmoid(raw / 2.0) + 0.1
    if action:
        centre = _tanh(centre)
    sample = centre + spread * tl.load(noise + n * stride + i, mask=here, other=0.0)
    if action:
        sample = tl.where(sample > LIMIT, LIMIT, tl.where(sample < -LIMIT, -LIMIT, sample))  # not a number stays so
    else:
        tl.store(mean + k, centre, mask=here)
    tl.store(std + k, spread, mask=here)
    tl.store(drawn + k, sample, mask=here)


@triton.jit
def _drawn_gradient(
    stats,
    noise,
    stride,
    from_mean,
    mean_stride,
    from_std,
    std_stride,
    from_drawn,
    drawn_stride,
    to_stats,
    count,
    size: tl.constexpr,
    block: tl.constexpr,
    action: tl.constexpr,
):
    _, n, i, here, centre, raw = _halves(stats, count, size, block)
    to_centre, to_spread = tl.zeros([block], tl.float32), tl.zeros([block], tl.float32)
    if from_mean is not None:
        to_centre += tl.load(from_mean + n * mean_stride + i, mask=here, other=0.0)
    if from_std is not None:
        to_spread += tl.load(from_std + n * std_stride + i, mask=here, other=0.0)
    if from_drawn is not None:
        slope = tl.load(from_drawn + n * drawn_stride + i, mask=here, other=0.0)
        to_centre += slope
        to_spread += slope * tl.load(noise + n * stride + i, mask=here, other=0.0)
    if action:
        centre = _tanh(centre)
        to_centre *= 1.0 - centre * centre
    share = _sigmoid(raw / 2.0)
    row = n * 2 * size + i
    tl.store(to_stats + row, to_centre, mask=here)
    tl.store(to_stats + row + size, to_spread * share * (1.0 - share), mask=here)


def gates(parts: Tensor, state: Tensor, new: Tensor, scale: Any, shift: Any) -> None:
    size = state.shape[1]
    _launch(_gates, len(parts), parts, state, new, scale, shift, size, triton.next_power_of_2(size))


def totals(parts: Tensor) -> Tensor:
    return torch.zeros(min(len(parts), PROGRAMS), 2, parts.shape[1], device=parts.device)


def gates_gradient(
    parts: Tensor, state: Tensor, grad: Tensor, to_parts: Tensor, to_state: Tensor, total: Tensor | None,
    scale: Any, shift: Any, onto: bool = False,
) -> None:  # fmt: skip
    size, programs = state.shape[1], len(parts) if total is None else len(total)
    arrays = (parts, state, grad, to_parts, to_state, total, scale, shift)
    _launch(_gates_gradient, programs, *arrays, len(parts), size, triton.next_power_of_2(size), total is not None, onto)


def drawn(stats: Tensor, noise: Tensor, mean: Tensor | None, std: Tensor, result: Tensor) -> None:
    count, size = std.numel(), std.shape[1]
    arrays = (stats, noise, noise.stride(0), mean, std, result)
    _launch(_drawn, triton.cdiv(count, NUMBERS), *arrays, count, size, NUMBERS, mean is None)


def drawn_gradient(
    stats: Tensor, noise: Tensor, mean: Tensor | None, std: Tensor | None, drawn: Tensor | None, to_stats: Tensor, action: bool
) -> None:
    count, size = stats.numel() // 2, stats.shape[1] // 2
    rows = itertools.chain(*((x, x if x is None else x.stride(0)) for x in (noise, mean, std, drawn)))
    _launch(_drawn_gradient, triton.cdiv(count, NUMBERS), stats, *rows, to_stats, count, size, NUMBERS, action)


def _launch(loop: Any, programs: int, first: Tensor, *rest: Any) -> None:
    """On the device of the first argument: Triton by itself takes the current one."""
    with torch.cuda.device_of(first):
        loop[(programs,)](first, *rest)
