"""How a network is executed on this device: which one, in which precision, in which memory format."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from solov2.decoding.geometry import normalisation
from solov2.errors import SOLOv2Error
from solov2.network.model import SOLOv2
from solov2.runtime.names import DTYPE_NAMES, check_device_name, check_dtype_name

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in DTYPE_NAMES}

_BFLOAT16_CAPABILITY = (8, 0)  # of CUDA devices that compute in it: Ampere and later
_PROBE_PX = 128
_PROBE_BLOCKS_PX = (1, 4)
_PROBE_CONTRAST = 2.0  # of the largest that a picture can have


def find_device(name: str) -> torch.device:
    """Return the device called "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        UnknownNameError: it is none of these.
        SOLOv2Error: there is no such CUDA device here.
    """
    number = check_device_name(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if number is not None and number >= torch.cuda.device_count():
        raise SOLOv2Error(f"no CUDA device {name!r} here: torch sees {torch.cuda.device_count()}. Use --device cpu")
    return torch.device(name)


def fastest_dtype(device: torch.device) -> torch.dtype:
    """Return the precision in which a network runs fastest on `device` without losing instances.

    float16 on CUDA, bfloat16 on a CPU that computes in it, float32 on others.
    """
    if device.type == "cuda":
        return torch.float16
    return (
        torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else torch.float32
    )


def widest_fast_dtype(device: torch.device) -> torch.dtype:
    """Return the fastest precision on `device` that has the range of float32: bfloat16 where it is computed in."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= _BFLOAT16_CAPABILITY else torch.float32
    return fastest_dtype(device)


def find_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the precision called "auto", "float32", "bfloat16" or "float16".

    Raises:
        UnknownNameError: it is none of these.
    """
    return fastest_dtype(device) if check_dtype_name(name) == "auto" else DTYPES[name]


def prepare(model: SOLOv2, device: torch.device, dtype: torch.dtype) -> SOLOv2:
    """Return `model` as it is run: in eval mode, on `device`, in `dtype`, in the memory format that suits it.

    In lower precision BatchNorms are folded away; in float32 every value stays the reference's, so convolutions on CUDA
    do without TF32, which rounds to ten bits (that holds for the whole process).
    """
    model.eval().requires_grad_(False)
    if dtype == torch.float32 and device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    if dtype != torch.float32:
        fold_batch_norms(model)
    model.to(device, dtype)
    return model.to(memory_format=model.memory_format)


@torch.inference_mode()
def stays_in_range(model: SOLOv2) -> bool:
    """Return whether the network's values stay within the range of its precision, 65,504 in float16.

    One that leaves it becomes infinite, and nothing is found from there on, without an error. So two pictures of random
    black and white, in single pixels and in blocks, run through once with twice the contrast that a picture can have:
    they drive the values further than photographs do, and whatever overflows reaches the outputs through the norms.
    """
    generator = torch.Generator().manual_seed(0)
    images = []
    for block in _PROBE_BLOCKS_PX:
        blocks = torch.randint(0, 2, (1, 3, _PROBE_PX // block, _PROBE_PX // block), generator=generator)
        images.append(F.interpolate(255.0 * blocks, scale_factor=block))
    mean, std = normalisation(torch.device("cpu"))
    batch = _PROBE_CONTRAST * (torch.cat(images) - mean) / std
    outputs = model(batch.to(model.device, model.dtype, memory_format=model.memory_format))
    values = (*outputs.category_logits, *outputs.kernels, outputs.mask_features)
    return all(bool(tensor.isfinite().all()) for tensor in values)


def fold_batch_norms(module: nn.Module) -> None:
    """Merge every BatchNorm of a ResNet into the convolution before it, in place; the function stays the same.

    Pairs are known by torchvision's names: conv1 and bn1, conv2 and bn2, conv3 and bn3, and the two of `downsample`.
    """
    for child in module.children():
        fold_batch_norms(child)
    names = dict(module.named_children())
    pairs = [(f"conv{i}", f"bn{i}") for i in (1, 2, 3)] + [("0", "1")]
    for conv_name, norm_name in pairs:
        conv, norm = names.get(conv_name), names.get(norm_name)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(module, norm_name, nn.Identity())
