"""Weights in and out of files: every format that people have, and what is refused."""

import os
import pickle
import struct
import sys
from collections import OrderedDict
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor
from torchvision.ops import deform_conv2d

from solov2.checkpoints.checkpoint import read_checkpoint, save_checkpoint
from solov2.errors import CheckpointError
from solov2.network.deformable import DeformableConv2d
from solov2.variants import COCO_CLASSES, VARIANTS

HISTORY = "mmengine.logging.history_buffer"


def weights(classes: int = 2) -> dict[str, Tensor]:
    """A few tensors under our names."""
    return {
        "backbone.conv1.weight": torch.randn(4, 3, 7, 7),
        "mask_head.conv_cls.weight": torch.randn(classes, 4, 3, 3),
        "mask_head.conv_cls.bias": torch.randn(classes),
    }


def assert_equal(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """A function that writes an object as `torch.save` does and returns the path."""

    def save(content: object, **options: Any) -> Path:
        path = tmp_path / "weights.pth"
        torch.save(content, path, **options)
        return path

    return save


@pytest.fixture
def foreign_objects(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Classes as mmengine has them, which are gone again before anything is read."""
    module = ModuleType(HISTORY)

    class HistoryBuffer:
        def __init__(self) -> None:
            self._log_history = np.array([0.5, 0.25])
            self._statistics_methods = {"min": HistoryBuffer.minimum}

        def minimum(self) -> None: ...

    class ConfigDict(dict[str, Any]):
        def __reduce_ex__(self, protocol: Any) -> Any:
            return ConfigDict, (dict(self),)

    for cls in (HistoryBuffer, ConfigDict):
        cls.__module__, cls.__qualname__ = HISTORY, cls.__name__
        setattr(module, cls.__name__, cls)
    HistoryBuffer.minimum.__module__, HistoryBuffer.minimum.__qualname__ = HISTORY, "HistoryBuffer.minimum"
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, HISTORY, module)
    yield module
    assert HISTORY not in sys.modules, "the test must read the file without the module"


class RunsCommand:
    """Unpickling it calls `os.system`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"state_dict": w}, lambda w: {"model": w, "epoch": 3}])
def test_a_state_dict_is_found_bare_or_under_its_usual_names(saved: Any, wrap: Any, is_zip: bool) -> None:
    expected = weights()
    checkpoint = read_checkpoint(saved(wrap(expected), _use_new_zipfile_serialization=is_zip))
    assert_equal(checkpoint.state_dict, expected)
    assert checkpoint.source == "state-dict"
    assert checkpoint.left_out == ()


def test_an_openmmlab_2_file_gives_its_classes_and_facts(saved: Any) -> None:
    meta = {"mmdet_version": "2.25.0", "CLASSES": ("person", "cat"), "epoch": 36, "config": "a = 1\nb = 2\n"}
    checkpoint = read_checkpoint(saved({"meta": meta, "state_dict": OrderedDict(weights()), "optimizer": {}}))
    assert checkpoint.source == "openmmlab"
    assert checkpoint.class_names == ("person", "cat")
    assert checkpoint.metadata == {"mmdet_version": "2.25.0", "epoch": 36}


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_an_openmmlab_3_file_loads_without_the_classes_of_its_message_hub(
    saved: Any, foreign_objects: Any, monkeypatch: pytest.MonkeyPatch, is_zip: bool
) -> None:
    expected = weights()
    content = {
        "meta": {"dataset_meta": foreign_objects.ConfigDict(classes=("person", "cat")), "iter": 7},
        "state_dict": expected,
        "message_hub": {"log_scalars": OrderedDict(loss=foreign_objects.HistoryBuffer()), "lr": np.float64(0.01)},
    }
    path = saved(content, _use_new_zipfile_serialization=is_zip)
    monkeypatch.delitem(sys.modules, HISTORY)
    checkpoint = read_checkpoint(path)
    assert_equal(checkpoint.state_dict, expected)
    assert checkpoint.class_names == ("person", "cat")
    assert f"{HISTORY}.HistoryBuffer" in checkpoint.left_out


def test_averaged_weights_are_those_under_the_ordinary_names(saved: Any) -> None:
    expected = weights()
    raw = {f"module.{name}": torch.zeros_like(tensor) for name, tensor in expected.items()}
    assert_equal(read_checkpoint(saved({"state_dict": expected, "ema_state_dict": raw})).state_dict, expected)
    buffers = {"ema_backbone_conv1_weight": torch.zeros(1)}
    assert_equal(read_checkpoint(saved({"state_dict": {**expected, **buffers}})).state_dict, expected)


def test_the_prefix_of_a_data_parallel_model_is_removed(saved: Any) -> None:
    expected = weights()
    path = saved({f"module.{name}": tensor for name, tensor in expected.items()})
    assert_equal(read_checkpoint(path).state_dict, expected)


def test_parameters_come_back_as_plain_tensors(saved: Any) -> None:
    checkpoint = read_checkpoint(saved({"weight": torch.nn.Parameter(torch.ones(2))}))
    assert not checkpoint.state_dict["weight"].requires_grad


