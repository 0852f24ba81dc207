"""The three parts of a network, chosen by its row of numbers."""

from collections.abc import Sequence

from solov2.network.dense_head import DenseHead
from solov2.network.fpn import FPN
from solov2.network.ghost_pan import GhostPAN
from solov2.network.head import SOLOv2Head
from solov2.network.resnet import Backbone
from solov2.network.shufflenet import ShuffleNet
from solov2.variants import Variant


def make_backbone(variant: Variant) -> ShuffleNet | Backbone:
    """Return the untrained backbone of `variant`."""
    if variant.backbone == "shufflenet":
        return ShuffleNet()
    return Backbone(variant.backbone, variant.last_stage, variant.deformable_backbone)


def make_pyramid(variant: Variant, in_channels: Sequence[int]) -> GhostPAN | FPN:
    """Return the untrained pyramid of `variant` over a backbone's maps."""
    pyramid = GhostPAN if variant.pyramid == "ghost-pan" else FPN
    return pyramid(in_channels, variant.fpn_channels)


def make_head(variant: Variant, in_channels: Sequence[int], num_classes: int) -> DenseHead | SOLOv2Head:
    """Return the untrained head of `variant`."""
    if variant.grid_sizes is None:
        return DenseHead(variant, in_channels[0], num_classes)
    return SOLOv2Head(variant, num_classes)
