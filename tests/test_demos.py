"""Each short program does what its first lines say."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

from app.sources import open_source

ROOT = Path(__file__).parent.parent
DEMOS = sorted((ROOT / "demos").glob("*.py"))


def run_demo(name: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "demos" / name), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_a_demo_is_short_and_says_how_it_is_run(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 60
    assert f"python demos/{path.name}" in text.split('"""')[1]


def test_the_astronaut_is_masked(tmp_path: Path) -> None:
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    cv2.imwrite(str(source), skimage.data.astronaut()[..., ::-1])
    printed = run_demo("picture.py", source, out)
    assert printed.startswith("person 0.")
    masked = cv2.imread(str(out))
    original = cv2.imread(str(source))
    assert masked is not None
    assert original is not None
    assert (masked != original).any(axis=2).mean() > 0.2


def test_each_second_is_counted_once() -> None:
    lines = run_demo("count.py", "demo", 3).splitlines()
    assert [line.split(" s:")[0].strip() for line in lines] == ["0.0", "1.0", "2.0"]
    assert any("person" in line for line in lines)


def test_the_background_is_blurred_into_a_video(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    run_demo("blur_background.py", "demo", out, 4)
    with av.open(str(out)) as video:
        assert len(list(video.decode(video=0))) == 4


def test_an_own_loop_tells_every_frame_and_saves_it(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    lines = run_demo("own_loop.py", "demo", out, 3).splitlines()
    assert [line.split(" s  ")[0].strip() for line in lines] == ["0.00", "0.03", "0.07", f"saved {out}"]
    with av.open(str(out)) as video:
        assert len(list(video.decode(video=0))) == 3


def test_an_own_sink_sees_the_cat(tmp_path: Path) -> None:
    for second in (6, 7):
        clip = islice(open_source("demo"), 30 * second, 30 * second + 1)
        cv2.imwrite(str(tmp_path / f"{second}.png"), next(clip).image[..., ::-1])
    assert run_demo("own_sink.py", tmp_path, tmp_path).endswith("s: a cat\n")
    assert len(list(tmp_path.glob("cat_*.jpg"))) == 1


def test_an_own_source_is_a_whole_video(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    assert run_demo("own_source.py", out, 3) == f"saved {out}\n"
    with av.open(str(out)) as video:
        assert [picture.time for picture in video.decode(video=0)] == pytest.approx([0, 1 / 30, 2 / 30])


def test_an_own_processor_keeps_the_largest(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    lines = run_demo("own_processor.py", "demo", out, 3).splitlines()
    assert [line.split(" s:")[0].strip() for line in lines[:3]] == ["0.00", "0.03", "0.07"]
    assert lines[3:] == [f"saved {out}"]


def test_an_own_model_finds_a_bright_square(tmp_path: Path) -> None:
    picture = np.full((90, 120, 3), 40, np.uint8)
    picture[20:60, 30:90] = 255
    cv2.imwrite(str(tmp_path / "in.png"), picture)
    out = tmp_path / "out.mp4"
    run_demo("own_model.py", tmp_path / "in.png", out)
    coloured = difference(first_picture(out), picture)
    assert coloured[25:55, 40:80].min() > 15, "the mask is painted"
    assert coloured[70:, :].max() < 30


def test_mask_r_cnn_runs_in_the_same_stream(tmp_path: Path) -> None:
    """Of made-up weights that see a person everywhere."""
    network = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.bias[1] = 9.0
        network.roi_heads.mask_predictor.mask_fcn_logits.bias[1] = 9.0
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    picture = np.full((96, 128, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "in.png"), picture)
    out = tmp_path / "out.mp4"
    run_demo("mask_rcnn.py", tmp_path / "in.png", out, 1, tmp_path / "weights.pth")
    assert (difference(first_picture(out), picture) > 15).mean() > 0.3, "masks are painted"


def test_mask_r_cnn_takes_less_than_forty_lines() -> None:
    code = (ROOT / "demos/mask_rcnn.py").read_text().split('"""', 2)[2]
    assert len([line for line in code.splitlines() if line.strip()]) < 40


def first_picture(path: Path) -> npt.NDArray[np.uint8]:
    with av.open(str(path)) as video:
        return np.asarray(next(video.decode(video=0)).to_ndarray(format="bgr24"), np.uint8)


def difference(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """(H, W): the largest difference of a pixel's three values."""
    return np.asarray(np.abs(one.astype(np.int64) - other).max(axis=2))


def test_an_own_engine_saves_every_frame(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    assert run_demo("own_engine.py", "demo", out, 2) == f"saved {out}\n"
    with av.open(str(out)) as video:
        assert len(list(video.decode(video=0))) == 2
