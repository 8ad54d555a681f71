"""oneDNN's products are PyTorch's, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diswm.model import products
from diswm.model.layers import Linear


@pytest.mark.skipif(not products.ONEDNN, reason="this PyTorch has no oneDNN product for this processor")
@pytest.mark.parametrize(("rows", "outputs"), [(90, 300), (700, 40)])  # more outputs than inputs, and fewer
def test_linear_is_pytorchs(rows: int, outputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of 48 (forward), 40 or 300 (to x) and 90 or 700 (to the weight) products: in another order they differ by some 1e-7 of
    about 200."""
    monkeypatch.setattr(products, "ROWS", 256)  # so that 700 rows take three parts, the last one shorter
    whole = torch.randn(outputs, 50, generator=torch.Generator().manual_seed(0))
    x, bias = torch.randn(10, rows // 10, 48), torch.randn(outputs)
    assert products.by_onednn(x, whole[:, 2:])

    def run(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        given = [part.clone().requires_grad_() for part in (x, whole, bias)]
        found = products.linear(given[0], given[1][:, 2:], given[2])  # a weight with gaps, as in the scan of the RSSM
        return found, list(torch.autograd.grad(found.square().sum() / 2, given))

    calls: list[tuple[int, ...]] = []
    product = products._product
    monkeypatch.setattr(products, "_product", lambda *given: calls.append(given[0].shape) or product(*given))
    found, gradients = run(x)
    assert len(calls) == 2 + -(-rows // 256)
    monkeypatch.setattr(products, "ONEDNN", False)
    expected, expected_gradients = run(x)
    assert len(calls) == 2 + -(-rows // 256), "PyTorch's own this time"
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-5, atol=1e-3)


def test_linear_asks_for_no_gradient_that_nobody_wants() -> None:
    """The actor's loss goes through the world model, whose weights are frozen."""
    layer = Linear(64, 256).requires_grad_(False)
    x = torch.randn(100, 64, requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(0).expand(100, 64), rtol=1e-5, atol=1e-5)
    assert layer.weight.grad is None


@pytest.mark.parametrize("lower", [False, True])
def test_linear_leaves_the_rest_to_pytorch(lower: bool) -> None:
    x, weight = torch.randn(100, 64), torch.randn(256, 64)
    with torch.autocast("cpu", torch.bfloat16, enabled=lower):
        assert products.by_onednn(x, weight) is (products.ONEDNN and not lower)
        assert products.linear(x, weight, torch.zeros(256)).dtype == (torch.bfloat16 if lower else torch.float32)
    assert not products.by_onednn(x[:2], weight)  # 2 x 64 x 256 multiplications: too few
    assert not products.by_onednn(x.double(), weight.double())


def test_a_graph_of_a_product_takes_every_batch() -> None:
    # 1,024 x 256 multiplications a row: four rows are worth a call of oneDNN, three are not. A graph must be bound to neither.
    assert products.PRODUCT == 4 * 1_024 * 256
    layer = Linear(1_024, 256)
    graph = torch.export.export(layer, (torch.zeros(2, 1_024),), dynamic_shapes=({0: torch.export.Dim("N", min=1)},)).module()
    for rows in (1, 3, 4, 9):
        x = torch.randn(rows, 1_024)
        torch.testing.assert_close(graph(x), layer(x), rtol=1e-4, atol=1e-5)
