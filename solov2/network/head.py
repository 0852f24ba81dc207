"""The head of SOLOv2: a kernel and a category for each cell of five grids, and one set of mask features for all."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solov2.network.deformable import DeformableConv2d
from solov2.network.outputs import HeadOutputs
from solov2.variants import Variant

CATEGORY_PRIOR_BIAS = -4.59511985013459  # -log(99): every cell starts with a score of 0.01


def append_coordinates(features: Tensor) -> Tensor:
    """Append an x and a y channel, each running from -1 to 1 over its axis: (B, C, H, W) to (B, C + 2, H, W)."""
    batch, _, height, width = features.shape
    x, y = (torch.linspace(-1, 1, side, device=features.device).to(features.dtype) for side in (width, height))
    x, y = x.expand(batch, 1, height, width), y[:, None].expand(batch, 1, height, width)
    return torch.cat([features, x, y], 1)


def _resize(features: Tensor, size_hw: Sequence[int]) -> Tensor:
    return F.interpolate(features, size=tuple(size_hw), mode="bilinear", align_corners=False)


class ConvNormReLU(nn.Module):
    """Convolution without bias, GroupNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, groups: int, deformable: bool) -> None:
        """Create the layers; padding keeps the size."""
        super().__init__()
        self.conv = (
            DeformableConv2d(in_channels, out_channels, kernel_size)
            if deformable
            else nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        )
        self.gn = nn.GroupNorm(groups, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve, normalise, clip at zero."""
        return F.relu(self.gn(self.conv(features)), inplace=True)


class MaskFeatureHead(nn.Module):
    """P2..P5 brought to stride 4 and added: the features that every kernel is applied to.

    Level i is convolved and doubled i times; coarsest of all, P5 also gets coordinates.

    Shape: P2..P5 to (B, E, H / 4, W / 4).
    """

    def __init__(self, variant: Variant) -> None:
        """Build the branch of `variant`."""
        super().__init__()
        inner, groups = variant.mask_feature_channels, variant.norm_groups
        deformable = variant.deformable_mask_features
        self.convs_all_levels = nn.ModuleList()
        for level in range(4):
            first = variant.fpn_channels + (2 if level == 3 else 0)
            convs = [
                ConvNormReLU(first if i == 0 else inner, inner, 3, groups, deformable) for i in range(max(level, 1))
            ]
            self.convs_all_levels.append(nn.ModuleDict({f"conv{i}": conv for i, conv in enumerate(convs)}))
        self.conv_pred = ConvNormReLU(inner, variant.mask_channels, 1, groups, deformable)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Return the mask features of P2..P5."""
        levels = [*pyramid[:3], append_coordinates(pyramid[3])]
        doubled = [self._double(level, features) for level, features in enumerate(levels)]
        predicted: Tensor = self.conv_pred(sum(doubled[1:], doubled[0]))
        return predicted

    def _double(self, level: int, features: Tensor) -> Tensor:
        """Convolve one level and double it `level` times."""
        convs = self.convs_all_levels[level]
        assert isinstance(convs, nn.ModuleDict)
        for conv in convs.values():
            features = conv(features)
            if level > 0:
                features = _resize(features, [2 * side for side in features.shape[-2:]])
        return features


class SOLOv2Head(nn.Module):
    """The three branches; the weights of the kernel and category branches are shared by all levels.

    Source: Wang et al., "SOLOv2: Dynamic and Fast Instance Segmentation" (2020), section 3; elsewhere `mask_head`,
    `bbox_head`.
    """

    def __init__(self, variant: Variant, num_classes: int) -> None:
        """Build the head of `variant` for `num_classes` classes."""
        super().__init__()
        if variant.grid_sizes is None:
            raise ValueError(f"{variant.name} has no fixed grids: its head is a DenseHead")
        self.grid_sizes = variant.grid_sizes
        self.cls_convs = self._branch(variant, variant.fpn_channels)
        self.kernel_convs = self._branch(variant, variant.fpn_channels + 2)
        self.conv_cls = nn.Conv2d(variant.branch_channels, num_classes, 3, padding=1)
        self.conv_kernel = nn.Conv2d(variant.branch_channels, variant.mask_channels, 3, padding=1)
        self.mask_feature_head = MaskFeatureHead(variant)

    @staticmethod
    def _branch(variant: Variant, in_channels: int) -> nn.Sequential:
        last = variant.branch_depth - 1
        return nn.Sequential(
            *(
                ConvNormReLU(
                    in_channels if i == 0 else variant.branch_channels,
                    variant.branch_channels,
                    3,
                    variant.norm_groups,
                    variant.deformable_branches == "all" or (variant.deformable_branches == "last" and i == last),
                )
                for i in range(variant.branch_depth)
            )
        )

    def forward(self, pyramid: Sequence[Tensor]) -> HeadOutputs:
        """Return the outputs for P2..P6, each (B, fpn_channels, H / 2^i, W / 2^i)."""
        p2, p3, p4, p5, p6 = pyramid
        halved = F.interpolate(p2, scale_factor=0.5, mode="bilinear", align_corners=False)
        levels = (halved, p3, p4, p5, _resize(p6, p5.shape[-2:]))
        kernels, category_logits = [], []
        for features, size in zip(levels, self.grid_sizes, strict=True):
            grid = _resize(append_coordinates(features), (size, size))  # (B, fpn_channels + 2, S, S)
            kernels.append(self.conv_kernel(self.kernel_convs(grid)))  # (B, D, S, S)
            category_logits.append(self.conv_cls(self.cls_convs(grid[:, :-2])))  # (B, C, S, S)
        return HeadOutputs(category_logits, kernels, self.mask_feature_head(pyramid[:4]))

    def initialise(self) -> None:
        """Set the starting weights of a training: normal with std 0.01, and few positives expected."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | DeformableConv2d) and "conv_offset" not in name:
                nn.init.normal_(module.weight, std=0.01)
                if isinstance(module, nn.Conv2d) and module.bias is not None:
                    nn.init.zeros_(module.bias)
        assert self.conv_cls.bias is not None
        nn.init.constant_(self.conv_cls.bias, CATEGORY_PRIOR_BIAS)
