"""The compiled kernels give what PyTorch's own operations give, forward and backward."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diswm.model import fused, kernels

needs_numba = pytest.mark.skipif(kernels.loops is None, reason="numba is not installed (extra 'fast')")
DTYPES = [torch.float32, torch.bfloat16]
FRAMES, SIDE = 6, 32  # 6 x 32 x 32 x 4 = 24576 numbers: more than kernels.LARGE


def with_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    found = function(x)
    found.backward(torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).to(found.dtype))
    assert x.grad is not None
    return found.detach(), x.grad


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Tensor], Tensor], Tensor], tuple[Tensor, Tensor]]:
    """The same by PyTorch's operations."""

    def run(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "loops", None)
            assert not kernels.compiled(x)
            return with_gradient(function, x)

    return run


def draw(dtype: torch.dtype, *shape: int) -> Tensor:
    """(N, C, H, W), channels last in memory."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3
    return x.to(dtype).to(memory_format=torch.channels_last)


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
def test_elu(dtype: torch.dtype, plain: Callable) -> None:
    """float32: within 1e-7 of numbers around 1, one unit in their last place. bfloat16: the same numbers; the slope (result + 1) is off by
    2^-9 as the result is, and it and the gradient are rounded to 2^-9 each: 3 x 2^-9 of |gradient| < 5."""
    x = draw(dtype, FRAMES, 4, SIDE, SIDE)
    assert kernels.compiled(x)
    (found, slope), (expected, expected_slope) = with_gradient(kernels.elu, x), plain(kernels.elu, x)
    assert found.stride() == expected.stride()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7 if dtype == torch.float32 else 0)
    torch.testing.assert_close(slope, expected_slope, rtol=0, atol=1e-6 if dtype == torch.float32 else 0.03)


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
def test_elu_at_the_ends(dtype: torch.dtype) -> None:
    """What is not a number stays so, that a diverged run is seen; exp underflows to -1; and small numbers are not lost to 1 - 1."""
    ends = torch.tensor([float("nan"), float("inf"), float("-inf"), -1e30, -100.0, -20.0, 0.0, -1e-10, 1e-10, 1e30])
    found = kernels.elu(ends.to(dtype).repeat(2000))[:10].float()
    expected = [float("nan"), float("inf"), -1.0, -1.0, -1.0, -1.0, 0.0, -1e-10, 1e-10, 1e30]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=2**-8, atol=0, equal_nan=True)


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
def test_half_squares(dtype: torch.dtype, plain: Callable) -> None:
    """Sums of 12288 terms in another order: 1e-6 of them. The gradients are the same numbers."""
    image = torch.randint(0, 256, (FRAMES, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    output = draw(dtype, FRAMES, 3, 64, 64)
    (found, slope), (expected, expected_slope) = (run(lambda x: kernels.half_squares(x, image), output) for run in (with_gradient, plain))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    assert torch.equal(slope, expected_slope)


@needs_numba
def test_images_become_input() -> None:
    """float32: the same numbers. Under autocast: those, rounded to bfloat16 as the convolution would."""
    image = torch.randint(0, 256, (FRAMES, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    expected = image.permute(0, 3, 1, 2).float() / 255 - 0.5
    found = kernels.image_input(image)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lower = kernels.image_input(image)
    assert lower.dtype == torch.bfloat16
    assert torch.equal(lower, expected.bfloat16())


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("crop", "side"), [(0, 34), (1, 32), (2, 30), (1, 33), (3, 28)])
def test_interleaved_parities(dtype: torch.dtype, crop: int, side: int, plain: Callable) -> None:
    """A copy, so the same numbers; what is left out has no gradient."""
    parts = draw(dtype, FRAMES, 4 * 3, 17, 17)
    (found, slope), (expected, expected_slope) = (run(lambda x: kernels.interleave(x, crop, side), parts) for run in (with_gradient, plain))
    assert found.shape == (FRAMES, 3, side, side)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, expected)
    assert torch.equal(slope, expected_slope)


def test_where_parities_come_to_lie() -> None:
    """One frame, one output channel, 2 x 2 places: channels are (row parity, column parity), so place (1, 0) with parities (0, 1)
    is row 2 x 1 + 0, column 2 x 0 + 1."""
    parts = torch.zeros(1, 4, 2, 2)
    parts[0, 0 * 2 + 1, 1, 0] = 1
    assert kernels.interleave(parts, 0, 4)[0, 0].nonzero().tolist() == [[2, 1]]
    assert kernels.interleave(parts, 1, 2)[0, 0].nonzero().tolist() == [[1, 0]]


def gru_gradients(parts: Tensor, state: Tensor, norm: torch.nn.LayerNorm) -> list[Tensor]:
    """The next state, and the gradients of all that it depends on."""
    leaves = [parts.detach().requires_grad_(), state.detach().requires_grad_(), norm.weight, norm.bias]
    new = kernels.gru_gates(leaves[0], leaves[1], norm)
    above = torch.randn(new.shape, generator=torch.Generator().manual_seed(1))
    return [new.detach(), *torch.autograd.grad(new, leaves, above)]


def gru_inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, torch.nn.LayerNorm]:
    """64 rows of 3 x 24 numbers: more than kernels.FEW."""
    generator, norm = torch.Generator().manual_seed(0), torch.nn.LayerNorm(72)
    with torch.no_grad():
        norm.weight.copy_(1 + torch.randn(72, generator=generator) / 3)
        norm.bias.copy_(torch.randn(72, generator=generator) / 3)
    parts = (torch.randn(64, 72, generator=generator) * 3).to(dtype)
    return parts, torch.randn(64, 24, generator=generator), norm


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 3])
def test_gru_gates(dtype: torch.dtype, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers up to 4, gradients up to 20 (sums of 64 rows): a few units in the last place of float32; the gradient of the products is
    rounded as they are, and a bfloat16 of up to 4 may fall to the other side: 2^-7."""
    parts, state, norm = gru_inputs(dtype)
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "loops", None)
        expected = gru_gradients(parts, state, norm)
    monkeypatch.setattr(kernels, "SHARE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert kernels.compiled(parts, kernels.FEW)
    for name, one, other in zip(("new", "parts", "state", "scale", "shift"), gru_gradients(parts, state, norm), expected, strict=True):
        rounded = name == "parts" and dtype == torch.bfloat16
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2**-7 if rounded else 2e-5, msg=lambda text, name=name: f"{name}: {text}")


