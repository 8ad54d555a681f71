"""What Triton does on a GPU is what PyTorch's operations do: here in its interpreter, or through loops that stand for its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from diswm.model import fused
from diswm.model.rssm import RSSM

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed; PyTorch for CUDA brings it")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def stand_in() -> Any:
    """Loops that stand for Triton's. It remembers its calls."""
    return mock.Mock(wraps=fused.PLAIN)


def filtered(world: RSSM) -> list[Tensor]:
    """What a clip of three windows and four steps is filtered to and then imagined, and all gradients; no gradients reach the means."""
    draw = torch.Generator().manual_seed(0)
    embed, action, noise = (torch.randn(3, 4, size, generator=draw) for size in (5, 2, 6))
    post, prior = world.observe(embed, action, world.initial(3), noise)
    imagined = world.imagine(post.map(lambda part: part[:, -1]), action, noise)
    loss = post.feature.sin().sum() + prior.std.sum() + imagined.feature.cos().sum()
    return [*post, *imagined, *torch.autograd.grad(loss, list(world.parameters()))]


def test_a_scan_is_the_same_by_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four steps filtered and four imagined: each one call for the gates and one for the state, and one for the gradients of either."""
    torch.manual_seed(0)
    world = RSSM(5, 2, stoch=6, deter=8, hidden=8)
    expected, loops = filtered(world), stand_in()
    monkeypatch.setattr(fused, "_loops", lambda x: loops)
    for one, other in zip(filtered(world), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    names = [name for name, _, _ in loops.method_calls if name != "totals"]
    assert {name: names.count(name) for name in names} == dict.fromkeys(("gates", "drawn", "gates_gradient", "drawn_gradient"), 8)


def test_weights_that_are_not_learned_get_no_gradient() -> None:
    totals = []
    loops = stand_in()
    loops.gates_gradient = lambda *given: totals.append(given[5])
    for learned in (True, False):
        scale, shift = torch.ones(9, requires_grad=learned), torch.zeros(9, requires_grad=learned)
        fused.gates(loops, torch.randn(2, 9, requires_grad=True), torch.randn(2, 3), scale, shift).sum().backward()
    assert [None if total is None else total.shape for total in totals] == [(1, 2, 9), None]


def off_by(name: str, place: int, part: float = 1e-2) -> Any:
    """Loops of which one writes other numbers to one place."""
    loops = stand_in()
    right = getattr(loops, name)

    def wrong(*given: Any, **options: Any) -> None:
        right(*given, **options)
        if given[place] is not None:
            given[place].mul_(1 + part)

    setattr(loops, name, wrong)
    return loops


def forgetful() -> Any:
    """Loops that write over what they should add to."""
    loops = stand_in()
    gradient = loops.gates_gradient
    loops.gates_gradient = lambda *given: gradient(*given[:8], False)
    return loops


def test_loops_are_tried_out_before_they_are_trusted() -> None:
    """All that they write."""
    fused.try_out(stand_in(), "cpu")
    with torch.inference_mode():
        fused.try_out(stand_in(), "cpu")
    places = {"gates": [2], "gates_gradient": [3, 4, 5], "drawn": [2, 3, 4], "drawn_gradient": [5]}
    for loops in (forgetful(), *(off_by(name, place) for name, there in places.items() for place in there)):
        with pytest.raises(AssertionError, match="not close"):
            fused.try_out(loops, "cpu")


def test_where_triton_does_not_work_a_line_says_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "diswm.model.triton_loops", None)
    assert fused._working.__wrapped__(torch.device("cpu")) is None
    said = capsys.readouterr().err
    assert said.startswith("Triton does not work here (")
    assert said.count("\n") == 1


_TRY_OUT = """
import sys, torch
from functools import partial
from torch import nn
from diswm.model import fused, triton_loops
device = sys.argv[1]
triton_loops.PROGRAMS = 4  # so that a program has several rows, in an interpreter that takes its time
fused.try_out(triton_loops, device)
draw = torch.Generator().manual_seed(0)
norm = nn.LayerNorm(3 * 37).to(device)
with torch.no_grad():
    norm.weight.add_(torch.randn(111, generator=draw).to(device) / 3)
    norm.bias.add_(torch.randn(111, generator=draw).to(device) / 3)
gates_by, gaussian_by, action_by = (partial(by, triton_loops) for by in (fused._Gates.apply, fused._gaussian_by, fused._action_by))

