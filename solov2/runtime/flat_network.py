"""A network as other libraries take it: a tensor in, a tuple of named tensors out."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from solov2.network.model import SOLOv2
from solov2.network.outputs import HeadOutputs


class FlatNetwork(nn.Module):
    """A network whose outputs are one flat tuple; `unflatten` is the way back."""

    def __init__(self, model: SOLOv2, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> None:
        """Copy `model` to `device` (None: where it is) in `dtype`."""
        super().__init__()
        self.model = copy.deepcopy(model).to(device or model.device, dtype)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for (B, 3, H, W) images."""
        outputs: HeadOutputs = self.model(images)
        return (*outputs.category_logits, *outputs.kernels, outputs.mask_features, *(outputs.boxes or ()))


def output_names(model: SOLOv2) -> list[str]:
    """Return the names of the outputs of a `FlatNetwork`, in their order."""
    levels = range(len(model.variant.level_strides))
    per_level = ["category_logits", "kernels"] + (["boxes"] if model.variant.grid_sizes is None else [])
    names = {kind: [f"{kind}_{level}" for level in levels] for kind in per_level}
    return [*names["category_logits"], *names["kernels"], "mask_features", *names.get("boxes", [])]


def unflatten(values: Sequence[Tensor], strides: tuple[int, ...]) -> HeadOutputs:
    """Return the outputs that a `FlatNetwork` gave as a tuple."""
    levels = len(strides)
    category_logits, kernels = list(values[:levels]), list(values[levels : 2 * levels])
    return HeadOutputs(category_logits, kernels, values[2 * levels], list(values[2 * levels + 1 :]) or None, strides)
