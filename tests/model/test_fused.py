"""What Triton does on a GPU is what PyTorch's operations do: here in its interpreter, or through loops that stand for its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diswm.model import fused
from diswm.model.rssm import RSSM

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed; PyTorch for CUDA brings it")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Loops:
    """`triton_loops` in PyTorch's operations, gradients by its autograd. ``names`` are the calls."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def gates(self, parts: Tensor, state: Tensor, new: Tensor, scale: Tensor, shift: Tensor) -> None:
        self.names.append("gates")
        new.copy_(self._gates(parts, state, scale, shift))

    def gates_gradient(self, parts: Tensor, state: Tensor, grad: Tensor, *rest: Any) -> None:
        self.names.append("gates_gradient")
        to_parts, to_state, total, scale, shift = rest
        given = [x.detach().requires_grad_() for x in (parts, state, scale, shift)]
        with torch.enable_grad():
            found = torch.autograd.grad(self._gates(*given), given, grad)
        to_parts.copy_(found[0])
        to_state.copy_(found[1])
        if total is not None:
            total.zero_()[0].copy_(torch.stack(found[2:]))

    def drawn(self, stats: Tensor, noise: Tensor, mean: Tensor | None, std: Tensor, result: Tensor) -> None:
        self.names.append("drawn")
        for place, value in zip((mean, std, result), self._drawn(stats, noise, mean is None), strict=True):
            if place is not None:
                place.copy_(value)

    def drawn_gradient(self, stats: Tensor, noise: Tensor, *rest: Any) -> None:
        self.names.append("drawn_gradient")
        *grads, to_stats, action = rest
        given = stats.detach().requires_grad_()
        with torch.enable_grad():
            pairs = [(x, grad) for x, grad in zip(self._drawn(given, noise, action), grads, strict=True) if grad is not None]
        to_stats.copy_(torch.autograd.grad([x for x, _ in pairs], [given], [grad for _, grad in pairs])[0])

    @staticmethod
    def _gates(parts: Tensor, state: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        reset, inner, update = F.layer_norm(parts.float(), parts.shape[1:], scale, shift).chunk(3, 1)
        share = torch.sigmoid(update - 1)
        return share * torch.tanh(torch.sigmoid(reset) * inner) + (1 - share) * state

    @staticmethod
    def _drawn(stats: Tensor, noise: Tensor, action: bool) -> tuple[Tensor, Tensor, Tensor]:
        mean, raw = stats.float().chunk(2, 1)
        std = 2 * torch.sigmoid(raw / 2) + 0.1
        if not action:
            return mean, std, mean + std * noise
        value = mean.tanh() + std * noise
        return mean, std, value + (value.clamp(1e-6 - 1, 1 - 1e-6) - value).detach()


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
    expected, loops = filtered(world), Loops()
    monkeypatch.setattr(fused, "_loops", lambda x: loops)
    for one, other in zip(filtered(world), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert {name: loops.names.count(name) for name in loops.names} == dict.fromkeys(
        ("gates", "drawn", "gates_gradient", "drawn_gradient"), 8
    )


def test_weights_that_are_not_learned_get_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = []
    loops = Loops()
    loops.gates_gradient = lambda *given: totals.append(given[5])  # type: ignore[method-assign]
    monkeypatch.setattr(fused, "_loops", lambda x: loops)
    norm = nn.LayerNorm(9)
    for learned in (True, False):
        norm.requires_grad_(learned)
        fused.gates(torch.randn(2, 9, requires_grad=True), torch.randn(2, 3), norm).sum().backward()
    assert [None if total is None else total.shape for total in totals] == [(2, 2, 9), None]


def blind(loops: Loops, *names: str) -> Loops:
    """Loops that leave these places of gradients as they find them."""
    gradient = loops.gates_gradient

    def partly(parts: Tensor, state: Tensor, grad: Tensor, to_parts: Tensor, to_state: Tensor, total: Tensor | None, *rest: Any) -> None:
        places = {"parts": to_parts, "state": to_state, "weights": total}
        gradient(parts, state, grad, *(torch.empty_like(x) if name in names else x for name, x in places.items()), *rest)
        for name in names:
            places[name].zero_()

    loops.gates_gradient = partly  # type: ignore[method-assign]
    return loops


def without_scale(loops: Loops) -> Loops:
    loops._gates = lambda parts, state, scale, shift: Loops._gates(parts, state, 0 * scale + 1, 0 * shift)  # type: ignore[method-assign]
    return loops


def off_by(part: float, loops: Loops) -> Loops:
    loops._drawn = lambda *given: tuple((1 + part) * x for x in Loops._drawn(*given))  # type: ignore
    return loops


@pytest.mark.parametrize("rows", [4, 256])
def test_loops_are_tried_out_before_they_are_trusted(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a loop gives, and each of its gradients."""
    monkeypatch.setattr(fused, "PROGRAMS", rows)
    fused.try_out(Loops(), "cpu")
    with torch.inference_mode():
        fused.try_out(Loops(), "cpu")
    wrong = [blind(Loops(), name) for name in ("parts", "state", "weights")]
    for loops in (*wrong, without_scale(Loops()), off_by(0.01, Loops())):
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
fused.PROGRAMS = 4  # so that a program has several rows, in an interpreter that takes its time
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
            (lambda parts, state, *affine: fused._gates(parts, state, norm), fused._gaussian, fused._action),
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
        (loops._gates_gradient, {**fixed, "weights": True}),
        (loops._gates_gradient, {**fixed, "weights": False, "total": None}),
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
