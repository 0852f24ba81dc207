"""From a name or a file to a model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data

from app.stream.controls import Controls
from solov2 import VARIANTS, CheckpointError, SOLOv2, UnknownNameError, load_model
from solov2.checkpoints.checkpoint import save_checkpoint
from solov2.runtime.device import fastest_dtype
from solov2.variants import COCO_CLASSES
from tests.made_nano import made_nano
from tests.parity.recipe import make_picture, make_weights

PICTURE = make_picture(60, 96, 1)
NAMES = tuple(f"class {label}" for label in range(80))


@pytest.fixture(scope="module")
def made() -> SOLOv2:
    """The network whose weights the files of these tests hold."""
    return made_nano()


@pytest.fixture(scope="module")
def file(made: SOLOv2, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "made.safetensors"
    save_checkpoint(path, made.state_dict(), "nano", NAMES)
    return path


def same_outputs(model: SOLOv2, made: SOLOv2) -> bool:
    actual, expected = model.predict(PICTURE), made.predict(PICTURE)
    return bool(np.allclose(actual.scores, expected.scores, atol=1e-4)) and bool(
        (actual.labels == expected.labels).all()
    )


def test_a_name_and_a_file_make_a_model(made: SOLOv2, file: Path) -> None:
    model = load_model("nano", file)
    assert same_outputs(model, made)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.class_names == NAMES
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_file_alone_is_enough(made: SOLOv2, file: Path, as_type: Any) -> None:
    model = load_model(as_type(file))
    assert model.variant == VARIANTS["nano"]
    assert same_outputs(model, made)


def test_a_bare_state_dict_is_recognised_by_its_tensors(made: SOLOv2, tmp_path: Path) -> None:
    torch.save(made.state_dict(), tmp_path / "bare.pth")
    model = load_model(tmp_path / "bare.pth")
    assert model.variant.name == "nano"
    assert same_outputs(model, made)


@pytest.mark.parametrize(("picture", "name"), [(data.astronaut, "person"), (data.chelsea, "cat")])
def test_the_embedded_model_finds_a_person_and_a_cat(picture: Callable[[], Any], name: str) -> None:
    model = load_model("nano")
    found = model.predict(picture())
    best = found.labels.tolist().index(model.class_names.index(name))
    assert found.scores[best] > Controls().score_threshold  # the cat fills its picture, so a teddy bear scores more
    assert found.areas[best] > 0.2 * picture()[..., 0].size


@pytest.mark.parametrize(
    ("count", "stored", "expected"),
    [
        (3, ("square", "bar", "disc"), ("square", "bar", "disc")),
        (3, None, ("class 0", "class 1", "class 2")),
        (80, None, COCO_CLASSES),
    ],
)
def test_the_number_and_names_of_classes_are_the_files(
    tmp_path: Path, count: int, stored: tuple[str, ...] | None, expected: tuple[str, ...]
) -> None:
    weights = SOLOv2(VARIANTS["nano"], [str(label) for label in range(count)]).state_dict()
    content: dict[str, Any] = {"state_dict": weights, "meta": {"CLASSES": stored} if stored else {}}
    torch.save(content, tmp_path / "three.pth")
    for model in (load_model("nano", tmp_path / "three.pth"), load_model(tmp_path / "three.pth")):
        assert model.class_names == expected
        branches: Any = model.mask_head.branches
        assert [branch.conv_cls.out_channels for branch in branches] == [count] * 4


def test_weights_of_another_variant_are_refused_with_their_likely_one(file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"do not fit light-r18, they look like nano\. missing: \S+") as caught:
        load_model("light-r18", file)
    assert "\n" not in str(caught.value)


def test_tensors_of_no_variant_are_refused(tmp_path: Path) -> None:
    torch.save({"some.weight": torch.ones(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"is of no known variant: its 1 tensors, such as some\.weight"):
        load_model(tmp_path / "other.pth")


def test_weights_that_were_run_at_another_size_are_run_at_it(made: SOLOv2, tmp_path: Path) -> None:
    path = tmp_path / "larger.safetensors"
    save_checkpoint(path, made.state_dict(), "nano", NAMES, input_px=(512, 320))
    assert load_model(path).geometry(PICTURE).padded_hw == (320, 512)
    assert load_model("nano", path).geometry(PICTURE).padded_hw == (320, 512)
    assert load_model(path, input_px=(160, 128)).geometry(PICTURE).padded_hw == (128, 160)


def test_an_unknown_name_is_answered_with_the_closest(file: Path) -> None:
    message = r"^unknown variant 'light-r81'\. Did you mean 'light-r18'\? Known: nano, light-r18, "
    with pytest.raises(UnknownNameError, match=message):
        load_model("light-r81")
    with pytest.raises(UnknownNameError, match=message):
        load_model("light-r81", file)


@pytest.mark.parametrize("path", ["gone.pth", "folder/gone"])
def test_a_missing_file_is_called_missing(path: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^no such weights file: {path}\."):
        load_model(path)
    with pytest.raises(CheckpointError, match=path):
        load_model("nano", path)


def test_a_precision_has_a_name_too(file: Path) -> None:
    assert load_model(file, dtype="bfloat16").dtype == torch.bfloat16
    assert load_model(file, dtype="auto").dtype == fastest_dtype(torch.device("cpu"))
    with pytest.raises(UnknownNameError, match="unknown dtype 'half'"):
        load_model(file, dtype="half")


def test_bfloat16_finds_much_the_same(made: SOLOv2, file: Path) -> None:
    model = load_model("nano", file, dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    found, expected = model.predict(PICTURE), made.predict(PICTURE)
    assert found.masks.shape[1:] == PICTURE.shape[:2]
    np.testing.assert_allclose(found.scores[:5], expected.scores[:5], atol=0.05)


@pytest.fixture(scope="module")
def overflowing(made: SOLOv2, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made network with a first layer of the pyramid that overflows in float16, which norms hide in float32."""
    path = tmp_path_factory.mktemp("weights") / "overflowing.safetensors"
    state_dict = dict(made.state_dict())
    state_dict["neck.reduce.0.conv.weight"] = 1e5 * state_dict["neck.reduce.0.conv.weight"]
    save_checkpoint(path, state_dict, "nano", NAMES)
    return path


def test_weights_that_overflow_in_float16_are_refused_in_it(file: Path, overflowing: Path) -> None:
    assert len(load_model(overflowing).predict(PICTURE))
    message = r"^with these weights the values of nano leave float16's range of 65,504, .* Use bfloat16 or float32$"
    with pytest.raises(CheckpointError, match=message):
        load_model(overflowing, dtype="float16")
    assert load_model(file, dtype=torch.float16).dtype == torch.float16


def test_weights_that_overflow_in_the_fastest_precision_get_a_wider_one(
    overflowing: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("solov2.runtime.device.fastest_dtype", lambda _device: torch.float16)
    monkeypatch.setattr("solov2.load.widest_fast_dtype", lambda _device: torch.bfloat16)
    model = load_model(overflowing, dtype="auto")
    assert model.dtype == torch.bfloat16
    assert capsys.readouterr().err == (
        "with these weights the values of nano leave float16's range of 65,504: bfloat16 is used\n"
    )
    assert len(model.predict(PICTURE))


def test_a_longer_training_of_the_same_network_takes_its_weights(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in SOLOv2(VARIANTS["r50"]).state_dict().items()}
    torch.save(make_weights(shapes, 0, -4.0), tmp_path / "r50.pth")
    assert load_model("r50-1x", tmp_path / "r50.pth").variant.name == "r50-1x"
