"""`app.benchmark`: the steps of a frame, for each engine."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.benchmark import main
from app.benchmark_picture import COLOURS, draw_steps


def test_each_step_is_timed_printed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--json", str(tmp_path / "a.json"), "--picture", str(tmp_path / "a.png")]
    assert main(["--source", "demo", "--frames", "2", "--engine", "eager", "--device", "cpu", *files]) == 0
    told = capsys.readouterr().out
    assert "nano, " in told
    assert "1280x720 frames at 480x288" in told
    assert "frames per second, one at a time" in told
    figures = json.loads((tmp_path / "a.json").read_text())
    steps = figures["ms"]["eager"]
    assert list(steps) == ["read", "preprocess", "network", "decode", "draw", "encode", "all of them"]
    assert all(0 < row["p50"] <= row["p95"] <= row["p99"] for row in steps.values())
    assert "cores" in figures["machine"]
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture is not None
    assert picture.shape[1] == 1200


def test_the_input_may_be_smaller(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--source", "demo", "--frames", "1", "--engine", "eager", "--device", "cpu", "--untrained"]
    assert main([*arguments, "--input-size", "128x96"]) == 0
    assert "1280x720 frames at 128x96" in capsys.readouterr().out


def test_bars_are_as_long_as_the_steps_take() -> None:
    picture = draw_steps({"eager": {"network": 30.0, "draw": 10.0}, "fast": {"network": 10.0, "draw": 10.0}}, "here")
    of_network = (picture == np.array(COLOURS[0])).all(2).sum(1)  # pixels of that colour in each row
    of_draw = (picture == np.array(COLOURS[1])).all(2).sum(1)
    first, second = 100 + 30, 100 + 64 + 30
    assert of_network[first] / of_draw[first] == pytest.approx(3, rel=0.02)
    assert of_network[second] == pytest.approx(of_network[first] / 3, rel=0.02)
