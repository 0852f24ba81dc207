"""Where a training starts from."""

from pathlib import Path

import pytest
import torch
import torchvision

from solov2 import VARIANTS, CheckpointError, SOLOv2
from solov2.checkpoints.checkpoint import save_checkpoint
from solov2.training.initialise import load_backbone, load_initial_weights

CATEGORY_WEIGHT = "mask_head.conv_cls.weight"


@pytest.fixture
def resnet_file(tmp_path: Path) -> Path:
    path = tmp_path / "resnet18.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    return path


def test_a_backbone_takes_torchvisions_weights_as_far_as_it_goes(
    resnet_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = SOLOv2(VARIANTS["light-r18"])
    load_backbone(model, resnet_file)
    stored = torch.load(resnet_file, weights_only=True)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, stored[name]), name
    assert capsys.readouterr().err == ""


def test_tensors_that_the_file_lacks_are_counted(resnet_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = torch.load(resnet_file, weights_only=True)
    torch.save({name: tensor for name, tensor in stored.items() if not name.startswith("layer3.")}, resnet_file)
    load_backbone(SOLOv2(VARIANTS["light-r18"]), resnet_file)
    printed = capsys.readouterr().err
    assert "start at random, such as layer3.0.conv1.weight" in printed
    assert printed.count("\n") == 1


def test_a_file_without_a_backbone_is_refused(tmp_path: Path) -> None:
    torch.save({"head.weight": torch.ones(3)}, tmp_path / "head.pth")
    with pytest.raises(CheckpointError, match=r"has no tensor for a resnet18: it names head\.weight$"):
        load_backbone(SOLOv2(VARIANTS["light-r18"]), tmp_path / "head.pth")


def test_initial_weights_keep_the_classes_that_both_know(tmp_path: Path) -> None:
    trained = SOLOv2(VARIANTS["light-r18"], ("person", "cat"))
    save_checkpoint(tmp_path / "trained.safetensors", trained.state_dict(), "light-r18", trained.class_names)
    model = SOLOv2(VARIANTS["light-r18"], ("dog", "cat", "person"))
    fresh = model.state_dict()[CATEGORY_WEIGHT].clone()
    load_initial_weights(model, tmp_path / "trained.safetensors")
    theirs, ours = trained.state_dict(), model.state_dict()
    assert torch.equal(ours[CATEGORY_WEIGHT], torch.stack([fresh[0], *theirs[CATEGORY_WEIGHT][[1, 0]]]))
    for name in theirs.keys() - {CATEGORY_WEIGHT, "mask_head.conv_cls.bias"}:
        assert torch.equal(ours[name], theirs[name]), name


def test_initial_weights_of_another_variant_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="do not fit light-r18"):
        load_initial_weights(SOLOv2(VARIANTS["light-r18"]), tmp_path / "other.pth")
