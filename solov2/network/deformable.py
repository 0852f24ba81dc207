"""The deformable convolution, the one layer that torch does not have itself."""

import torch
from torch import Tensor, nn


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
        from torchvision.ops import deform_conv2d  # a second to import, for networks that need it alone

        predicted = self.conv_offset(features)
        offsets, modulation = predicted[:, : 2 * self.taps], predicted[:, 2 * self.taps :].sigmoid()
        # In float32 whatever the rest computes in: half precision places the taps of wide maps a quarter pixel off, and
        # torchvision has no kernel for bfloat16, nor for float16 on the CPU.
        inputs = (features, offsets, self.weight, modulation)
        image, offset, weight, mask = (tensor.float().contiguous() for tensor in inputs)
        with torch.autocast(features.device.type, enabled=False):
            convolved: Tensor = deform_conv2d(image, offset, weight, None, self.stride, self.padding, mask=mask)
        return convolved.to(features.dtype)
