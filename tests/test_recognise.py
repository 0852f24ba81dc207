"""Which variant weights are of, and what is said where they fit none."""

from pathlib import Path

import pytest
import torch

from solov2.checkpoints.checkpoint import Checkpoint
from solov2.checkpoints.identify import class_count, fit_state_dict, identify_variant, variant_of
from solov2.checkpoints.tensor_names import under_our_names
from solov2.errors import CheckpointError, SOLOv2Error
from solov2.network.model import SOLOv2
from solov2.variants import VARIANTS


def on_meta(variant: str, class_names: tuple[str, ...] | None = None) -> SOLOv2:
    """The network of `variant` without memory for its weights."""
    with torch.device("meta"):
        return SOLOv2(VARIANTS[variant], class_names)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "r50-1x"])
def test_a_variant_is_recognised_whatever_its_classes(variant: str) -> None:
    assert identify_variant(on_meta(variant).state_dict()) == variant
    own_classes = on_meta(variant, ("a", "b", "c")).state_dict()
    assert identify_variant({name: t for name, t in own_classes.items() if "num_batches" not in name}) == variant


def test_the_two_r50_are_one_network_and_other_weights_are_none() -> None:
    assert identify_variant(on_meta("r50-1x").state_dict()) == "r50"
    assert identify_variant({"backbone.conv1.weight": torch.zeros(4, 3, 7, 7)}) is None


def authors_name(name: str) -> str:
    """Our name of a tensor as the published code of the SOLO authors has it."""
    features, head = "mask_head.mask_feature_head.", "mask_head."
    if name.startswith(features):
        return "mask_feat_head." + name.removeprefix(features).replace("conv_pred.", "conv_pred.0.")
    if name.startswith(head):
        theirs = {"cls_convs": "cate_convs", "conv_cls": "solo_cate", "conv_kernel": "solo_kernel"}
        part, _, rest = name.removeprefix(head).partition(".")
        return f"bbox_head.{theirs.get(part, part)}.{rest}"
    return name


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in ("nano", "r50-1x")])
def test_every_variant_is_recognised_under_the_names_of_the_solo_authors(variant: str) -> None:
    theirs = {}
    for name, tensor in on_meta(variant).state_dict().items():
        shape = list(tensor.shape)
        if variant == "light-r50-dcn" and ".conv_offset." in name:
            shape[0] = 18  # which theirs has no modulation for
        theirs[authors_name(name)] = torch.empty(shape, device="meta")
    found = under_our_names(theirs)
    assert found.is_authors
    assert identify_variant(found.state_dict) == variant
    assert found.input_px == ((852, 512) if variant == "light-r50-dcn" else None)


def test_missing_batch_counters_are_filled_in() -> None:
    model = SOLOv2(VARIANTS["nano"])
    old = {name: tensor for name, tensor in model.state_dict().items() if "num_batches_tracked" not in name}
    model.load_state_dict(fit_state_dict(old, model))


def test_weights_of_another_variant_are_listed_with_the_likeliest() -> None:
    with pytest.raises(CheckpointError) as caught:
        fit_state_dict(on_meta("light-r50").state_dict(), on_meta("light-r18"))
    message = str(caught.value)
    assert message.startswith("the weights do not fit light-r18, they look like light-r50.")
    assert "backbone.layer1.0.conv1.weight (64, 64, 1, 1), need (64, 64, 3, 3)" in message
    assert "more" in message
    assert "\n" not in message


def test_weights_of_the_same_variant_with_other_classes_say_how_many() -> None:
    with pytest.raises(CheckpointError, match="fit nano with 3 classes, they know 80"):
        fit_state_dict(on_meta("nano").state_dict(), on_meta("nano", ("a", "b", "c")))


def test_weights_of_another_network_are_called_no_variant() -> None:
    with pytest.raises(
        SOLOv2Error, match=r"fit nano\. missing: backbone.stem.conv.weight .* unexpected: fc.weight \(2,\)"
    ):
        fit_state_dict({"fc.weight": torch.ones(2)}, on_meta("nano"))


def test_weights_of_no_variant_are_listed_with_the_likeliest() -> None:
    state_dict = on_meta("light-r50", ("a", "b")).state_dict()
    del state_dict["neck.fpn_convs.1.conv.bias"]
    state_dict["mask_head.conv_kernel.bias"] = torch.zeros(64)
    with pytest.raises(CheckpointError) as caught:
        variant_of(Checkpoint(state_dict, "openmmlab"), Path("own.pth"))
    assert str(caught.value) == (
        "own.pth is of no known variant: it comes closest to light-r50. missing: neck.fpn_convs.1.conv.bias (256,); "
        "wrong shape: mask_head.conv_kernel.bias (64,), need (128,)."
    )


def test_what_a_file_says_goes_before_what_its_tensors_look_like() -> None:
    weights = Checkpoint(on_meta("r50").state_dict(), "openmmlab", variant="r50-1x")
    assert variant_of(weights, Path("r50.pth")) == "r50-1x"
    assert class_count(weights, "r50-1x") == 80
    assert class_count(Checkpoint({}, "openmmlab"), "nano") == 80


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_of_a_training_that_broke_down_are_refused(value: float) -> None:
    model = SOLOv2(VARIANTS["nano"])
    state_dict = model.state_dict()
    state_dict["neck.reduce.0.conv.bias"] = torch.full((96,), value)
    with pytest.raises(CheckpointError, match=r"^1 of the weights' \d+ tensors .* neck\.reduce\.0\.conv\.bias: "):
        fit_state_dict(state_dict, model)
