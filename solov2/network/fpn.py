"""The feature pyramid: C2..C5 in, P2..P6 out, all with the same channels."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class ConvOnly(nn.Module):
    """A convolution called `conv`, as the checkpoints name it."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        """Create a convolution with bias whose padding keeps the size at stride 1."""
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve."""
        convolved: Tensor = self.conv(features)
        return convolved


class FPN(nn.Module):
    """Top-down pyramid with nearest upsampling.

    From C2..C5, P6 is every second pixel of P5. From C2..C4, P5 and P6 are strided convolutions, of C4 and of P5.

    Shape: list of (B, C_i, H / 2^i, W / 2^i), i = 2.., to a list of five (B, channels, H / 2^i, W / 2^i), i = 2..6.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection" (2017).
    """

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        """Take the channels of the backbone's maps and of the pyramid."""
        super().__init__()
        self.lateral_convs = nn.ModuleList(ConvOnly(c, channels, 1) for c in in_channels)
        self.fpn_convs = nn.ModuleList(ConvOnly(channels, channels, 3) for _ in in_channels)
        self.extra_convs = nn.ModuleList()
        if len(in_channels) == 3:
            self.extra_convs.append(ConvOnly(in_channels[-1], channels, 3, stride=2))
            self.extra_convs.append(ConvOnly(channels, channels, 3, stride=2))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return P2..P6."""
        merged = [lateral(features) for lateral, features in zip(self.lateral_convs, maps, strict=True)]
        for i in range(len(merged) - 1, 0, -1):
            merged[i - 1] = merged[i - 1] + F.interpolate(merged[i], size=merged[i - 1].shape[-2:], mode="nearest")
        pyramid = [conv(features) for conv, features in zip(self.fpn_convs, merged, strict=True)]
        if not self.extra_convs:
            return [*pyramid, pyramid[-1][:, :, ::2, ::2]]
        p5 = self.extra_convs[0](maps[-1])
        return [*pyramid, p5, self.extra_convs[1](F.relu(p5))]
