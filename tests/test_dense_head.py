"""The head whose grids are the feature maps: boxes, shapes, and the detector that it can start from."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solov2 import VARIANTS, CheckpointError, DecodeConfig, SOLOv2
from solov2.checkpoints.checkpoint import read_checkpoint
from solov2.checkpoints.nanodet import is_nanodet, load_nanodet
from solov2.decoding.decode import MAX_DENSE_CANDIDATES, rank, select_candidates
from solov2.decoding.mask_logits import inside_boxes, mask_logits
from solov2.network.dense_head import DISTANCES, DenseHead, LevelBranch, cell_boxes, coordinates
from solov2.network.head import SOLOv2Head
from solov2.network.outputs import HeadOutputs
from solov2.network.shufflenet import ShuffleNet, shuffled
from tests.parity.compare import FOLDER
from tests.parity.recipe import make_picture

NANODET = Path(os.environ.get("NANODET_WEIGHTS", "nanodet_plus_m_416.safetensors"))


def test_a_box_reaches_as_many_strides_as_its_distances_say() -> None:
    logits = torch.full((1, 4, DISTANCES, 2, 3), -50.0)
    for side, distance in enumerate((1, 2, 3, 4)):  # left, top, right, bottom
        logits[0, side, distance] = 50
    boxes = cell_boxes(logits.flatten(1, 2), stride=8)
    assert boxes.shape == (1, 4, 2, 3)
    assert boxes[0, :, 1, 2].tolist() == pytest.approx([16 - 8, 8 - 16, 16 + 24, 8 + 32])


def test_a_distance_is_the_expectation_over_its_steps() -> None:
    logits = torch.zeros(1, 4 * DISTANCES, 1, 1)
    assert cell_boxes(logits, stride=2)[0, :, 0, 0].tolist() == pytest.approx([-7, -7, 7, 7])


def test_channels_are_shuffled_by_turns() -> None:
    left, right = torch.tensor([1.0, 2]), torch.tensor([10.0, 20])
    joined = shuffled(left[None, :, None, None], right[None, :, None, None])
    assert joined.flatten().tolist() == [1, 10, 2, 20]


def test_coordinates_are_x_before_y() -> None:
    channels = coordinates(torch.zeros(2, 7, 3, 5))
    assert channels.shape == (2, 2, 3, 5)
    assert channels[1, 0, 0].tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1])
    assert channels[1, 1, :, 4].tolist() == pytest.approx([-1, 0, 1])


def test_a_shufflenet_gives_the_stem_and_three_stages() -> None:
    backbone = ShuffleNet()
    maps = backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(features.shape[1:]) for features in maps] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip(backbone.out_channels, (2, 8, 16, 32), strict=True)
    ]


def test_each_head_refuses_the_rows_of_the_other() -> None:
    with pytest.raises(ValueError, match="nano has no fixed grids"):
        SOLOv2Head(VARIANTS["nano"], 2)
    assert isinstance(SOLOv2(VARIANTS["nano"]).mask_head, DenseHead)


def test_an_initialised_head_expects_little_and_has_round_masks() -> None:
    torch.manual_seed(0)
    model = SOLOv2(VARIANTS["nano"])
    model.mask_head.initialise()
    with torch.inference_mode():
        outputs = model(torch.randn(1, 3, 64, 64))
    scores = torch.cat([level.sigmoid().flatten() for level in outputs.category_logits])
    assert float(scores.mean()) == pytest.approx(0.01, rel=0.5)
    assert max(float(level[:, :48].abs().max()) for level in outputs.kernels) < 1
    coarse = torch.cat([level[:, 48:].flatten(2) for level in outputs.kernels], 2).mean((0, 2)).reshape(6, 6)
    assert (coarse[2:4, 2:4] > 0.5).all()
    assert (coarse[::5, ::5] < 0).all()


def test_pixels_are_inside_a_box_by_their_centres_with_its_margin() -> None:
    boxes = torch.tensor([[4.0, 8.0, 13.9, 17.9]])
    inside = inside_boxes(boxes, (6, 6), margin=0.0)[0]
    assert inside.nonzero().tolist() == [[2, 1], [2, 2], [3, 1], [3, 2]]
    assert int(inside_boxes(boxes, (6, 6), margin=0.5)[0].sum()) == 5 * 5  # x from -1 to 19, y from 3 to 23


def test_a_coarse_mask_is_enlarged_over_its_box_with_the_margin_and_added() -> None:
    generator = torch.Generator().manual_seed(0)
    kernels, features = torch.randn(1, 2 + 36, generator=generator), torch.randn(2, 24, 32, generator=generator)
    left, top, right, bottom = 20.0, 12.0, 100.0, 72.0
    x = (4 * (torch.arange(32) + 0.5) - (left + right) / 2) / ((right - left) * 1.2) * 2  # -1..1 over the enlarged box
    y = (4 * (torch.arange(24) + 0.5) - (top + bottom) / 2) / ((bottom - top) * 1.2) * 2
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    coarse = kernels[0, 2:].reshape(1, 1, 6, 6)
    enlarged = F.grid_sample(coarse, grid, padding_mode="border", align_corners=False)[0, 0]
    expected = torch.einsum("e,ehw->hw", kernels[0, :2], features) + enlarged
    logits = mask_logits(kernels, features, torch.tensor([[left, top, right, bottom]]))[0]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mask_logits(kernels[:, :2], features), (logits - enlarged)[None], rtol=1e-4, atol=1e-4)


def outputs_of(scores: Tensor) -> HeadOutputs:
    """One level of (C, S, S) scores, whose every mask would be the whole picture and whose boxes are its left half."""
    size = scores.shape[-1]
    boxes = torch.tensor([0.0, 0, 32, 64])[None, :, None, None].expand(1, 4, size, size)
    kernels = torch.ones(1, 1, size, size)
    return HeadOutputs([torch.logit(scores)[None]], [kernels], torch.full((1, 1, 16, 16), 9.0), [boxes], (8,))


def test_masks_are_cut_to_their_boxes() -> None:
    scores = torch.full((1, 8, 8), 1e-3)
    scores[0, 4, 4] = 0.9
    outputs = outputs_of(scores)
    config = DecodeConfig()
    found = rank(select_candidates(outputs, config), outputs.mask_features[0], config)
    assert len(found.probs) == 1
    masks = found.probs[0] > 0.5
    assert bool(masks[:, :8].all())
    assert not bool(masks[:, 9:].any())  # the margin is a tenth of 32 pixels: less than a pixel of stride 4


def test_the_best_candidates_alone_are_given_masks() -> None:
    scores = torch.rand((40, 8, 8), generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2
    candidates = select_candidates(outputs_of(scores), DecodeConfig())
    assert len(candidates.scores) == MAX_DENSE_CANDIDATES
    assert candidates.boxes is not None
    assert candidates.boxes.shape == (MAX_DENSE_CANDIDATES, 4)


def as_published(model: SOLOv2) -> dict[str, Tensor]:
    """The detector of `model` as NanoDet-Plus's file holds it."""
    head = model.mask_head
    assert isinstance(head, DenseHead)
    layers = [*convolutions(model.backbone), *convolutions(model.neck)]
    for branch in head.branches:
        assert isinstance(branch, LevelBranch)
        (category, category_bias), (box, box_bias) = (layer_of(conv) for conv in (branch.conv_cls, branch.conv_box))
        layers += [*convolutions(branch.convs), (torch.cat([category, box]), torch.cat([category_bias, box_bias]))]
    layers[0] = (layers[0][0].flip(1), layers[0][1])  # BGR
    tensors: dict[str, torch.Tensor] = {}
    for number, (weight, bias) in enumerate(layers):
        tensors |= {f"Conv_{2 * number}.bias": bias, f"Conv_{2 * number}.weight": weight}
    return dict(sorted(tensors.items()))  # as text, so that Conv_10 comes before Conv_2


