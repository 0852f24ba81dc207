"""Weights files that claim more than they hold: refused by what they declare, in one line, before anything is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from solov2 import load_model, zoo
from solov2.checkpoints.checkpoint import read_checkpoint, save_checkpoint
from solov2.errors import CheckpointError
from solov2.network.model import SOLOv2
from solov2.training.initialise import load_initial_weights
from solov2.variants import VARIANTS
from tests.fuzz.checkpoints.headers import header_files
from tests.fuzz.checkpoints.pickles import pickle_files, zip_files
from tests.fuzz.checkpoints.weights import with_odd_facts, with_odd_key, with_odd_tensor
from tests.fuzz.files import HostileFile, MadeFile

CLASS_WEIGHT = "mask_head.conv_cls.weight"
BY_NAME: dict[str, HostileFile | MadeFile] = {
    file.name: file for file in (*pickle_files(), *zip_files(), *header_files())
}


def refusal(file: HostileFile | MadeFile, folder: Path, read: Callable[[Path], Any] = read_checkpoint) -> str:
    """The message with which a file is refused; it names the file and is one line."""
    path = folder / "weights.pth"
    file.write(path)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert str(caught.value).isprintable()
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a pickle of 800 MB in 4 MB", "is compressed or encrypted"),
        ("a storage of 800 MB in 4 MB", "is compressed or encrypted"),
        ("70,000 entries", "declares 70,004 entries"),
        ("a second pickle", "damaged"),
        ("zip, pickle: a bytearray of 3 GB", "not dense or of an unusual precision (builtins.bytearray)"),
        ("zip, pickle: a float tensor of 3 GB", "torch.FloatTensor"),
        ("zip, pickle: a tuple whose hash takes 2^59 steps", "nested containers"),
        ("zip, pickle: a set of tuples whose hash takes 10^10 steps", "nested containers"),
        ("legacy, pickle: a tuple nested in 200,000 levels as a key", "more than 100 levels"),
        ("zip, pickle: class names of 2^59 parts", "nested containers"),
        ("zip, pickle: a storage claims 4 GB", "damaged"),
        ("legacy, pickle: a storage claims 4 GB", "damaged"),
        ("legacy, pickle: 5,000 names", "more than 1,000 classes and functions"),
        ("two million opcodes", "more than 500,000 instructions"),
        ("tar", "damaged"),
        ("safetensors: a header of 50 MB", "header of 52,428,800 bytes"),
        ("safetensors: 10^9 classes", "1,000,000,000 classes"),
        ("safetensors: 100,000 tensors", "100,000 tensors"),
        ("safetensors: dtype F8_E4M3", "unusual precision, such as F8_E4M3"),
        ("safetensors: averages alone", "holds no weights"),
    ],
)
def test_a_file_that_declares_too_much_is_refused(name: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(BY_NAME[name], tmp_path)


@pytest.mark.parametrize("text", ["[1]", "NaN", "1000000", "[1000000, 1000000]", "[256, 384]", "[true, true]"])
def test_an_input_size_that_cannot_be_is_said(text: str, tmp_path: Path) -> None:
    assert "two whole numbers from 32 to 4096" in refusal(BY_NAME[f"safetensors: input_px {text}"], tmp_path)


@pytest.mark.parametrize(
    ("oddity", "message"),
    [
        ("sparse", "_rebuild_sparse_tensor"),
        ("quantised", "_rebuild_qtensor"),
        ("nested", "_rebuild_nested_tensor"),
        ("meta", "_rebuild_meta_tensor_no_storage"),
        ("float8_e4m3fn", "torch.storage.UntypedStorage"),
        ("complex", "torch.ComplexFloatStorage"),
        ("10^9 equal rows", "36,000,000,000 values, 144 bytes"),
        ("overlapping", "3,600 values, 800 bytes"),
    ],
)
def test_a_tensor_that_is_no_weight_is_refused(oddity: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(with_odd_tensor(oddity, CLASS_WEIGHT), tmp_path)


def test_tensors_that_share_their_values_need_no_more_memory_than_the_file(tmp_path: Path) -> None:
    shared = torch.zeros(1000)
    torch.save({f"weight{i}": shared for i in range(50)}, tmp_path / "shared.pth")
    with pytest.raises(CheckpointError, match="tensors share values"):
        read_checkpoint(tmp_path / "shared.pth")


@pytest.mark.parametrize("oddity", ["one dimension", "five dimensions", "no dimension", "text"])
def test_offsets_of_other_dimensions_are_left_as_they_are(oddity: str, tmp_path: Path) -> None:
    with_odd_tensor(oddity, "x.conv_offset.weight").write(tmp_path / "weights.pth")
    assert read_checkpoint(tmp_path / "weights.pth").input_px is None


@pytest.mark.parametrize("kind", ["classes", "own classes"])
@pytest.mark.parametrize("oddity", ["a tensor", "tensors", "nested lists", "lone surrogates", "control characters"])
def test_class_names_that_are_no_lines_of_text_are_ignored(kind: str, oddity: str, tmp_path: Path) -> None:
    with_odd_facts(kind, oddity).write(tmp_path / "weights.pth")
    assert read_checkpoint(tmp_path / "weights.pth").class_names is None


@pytest.mark.parametrize("oddity", ["a line break", "a control character", "a lone surrogate", "a million characters"])
def test_tensor_names_that_are_no_lines_of_text_are_refused(oddity: str, tmp_path: Path) -> None:
    assert "names are no printable text" in refusal(with_odd_key(oddity, alone=False), tmp_path)


def test_what_a_file_says_about_itself_cannot_hide_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.safetensors"
    facts = {"SHA-256": "0", "note": "\x1b[2J", "epoch": 7, "nested": {"a": [1, None]}, "long": "x" * 5000}
    save_checkpoint(path, SOLOv2(VARIANTS["nano"], ("person", "cat")).state_dict(), "nano", ("person", "cat"), facts)
    assert read_checkpoint(path).metadata == {"SHA-256": "0", "epoch": 7, "nested": {"a": [1, None]}}
    assert zoo.main(["info", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert [line.split()[1] for line in lines if line.startswith("SHA-256")] != ["0"]


def test_fewer_biases_than_classes_are_refused_by_what_starts_from_a_file(tmp_path: Path) -> None:
    weights = {
        **SOLOv2(VARIANTS["light-r18"], ("person", "fox")).state_dict(),
        "mask_head.conv_cls.bias": torch.zeros(1),
    }
    torch.save({"state_dict": weights, "meta": {"CLASSES": ("person", "fox")}}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"mask_head\.conv_cls\.bias \(1,\), need \(2,\)"):
        load_initial_weights(SOLOv2(VARIANTS["light-r18"], ("cat", "fox")), tmp_path / "w.pth")


def test_an_error_that_nobody_thought_of_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.safetensors"
    save_file({"weight": torch.zeros(1)}, path)

    def fail(_text: object) -> None:
        raise RecursionError

    monkeypatch.setattr("solov2.checkpoints.checkpoint.parse_json", fail)
    with pytest.raises(CheckpointError, match=r"own\.safetensors: RecursionError\. .* --debug") as caught:
        load_model(path)
    assert isinstance(caught.value.__cause__, RecursionError)


def test_views_of_one_storage_are_written_apart(tmp_path: Path) -> None:
    values = torch.arange(8.0)
    save_checkpoint(tmp_path / "own.safetensors", {"a": values[:4], "b": values[2:6]}, "nano", ("a", "b"))
    assert read_checkpoint(tmp_path / "own.safetensors").state_dict["b"].tolist() == [2, 3, 4, 5]
