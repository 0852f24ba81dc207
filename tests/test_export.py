"""Exported files: what they carry, what they find, and how wrong ones are refused."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from solov2 import SOLOv2
from solov2.decoding.decode import rank, select_candidates, top_candidates
from solov2.decoding.decode_config import DecodeConfig
from solov2.errors import CheckpointError, EngineError
from solov2.export import build_parser, main
from solov2.predictor import Predictor
from solov2.runtime import export_run, names
from solov2.runtime.engine_choice import mean_overlap
from solov2.runtime.export_run import run_export
from solov2.runtime.exported_model import ExportedModel, ExportFacts
from solov2.runtime.open_predictor import load_runnable, open_predictor
from solov2.runtime.torch_predictor import TorchPredictor
from tests.made_nano import made_nano
from tests.parity.recipe import make_picture

SIZE = (72, 128)
FACTS = ExportFacts("nano", ("person", "cat"), 416, 320, SIZE, 0.1, 0.5, 0.05, 200, False)


@pytest.fixture(scope="module")
def model() -> SOLOv2:
    return made_nano(("person", "cat"))


def options_of(*arguments: object) -> argparse.Namespace:
    return build_parser().parse_args([*map(str, arguments)])


def exit_code_of(arguments: list[str]) -> object:
    try:
        return main(arguments)
    except SystemExit as left:
        return left.code


def test_the_best_candidates_lead_to_the_same_instances_while_they_fit(model: SOLOv2) -> None:
    picture = make_picture(*SIZE, 1)
    with torch.inference_mode():
        outputs = model(model.preprocess([picture], model.geometry(picture)))
    config = DecodeConfig(score_threshold=0.2)
    expected = select_candidates(outputs, config)
    candidates, count = top_candidates(outputs, config, len(expected.scores) + 10)
    assert int(count) == len(expected.scores) > 0
    assert len(candidates.scores) == len(expected.scores) + 10
    ours, theirs = (rank(some, outputs.mask_features[0], config) for some in (expected, candidates))
    kept = int((ours.scores > 0).sum())
    np.testing.assert_allclose(theirs.scores[:kept], ours.scores[:kept], atol=1e-6)
    assert float(theirs.scores[kept:].sum()) == 0
    np.testing.assert_allclose(theirs.probs[:kept], ours.probs[:kept], atol=1e-5)
    _, more = top_candidates(outputs, config, 3)
    assert int(more) == int(count)  # tells that not all of them were decoded


def test_the_facts_of_a_file_survive_writing_and_reading() -> None:
    assert ExportFacts.from_json(FACTS.to_json(), Path("a.onnx")) == FACTS


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"class_names": 3}', json.dumps({**json.loads(FACTS.to_json()), "image_hw": [0, 0]})]
)
def test_broken_facts_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(CheckpointError, match=r"a.onnx was not written by solov2.export"):
        ExportFacts.from_json(text, Path("a.onnx"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nano", "nano.bin"], "OUT must end in .onnx for onnx, .xml for openvino, got nano.bin"),
        (["nano", "nano.xml", "--format", "onnx"], "OUT must end in"),
        (["nona", "nano.onnx"], "unknown variant 'nona'"),
        (["nano", "nano.onnx", "--int8", "--calibration", "."], "--int8 needs an OUT that ends in .xml"),
        (["nano", "nano.xml", "--int8"], "--int8 needs an OUT that ends in .xml, and --calibration FOLDER"),
        (["nano", "nano.xml", "--max-candidates", "0"], "--max-candidates must be at least 1, got 0"),
        (["nano", "nano.onnx", "--size", "1280"], "must be WIDTHxHEIGHT, such as 1280x720, got '1280'"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(names, "find_spec", lambda library: library)
    assert exit_code_of(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_a_calibration_folder_without_pictures_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("solov2.export.is_missing", lambda library: False)
    monkeypatch.setattr("solov2.export.check_engine_name", lambda name: name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert main(["nano", str(tmp_path / "a.xml"), "--int8", "--calibration", str(tmp_path)]) == 2
    assert "--calibration must be a folder with pictures" in capsys.readouterr().err


def test_missing_nncf_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(names, "find_spec", lambda library: None if library == "nncf" else library)
    assert main(["nano", str(tmp_path / "a.xml"), "--int8", "--calibration", str(tmp_path)]) == 2
    assert "this needs nncf, which is not installed. Try: pip install 'solov2-live[int8]'" in capsys.readouterr().err


def test_a_file_that_is_no_exported_model_is_refused_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(CheckpointError, match=r"a.onnx cannot be read by onnx"):
        ExportedModel(tmp_path / "a.onnx")


@pytest.mark.slow
def test_an_exported_file_finds_what_torch_finds(
    model: SOLOv2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library)
    monkeypatch.setattr(export_run, "load_model", lambda name, **_: model)
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), make_picture(*SIZE, number)[..., ::-1])
    out = tmp_path / "out" / "nano.onnx"
    out.parent.mkdir()
    options = options_of("nano", out, "--size", "128x72", "--calibration", tmp_path, "--max-candidates", 400)
    assert run_export(options) == 0
    told = capsys.readouterr().out
    assert "compared with torch on 2 pictures" in told
    assert f"wrote {out}" in told
    assert [path.name for path in out.parent.iterdir()] == ["nano.onnx"]

    exported = load_runnable(str(out), model.device, "auto")
    assert isinstance(exported, ExportedModel)
    assert (exported.class_names, exported.variant) == (model.class_names, model.variant)
    with pytest.raises(EngineError, match=r"nano\.onnx was exported for an input of \d+x\d+\. Leave out --input-size"):
        load_runnable(str(out), model.device, "auto", (64, 64))
    predictor: Predictor = open_predictor(exported, "auto")
    picture = make_picture(*SIZE, 3)
    (expected,), (found,) = (some.predict_batch([picture], 0.2) for some in (TorchPredictor(model), predictor))
    assert len(expected) > 0
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
    assert mean_overlap(expected, found) > 0.99
    command = [
        sys.executable,
        "demos/run_exported.py",
        str(out),
        str(tmp_path / "0.png"),
        str(tmp_path / "painted.png"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    (first,) = predictor.predict_batch([make_picture(*SIZE, 0)], 0.3)
    assert len(done.stdout.splitlines()) == len(first)
    painted = cv2.imread(str(tmp_path / "painted.png"))
    assert painted is not None
    assert painted.shape == (*SIZE, 3)
    with pytest.raises(EngineError, match=r"exported for pictures of 128x72, got 72x128. Export it again with --size"):
        predictor.predict_batch([make_picture(128, 72, 1)])
    with pytest.raises(EngineError, match=r"exported for onnx, not for openvino. Leave out --engine"):
        open_predictor(exported, "openvino")
