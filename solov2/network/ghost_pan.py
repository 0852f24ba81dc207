"""The ghost PAN: a pyramid whose information travels down and up again, made of cheap convolutions."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solov2.network.shufflenet import Conv, depthwise


class GhostModule(nn.Module):
    """Half of the output is a 1x1 convolution of the input, the other half a depthwise 3x3 convolution of the first.

    Source: Han et al., "GhostNet" (2020).
    """

    def __init__(self, in_channels: int, out_channels: int, *, has_activation: bool) -> None:
        """Create the layers; `has_activation` puts a leaky ReLU after both."""
        super().__init__()
        half = out_channels // 2
        if has_activation:
            self.primary: nn.Module = Conv(in_channels, half)
            self.cheap: nn.Module = Conv(half, half, 3, groups=half)
        else:
            self.primary, self.cheap = nn.Conv2d(in_channels, half, 1), depthwise(half, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Return both halves."""
        primary = self.primary(features)
        return torch.cat((primary, self.cheap(primary)), 1)


class GhostBlock(nn.Module):
    """Two ghost modules beside a depthwise separable 5x5 convolution, added; no activation after the sum.

    Shape: (B, in_channels, H, W) to (B, channels, H, W).
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        """Create the layers."""
        super().__init__()
        self.ghosts = nn.Sequential(
            GhostModule(in_channels, channels, has_activation=True),
            GhostModule(channels, channels, has_activation=False),
        )
        self.shortcut = nn.Sequential(depthwise(in_channels, 5), nn.Conv2d(in_channels, channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return the sum of both ways."""
        added: Tensor = self.ghosts(features) + self.shortcut(features)
        return added


def separable(channels: int, kernel_size: int = 5, *, stride: int = 1) -> nn.Sequential:
    """Return a depthwise and a 1x1 convolution, a leaky ReLU after each."""
    return nn.Sequential(
        Conv(channels, channels, kernel_size, stride=stride, groups=channels), Conv(channels, channels)
    )


class GhostPAN(nn.Module):
    """Top-down and bottom-up pyramid over three feature maps, with a fourth, coarser level.

    Shape: maps at strides 2, 8, 16, 32 to a list of the first one as it is, then (B, channels, H / stride, W / stride)
    at strides 8, 16, 32, 64.

    Source: NanoDet-Plus (RangiLyu, 2021), `GhostPAN`; Liu et al., "Path Aggregation Network" (2018).
    """

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        """Take the channels of the maps and of the pyramid; layers are created in the order in which they run."""
        in_channels = in_channels[1:]
        super().__init__()
        self.reduce = nn.ModuleList(Conv(c, channels) for c in in_channels)
        self.top_down = nn.ModuleList(GhostBlock(2 * channels, channels) for _ in in_channels[1:])  # coarse to fine
        self.bottom_up = nn.ModuleList(
            nn.ModuleDict({"down": separable(channels, stride=2), "block": GhostBlock(2 * channels, channels)})
            for _ in in_channels[1:]
        )
        self.extra_of_input, self.extra_of_output = separable(channels, stride=2), separable(channels, stride=2)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the stem's map and the four levels, finest first."""
        stem, *maps = maps
        reduced = [reduce(features) for reduce, features in zip(self.reduce, maps, strict=True)]
        inner = [reduced[-1]]  # finest first
        for block, features in zip(self.top_down, reduced[-2::-1], strict=True):
            doubled = F.interpolate(inner[0], scale_factor=2.0, mode="bilinear", align_corners=False)
            inner.insert(0, block(torch.cat((doubled, features), 1)))
        levels = [inner[0]]
        for step, features in zip(self.bottom_up, inner[1:], strict=True):
            assert isinstance(step, nn.ModuleDict)
            levels.append(step["block"](torch.cat((step["down"](levels[-1]), features), 1)))
        return [stem, *levels, self.extra_of_input(reduced[-1]) + self.extra_of_output(levels[-1])]
