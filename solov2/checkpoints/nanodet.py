"""NanoDet-Plus's published detector as a start for `nano`: its convolutions are ours, in the order in which they run.

The file is NanoDet-Plus-m 416 (RangiLyu, Apache-2.0) with its BatchNorms merged into the convolutions, which are called
`Conv_N` with rising N, as in its ONNX export. Two things differ: it reads BGR where we read RGB, and its last
convolution of each level gives categories and box distances at once.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from solov2.errors import CheckpointError
from solov2.network.dense_head import DenseHead, LevelBranch
from solov2.network.model import SOLOv2
from solov2.network.shufflenet import ShuffleNet
from solov2.variants import COCO_CLASSES


def is_nanodet(state_dict: Mapping[str, Tensor]) -> bool:
    """Return whether these tensors have the names of that file."""
    return bool(state_dict) and all(name.startswith("Conv_") for name in state_dict)


@torch.no_grad()
def load_nanodet(model: SOLOv2, state_dict: Mapping[str, Tensor]) -> None:
    """Fill the detector of `model`; kernels and mask features, which the file lacks, keep their start.

    A class of the model that is one of COCO's 80 takes over its category weights.

    Raises:
        CheckpointError: the tensors are not those of this detector.
    """
    head, backbone = model.mask_head, model.backbone
    if not isinstance(head, DenseHead) or not isinstance(backbone, ShuffleNet):
        raise CheckpointError(f"NanoDet-Plus is no start for {model.variant.name}, only for nano")
    layers = iter(_in_order(state_dict))
    try:
        _fill(backbone, layers)
        _fill(model.neck, layers)
        for branch in head.level_branches:
            _fill(branch.convs, layers)
            _fill_outputs(branch, next(layers), model.class_names)
        stem = backbone.stem.conv.weight
        stem.copy_(stem.flip(1))  # BGR to RGB
    except (StopIteration, RuntimeError, KeyError) as error:
        raise CheckpointError(f"the weights are not those of NanoDet-Plus-m: {error}") from error


def _in_order(state_dict: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return the weight and the bias of each convolution, in the order in which they run."""
    names = sorted({name.partition(".")[0] for name in state_dict}, key=lambda name: int(name.removeprefix("Conv_")))
    return [(state_dict[f"{name}.weight"], state_dict[f"{name}.bias"]) for name in names]


def _fill(part: nn.Module, layers: Iterator[tuple[Tensor, Tensor]]) -> None:
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            _copy(module, *next(layers))


def _fill_outputs(branch: LevelBranch, layer: tuple[Tensor, Tensor], class_names: tuple[str, ...]) -> None:
    weight, bias = layer
    classes = len(COCO_CLASSES)
    _copy(branch.conv_box, weight[classes:], bias[classes:])
    own = branch.conv_cls.state_dict()
    for label, name in enumerate(class_names):
        if name in COCO_CLASSES:
            own["weight"][label] = weight[COCO_CLASSES.index(name)]
            own["bias"][label] = bias[COCO_CLASSES.index(name)]


def _copy(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    if conv.weight.shape != weight.shape:
        raise RuntimeError(f"a convolution of {tuple(weight.shape)} where {tuple(conv.weight.shape)} is needed")
    conv.load_state_dict({"weight": weight, "bias": bias})
