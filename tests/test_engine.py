"""Devices, precisions, and BatchNorms folded away."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from solov2 import VARIANTS, SOLOv2
from solov2.errors import SOLOv2Error, UnknownNameError
from solov2.network.resnet import Backbone
from solov2.runtime.device import (
    fastest_dtype,
    find_device,
    find_dtype,
    fold_batch_norms,
    prepare,
    stays_in_range,
    widest_fast_dtype,
)

CPU = torch.device("cpu")


def settled(name: str, deformable: bool = False) -> Backbone:
    """A backbone whose BatchNorms do something."""
    backbone = Backbone(name, deformable=deformable)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.8)
            nn.init.normal_(module.bias, std=0.1)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return backbone.eval()


@pytest.mark.parametrize(("name", "deformable"), [("resnet18", False), ("resnet18", True), ("resnet50", False)])
@torch.inference_mode()
def test_folding_batch_norms_leaves_the_function_as_it_is(name: str, deformable: bool) -> None:
    torch.manual_seed(0)
    backbone, images = settled(name, deformable), torch.randn(1, 3, 64, 64)
    expected = backbone(images)
    fold_batch_norms(backbone)
    for actual, wanted in zip(backbone(images), expected, strict=True):
        assert torch.allclose(actual, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    left = [name for name, module in backbone.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(deformable and name.endswith("bn2") for name in left)
    assert bool(left) == deformable


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_network_is_prepared_for_running_only(dtype: torch.dtype) -> None:
    model = prepare(SOLOv2(VARIANTS["light-r18"]).train(), CPU, dtype)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.dtype == dtype
    assert isinstance(model.backbone.bn1, nn.BatchNorm2d) == (dtype == torch.float32)


@pytest.mark.parametrize(
    ("variant", "dtype", "memory_format"),
    [
        ("nano", torch.float32, torch.channels_last),
        ("light-r18", torch.bfloat16, torch.channels_last),
        ("light-r50-dcn", torch.float32, torch.contiguous_format),
        ("light-r50-dcn", torch.bfloat16, torch.channels_last),
    ],
)
def test_tensors_lie_channels_last_but_where_the_references_order_is_needed(
    variant: str, dtype: torch.dtype, memory_format: torch.memory_format
) -> None:
    model = prepare(SOLOv2(VARIANTS[variant]), CPU, dtype)
    image = np.zeros((40, 60, 3), np.uint8)
    first = next(parameter for parameter in model.backbone.parameters())
    assert first.is_contiguous(memory_format=memory_format)
    assert model.preprocess([image], model.geometry(image)).is_contiguous(memory_format=memory_format)


def test_values_that_leave_the_range_of_float16_are_noticed_though_norms_hide_them() -> None:
    torch.manual_seed(0)
    model = SOLOv2(VARIANTS["light-r18"])
    for factor, dtype, stays in ((1, torch.float16, True), (1e5, torch.bfloat16, True), (1e5, torch.float16, False)):
        made = deepcopy(model)
        made.neck.lateral_convs[2].conv.weight.data *= factor  # type: ignore[union-attr, index]
        assert stays_in_range(prepare(made, CPU, dtype)) == stays


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16)])
def test_the_range_of_float32_costs_speed_where_nothing_computes_in_bfloat16(
    capability: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert widest_fast_dtype(torch.device("cuda:1")) == dtype
    assert widest_fast_dtype(CPU) == fastest_dtype(CPU)


def test_the_cpu_is_always_there() -> None:
    assert find_device("cpu") == CPU
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cpu:", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:0:1", "CUDA", "", "mps"])
def test_an_unknown_device_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"^unknown device '{name}'\..* Known: auto, cpu, cuda, cuda:N$"):
        find_device(name)


def test_a_cuda_device_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(SOLOv2Error, match=r"^no CUDA device 'cuda:99' here: torch sees \d+\. Use --device cpu$"):
        find_device("cuda:99")


def test_precisions_have_names() -> None:
    assert find_dtype("float32", CPU) == torch.float32
    assert find_dtype("bfloat16", CPU) == torch.bfloat16
    assert find_dtype("auto", CPU) == fastest_dtype(CPU)
    assert fastest_dtype(CPU) in (torch.float32, torch.bfloat16)
    assert fastest_dtype(torch.device("cuda")) == torch.float16
    with pytest.raises(UnknownNameError, match=r"^unknown dtype 'half'\..* Known: auto, float32, bfloat16, float16$"):
        find_dtype("half", CPU)