def test_class_names_that_do_not_match_the_weights_are_ignored(saved: Any) -> None:
    content = {"meta": {"CLASSES": COCO_CLASSES}, "state_dict": weights(classes=2)}
    assert read_checkpoint(saved(content)).class_names is None


def test_one_class_may_be_named_without_a_tuple(saved: Any) -> None:
    content = {"meta": {"CLASSES": "balloon"}, "state_dict": weights(classes=1)}
    assert read_checkpoint(saved(content)).class_names == ("balloon",)


def test_a_published_file_name_tells_the_variant_that_shapes_cannot(tmp_path: Path) -> None:
    path = tmp_path / str(VARIANTS["r50-1x"].weights_file)
    torch.save(weights(), path)
    assert read_checkpoint(path).variant == "r50-1x"


def test_the_names_of_the_solo_authors_become_ours(saved: Any) -> None:
    theirs = {
        "bbox_head.cate_convs.0.conv.weight": "mask_head.cls_convs.0.conv.weight",
        "bbox_head.kernel_convs.3.gn.bias": "mask_head.kernel_convs.3.gn.bias",
        "bbox_head.solo_cate.bias": "mask_head.conv_cls.bias",
        "bbox_head.solo_kernel.weight": "mask_head.conv_kernel.weight",
        "mask_feat_head.convs_all_levels.3.conv0.conv.weight": (
            "mask_head.mask_feature_head.convs_all_levels.3.conv0.conv.weight"
        ),
        "mask_feat_head.conv_pred.0.gn.weight": "mask_head.mask_feature_head.conv_pred.gn.weight",
        "neck.fpn_convs.0.conv.weight": "neck.fpn_convs.0.conv.weight",
    }
    checkpoint = read_checkpoint(saved({"meta": {}, "state_dict": {name: torch.ones(1) for name in theirs}}))
    assert set(checkpoint.state_dict) == set(theirs.values())
    assert checkpoint.source == "solo-authors"


def test_a_deformable_convolution_without_modulation_computes_the_same_as_before(saved: Any) -> None:
    name = "bbox_head.cate_convs.2.conv"
    offset_conv = torch.nn.Conv2d(4, 18, 3, padding=1)
    weight, features = torch.randn(6, 4, 3, 3), torch.randn(1, 4, 8, 8)
    content = {f"{name}.conv_offset.{key}": tensor for key, tensor in offset_conv.state_dict().items()}
    checkpoint = read_checkpoint(saved({**content, f"{name}.weight": weight}))
    ours = DeformableConv2d(4, 6, 3)
    ours.load_state_dict({key.split(".conv.")[1]: tensor for key, tensor in checkpoint.state_dict.items()})
    with torch.no_grad():
        expected = deform_conv2d(features, offset_conv(features), weight, padding=1)
        torch.testing.assert_close(ours(features), expected)


def test_the_authors_light_model_without_modulation_keeps_the_size_it_was_run_at(saved: Any, tmp_path: Path) -> None:
    offsets = {"conv2.conv_offset.weight": torch.zeros(18, 4, 3, 3), "conv2.conv_offset.bias": torch.zeros(18)}
    modulated = {name: torch.zeros(27, *tensor.shape[1:]) for name, tensor in offsets.items()}
    assert read_checkpoint(saved({"state_dict": {**weights(), **modulated}})).input_px is None
    checkpoint = read_checkpoint(saved({"state_dict": {**weights(), **offsets}}))
    assert checkpoint.input_px == (852, 512)
    path = tmp_path / "converted.safetensors"
    save_checkpoint(path, checkpoint.state_dict, "light-r50-dcn", ["a", "b"], {}, checkpoint.input_px)
    assert read_checkpoint(path).input_px == (852, 512)


def test_an_unfinished_training_gives_its_averaged_weights_and_its_classes(saved: Any) -> None:
    expected = weights()
    trained = {name: torch.zeros_like(tensor) for name, tensor in expected.items()}
    checkpoint = read_checkpoint(saved({"model": trained, "averaged": expected, "class_names": ["fox", "owl"]}))
    assert_equal(checkpoint.state_dict, expected)
    assert checkpoint.class_names == ("fox", "owl")


def test_a_saved_model_instead_of_its_weights_says_what_to_save(saved: Any) -> None:
    with pytest.raises(CheckpointError, match=r"Objects of .* are not read: save their state_dict\(\)\.$"):
        read_checkpoint(saved(torchvision.models.resnet18()))


def test_our_files_say_what_they_are(tmp_path: Path) -> None:
    path, expected = tmp_path / "own.safetensors", weights()
    save_checkpoint(path, expected, "nano", ["person", "cat"], {"epochs": 7, "ap50": {"cat": 0.7}})
    checkpoint = read_checkpoint(path)
    assert_equal(checkpoint.state_dict, expected)
    assert checkpoint.variant == "nano"
    assert checkpoint.class_names == ("person", "cat")
    assert checkpoint.metadata == {"epochs": 7, "ap50": {"cat": 0.7}}
    assert checkpoint.source == "safetensors"


