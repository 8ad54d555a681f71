"""The loops of `kernels`, compiled by numba at first use and kept on disk. Arrays of bfloat16 come as uint16."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

from diswm.native import compiled

F32, U16, U32, U64 = np.float32, np.uint16, np.uint32, np.uint64
ZERO, HALF, ONE = F32(0), F32(0.5), F32(1)
NORM_EPS = F32(1e-5)  # nn.LayerNorm's own


_loop = compiled(nogil=True, fastmath={"contract", "nsz"})  # other threads run meanwhile
_sum = compiled(nogil=True, fastmath={"contract", "nsz", "reassoc"})  # in any order: not for loops with `_expm1`, whose rounding is one
_inline = njit(inline="always", fastmath={"contract", "nsz"})
# Sums that loops make use of. As functions of their own they are compiled in one way with the loop and in another alone; which of the two
# is called, and so a last bit, would depend on whether the loop was compiled now or comes from the cache.
_part = compiled(nogil=True, fastmath={"contract", "nsz", "reassoc"}, forceinline=True)


def _reinterpret(source: Any, target: Any, kind: ir.Type) -> Any:
    """The same 32 bits as another type."""

    @intrinsic  # type: ignore[arg-type]
    def cast(context: Any, x: Any) -> Any:
        return target(source), lambda context, builder, signature, args: builder.bitcast(args[0], kind)

    return cast


_as_float = _reinterpret(types.uint32, types.float32, ir.FloatType())
_as_bits = _reinterpret(types.float32, types.uint32, ir.IntType(32))


def _wide(x: Any) -> Any:
    """A number of an array as float32."""


def _fit(array: Any, x: Any) -> Any:
    """A float32 as the array holds it: bfloat16 is rounded to nearest, ties to even."""


@overload(_wide, inline="always", strict=False)
def _wide_typed(x: Any) -> Any:
    return (lambda x: _as_float(U32(x) << U32(16))) if x == types.uint16 else (lambda x: x)


@overload(_fit, inline="always", strict=False)
def _fit_typed(array: Any, x: Any) -> Any:
    return (lambda array, x: _rounded(_as_bits(x))) if array.dtype == types.uint16 else (lambda array, x: x)


@_inline
def _rounded(bits: Any) -> Any:
    return U16((bits + U32(0x7FFF) + ((bits >> U32(16)) & U32(1))) >> U32(16))


LOG2_E, ROUND = F32(1.4426950408889634), F32(1.5 * 2**23)
LN2_HIGH, LN2_LOW = F32(0.693359375), F32(-2.12194440e-4)  # their sum is ln 2; the first has few enough bits for exact products


@_inline
def _expm1(x: Any) -> Any:
    """exp(x) - 1 for x <= 0 to one unit in the last place: 2^n (exp(r) - 1) + (2^n - 1) with x = n ln 2 + r, |r| <= ln(2) / 2."""
    x = max(x, F32(-20))  # below, the result is -1
    shifted = x * LOG2_E + ROUND  # n in the lowest bits
    n = shifted - ROUND
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = F32(1 / 5040)  # Taylor: the first term left out is r^8 / 8!, below 6e-9
    p = p * r + F32(1 / 720)
    p = p * r + F32(1 / 120)
    p = p * r + F32(1 / 24)
    p = p * r + F32(1 / 6)
    p = p * r + HALF
    p = p * r * r + r
    power = _as_float((_as_bits(shifted) + U32(127)) << U32(23))
    return power * p + (power - ONE)


@_loop
def elu(x: Any, y: Any) -> None:
    """y = x where x > 0, else exp(x) - 1; not a number stays so."""
    for i in range(len(x)):
        value = _wide(x[i])
        below = _expm1(min(value, ZERO))
        y[i] = _fit(y, below if value <= ZERO else value)


@_inline
def _sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), from the exponential of the negative of x and -x, which cannot overflow."""
    small = ONE + _expm1(-abs(x))
    return (ONE if x >= ZERO else small) / (ONE + small)


@_inline
def _tanh(x: Any) -> Any:
    t = _expm1(F32(-2) * abs(x))
    return (t if x < ZERO else -t) / (t + F32(2))


