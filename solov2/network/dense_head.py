"""A head whose grids are the feature maps: categories and boxes of a dense detector, and a kernel for each cell."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solov2.network.ghost_pan import separable
from solov2.network.outputs import HeadOutputs
from solov2.network.shufflenet import LEAK, Conv, depthwise
from solov2.variants import COARSE_SIDE, Variant

DISTANCES = 8  # a side's distance from the cell is the expectation over 0..7 strides
SIDES = 4  # left, top, right, bottom
MASK_LEVELS = 3  # finer levels of the pyramid that the mask features are made of
CATEGORY_PRIOR_BIAS = -4.59511985013459  # -log(99): every cell starts with a score of 0.01


class LevelBranch(nn.Module):
    """What one level says about each of its cells: categories, and how far the box reaches from the cell.

    Shape: (B, channels, S_h, S_w) to features of the same shape, (B, C, S_h, S_w) and (B, 32, S_h, S_w) logits.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        """Create the layers."""
        super().__init__()
        self.convs = nn.Sequential(separable(channels), separable(channels))
        self.conv_cls = nn.Conv2d(channels, num_classes, 1)
        self.conv_box = nn.Conv2d(channels, SIDES * DISTANCES, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features that it decides by, the category logits and the distance logits."""
        features = self.convs(features)
        return features, self.conv_cls(features), self.conv_box(features)


class KernelBranch(nn.Module):
    """The kernel of each cell, from the pyramid, the detector's own features of that level and the coordinates.

    The first convolution is each level's own, as its inputs are; the others are shared.

    Shape: two lists of (B, channels, S_h, S_w) to a list of (B, D, S_h, S_w).
    """

    def __init__(self, channels: int, levels: int, kernel_numbers: int) -> None:
        """Create the layers."""
        super().__init__()
        self.entries = nn.ModuleList(Conv(2 * channels + 2, channels) for _ in range(levels))
        self.convs = separable(channels, 3)
        self.conv_kernel = nn.Conv2d(channels, kernel_numbers, 1)

    def forward(self, pyramid: Sequence[Tensor], decided_by: Sequence[Tensor]) -> list[Tensor]:
        """Return the kernels of every level."""
        kernels = []
        for entry, features, detector in zip(self.entries, pyramid, decided_by, strict=True):
            joined = torch.cat((features, detector, coordinates(features)), 1)
            kernels.append(self.conv_kernel(self.convs(entry(joined))))
        return kernels


class Residual(nn.Module):
    """A depthwise separable 3x3 convolution, added to its input."""

    def __init__(self, channels: int) -> None:
        """Create the layers."""
        super().__init__()
        self.convs = separable(channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Return the sum."""
        added: Tensor = features + self.convs(features)
        return added


class StemMaskFeatures(nn.Module):
    """Mask features at stride 4, from the stem's map at stride 2 and the three finer levels of the pyramid.

    The levels meet at stride 8 with the coordinates; what is finer comes from the stem.

    Shape: (B, stem, H / 2, W / 2) and levels at strides 8, 16, 32, ... to (B, E, H / 4, W / 4).
    """

    def __init__(self, variant: Variant, stem_channels: int) -> None:
        """Build the branch of `variant`."""
        super().__init__()
        inner = variant.mask_feature_channels
        self.laterals = nn.ModuleList(
            nn.Conv2d(variant.fpn_channels + (2 if level == 0 else 0), inner, 1) for level in range(MASK_LEVELS)
        )
        self.middle = nn.Sequential(Conv(inner, inner, 3), Residual(inner))
        self.stem = nn.Sequential(depthwise(stem_channels, 3, stride=2), nn.Conv2d(stem_channels, inner, 1))
        self.fine = nn.Sequential(Residual(inner), Residual(inner))
        self.conv_pred = nn.Conv2d(inner, variant.mask_channels, 1)

    def forward(self, stem: Tensor, pyramid: Sequence[Tensor]) -> Tensor:
        """Return the mask features."""
        finest, *coarser = pyramid[:MASK_LEVELS]
        first, *others = self.laterals
        merged = first(torch.cat((finest, coordinates(finest)), 1))  # stride 8
        for lateral, features in zip(others, coarser, strict=True):
            merged = merged + _resize(lateral(features), finest)
        merged = self.middle(F.leaky_relu(merged, LEAK))
        doubled = F.interpolate(merged, scale_factor=2.0, mode="bilinear", align_corners=False)
        merged = F.leaky_relu(doubled + self.stem(stem), LEAK)  # stride 4
        predicted: Tensor = self.conv_pred(self.fine(merged))
        return predicted


class DenseHead(nn.Module):
    """Categories, boxes and kernels for every pixel of every level, and one set of mask features for all.

    Source: the detector is that of NanoDet-Plus (RangiLyu, 2021); kernels and mask features as in SOLOv2.
    """

    def __init__(self, variant: Variant, stem_channels: int, num_classes: int) -> None:
        """Build the head of `variant` for `num_classes` classes."""
        super().__init__()
        self.strides = variant.level_strides
        channels, levels = variant.fpn_channels, len(variant.level_strides)
        self.branches = nn.ModuleList(LevelBranch(channels, num_classes) for _ in range(levels))
        self.kernel_branch = KernelBranch(channels, levels, variant.kernel_numbers)
        self.mask_feature_head = StemMaskFeatures(variant, stem_channels)

    def forward(self, maps: Sequence[Tensor]) -> HeadOutputs:
        """Return the outputs for the stem's map and the pyramid's levels."""
        stem, *pyramid = maps
        decided = [branch(features) for branch, features in zip(self.branches, pyramid, strict=True)]
        return HeadOutputs(
            [logits for _, logits, _ in decided],
            self.kernel_branch(pyramid, [features for features, _, _ in decided]),
            self.mask_feature_head(stem, pyramid),
            [cell_boxes(distances, stride) for (_, _, distances), stride in zip(decided, self.strides, strict=True)],
            self.strides,
        )

    @property
    def level_branches(self) -> list[LevelBranch]:
        """The branches of the levels, finest first."""
        return [branch for branch in self.branches if isinstance(branch, LevelBranch)]

    def initialise(self) -> None:
        """Set the starting weights of a training: kernels near zero, and few positives expected."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                assert module.bias is not None
                nn.init.kaiming_normal_(module.weight, LEAK, nonlinearity="leaky_relu")
                nn.init.zeros_(module.bias)
        kernel = self.kernel_branch.conv_kernel
        nn.init.normal_(kernel.weight, std=0.01)
        assert kernel.bias is not None
        with torch.no_grad():
            kernel.bias[-(COARSE_SIDE**2) :] = _round_mask().flatten()
        for branch in self.level_branches:
            assert branch.conv_cls.bias is not None
            nn.init.normal_(branch.conv_cls.weight, std=0.01)
            nn.init.constant_(branch.conv_cls.bias, CATEGORY_PRIOR_BIAS)


def _round_mask() -> Tensor:
    """Return the coarse logits that every mask starts with: an ellipse that touches the box, (6, 6)."""
    across = (torch.arange(COARSE_SIDE) + 0.5) / COARSE_SIDE * 2 - 1
    return 1 - across.square()[:, None] - across.square()


def cell_boxes(distance_logits: Tensor, stride: int) -> Tensor:
    """Return the boxes of all cells: (B, 32, S_h, S_w) logits to (B, 4, S_h, S_w) float32 xyxy in input pixels.

    Each side's distance from the cell's corner (column * stride, row * stride) is the expectation over 0..7 strides.

    Source: Li et al., "Generalized Focal Loss" (2020).
    """
    batch, _, height, width = distance_logits.shape
    probs = distance_logits.reshape(batch, SIDES, DISTANCES, height, width).float().softmax(2)
    steps = torch.arange(DISTANCES, dtype=torch.float32, device=probs.device)[:, None, None]
    left, top, right, bottom = ((probs * steps).sum(2) * stride).unbind(1)  # (B, S_h, S_w) each
    x = torch.arange(width, device=probs.device) * stride
    y = torch.arange(height, device=probs.device)[:, None] * stride
    return torch.stack((x - left, y - top, x + right, y + bottom), 1)


def coordinates(features: Tensor) -> Tensor:
    """Return (B, 2, H, W): x, then y, each running from -1 to 1 over its axis."""
    batch, _, height, width = features.shape
    x, y = (torch.linspace(-1, 1, side, device=features.device).to(features.dtype) for side in (width, height))
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width))).expand(batch, -1, -1, -1)


def _resize(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, size=like.shape[-2:], mode="bilinear", align_corners=False)
