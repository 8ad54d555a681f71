"""What is counted of an update, by hand. Times are not tested."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from diswm.limit import Recorder


def recorded(call: object) -> dict[str, float]:
    """FLOPs by name of operation."""
    with Recorder() as recorder:
        call()  # type: ignore[operator]
    totals: dict[str, float] = {}
    for one, count in recorder.calls.items():
        totals[one.name] = totals.get(one.name, 0) + count * one.flop
    return totals


def test_flops_of_a_product() -> None:
    """(5, 3) x (3, 7): 2 x 5 x 3 x 7 = 210; its gradients for weights (3, 5) x (5, 7) and inputs (5, 7) x (7, 3) take as many each."""
    x, weight = torch.randn(5, 3, requires_grad=True), torch.randn(7, 3, requires_grad=True)
    assert recorded(lambda: F.linear(x, weight, torch.zeros(7)).sum().backward()) == {"mm": 3 * 210}


def test_flops_of_a_convolution() -> None:
    """(2, 3, 8, 8) with 5 kernels of 3 x 4 x 4, stride 2, padding 1 gives (2, 5, 4, 4): 2 x 2 x 16 x 5 x 48 = 15360. Backward as many
    for the weights, and as many again where the input wants a gradient."""
    weight = torch.randn(5, 3, 4, 4, requires_grad=True)
    for wants, times in ((False, 1), (True, 2)):
        x = torch.randn(2, 3, 8, 8, requires_grad=wants)
        found = recorded(lambda x=x: F.conv2d(x, weight, None, 2, 1).sum().backward())
        assert found == {"convolution": 15_360, "convolution_backward": times * 15_360}
