"""Each short program does what its first lines say."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import av
import cv2
import pytest
import skimage.data

from app.sources import open_source

ROOT = Path(__file__).parent.parent
DEMOS = sorted((ROOT / "demos").glob("*.py"))


def run_demo(name: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "demos" / name), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
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
