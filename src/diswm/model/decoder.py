"""Decoders: a feature in, the mean of the image's distribution out."""

from __future__ import annotations

from torch import Tensor, nn

from diswm.model.layers import ELU, Linear, UpConv, kaiming_


class BottleneckDecoder(nn.Module):
    """DisWM's decoder: the feature passes through as many numbers as the code has."""

    def __init__(self, feature_size: int, size: int, depth: int = 32) -> None:
        super().__init__()
        d = depth
        self.depth = d
        self.stem = nn.Sequential(Linear(feature_size, size), ELU(), Linear(size, 8 * d), ELU())
        self.convs = nn.Sequential(
            UpConv(8 * d, 2 * d, 4), ELU(),
            UpConv(2 * d, 2 * d, 4, 2, 1), ELU(),
            UpConv(2 * d, d, 4, 2, 1), ELU(),
            UpConv(d, d, 4, 2, 1), ELU(),
            UpConv(d, 3, 4, 2, 1),
        )  # fmt: skip
        kaiming_(self)

    def forward(self, feature: Tensor) -> Tensor:
        """feature (N, F) -> image mean (N, 3, 64, 64) around [-0.5, 0.5]."""
        return self.convs(self.stem(feature)[:, :, None, None])


class PlainDecoder(nn.Module):
    """DreamerV2's decoder."""

    def __init__(self, feature_size: int, depth: int = 32) -> None:
        super().__init__()
        d = depth
        self.stem = Linear(feature_size, 32 * d)
        self.convs = nn.Sequential(
            UpConv(32 * d, 4 * d, 5, 2), ELU(),
            UpConv(4 * d, 2 * d, 5, 2), ELU(),
            UpConv(2 * d, d, 6, 2), ELU(),
            UpConv(d, 3, 6, 2),
        )  # fmt: skip
        kaiming_(self)

    def forward(self, feature: Tensor) -> Tensor:
        """feature (N, F) -> image mean (N, 3, 64, 64) around [-0.5, 0.5]."""
        return self.convs(self.stem(feature)[:, :, None, None])
