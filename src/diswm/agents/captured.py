"""An update or an action as one recording of a GPU's work (a CUDA graph), replayed by a single launch on buffers that stay in place."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from diswm.contract import DiswmError

Graph = Literal["auto", "on", "off"]
Tensors = Mapping[str, Tensor]
Function = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""From tensors by name to tensors by name. To be recorded it must read no value on the host: its branches and its Python numbers stay what
they were while it was recorded. What changes from call to call comes in as a tensor."""
Replay = Callable[[], dict[str, Tensor]]

WARM = 3
"""Calls before the recording: in them libraries choose their algorithms and optimisers make their state."""


def stage(batch: Mapping[str, Any], device: torch.device) -> dict[str, Tensor]:
    """Arrays or tensors as tensors on the host, for a GPU in memory that it fetches from by itself; what is staged stays as it is."""
    tensors = {name: torch.as_tensor(np.ascontiguousarray(v) if isinstance(v, np.ndarray) else v) for name, v in batch.items()}
    return {name: value.pin_memory() for name, value in tensors.items()} if device.type == "cuda" else tensors


class CaptureFailed(Exception):
    """The function could not be recorded. ``generator`` goes on where the learner's was, which a failed recording may leave unusable."""

    def __init__(self, reason: str, generator: torch.Generator) -> None:
        super().__init__(reason)
        self.generator = generator


def check_graph(graph: Graph, device: str) -> None:
    """DiswmError where a graph is insisted on and there is no GPU."""
    if graph == "on" and torch.device(device).type != "cuda":
        raise DiswmError(f"learner.graph=on records a GPU's work, but this run is on {device}. Leave it at auto, or use --device cuda.")


class Tape:
    """Runs and records functions on a stream of its own, with this generator: a replay draws what the function itself would draw."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator, self.device = generator, generator.device
        self.stream = torch.cuda.Stream(self.device)

    def warm(self, function: Function, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The function as it is, on the stream of the recording."""
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            outputs = function(inputs)
        here.wait_stream(self.stream)
        return outputs

    def record(self, function: Function, inputs: dict[str, Tensor]) -> Replay:
        """Record the function without running it. CaptureFailed where that cannot be done."""
        state = self.generator.get_state()
        graph = torch.cuda.CUDAGraph()
        try:
            graph.register_generator_state(self.generator)
            # The outer context gives the caller's stream back where the inner one fails at its end.
            with torch.cuda.stream(self.stream), torch.cuda.graph(graph, stream=self.stream):
                outputs = function(inputs)
        except RuntimeError as error:
            fresh = torch.Generator(self.device)
            fresh.set_state(state)
            first = error.__context__ if isinstance(error.__context__, RuntimeError) else error  # the end of a recording complains too
            raise CaptureFailed(str(first).splitlines()[0], fresh) from error

        def replay() -> dict[str, Tensor]:
            graph.replay()
            return outputs

        return replay


class Captured:
    """A function that is called ``WARM`` times, then recorded and from then on replayed.

    Inputs are copied to buffers of its own; outputs are the caller's. Inputs of other names, shapes or types begin anew.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.inputs: dict[str, Tensor] = {}
        self.replay: Replay | None = None
        self.calls = 0

    def __call__(self, function: Function, given: Tensors) -> dict[str, Tensor]:
        """What the function, always the same one, gives for these tensors, which may lie on the host. CaptureFailed as of `Tape.record`."""
        if _kinds(given) != _kinds(self.inputs):
            self.inputs = {name: torch.empty_like(value, device=self.tape.device) for name, value in given.items()}
            self.replay, self.calls = None, 0
        for name, value in given.items():
            self.inputs[name].copy_(value, non_blocking=True)
        if self.replay is None and self.calls == WARM:
            self.replay = self.tape.record(function, self.inputs)
        self.calls += 1
        if self.replay is None:
            return self.tape.warm(function, self.inputs)
        return {name: value.clone() for name, value in self.replay().items()}  # the next replay writes to the same places


class Runner:
    """Runs a learner's functions on its device: on a GPU from recordings, where that can be done.

    It holds the generator that they draw from, as a recording that fails takes the old one with it.
    """

    def __init__(self, generator: torch.Generator, graph: Graph) -> None:
        self.generator, self.graph = generator, graph
        self.tape = Tape(generator) if generator.device.type == "cuda" and graph != "off" else None
        self._captured: dict[str, Captured] = {}

    def __call__(self, function: Function, given: Tensors) -> dict[str, Tensor]:
        """What the function gives for these tensors. DiswmError where it cannot be recorded and was to be."""
        if self.tape:
            try:
                return self._captured.setdefault(function.__name__, Captured(self.tape))(function, given)
            except CaptureFailed as failed:
                if self.graph == "on":
                    raise DiswmError(f"No CUDA graph can be recorded ({failed}). Use --learner.graph auto, or off.") from failed
                print(f"no CUDA graph can be recorded ({failed}): work is launched piece by piece", file=sys.stderr, flush=True)
                self.tape, self.generator = None, failed.generator
                self.forget()
        return function(self.there(given))

    def there(self, given: Tensors) -> dict[str, Tensor]:
        """These tensors on the device."""
        return {name: value.to(self.generator.device, non_blocking=True) for name, value in given.items()}

    def draw_on(self, state: Tensor) -> None:
        """Draw from this state of a generator on. DiswmError where it is of another kind of device."""
        if state.numel() != self.generator.get_state().numel():  # a seed and an offset on a GPU, hundreds of numbers on a CPU
            before = "a CPU" if self.generator.device.type == "cuda" else "a GPU"
            raise DiswmError(
                f"The checkpoint was made on {before}, and {self.generator.device} draws other random numbers. Go on where it was made, or "
                "begin a new run from its weights with --start."
            )
        self.generator.set_state(state)

    def forget(self) -> None:
        """Drop what is recorded: it knows weights and optimisers by their places, and some get new ones."""
        self._captured.clear()


def _kinds(tensors: Tensors) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in tensors.items()}


class Readings(Mapping[str, float]):
    """Numbers by name on their way from the device, in one copy: the first look waits for them. ``known`` are on the host already."""

    def __init__(self, found: Tensors, known: Mapping[str, float]) -> None:
        values = torch.stack([value.float() for value in found.values()])
        self._names, self._known = tuple(found), dict(known)
        self._values = values.to("cpu", non_blocking=True)
        self._arrived = torch.cuda.Event() if values.is_cuda else None
        if self._arrived:
            self._arrived.record()

    @functools.cached_property
    def _numbers(self) -> dict[str, float]:
        if self._arrived:
            self._arrived.synchronize()
        return dict(zip(self._names, self._values.tolist(), strict=True)) | self._known

    def __getitem__(self, name: str) -> float:
        return self._numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self._names, *self._known))

    def __len__(self) -> int:
        return len(self._names) + len(self._known)