@_part
def _moments(row: Any) -> Any:
    """Mean, and 1 over the standard deviation, of a row of layer norm."""
    total = ZERO
    for i in range(len(row)):
        total += _wide(row[i])
    mean = total / F32(len(row))
    squares = ZERO
    for i in range(len(row)):
        apart = _wide(row[i]) - mean
        squares += apart * apart
    return mean, ONE / np.sqrt(squares / F32(len(row)) + NORM_EPS)


@_inline
def _thirds(line: Any) -> Any:
    """The numbers of reset gate, candidate and update gate. (Sums in an index would keep a loop from being vectorised.)"""
    size = len(line) // 3
    return line[:size], line[size : 2 * size], line[2 * size :]


@_loop
def gates(parts: Any, state: Any, new: Any, scale: Any, shift: Any) -> None:
    """new = the state after the gates of `layers.NormGRUCell`, of which ``parts`` (N, 3 D) are the products."""
    (scale_r, scale_c, scale_u), (shift_r, shift_c, shift_u) = _thirds(scale), _thirds(shift)
    for n in range(len(parts)):
        mean, steep = _moments(parts[n])
        bad = ZERO * steep  # not a number, where the row has one: the exponentials would hide it
        (part_r, part_c, part_u), old, result = _thirds(parts[n]), state[n], new[n]
        for i in range(len(result)):
            reset = _sigmoid((_wide(part_r[i]) - mean) * steep * scale_r[i] + shift_r[i])
            candidate = _tanh(reset * ((_wide(part_c[i]) - mean) * steep * scale_c[i] + shift_c[i]))
            update = _sigmoid((_wide(part_u[i]) - mean) * steep * scale_u[i] + shift_u[i] - ONE)
            result[i] = old[i] + update * (candidate - old[i]) + bad


@_part
def _level(slope: Any, normed: Any) -> Any:
    """Means of the slopes, and of the slopes times their numbers."""
    level, tilt = ZERO, ZERO
    for i in range(len(slope)):
        level += slope[i]
        tilt += slope[i] * normed[i]
    return level / F32(len(slope)), tilt / F32(len(slope))


@_loop
def gates_gradient(
    parts: Any, state: Any, grad: Any, to_parts: Any, to_state: Any, total: Any, scale: Any, shift: Any, onto: bool
) -> None:  # fmt: skip
    """Gradients of `gates`, taken through its steps anew; that of the state ``onto`` what is there, those of scale and shift onto ``total``
    (2, 3 D)."""
    normed, gate, slope, candidate = np.empty_like(scale), np.empty_like(scale), np.empty_like(scale), np.empty_like(state[0])
    (reset, inner, update), (slope_r, slope_c, slope_u) = _thirds(gate), _thirds(slope)
    to_scale, to_shift = total[0], total[1]
    for n in range(len(parts)):
        row, old, above, result, kept = parts[n], state[n], grad[n], to_parts[n], to_state[n]
        mean, steep = _moments(row)
        for i in range(len(row)):  # short loops over few arrays: longer ones are not vectorised, as arrays might overlap
            normed[i] = (_wide(row[i]) - mean) * steep
        for i in range(len(row)):
            gate[i] = normed[i] * scale[i] + shift[i]
        for i in range(len(reset)):
            reset[i] = _sigmoid(reset[i])
        for i in range(len(update)):
            update[i] = _sigmoid(update[i] - ONE)
        for i in range(len(candidate)):
            candidate[i] = _tanh(reset[i] * inner[i])
        if not onto:
            kept[:] = ZERO
        for i in range(len(kept)):
            kept[i] += above[i] * (ONE - update[i])
        for i in range(len(slope_u)):
            slope_u[i] = above[i] * (candidate[i] - old[i]) * update[i] * (ONE - update[i])
        for i in range(len(slope_c)):
            slope_c[i] = above[i] * update[i] * (ONE - candidate[i] * candidate[i]) * reset[i]
        for i in range(len(slope_r)):
            slope_r[i] = slope_c[i] * inner[i] * (ONE - reset[i])
        for i in range(len(row)):
            to_scale[i] += slope[i] * normed[i]
        for i in range(len(row)):
            to_shift[i] += slope[i]
        for i in range(len(row)):
            slope[i] *= scale[i]
        level, tilt = _level(slope, normed)
        for i in range(len(row)):
            result[i] = _fit(result, steep * (slope[i] - level - normed[i] * tilt))


