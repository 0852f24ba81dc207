import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from solov2.checkpoints.checkpoint import read_checkpoint, save_checkpoint
from solov2.data.coco_dataset import CocoDataset
from solov2.evaluate import main as evaluate
from solov2.load import load_model
from solov2.network.model import SOLOv2
from solov2.train import main
from solov2.training import setup, train_config
from solov2.training.previews import PICTURES, write_previews
from solov2.variants import VARIANTS
from tests.fake_dataset import write_coco


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_coco(tmp_path / "mine" / "images", tmp_path / "mine" / "labels.json", count=5)
    return tmp_path / "mine"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """An untrained model that knows the bars, and something else, and finds nothing yet."""
    torch.manual_seed(7)
    model = SOLOv2(VARIANTS["nano"], ("cat", "bar"))
    model.mask_head.initialise()
    save_checkpoint(tmp_path / "weights.safetensors", model.state_dict(), "nano", model.class_names)
    return tmp_path / "weights.safetensors"


@pytest.fixture
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fine-tuning of two epochs with two steps of two pictures each."""
    monkeypatch.setattr(train_config, "FINE_TUNING_SHOWN", (8, 8))
    monkeypatch.setitem(
        train_config.PRESETS,
        "nano",
        train_config.TrainConfig(variant="nano", epochs=1, canvases=((96, 128),), keeps="all classes"),
    )


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def commands_of(output: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in output.splitlines())


@pytest.mark.usefixtures("few_pictures")
def test_a_folder_is_learnt_from_the_embedded_weights_to_the_command_that_runs_it_live(
    folder: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(setup, "weights_path", {"nano": weights}.__getitem__)
    out = tmp_path / "my run"
    given = ("--data", folder, "--out", out, "--batch-size", 2, "--learning-rate", 1e-6, "--workers", 0)
    assert run("--preset", "nano", *given, "--device", "cpu") == 0
    output = capsys.readouterr()
    assert "COCO: 4 pictures to learn from with 8 instances, 1 to validate with 2; classes: square, bar" in output.err
    assert re.search(r"epoch 2: mask AP 0\.\d+", output.err)
    model = f"--model '{out}/best.safetensors'"
    assert commands_of(output.out) == {
        "done": str(out / "best.safetensors"),
        "look at it": str(out / "report.html"),
        "see it live": f"python -m app.webcam {model}",
        "measure it": f"python -m solov2.evaluate {model} --images {folder} --annotations '{out}/val.json'",
    }
    assert {path.name for path in (out / "pictures").iterdir()} == {
        f"1-{part}.jpg" for part in ("labels", "epoch000", "epoch001", "epoch002")
    }
    trained, start = read_checkpoint(out / "best.safetensors"), read_checkpoint(weights)
    assert trained.class_names == ("cat", "bar", "square")
    bar = [checkpoint.state_dict["mask_head.branches.0.conv_cls.weight"][1] for checkpoint in (trained, start)]
    assert torch.allclose(bar[0], bar[1], atol=1e-4)
    *_, evaluation = commands_of(output.out).values()
    assert evaluate(shlex.split(evaluation)[3:]) == 0


@pytest.mark.usefixtures("few_pictures")
def test_the_report_needs_no_other_file(folder: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    given = ("--data", folder, "--init", weights, "--out", out, "--batch-size", 2)
    assert run(*given, "--workers", 0, "--device", "cpu") == 0
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 2
    assert page.count("data:image/jpeg;base64,") == 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "python -m app.webcam --model" in page
    assert re.search(r"<td>square</td><td>\d", page)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name the pictures by --data FOLDER, or by --images DIR and --annotations JSON"),
        (("--data", ".", "--images", ".", "--annotations", "a.json"), "name the pictures by --data FOLDER, or"),
        (("--images", "."), "--annotations JSON"),
        (("--data", "nowhere"), "no such folder: nowhere"),
    ],
)
def test_data_must_be_named_in_one_way(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--out", tmp_path / "out", "--device", "cpu") == 2
    assert message in capsys.readouterr().err


def test_the_run_must_not_lie_among_its_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--data", folder, "--out", folder / "run", "--device", "cpu") == 2
    assert "--out must not lie in" in capsys.readouterr().err
    assert not (folder / "run").exists()


@pytest.mark.usefixtures("few_pictures")
def test_weights_of_another_variant_are_refused(
    folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--data", folder, "--out", tmp_path / "out", "--device", "cpu")
    assert run("--variant", "light-r18", "--init", weights, *given) == 2
    assert "nano" in capsys.readouterr().err


def test_previews_are_few_small_and_show_what_was_labelled(weights: Path, tmp_path: Path) -> None:
    write_coco(tmp_path / "large", tmp_path / "large.json", count=8, size_hw=(480, 1280))
    dataset = CocoDataset(tmp_path / "large", tmp_path / "large.json")
    write_previews(load_model(weights), dataset, tmp_path / "pictures", 0)
    assert len(list((tmp_path / "pictures").iterdir())) == 2 * PICTURES
    before, labels = (
        np.asarray(Image.open(tmp_path / f"pictures/1-{part}.jpg"), int) for part in ("epoch000", "labels")
    )
    assert before.shape == (240, 640, 3)
    masks = np.asarray(dataset.sample(0).masks.any(0))[::2, ::2]
    changed = np.abs(labels - before).sum(2) > 60
    assert (changed == masks).mean() > 0.97


@pytest.mark.usefixtures("few_pictures")
def test_boxes_alone_are_learnt_from_by_nano_only_and_are_measured_as_boxes(
    folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = json.loads((folder / "labels.json").read_text())
    for annotation in labels["annotations"]:
        annotation |= {"segmentation": [], "bbox": annotation.get("bbox") or [8, 8, 40, 40]}
    (folder / "labels.json").write_text(json.dumps(labels))
    given = ("--data", folder, "--device", "cpu", "--workers", 0)
    assert run(*given, "--init", weights, "--out", tmp_path / "run") == 0
    assert "box AP" in capsys.readouterr().err
    assert "Best: box AP" in (tmp_path / "run/report.html").read_text()
    assert run(*given, "--variant", "light-r18", "--init", weights, "--out", tmp_path / "light") == 2
    assert "instances with a box and no mask: only nano learns from boxes" in capsys.readouterr().err


def test_a_variant_without_published_weights_asks_for_some_to_start_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--data", folder, "--variant", "light-r50-dcn", "--device", "cpu", "--out", tmp_path / "run")
    assert run(*given) == 2
    assert "no weights were published for light-r50-dcn to start from: name some by --init" in capsys.readouterr().err
