"""A network in an ONNX file, run by ONNX Runtime, is a predictor like any other."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from app.sources import open_source
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Result
from app.stream.lane import Lane
from app.stream.parts import Sink
from app.stream.pipeline import Stream
from demos.onnx_engine import OnnxPredictor
from tests.fake_onnx import NAMES, write_network
from tests.test_demos import ROOT, difference, first_picture, run_demo

RED, GREEN, GREY = (200, 30, 30), (30, 220, 30), (90, 90, 90)


def squares() -> np.ndarray:
    """A red and a green rectangle on grey."""
    image = np.full((60, 80, 3), GREY, np.uint8)
    image[10:30, 10:40] = RED
    image[35:55, 50:70] = GREEN
    return image


class Taker(Sink):
    def __init__(self) -> None:
        self.results: list[Result] = []

    def write(self, result: Result) -> None:
        self.results.append(result)


def test_it_finds_the_coloured_rectangles(tmp_path: Path) -> None:
    predictor = OnnxPredictor(str(write_network(tmp_path / "colours.onnx")))
    assert predictor.class_names == NAMES
    (found,) = predictor.predict_batch([squares()])
    assert [NAMES[label] for label in found.labels] == ["green", "red", "blue"]
    assert found.scores[1] > 0.99
    assert found.boxes[:2] == pytest.approx(np.array([[50, 35, 70, 55], [10, 10, 40, 30]]), abs=1)
    assert found.areas[2] == 0


def test_a_stream_runs_on_it_and_leaves_out_what_is_below_the_threshold(tmp_path: Path) -> None:
    predictor = OnnxPredictor(str(write_network(tmp_path / "colours.onnx")))
    cv2.imwrite(str(tmp_path / "squares.png"), squares()[..., ::-1])
    taker = Taker()
    lane = Lane(open_source(str(tmp_path / "squares.png")), [taker], panel=ControlPanel(Controls(score_threshold=0.5)))
    Stream([lane], predictor).run()
    (result,) = taker.results
    assert [NAMES[label] for label in result.instances.labels] == ["green", "red"]
    assert list(result.steps_ms) == ["predict"]


def test_the_demo_draws_what_it_finds_into_a_video(tmp_path: Path) -> None:
    network = write_network(tmp_path / "colours.onnx")
    cv2.imwrite(str(tmp_path / "squares.png"), squares()[..., ::-1])
    out = tmp_path / "out.mp4"
    assert run_demo("onnx_engine.py", network, tmp_path / "squares.png", out) == f"saved {out}\n"
    changed = difference(first_picture(out), squares()[..., ::-1])
    assert changed[13:27, 13:37].mean() > 15, "the mask is painted"


def test_an_engine_takes_less_than_twenty_lines() -> None:
    code = (ROOT / "demos/onnx_engine.py").read_text()
    engine = code[code.index("class OnnxPredictor") : code.index("def main")]
    assert len([line for line in engine.splitlines() if line.strip()]) < 20
