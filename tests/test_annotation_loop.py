"""`annotate` in a loop of one's own."""

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app import annotate
from app.annotation.jsonl_sink import AnnotationSink
from app.annotation.settings import Settings
from app.sources import open_source
from app.stream.frames import Result
from app.stream.parts import Sink
from app.stream_errors import SourceError
from solov2 import UnknownNameError
from tests.fake_annotation import use_fake_model
from tests.fake_media import grey, write_video
from tests.fake_model import FakeModel

FRAMES = 25


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_fake_model(monkeypatch)
    return write_video(tmp_path / "clip.mp4", [grey(9 * i) for i in range(FRAMES)])


def test_a_loop_of_ones_own_gets_every_result_and_may_stop(clip: Path, tmp_path: Path) -> None:
    model: Any = FakeModel()
    seen = list(annotate.annotate(clip, model, settings=Settings(stride=3, track=True)))
    assert [result.frame.index for result in seen] == list(range(0, FRAMES, 3))
    assert all(len(result.instances) == len(result.track_ids or ()) for result in seen)
    assert seen[0].instances.masks.shape == (2, 48, 64)
    header = {"classes": ["person", "cat"], "width": 64, "height": 48}
    sink = AnnotationSink(tmp_path / "own.jsonl", header)
    for result in annotate.annotate(clip, model, [sink]):
        if result.frame.index == 4:
            break
    assert [line["frame"] for line in map(json.loads, (tmp_path / "own.jsonl").read_text().splitlines()[1:])] == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_a_loop_of_ones_own_is_told_what_is_no_class_and_what_is_no_file(clip: Path) -> None:
    model: Any = FakeModel()
    with pytest.raises(UnknownNameError, match="unknown class 'dog'"):
        next(annotate.annotate(clip, model, settings=Settings(classes=frozenset({"dog"}))))
    camera: Any = open_source(str(clip))
    camera.is_live = True
    with pytest.raises(SourceError, match="is live: annotate a file"):
        next(annotate.annotate(camera, model))


def test_no_thread_survives_however_a_loop_ends(clip: Path) -> None:
    model: Any = FakeModel()
    before = set(threading.enumerate())
    for result in annotate.annotate(clip, model):
        if result.frame.index == 3:
            break
    with suppress(KeyError):
        for result in annotate.annotate(clip, model):
            raise KeyError(result.frame.index)
    broken = BrokenSink()
    with pytest.raises(RuntimeError, match="of this sink"):
        list(annotate.annotate(clip, model, [broken]))
    assert broken.times_closed == 1
    both = [annotate.annotate(clip, model), annotate.annotate(clip, model, settings=Settings(track=True))]
    assert [(one.frame.index, other.frame.index) for one, other in zip(*both, strict=True)] == [
        (index, index) for index in range(FRAMES)
    ]
    assert set(threading.enumerate()) <= before


class BrokenSink(Sink):
    """Fails at the fourth frame."""

    times_closed = 0

    def write(self, result: Result) -> None:
        if result.frame.index == 3:
            raise RuntimeError("of this sink")

    def close(self) -> None:
        self.times_closed += 1
