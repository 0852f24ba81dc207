"""The command line of the weights: list, download, info, convert."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from solov2 import zoo
from solov2.checkpoints.checkpoint import read_checkpoint
from solov2.load import load_model
from solov2.network.model import SOLOv2
from solov2.variants import VARIANTS

CONTENT = bytes(range(256))
FILE_NAME = f"solov2_tiny_20260101_000000-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache in which light-r18 is a small file."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SOLOV2_CACHE", str(folder))
    monkeypatch.setitem(VARIANTS, "light-r18", replace(VARIANTS["light-r18"], weights_file=FILE_NAME))
    return folder


def test_the_list_shows_every_variant_and_what_is_here(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.mkdir()
    (cache / FILE_NAME).write_bytes(CONTENT)
    assert zoo.main(["list"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(VARIANTS) <= set(rows)
    assert "29.7" in rows["light-r18"]
    assert str(cache / FILE_NAME) in rows["light-r18"]
    assert "not downloaded" in rows["r50"]
    assert "embedded" in rows["nano"]


def test_download_prints_the_path_alone(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.mkdir()
    (cache / FILE_NAME).write_bytes(CONTENT)
    assert zoo.main(["download", "light-r18"]) == 0
    assert capsys.readouterr().out == f"{cache / FILE_NAME}\n"


def test_a_failed_download_ends_with_code_2(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOLOV2_ZOO_URL", "http://127.0.0.1:1")  # where nobody listens
    assert zoo.main(["download", "light-r18"]) == 2
    assert capsys.readouterr().err.startswith("error: could not download http://127.0.0.1")


@pytest.fixture(scope="module")
def openmmlab_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with the tensors of nano, as OpenMMLab would write it."""
    path = tmp_path_factory.mktemp("weights") / "epoch_12.pth"
    meta = {"dataset_meta": {"classes": ("dog", "bird", "fish")}, "epoch": 12}
    model = SOLOv2(VARIANTS["nano"], ("dog", "bird", "fish"))
    torch.save({"meta": meta, "state_dict": model.state_dict()}, path)
    return path


def test_info_tells_what_a_file_holds(openmmlab_nano: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo.main(["info", str(openmmlab_nano)]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["format"] == "openmmlab"
    assert rows["variant"] == "nano"
    assert rows["classes"] == "3: dog, bird, fish"
    assert rows["epoch"] == "12"
    assert rows["SHA-256"] == hashlib.sha256(openmmlab_nano.read_bytes()).hexdigest()


def test_convert_writes_the_same_weights_as_safetensors(openmmlab_nano: Path, tmp_path: Path) -> None:
    out = tmp_path / "dogs.safetensors"
    assert zoo.main(["convert", str(openmmlab_nano), str(out)]) == 0
    before, after = read_checkpoint(openmmlab_nano), read_checkpoint(out)
    assert after.variant == "nano"
    assert after.class_names == ("dog", "bird", "fish")
    assert before.state_dict.keys() == after.state_dict.keys()
    assert all(torch.equal(tensor, after.state_dict[name]) for name, tensor in before.state_dict.items())


def test_convert_stores_convolutions_in_half_the_bytes(openmmlab_nano: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.safetensors"
    assert zoo.main(["convert", str(openmmlab_nano), str(out), "--float16"]) == 0
    before, after = read_checkpoint(openmmlab_nano).state_dict, read_checkpoint(out).state_dict
    for name, tensor in after.items():
        assert tensor.dtype == (torch.float16 if tensor.ndim == 4 else torch.float32), name
        torch.testing.assert_close(tensor.float(), before[name], rtol=1e-3, atol=1e-6)
    assert load_model(out).dtype == torch.float32


def test_convert_asks_for_class_names_that_the_file_lacks(
    openmmlab_nano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare, out = tmp_path / "bare.pth", tmp_path / "out.safetensors"
    torch.save(read_checkpoint(openmmlab_nano).state_dict, bare)
    assert zoo.main(["convert", str(bare), str(out)]) == 2
    assert "does not name its 3 classes" in capsys.readouterr().err
    assert zoo.main(["convert", str(bare), str(out), "--classes", "a,b,c"]) == 0
    assert read_checkpoint(out).class_names == ("a", "b", "c")
    assert zoo.main(["convert", str(bare), str(out), "--classes", "a,b"]) == 2
    assert f"--classes must name the 3 classes of {bare}, got 2" in capsys.readouterr().err


def test_info_lists_what_keeps_weights_from_being_a_variant(
    openmmlab_nano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = read_checkpoint(openmmlab_nano).state_dict
    weights["mask_head.kernel_branch.conv_kernel.bias"] = torch.zeros(7)
    torch.save(weights, tmp_path / "odd.pth")
    assert zoo.main(["info", str(tmp_path / "odd.pth")]) == 0
    assert (
        "unknown: it comes closest to nano. wrong shape: mask_head.kernel_branch.conv_kernel.bias (7,), need (84,)."
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "missing.pth"], "cannot read weights from missing.pth"),
        (["convert", "missing.pth", "out.pth"], "must end in .safetensors"),
        (["download", "r51"], "unknown variant 'r51'"),
    ],
)
def test_mistakes_are_one_line_and_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zoo.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_weights_of_no_known_variant_are_not_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.ones(2)}, path)
    assert zoo.main(["convert", str(path), str(tmp_path / "out.safetensors")]) == 2
    assert "is of no known variant: its 1 tensors, such as fc.weight, fit none of nano" in capsys.readouterr().err
