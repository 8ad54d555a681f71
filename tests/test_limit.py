"""What is counted of an update, by hand. Times are not tested."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from diswm.limit import Recorder
from diswm.model.rssm import RSSM


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


def test_flops_of_a_scan() -> None:
    """Of each of 2 x 3 frames: to the hidden layers 2 x 7 (action), 4 x 7 (embedding) and 3 x 7 (state), gates (7 + 5) x 15, posterior
    5 x 7 and 7 x 6, prior as many: 397 multiplications. As many again for the weights, and for what they multiply but for the actions."""
    rssm = RSSM(4, 2, stoch=3, deter=5, hidden=7)
    embed, action, noise = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 2), torch.randn(2, 3, 3)

    def scan() -> None:
        post, prior = rssm.observe(embed, action, rssm.initial(2), noise)
        (post.feature.sum() + prior.std.sum()).backward()

    assert recorded(scan) == {"mm": 2 * 6 * (3 * 397 - 14)}


def test_flops_of_a_convolution() -> None:
    """(2, 3, 8, 8) with 5 kernels of 3 x 4 x 4, stride 2, padding 1 gives (2, 5, 4, 4): 2 x 2 x 16 x 5 x 48 = 15360. Backward as many
    for the weights, and as many again where the input wants a gradient."""
    weight = torch.randn(5, 3, 4, 4, requires_grad=True)
    for wants, times in ((False, 1), (True, 2)):
        x = torch.randn(2, 3, 8, 8, requires_grad=wants)
        found = recorded(lambda x=x: F.conv2d(x, weight, None, 2, 1).sum().backward())
        assert found == {"convolution": 15_360, "convolution_backward": times * 15_360}
