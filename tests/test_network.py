"""Backbone, pyramid and head: shapes, names, and the deformable convolution."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from solov2 import VARIANTS
from solov2.network.deformable import DeformableConv2d
from solov2.network.fpn import FPN
from solov2.network.head import append_coordinates
from solov2.network.model import SOLOv2
from solov2.network.resnet import RESNETS, Backbone


@pytest.mark.parametrize("name", RESNETS)
def test_an_ordinary_backbone_has_torchvisions_tensors_and_feature_maps(name: str) -> None:
    resnet = torchvision.models.get_model(name, weights=None).eval()
    backbone = Backbone(name).eval()
    assert [*backbone.state_dict(), "fc.weight", "fc.bias"] == list(resnet.state_dict())
    backbone.load_state_dict(resnet.state_dict(), strict=False)
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        maps = backbone(images)
        pooled = F.adaptive_avg_pool2d(maps[-1], 1).flatten(1)
        assert torch.equal(resnet.fc(pooled), resnet(images))
    assert [tuple(features.shape) for features in maps] == [
        (1, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(backbone.out_channels, (4, 8, 16, 32), strict=True)
    ]


def test_a_backbone_may_end_at_c4() -> None:
    backbone = Backbone("resnet18", last_stage=4)
    assert backbone.out_channels == [64, 128, 256]
    assert len(backbone(torch.zeros(1, 3, 32, 32))) == 3
    assert not any(name.startswith(("layer4", "fc")) for name in backbone.state_dict())


def test_freezing_stops_the_first_stage_and_the_statistics() -> None:
    backbone = Backbone("resnet18").train()
    backbone.freeze()
    trained = {name.split(".")[0] for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert trained == {"layer2", "layer3", "layer4"}
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    backbone(torch.randn(2, 3, 32, 32))
    assert all(torch.equal(buffer, before[name]) for name, buffer in backbone.named_buffers())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_deformable_convolution_starts_as_half_an_ordinary_one(stride: int, groups: int) -> None:
    layer = DeformableConv2d(4, 6, 3, stride, groups)
    features = torch.randn(2, 4, 9, 11)
    ordinary = F.conv2d(features, layer.weight, stride=stride, padding=1, groups=groups)
    assert torch.allclose(layer(features), ordinary / 2, atol=1e-5)


def test_offsets_move_the_taps_down_and_right() -> None:
    layer = DeformableConv2d(1, 1, 3)
    assert layer.conv_offset.bias is not None
    with torch.no_grad():
        layer.conv_offset.bias[0:18:2] = 2  # y
        layer.conv_offset.bias[1:18:2] = 1  # x
        layer.conv_offset.bias[18:] = 100  # fully on
    features = torch.randn(1, 1, 12, 12)
    ordinary = F.conv2d(features, layer.weight, padding=1)
    moved = layer(features)
    assert torch.allclose(moved[..., 1:-3, 1:-2], ordinary[..., 3:-1, 2:-1], atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_deformable_convolution_runs_in_lower_precision(dtype: torch.dtype) -> None:
    layer = DeformableConv2d(4, 4, 3)
    features = torch.randn(1, 4, 8, 8)
    lower = layer.to(dtype)(features.to(dtype))
    assert lower.dtype == dtype
    assert torch.allclose(lower.float(), layer.float()(features), atol=0.05)


@pytest.mark.parametrize("stages", [3, 4])
def test_a_pyramid_has_five_levels_however_the_backbone_ends(stages: int) -> None:
    channels = [8, 16, 32, 64][:stages]
    maps = [torch.randn(1, c, 64 >> i, 96 >> i) for i, c in enumerate(channels)]
    pyramid = FPN(channels, 12)(maps)
    assert [tuple(level.shape) for level in pyramid] == [(1, 12, 64 >> i, 96 >> i) for i in range(5)]


def test_p6_is_every_second_pixel_of_p5() -> None:
    maps = [torch.randn(1, 4, 64 >> i, 64 >> i) for i in range(4)]
    *_, p5, p6 = FPN([4] * 4, 6)(maps)
    assert torch.equal(p6, p5[:, :, ::2, ::2])


def test_coordinates_run_from_minus_one_to_one_x_before_y() -> None:
    appended = append_coordinates(torch.zeros(2, 3, 4, 5))
    assert appended.shape == (2, 5, 4, 5)
    assert torch.allclose(appended[1, 3, 2], torch.linspace(-1, 1, 5))
    assert torch.allclose(appended[1, 4, :, 3], torch.linspace(-1, 1, 4))


ORDINARY = [name for name, row in VARIANTS.items() if not row.deformable_backbone]  # the others need real tensors


@pytest.mark.parametrize("variant", ORDINARY)
def test_every_variant_answers_in_the_shapes_of_its_row(variant: str) -> None:
    row = VARIANTS[variant]
    with torch.device("meta"):
        outputs = SOLOv2(row, ("person", "cat", "dog"))(torch.zeros(2, 3, 64, 96))
    if row.grid_sizes is None:
        grids = [(-(-64 // stride), -(-96 // stride)) for stride in row.level_strides]
    else:
        grids = [(size, size) for size in row.grid_sizes]
    assert [tuple(level.shape) for level in outputs.category_logits] == [(2, 3, *grid) for grid in grids]
    assert [tuple(level.shape) for level in outputs.kernels] == [(2, row.kernel_numbers, *grid) for grid in grids]
    assert outputs.mask_features.shape == (2, row.mask_channels, 16, 24)
    assert len(outputs.strides) == len(grids)


def test_an_initialised_head_expects_little() -> None:
    model = SOLOv2(VARIANTS["light-r18"])
    model.mask_head.initialise()
    model.eval().requires_grad_(False)
    outputs = model(torch.randn(1, 3, 64, 64))
    scores = torch.cat([level.sigmoid().flatten() for level in outputs.category_logits])
    assert float(scores.mean()) == pytest.approx(0.01, rel=0.5)
    stds = [float(m.weight.std()) for m in model.mask_head.modules() if isinstance(m, nn.Conv2d)]
    assert stds == pytest.approx([0.01] * len(stds), rel=0.1)
