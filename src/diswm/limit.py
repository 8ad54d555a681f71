"""What an update could take at best: its products and convolutions, counted, and each timed alone on its very shape."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

REPEATS = 5
PATIENCE = 20.0
"""Seconds after which no measurement is repeated once more."""


class Call(NamedTuple):
    """A product or a convolution as PyTorch was asked for it."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype
    options: tuple[Any, ...] = ()

    @property
    def flop(self) -> float:
        """Two for each multiplication with its addition."""
        if self.name == "mm":
            (rows, inner), (_, columns) = self.shapes
            return 2.0 * rows * inner * columns
        out, kernel = (self.shapes[0], self.shapes[2]) if self.name == "convolution_backward" else (self.options[-1], self.shapes[1])
        times = sum(self.options[-1][:2]) if self.name == "convolution_backward" else 1
        return 2.0 * times * out[0] * out[2] * out[3] * math.prod(kernel)


class Recorder(TorchDispatchMode):
    """Counts the products and convolutions that are asked for while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Call] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("mm", "addmm", "addmm_"):
            left, right = args[-2:]
            self.calls[Call("mm", (tuple(left.shape), tuple(right.shape)), left.dtype)] += 1
        elif name == "_linear_pointwise":  # by oneDNN: its weight lies the other way round
            left, turned = args[:2]
            self.calls[Call("mm", (tuple(left.shape), tuple(turned.shape[::-1])), left.dtype)] += 1
        elif name == "convolution":
            image, weight, _, stride, padding = args[:5]
            options = (tuple(stride), tuple(padding), tuple(result.shape))
            self.calls[Call(name, (tuple(image.shape), tuple(weight.shape)), image.dtype, options)] += 1
        elif name == "convolution_backward":
            shapes = tuple(tuple(part.shape) for part in args[:3])
            self.calls[Call(name, shapes, args[0].dtype, (tuple(args[4]), tuple(args[5]), tuple(args[10])))] += 1
        return result


def seconds_of(call: Callable[[], object], device: torch.device, repeats: int = REPEATS) -> list[float]:
    """Wall times of a call, after one that does not count; fewer where it is slow."""
    times: list[float] = []
    for again in range(repeats + 1):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
        if again and sum(times) > PATIENCE:
            break
    return times[1:]


def kernel_seconds(call: Callable[[], object], repeats: int = REPEATS, times: int = 10) -> float:
    """The least time that a GPU needs for a call, by its own clock: of calls in a row from a recording, so that no launch is measured."""
    call()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(times):
            call()
    best = math.inf
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end) / 1e3 / times)
    return best


def best_seconds(call: Call, device: torch.device) -> float:
    """The least time of this product or convolution alone, over the ways that PyTorch has of making it."""
    generator = torch.Generator(device).manual_seed(0)  # a recording that failed leaves PyTorch's own unusable on a GPU
    made = [torch.randn(shape, generator=generator, device=device).to(call.dtype) for shape in call.shapes]
    ways: list[Callable[[], object]]
    if call.name == "mm":
        left, right = made
        turned = right.t().contiguous()
        ways = [lambda: torch.mm(left, right), lambda: torch.mm(left, turned.t())]
        if device.type == "cpu":  # oneDNN, which PyTorch does not choose for float32
            ways.append(lambda: torch.ops.mkldnn._linear_pointwise(left, turned, None, "none", [], ""))
    else:
        laid = [part.contiguous(memory_format=torch.channels_last) for part in made]
        stride, padding, last = call.options
        if call.name == "convolution":
            ways = [lambda: torch.ops.aten.convolution(*laid, None, stride, padding, (1, 1), False, (0, 0), 1)]
        else:
            bias = [laid[2].shape[0]]
            ways = [lambda: torch.ops.aten.convolution_backward(*laid, bias, stride, padding, (1, 1), False, (0, 0), 1, list(last))]
    with torch.no_grad():
        return min(kernel_seconds(way) if device.type == "cuda" else min(seconds_of(way, device)) for way in ways)
