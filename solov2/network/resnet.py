"""torchvision's ResNet, cut to the feature maps C2..C5, and its deformable form."""

from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import deform_conv2d


class DeformableConv2d(nn.Module):
    """Modulated deformable convolution with one offset group.

    `conv_offset` predicts for each of the K = k * k taps an offset (2 K channels, y before x) and, through a sigmoid,
    a weight (K channels). It starts at zero, where the layer is an ordinary convolution with half of its weights.

    Shape: (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride).

    Source: Zhu et al., "Deformable ConvNets v2" (2019); elsewhere ModulatedDeformConv2dPack, DCNv2.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> None:
        """Create the weights; padding keeps the size at stride 1, there is no bias."""
        super().__init__()
        self.stride, self.padding, self.taps = stride, kernel_size // 2, kernel_size**2
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size))
        self.conv_offset = nn.Conv2d(in_channels, 3 * self.taps, kernel_size, stride, self.padding)
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Convolve `features` at the places that they ask for."""
        predicted = self.conv_offset(features)
        offsets, modulation = predicted[:, : 2 * self.taps], predicted[:, 2 * self.taps :].sigmoid()
        # In float32 whatever the rest computes in: half precision places the taps of wide maps a quarter pixel off, and
        # torchvision has no kernel for bfloat16, nor for float16 on the CPU.
        inputs = (features, offsets, self.weight, modulation)
        image, offset, weight, mask = (tensor.float().contiguous() for tensor in inputs)
        with torch.autocast(features.device.type, enabled=False):
            convolved: Tensor = deform_conv2d(image, offset, weight, None, self.stride, self.padding, mask=mask)
        return convolved.to(features.dtype)


class Backbone(nn.Module):
    """A ResNet without its classifier; attribute names are torchvision's, so its weights load as they are.

    Shape: (B, 3, H, W) to the list of C2..C5 (or C2..C4) at strides 4, 8, 16, 32.
    """

    def __init__(self, name: str, last_stage: int = 5, deformable: bool = False) -> None:
        """Build torchvision's ResNet called `name` up to C`last_stage`."""
        super().__init__()
        resnet = torchvision.models.get_model(name, weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool
        self.layer1, self.layer2, self.layer3 = resnet.layer1, resnet.layer2, resnet.layer3
        self.stages: list[str] = ["layer1", "layer2", "layer3"]
        if last_stage == 5:
            self.layer4 = resnet.layer4
            self.stages.append("layer4")
        if deformable:
            for stage in self.stages[1:]:
                _make_deformable(getattr(self, stage))

    @property
    def out_channels(self) -> list[int]:
        """Channels of each feature map."""
        return [_last_conv(getattr(self, stage)[-1]).out_channels for stage in self.stages]

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
        for module in (self.conv1, self.bn1, self.layer1):
            module.requires_grad_(False)


def _last_conv(block: nn.Module) -> nn.Conv2d:
    conv = block.conv3 if isinstance(block, Bottleneck) else block.conv2
    assert isinstance(conv, nn.Conv2d)  # torchvision's blocks end in one
    return conv


def _make_deformable(stage: Sequence[nn.Module]) -> None:
    for block in stage:
        conv = block.conv2
        assert isinstance(block, BasicBlock | Bottleneck)
        assert isinstance(conv, nn.Conv2d)
        block.conv2 = DeformableConv2d(
            conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0], conv.groups
        )