def layer_of(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    assert conv.bias is not None
    return conv.weight.detach(), conv.bias.detach()


def convolutions(part: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return [layer_of(module) for module in part.modules() if isinstance(module, nn.Conv2d)]


def test_the_published_detector_becomes_ours_layer_by_layer() -> None:
    torch.manual_seed(1)
    published, started = SOLOv2(VARIANTS["nano"]).eval(), SOLOv2(VARIANTS["nano"]).eval()
    weights = as_published(published)
    assert is_nanodet(weights)
    load_nanodet(started, weights)
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        ours, theirs = started(images), published(images)
    for name in ("category_logits", "boxes"):
        for mine, expected in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            torch.testing.assert_close(mine, expected)


def test_classes_take_their_published_weights_by_name() -> None:
    published, started = SOLOv2(VARIANTS["nano"]), SOLOv2(VARIANTS["nano"], ("mug", "dog"))
    name, dog = "mask_head.branches.0.conv_cls.weight", VARIANTS["nano"].class_names.index("dog")
    before = started.state_dict()[name].clone()
    load_nanodet(started, as_published(published))
    after = started.state_dict()[name]
    assert torch.equal(after[1], published.state_dict()[name][dog])
    assert torch.equal(after[0], before[0])


def test_other_weights_are_no_nanodet() -> None:
    assert not is_nanodet({})
    assert not is_nanodet(SOLOv2(VARIANTS["nano"]).state_dict())
    wrong = {f"Conv_{n}.{part}": torch.zeros(2, 2, 1, 1) for n in range(3) for part in ("weight", "bias")}
    with pytest.raises(CheckpointError, match=r"not those of NanoDet-Plus-m: a convolution of \(2, 2, 1, 1\) where"):
        load_nanodet(SOLOv2(VARIANTS["nano"]), wrong)
    with pytest.raises(CheckpointError, match="no start for light-r18"):
        load_nanodet(SOLOv2(VARIANTS["light-r18"]), wrong)


@pytest.mark.parity
@pytest.mark.skipif(not NANODET.is_file(), reason="NANODET_WEIGHTS names no file of NanoDet-Plus's weights")
def test_the_published_detector_gives_its_recorded_outputs() -> None:
    model = SOLOv2(VARIANTS["nano"]).eval()
    load_nanodet(model, read_checkpoint(NANODET).state_dict)
    image = make_picture(320, 416, 31)
    with torch.inference_mode():
        outputs = model(model.preprocess([image], model.geometry(image)))
    assert outputs.boxes is not None
    scores, boxes = (
        torch.cat([level[0].flatten(1).T for level in levels]) for levels in (outputs.category_logits, outputs.boxes)
    )
    recorded = np.load(FOLDER / "nanodet" / "plus-m-416_320x416_s31.npz")
    cells = recorded["cells"]
    np.testing.assert_allclose(scores.sigmoid().numpy()[cells], recorded["scores"], atol=1e-3)
    np.testing.assert_allclose(boxes.numpy()[cells], recorded["boxes"], atol=0.05)