def test_the_safetensors_of_others_load_too(tmp_path: Path) -> None:
    path, expected = tmp_path / "weights.bin", weights()
    save_file({f"module.{name}": tensor for name, tensor in expected.items()}, path)
    checkpoint = read_checkpoint(path)
    assert_equal(checkpoint.state_dict, expected)
    assert checkpoint.variant is None


@pytest.mark.parametrize("names", ["person,cat", '["person"]', "7"])
def test_class_names_that_others_write_in_their_own_way_are_ignored(tmp_path: Path, names: str) -> None:
    path = tmp_path / "others.safetensors"
    save_file(weights(), path, {"class_names": names, "metadata": "not JSON"})
    assert read_checkpoint(path).class_names is None


def test_a_failed_save_keeps_the_older_file_and_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, weights(), "nano", ["person", "cat"])
    before = path.read_bytes()

    def half(tensors: object, target: Path, header: object) -> None:
        target.write_bytes(before[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("solov2.checkpoints.checkpoint.save_file", half)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_checkpoint(path, weights(), "nano", ["person", "cat"])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saving_into_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot write weights to"):
        save_checkpoint(tmp_path / "missing" / "own.safetensors", weights(), "nano", ["person", "cat"])


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_a_command_runs_nothing_and_is_named(tmp_path: Path, protocol: int) -> None:
    path, proof = tmp_path / "weights.pth", tmp_path / "proof"
    path.write_bytes(pickle.dumps({"state_dict": RunsCommand(f"touch {proof}")}, protocol))
    with pytest.raises(CheckpointError, match=r"asks to run (posix|nt)\.system"):
        read_checkpoint(path)
    assert not proof.exists()


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_a_checkpoint_that_runs_a_command_runs_nothing_and_is_named(saved: Any, tmp_path: Path, is_zip: bool) -> None:
    proof = tmp_path / "proof"
    content = {"state_dict": weights(), "meta": {"hook": RunsCommand(f"touch {proof}")}}
    with pytest.raises(CheckpointError, match=r"asks to run (posix|nt)\.system"):
        read_checkpoint(saved(content, _use_new_zipfile_serialization=is_zip))
    assert not proof.exists()


@pytest.mark.parametrize("called", ["builtins eval", "builtins exec", "__builtin__ __import__", "subprocess Popen"])
def test_functions_of_python_are_refused_by_name(tmp_path: Path, called: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(f"\x80\x02c{called.replace(' ', chr(10))}\nX\x01\x00\x00\x001\x85R.".encode("latin-1"))
    with pytest.raises(CheckpointError, match=called.split()[1]):
        read_checkpoint(path)


def test_a_foreign_function_is_not_called_and_the_weights_load(saved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    module = ModuleType("plugin")
    monkeypatch.setitem(sys.modules, "plugin", module)

    def build(argument: str) -> None:
        calls.append(argument)

    build.__module__, build.__qualname__ = "plugin", "build"
    module.build = build  # type: ignore[attr-defined]

    class CallsForeignFunction:
        def __reduce__(self) -> Any:
            return build, ("argument",)

    checkpoint = read_checkpoint(saved({"state_dict": weights(), "extra": CallsForeignFunction()}))
    assert checkpoint.state_dict.keys() == weights().keys()
    assert checkpoint.left_out == ("plugin.build",)
    assert calls == []


def test_reading_leaves_no_stand_in_behind_in_torch(saved: Any, foreign_objects: Any, monkeypatch: Any) -> None:
    before = set(torch.serialization.get_safe_globals())
    path = saved({"state_dict": weights(), "hub": foreign_objects.HistoryBuffer()})
    monkeypatch.delitem(sys.modules, HISTORY)
    read_checkpoint(path)
    assert set(torch.serialization.get_safe_globals()) == before


def _torch_file(is_zip: bool) -> bytes:
    buffer = BytesIO()
    torch.save({"state_dict": weights()}, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kept", [0.01, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_one_line(tmp_path: Path, is_zip: bool, kept: float) -> None:
    path, whole = tmp_path / "weights.pth", _torch_file(is_zip)
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CheckpointError, match="damaged, incomplete") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_a_truncated_safetensors_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, weights(), "nano", ["person", "cat"])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"hello", "damaged, incomplete or was not written by torch.save"),
        (bytes(range(256)), "damaged, incomplete or was not written by torch.save"),
        (pickle.dumps({"a": 1}, 4), "pickle protocol 4"),
        (struct.pack("<Q", 50) + b'{"', "damaged or incomplete"),
    ],
)
def test_other_files_are_told_apart(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), path)
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [{}, [1, 2], {"state_dict": {"a": 1}}, torch.ones(2)])
def test_a_file_without_weights_says_so(saved: Any, content: object) -> None:
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_checkpoint(saved(content))


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pth", tmp_path):
        with pytest.raises(CheckpointError, match=f"cannot read weights from {path}"):
            read_checkpoint(path)
