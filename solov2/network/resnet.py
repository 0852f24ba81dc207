"""ResNet and ResNeXt cut to the feature maps C2..C5, plain or deformable, with torchvision's attribute names.

They are written out here because `import torchvision` takes longer than `import torch`, for layers that torch has.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from solov2.network.deformable import DeformableConv2d

STEM_CHANNELS = 64
STAGE_CHANNELS = {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512}


@dataclass(frozen=True, slots=True)
class Depth:
    """One row of the family.

    Attributes:
        blocks: how many in each of the four stages.
        is_bottleneck: blocks are `Bottleneck`, else `BasicBlock`.
        groups, group_width: of a bottleneck's 3x3 convolution; its inner channels are groups * group_width / 64 times
            the stage's.
    """

    blocks: tuple[int, int, int, int]
    is_bottleneck: bool
    groups: int = 1
    group_width: int = 64


RESNETS = {
    "resnet18": Depth((2, 2, 2, 2), is_bottleneck=False),
    "resnet34": Depth((3, 4, 6, 3), is_bottleneck=False),
    "resnet50": Depth((3, 4, 6, 3), is_bottleneck=True),
    "resnet101": Depth((3, 4, 23, 3), is_bottleneck=True),
    "resnext101_64x4d": Depth((3, 4, 23, 3), is_bottleneck=True, groups=64, group_width=4),
}


class Conv3x3(nn.Conv2d):
    """An ordinary 3x3 convolution without bias, called like `DeformableConv2d`."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> None:
        """Create the weights; padding keeps the size at stride 1."""
        super().__init__(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """Return the projection beside a block, None where its input can be added as it is."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the input added to them.

    Shape: (B, in_channels, H, W) to (B, channels, H / stride, W / stride).
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, row: Depth, is_deformable: bool) -> None:
        """Create the layers; of a deformable block the second convolution is deformable."""
        super().__init__()
        second = DeformableConv2d if is_deformable else Conv3x3
        self.conv1, self.bn1 = Conv3x3(in_channels, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = second(channels, channels, 3), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(in_channels, channels, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features of the next block."""
        added = features if self.downsample is None else self.downsample(features)
        inner = self.relu(self.bn1(self.conv1(features)))
        activated: Tensor = self.relu(self.bn2(self.conv2(inner)).add_(added))
        return activated


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution and the input added to them; the stride is that of the 3x3 one.

    Shape: (B, in_channels, H, W) to (B, 4 channels, H / stride, W / stride).
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int, row: Depth, is_deformable: bool) -> None:
        """Create the layers; of a deformable block the second convolution is deformable."""
        super().__init__()
        inner, out_channels = row.groups * row.group_width * channels // 64, 4 * channels
        second = DeformableConv2d if is_deformable else Conv3x3
        self.conv1, self.bn1 = nn.Conv2d(in_channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = second(inner, inner, 3, stride, row.groups), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(in_channels, out_channels, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features of the next block."""
        added = features if self.downsample is None else self.downsample(features)
        inner = self.relu(self.bn1(self.conv1(features)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        activated: Tensor = self.relu(self.bn3(self.conv3(inner)).add_(added))
        return activated


class Backbone(nn.Module):
    """A ResNet without its classifier; attribute names are torchvision's, so its weights load as they are.

    Shape: (B, 3, H, W) to the list of C2..C5 (or C2..C4) at strides 4, 8, 16, 32.

    Attributes:
        out_channels: of each feature map.

    Source: He et al., "Deep residual learning for image recognition" (2015), with torchvision's place of the stride
    (v1.5); Xie et al., "Aggregated residual transformations for deep neural networks" (2017).
    """

    def __init__(self, name: str, last_stage: int = 5, deformable: bool = False) -> None:
        """Build the row of `RESNETS` called `name` up to C`last_stage`; `deformable` counts from C3 on."""
        super().__init__()
        row = RESNETS[name]
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 7, stride=2, padding=3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(STEM_CHANNELS), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = list(STAGE_CHANNELS)[: last_stage - 1]
        self.out_channels: list[int] = []
        block = Bottleneck if row.is_bottleneck else BasicBlock
        before = STEM_CHANNELS
        for stage, count in zip(self.stages, row.blocks, strict=False):
            channels, is_first = STAGE_CHANNELS[stage], stage == "layer1"
            blocks = []
            for number in range(count):
                stride = 1 if is_first or number else 2
                blocks.append(block(before, channels, stride, row, deformable and not is_first))
                before = channels * block.expansion
            setattr(self, stage, nn.Sequential(*blocks))
            self.out_channels.append(before)
        self._initialise()

    def _initialise(self) -> None:
        if self.conv1.weight.is_meta:  # only the shapes are wanted, and `normal_` would import torch._dynamo there
            return
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of `images`, finest first."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = []
        for stage in self.stages:
            features = getattr(self, stage)(features)
            maps.append(features)
        return maps

    def freeze(self) -> None:
        """Keep every BatchNorm in eval mode, and the stem and first stage untrained."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        for module in (self.conv1, self.bn1, self.get_submodule("layer1")):
            module.requires_grad_(False)
