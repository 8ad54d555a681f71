"""The loops of `kernels`, compiled by numba at first use and kept on disk. Arrays of bfloat16 come as uint16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

F32, U16, U32, U64 = np.float32, np.uint16, np.uint32, np.uint64
ZERO, HALF, ONE = F32(0), F32(0.5), F32(1)


def _compiled(*fastmath: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Compile at first use, keep the result beside the source or in the user's cache, and let other threads run meanwhile."""
    flags: dict[str, Any] = {"fastmath": set(fastmath), "nogil": True, "error_model": "numpy"}

    def wrap(function: Callable[..., None]) -> Callable[..., None]:
        try:
            return njit(cache=True, **flags)(function)
        except RuntimeError:  # there is no place that may be written: each process compiles
            return njit(**flags)(function)

    return wrap


_loop = _compiled("contract", "nsz")
_sum = _compiled("contract", "nsz", "reassoc")
_inline = njit(inline="always", fastmath={"contract", "nsz"})


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