@needs_numba
def test_gru_gates_show_what_is_not_a_number() -> None:
    parts, state, norm = gru_inputs(torch.float32)
    parts[3, 40], parts[5, 60] = float("nan"), float("inf")
    new = kernels.gru_gates(parts, state, norm)
    assert new.isnan().any(1).nonzero().flatten().tolist() == [3, 5]


@needs_numba
def test_loops_of_a_step() -> None:
    """All that they write, by what Triton's have to pass too."""
    fused.try_out(kernels.NUMBA, "cpu")
    stats, noise = torch.zeros(2, 6), torch.ones(2, 3)
    stats[0, 1] = stats[1, 5] = float("nan")
    found = torch.empty(3, 2, 3)
    kernels.NUMBA.drawn(stats, noise, *found)
    assert found.isnan().nonzero().tolist() == [[0, 0, 1], [1, 1, 2], [2, 0, 1], [2, 1, 2]]


@needs_numba
@pytest.mark.parametrize("outputs", [1, 3])
def test_few_outputs(outputs: int, plain: Callable) -> None:
    """Sums of 64 products of numbers up to 4, in another order: 1e-5. The gradient of x is rounded to bfloat16 (2^-8) either way."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 256, 64, generator=generator).bfloat16()
    slopes = []
    for run in (with_gradient, plain):
        weight = torch.randn(outputs, 64, generator=torch.Generator().manual_seed(3)).requires_grad_()
        bias = torch.ones(outputs, requires_grad=True)
        found, slope = run(lambda x, weight=weight, bias=bias: kernels.few_outputs(x, weight, bias), x)
        slopes.append((found, slope, weight.grad, bias.grad))
    (found, slope, weights, biases), (found_plain, slope_plain, weights_plain, biases_plain) = slopes
    assert found.dtype == torch.float32
    assert found.shape == (4, 256, outputs)
    torch.testing.assert_close(found, found_plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(slope, slope_plain, rtol=2**-8, atol=1e-6)
    torch.testing.assert_close(weights, weights_plain, rtol=1e-4, atol=1e-4)  # sums of 1024
    torch.testing.assert_close(biases, biases_plain, rtol=1e-5, atol=1e-5)


@needs_numba
def test_threads_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three threads, seven rows: the pieces 0:2, 2:4 and 4:7 fill the result as one call does."""
    monkeypatch.setattr(kernels, "SHARE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    image = torch.randint(0, 256, (7, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    output = draw(torch.float32, 7, 3, 64, 64)
    expected = 0.5 * (output - (image.permute(0, 3, 1, 2).float() / 255 - 0.5)).square().sum((1, 2, 3))
    torch.testing.assert_close(kernels.half_squares(output, image), expected, rtol=1e-5, atol=0)


def test_tensors_that_are_left_to_pytorch() -> None:
    """Small ones, ones with gaps, other types: the same function, PyTorch's operations."""
    for x in (torch.randn(3), torch.randn(400, 100)[:, ::2], torch.randn(200, 100, dtype=torch.float64)):
        assert not kernels.compiled(x)
        assert torch.equal(kernels.elu(x), torch.nn.functional.elu(x))


_GATES = """
import hashlib, importlib.util, os, sys, types
import numpy as np
package = types.ModuleType("diswm.model")  # without its networks: torch takes seconds to import
package.__path__ = [os.path.join(importlib.util.find_spec("diswm").submodule_search_locations[0], "model")]
sys.modules["diswm.model"] = package
from diswm.model.loops import gates
random = np.random.default_rng(0)
parts, state = 2 * random.standard_normal((12_000, 600), np.float32), random.standard_normal((12_000, 200), np.float32)
parts, new = (parts.view(np.uint32) >> 16).astype(np.uint16), np.empty_like(state)  # bfloat16
for _ in range(2):  # each in a process in which nothing is compiled yet
    if not (child := os.fork()):
        gates(parts, state, new, np.ones(600, np.float32), np.zeros(600, np.float32))
        print(sum(gates.stats.cache_hits.values()), hashlib.sha256(new).hexdigest(), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
assert "torch" not in sys.modules
"""


@needs_numba
def test_what_is_compiled_now_computes_what_comes_from_the_cache(tmp_path: Path) -> None:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    # Among 12,000 rows there are some in which another order of a sum shows in the last bit: one in 2,400,000 numbers was enough.
    done = subprocess.run([sys.executable, "-c", _GATES], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (hits, new), (more_hits, cached) = (line.split() for line in done.stdout.splitlines())
    assert (hits, more_hits) == ("0", "1"), "the first has left it there"
    assert new == cached
