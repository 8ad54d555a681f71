"""FactorVAE's discriminator: does a sample of the code come from q(z), or from the product of its marginals?"""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from diswm.model.layers import Linear


class Discriminator(nn.Module):
    """Six hidden layers with LeakyReLU of slope 0.2, as Kim & Mnih (2018, appendix B) have it, and one logit where they have two.

    The logit is the log density ratio log q(z) - sum_j log q(z_j).
    """

    def __init__(self, size: int, units: int, layers: int = 6) -> None:
        super().__init__()
        sizes = [size, *[units] * layers]
        hidden = [part for a, b in itertools.pairwise(sizes) for part in (Linear(a, b), nn.LeakyReLU(0.2))]
        self.net = nn.Sequential(*hidden, Linear(sizes[-1], 1))

    def forward(self, sample: Tensor) -> Tensor:
        """(..., E) -> (...), in float32."""
        logit: Tensor = self.net(sample)
        return logit.squeeze(-1).float()