for dtype, rtol in ((torch.float32, 1e-4), (torch.bfloat16, 2**-7)):
    for rows in (1, 22):
        parts, state = (3 * torch.randn(rows, 111, generator=draw)).to(device, dtype), torch.randn(rows, 37, generator=draw).to(device)
        above, noise = torch.randn(rows, 2, 37, generator=draw).to(device)[:, 1], torch.randn(rows, 4, 37, generator=draw).to(device)[:, 2]
        leaves = [parts.requires_grad_(), state.requires_grad_(), norm.weight, norm.bias]
        stats = (3 * torch.randn(rows, 74, generator=draw)).to(device, dtype).requires_grad_()
        found = []
        for gates, gaussian, action in (
            (fused._gates, partial(fused._drawn, action=False), lambda *given: fused._drawn(*given, True)[:0:-1]),
            (gates_by, gaussian_by, action_by),
        ):
            new = gates(*leaves)
            found.append([new, *torch.autograd.grad(new, leaves, above)])
            calls = [(gaussian, used) for used in ((0, 1, 2), (2,), (0,))] + [(action, used) for used in ((0, 1), (0,), (1,))]
            for function, used in calls:
                results = function(stats if function is gaussian else stats.float(), noise)
                found[-1] += [*results, *torch.autograd.grad([results[i] for i in used], [stats], [above] * len(used))]
        for one, other in zip(*found, strict=True):
            assert one.dtype == other.dtype
            torch.testing.assert_close(one, other, rtol=rtol, atol=2e-5 + 1e-6 * rows)
assert action_by(torch.zeros(1, 2, device=device), torch.full((1, 1), 9.0, device=device))[0] < 1
parts.data[0, 50], stats.data[0, 3] = float("nan"), float("nan")
assert gates_by(*leaves).isnan().any(1).nonzero().tolist() == [[0]]
for function in (gaussian_by, action_by):
    assert [part.isnan().sum().item() for part in function(stats, noise)] in ([1, 0, 1], [1, 0])

from diswm.model.rssm import RSSM
world = RSSM(5, 2, stoch=6, deter=37, hidden=8).to(device)
embed, clip, noise = (torch.randn(3, 4, size, generator=draw).to(device) for size in (5, 2, 6))
first = world.initial(1).map(lambda part: torch.randn(part.shape, generator=draw).to(device).expand(3, -1))  # with gaps in memory
found = []
for loops in (None, triton_loops):
    fused._loops = lambda x: loops
    post, _ = world.observe(embed, clip, first, noise)
    found.append([*post, *torch.autograd.grad(post.feature.sin().sum() + post.std.sum(), list(world.parameters()), materialize_grads=True)])
torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
print("the same")
"""


@needs_triton
def test_triton_gives_what_pytorch_gives() -> None:
    """Rows of 111 and of 74 numbers, which are no powers of two; noise with gaps; results of which some go nowhere. On a GPU, else in
    Triton's interpreter. Sums in another order: some units in the last place of numbers up to 20; what is rounded to bfloat16 may fall to
    the other side."""
    there = torch.cuda.is_available()
    env = os.environ if there else {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _TRY_OUT, "cuda" if there else "cpu"], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout == "the same\n", done.stderr


@needs_triton
@pytest.mark.parametrize("architecture", [80, 90])
def test_triton_compiles_for_cards_that_are_not_here(architecture: int) -> None:
    """What its interpreter does not ask, such as which names a function may use."""
    triton, compiler = (importlib.import_module(name) for name in ("triton", "triton.compiler"))
    backend = importlib.import_module("triton.backends.compiler")
    from diswm.model import triton_loops as loops

    fixed = {"size": 200, "block": 256}
    settled: list[tuple[Any, dict[str, Any]]] = [
        (loops._gates, fixed),
        (loops._gates_gradient, {**fixed, "weights": True, "onto": True}),
        (loops._gates_gradient, {**fixed, "weights": False, "total": None, "onto": False}),
        (loops._drawn, {**fixed, "action": False}),
        (loops._drawn, {**fixed, "action": True, "mean": None}),
        (loops._drawn_gradient, {**fixed, "action": False, "from_mean": None, "mean_stride": None}),
        (loops._drawn_gradient, {**fixed, "action": True, "from_std": None, "std_stride": None}),
    ]
    for wide in ("*fp32", "*bf16"):
        for function, constants in settled:
            types = {name: "i32" for name in function.arg_names if name.endswith("stride")}
            types |= {"count": "i32", "parts": wide, "to_parts": wide, "stats": wide, "to_stats": wide}
            signature = {name: "constexpr" if name in constants else types.get(name, "*fp32") for name in function.arg_names}
            source = compiler.ASTSource(fn=function, signature=signature, constexprs=constants)
            assert triton.compile(source, target=backend.GPUTarget("cuda", architecture, 32)).asm["cubin"]


@needs_gpu
def test_a_gpu_takes_the_loops(capsys: pytest.CaptureFixture[str]) -> None:
    assert fused._loops(torch.zeros(1, device="cuda")), capsys.readouterr().err
