"""From the tensor names of others to ours, which are those of OpenMMLab's checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_AUTHORS_PREFIXES = {
    "bbox_head.cate_convs.": "mask_head.cls_convs.",
    "bbox_head.kernel_convs.": "mask_head.kernel_convs.",
    "bbox_head.solo_cate.": "mask_head.conv_cls.",
    "bbox_head.solo_kernel.": "mask_head.conv_kernel.",
    "mask_feat_head.conv_pred.0.": "mask_head.mask_feature_head.conv_pred.",
    "mask_feat_head.": "mask_head.mask_feature_head.",
}
_FULL_MODULATION = 100.0  # the sigmoid of it is exactly 1 in every precision
_UNMODULATED_PX = (852, 512)


@dataclass(frozen=True, slots=True, eq=False)
class OurTensors:
    """Tensors under our names.

    Attributes:
        state_dict: by name; without moving averages, which OpenMMLab keeps as "ema_...".
        is_authors: whether they had names of the SOLO authors' code.
        input_px: the long and the short side of the input that they were run at, where that is not the variant's.
    """

    state_dict: dict[str, Tensor]
    is_authors: bool
    input_px: tuple[int, int] | None


def under_our_names(tensors: Mapping[str, Tensor]) -> OurTensors:
    """Return the tensors of a file under our names."""
    plain = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    plain = {name: tensor for name, tensor in plain.items() if not name.startswith("ema_")}
    renamed = {_our_name(name): tensor for name, tensor in plain.items()}
    is_unmodulated = _modulate(renamed)
    return OurTensors(renamed, renamed.keys() != plain.keys(), _UNMODULATED_PX if is_unmodulated else None)


def _our_name(name: str) -> str:
    for theirs, ours in _AUTHORS_PREFIXES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _modulate(state_dict: dict[str, Tensor]) -> bool:
    """Give deformable convolutions without modulation one that is exactly 1, and return whether there are any.

    Only one published model has them, the SOLO authors' Light model (`solov2_light_512_dcn_r50_fpn_8gpu_3x`).
    """
    is_unmodulated = False
    for name in [name for name in state_dict if name.endswith(".conv_offset.weight")]:
        weight, bias_name = state_dict[name], name.removesuffix("weight") + "bias"
        bias = state_dict.get(bias_name)
        taps = weight.shape[2] * weight.shape[3] if weight.ndim == 4 else 0
        if taps and bias is not None and weight.shape[:1] == bias.shape == (2 * taps,):
            state_dict[name] = torch.cat([weight, weight.new_zeros(taps, *weight.shape[1:])])
            state_dict[bias_name] = torch.cat([bias, bias.new_full((taps,), _FULL_MODULATION)])
            is_unmodulated = True
    return is_unmodulated
