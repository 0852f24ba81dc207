"""ShuffleNetV2 with its BatchNorms merged into the convolutions, cut to the feature maps that a pyramid needs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.1  # slope of every leaky ReLU below zero
STEM_CHANNELS = 24
STAGE_CHANNELS = (116, 232, 464)  # of the width 1.0x
STAGE_BLOCKS = (4, 8, 4)


class Conv(nn.Module):
    """A convolution with bias and a leaky ReLU; there is no norm, or it was merged into the weights."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, *, stride: int = 1, groups: int = 1
    ) -> None:
        """Create the convolution; padding keeps the size at stride 1."""
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve, and multiply what is below zero by `LEAK`."""
        return F.leaky_relu(self.conv(features), LEAK, inplace=True)


def depthwise(channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution with bias that looks at each channel by itself; padding keeps the size at stride 1."""
    return nn.Conv2d(channels, channels, kernel_size, stride, kernel_size // 2, groups=channels)


def shuffled(left: Tensor, right: Tensor) -> Tensor:
    """Join two (B, C, H, W) by turns, a channel of each: (B, 2 C, H, W); elsewhere concat and channel shuffle."""
    return torch.channel_shuffle(torch.cat((left, right), 1), 2)


class Block(nn.Module):
    """Half of the channels pass unchanged, the other half through 1x1, depthwise 3x3 and 1x1 convolutions.

    Shape: (B, C, H, W) to the same.
    """

    def __init__(self, channels: int) -> None:
        """Create the layers."""
        super().__init__()
        half = channels // 2
        self.right = nn.Sequential(Conv(half, half), depthwise(half, 3), Conv(half, half))

    def forward(self, features: Tensor) -> Tensor:
        """Return the features of the next block."""
        left, right = features.chunk(2, 1)
        return shuffled(left, self.right(right))


class DownBlock(nn.Module):
    """Halves the size, and has `out_channels` afterwards.

    Shape: (B, in_channels, H, W) to (B, out_channels, H / 2, W / 2).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Create the layers."""
        super().__init__()
        half = out_channels // 2
        self.left = nn.Sequential(depthwise(in_channels, 3, stride=2), Conv(in_channels, half))
        self.right = nn.Sequential(Conv(in_channels, half), depthwise(half, 3, stride=2), Conv(half, half))

    def forward(self, features: Tensor) -> Tensor:
        """Return the features of the next stage."""
        return shuffled(self.left(features), self.right(features))


class ShuffleNet(nn.Module):
    """ShuffleNetV2 1.0x without its last convolution and classifier, every activation a leaky ReLU.

    Shape: (B, 3, H, W) to the list of the stem's map at stride 2 (24 channels) and the stages' at strides 8, 16, 32
    (116, 232, 464 channels).

    Source: Ma et al., "ShuffleNet V2" (2018); the layout and the activation of NanoDet-Plus.
    """

    out_channels = (STEM_CHANNELS, *STAGE_CHANNELS)

    def __init__(self) -> None:
        """Create the layers, in the order in which they run."""
        super().__init__()
        self.stem = Conv(3, STEM_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList()
        before = STEM_CHANNELS
        for channels, blocks in zip(STAGE_CHANNELS, STAGE_BLOCKS, strict=True):
            self.stages.append(
                nn.Sequential(DownBlock(before, channels), *(Block(channels) for _ in range(blocks - 1)))
            )
            before = channels

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of `images`, finest first."""
        maps = [self.stem(images)]
        features = F.max_pool2d(maps[0], 3, stride=2, padding=1)
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return maps

    def freeze(self) -> None:
        """Do nothing: there are no statistics to keep, and every layer may be trained."""