@_loop
def drawn(stats: Any, noise: Any, mean: Any, std: Any, result: Any) -> None:
    """Mean, std (`dists.squash_std`) and sample (N, Z) from stats (N, 2 Z)."""
    size = noise.shape[1]
    for n in range(len(noise)):
        for i in range(size):
            raw = _wide(stats[n, size + i])
            mean[n, i] = _wide(stats[n, i])
            std[n, i] = F32(2) * _sigmoid(raw * HALF) + F32(0.1) if raw == raw else raw  # not a number stays so
            result[n, i] = mean[n, i] + std[n, i] * noise[n, i]


@_loop
def drawn_gradient(stats: Any, noise: Any, from_mean: Any, from_std: Any, from_result: Any, to_stats: Any) -> None:
    """Gradients of `drawn`."""
    size = noise.shape[1]
    for n in range(len(noise)):
        for i in range(size):
            share = _sigmoid(_wide(stats[n, size + i]) * HALF)
            to_stats[n, i] = _fit(to_stats, from_mean[n, i] + from_result[n, i])
            to_stats[n, size + i] = _fit(to_stats, (from_std[n, i] + from_result[n, i] * noise[n, i]) * share * (ONE - share))


@_sum
def few_outputs(x: Any, y: Any, weight: Any, bias: Any) -> None:
    """y (N, O) = x (N, I) weight (O, I)' + bias, for few outputs."""
    for n in range(len(x)):
        row = x[n]
        for o in range(len(weight)):
            line, part = weight[o], ZERO
            for i in range(len(row)):
                part += _wide(row[i]) * line[i]
            y[n, o] = part + bias[o]


@_sum
def few_outputs_gradient(x: Any, grad: Any, to_x: Any, total: Any, weight: Any) -> None:
    """Gradients of `few_outputs`; that of the weight is added to ``total`` (O, I)."""
    above = np.empty(x.shape[1], F32)
    for n in range(len(x)):
        row, result = x[n], to_x[n]
        above[:] = ZERO
        for o in range(len(weight)):
            line, sums, share = weight[o], total[o], grad[n, o]
            for i in range(len(row)):
                above[i] += share * line[i]
                sums[i] += share * _wide(row[i])
        for i in range(len(row)):
            result[i] = _fit(result, above[i])


@_loop
def image_input(image: Any, x: Any) -> None:
    """x = image / 255 - 1/2."""
    for i in range(len(x)):
        x[i] = _fit(x, F32(image[i]) / F32(255) - HALF)


@_sum
def half_squares(output: Any, image: Any, total: Any) -> None:
    """total[n] = sum over row n of (output - input)^2 / 2."""
    for n in range(len(output)):
        row, target = output[n], image[n]
        part = ZERO
        for i in range(len(row)):
            error = _wide(row[i]) - (F32(target[i]) / F32(255) - HALF)
            part += error * error
        total[n] = HALF * part


@_loop
def half_squares_gradient(output: Any, image: Any, scale: Any, gradient: Any) -> None:
    """gradient = scale[n] (output - input)."""
    for n in range(len(output)):
        row, target, result = output[n], image[n], gradient[n]
        for i in range(len(row)):
            result[i] = _fit(result, scale[n] * (_wide(row[i]) - (F32(target[i]) / F32(255) - HALF)))


@_loop
def interleave(parts: Any, full: Any, crop: int, back: bool) -> None:
    """Parities of rows and columns, which are channels, laid between each other; ``back`` copies the other way.

    parts (N, H, W, 2, 2 O): parity of the row, then parity of the column with the channel. full (N, S, S O): the rows and columns
    from ``crop`` on. Indices are unsigned, as numba asks of signed ones whether they count from the end: that takes thrice the time.
    """
    rows, columns, run = U64(parts.shape[1]), U64(parts.shape[2]), U64(parts.shape[4])
    height, length = U64(full.shape[1]), U64(full.shape[2])
    two, top = U64(2), U64(crop)
    source, target = parts.reshape(-1), full.reshape(-1)
    t = U64(0)
    for n in range(U64(len(parts))):
        for i in range(height):
            row = i + top
            s = (((n * rows + row // two) * columns + top // two) * two + row % two) * run
            skip, done = top % two * run // two, U64(0)
            while done < length:
                count = min(run - skip, length - done)
                if back:
                    for c in range(count):
                        source[s + skip + c] = target[t + done + c]
                else:
                    for c in range(count):
                        target[t + done + c] = source[s + skip + c]
                done += count
                s += two * run
                skip = U64(0)
            t += length
