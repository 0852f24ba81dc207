"""Recording a live source: times, sound, segments, pre-roll, and what a kill or a full disk leaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from app.sinks.live_video_sink import LiveVideoSink
from app.sinks.mp4_boxes import complete_boxes, show_fragments_again
from app.sinks.recording_plan import FileNames, RecordingPlan
from app.stream.frames import Frame, Result
from app.stream.sound import SOUND_RATE, Sound, SoundBuffer
from solov2 import Instances
from tests.fake_instances import rectangles
from tests.fake_media import seconds_of

TICK = Fraction(1, 1_000_000)
HW = (48, 64)
ROOT = Path(__file__).parents[1]
FORMATS = pytest.mark.parametrize("suffix", [".mp4", ".mkv"])


def uneven_times(count: int, seed: int = 0) -> list[int]:
    """Timestamps of a camera whose rate varies between 20 and 50 fps, in microseconds, from some moment on."""
    gaps = np.random.default_rng(seed).integers(20_000, 50_000, count)
    return [int(pts) for pts in 7_000_000 + np.cumsum(gaps)]


def result_at(ticks: int, has_person: bool = False) -> Result:
    image = np.full((*HW, 3), ticks // 100_000 % 200 + 20, np.uint8)
    found = rectangles(HW, [(4, 4, 20, 20)], [0]) if has_person else Instances.empty(HW)
    return Result(Frame(image, ticks, TICK, time.monotonic(), "camera", ticks), found)


def record(sink: LiveVideoSink, times: Sequence[int], persons: Sequence[int] = ()) -> list[Path]:
    for ticks in times:
        sink.write(result_at(ticks, ticks in persons))
    sink.close()
    return sink.files


def seconds_in(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(seconds_of(picture)) for picture in container.decode(video=0)]


@FORMATS
def test_pictures_keep_their_own_distances(tmp_path: Path, suffix: str) -> None:
    times = uneven_times(120)
    (path,) = record(LiveVideoSink(tmp_path / f"out{suffix}", frame_rate=30.0), times)
    tolerance = 0.0006 if suffix == ".mkv" else 2e-6  # Matroska counts milliseconds
    assert seconds_in(path) == pytest.approx([(t - times[0]) / 1e6 for t in times], abs=tolerance)
    if suffix == ".mp4":
        assert [name for name, _ in complete_boxes(path)] == [b"ftyp", b"free", b"mdat", b"moov"], "one index for all"


@FORMATS
def test_segments_hold_every_picture_once_and_each_begins_at_zero(tmp_path: Path, suffix: str) -> None:
    times = uneven_times(300)
    files = record(LiveVideoSink(tmp_path / f"out{suffix}", RecordingPlan(segment_seconds=2.0)), times)
    assert [path.name for path in files] == [f"out-{number:03d}{suffix}" for number in range(1, len(files) + 1)]
    segments = [seconds_in(path) for path in files]
    assert sum(map(len, segments)) == len(times)
    assert {segment[0] for segment in segments} == {0.0}
    assert all(segment[-1] < 2.0 for segment in segments)
    assert len(files) == pytest.approx((times[-1] - times[0]) / 2e6, abs=1)
    at = 0
    for segment in segments:
        expected = [(t - times[at]) / 1e6 for t in times[at : at + len(segment)]]
        assert segment == pytest.approx(expected, abs=0.0006)
        at += len(segment)


def test_only_what_lies_around_a_person_is_recorded_with_the_pre_roll(tmp_path: Path) -> None:
    times = list(range(7_000_000, 37_000_000, 40_000))  # 25 fps, 30 s
    persons = times[250:260] + times[300:301] + times[600:605]
    plan = RecordingPlan(record_when=frozenset({"person"}), pre_roll_seconds=3.0, linger_seconds=2.5)
    sink = LiveVideoSink(tmp_path / "{time}.mp4", plan, class_names=("person", "cat"))
    first, second = record(sink, times, persons)
    for path, seen, last_seen in ((first, times[250], times[300]), (second, times[600], times[604])):
        seconds = seconds_in(path)
        last = max(t for t in times if t <= last_seen + 2_500_000)
        begins = last / 1e6 - seconds[-1]
        assert 3.0 <= seen / 1e6 - begins < 4.05, "a file begins with a key frame, of which there is one a second"
        assert all(later - earlier == pytest.approx(0.04, abs=1e-5) for earlier, later in pairwise(seconds))


def test_nothing_is_written_while_nobody_is_there_and_little_is_kept(tmp_path: Path) -> None:
    plan = RecordingPlan(record_when=frozenset({"person"}), pre_roll_seconds=1.0)
    sink = LiveVideoSink(tmp_path / "out.mp4", plan, class_names=("person",))
    assert record(sink, range(0, 60_000_000, 40_000)) == []
    assert list(tmp_path.iterdir()) == []
    assert len(sink._waiting) < 80, "two seconds and what the encoder holds"


@FORMATS
def test_sound_lies_where_it_was_in_every_segment(tmp_path: Path, suffix: str) -> None:
    """A click at each whole second of the clock of the frames."""
    buffer, times = SoundBuffer(has_sound=True), list(range(7_000_000, 13_000_000, 40_000))
    sink = LiveVideoSink(tmp_path / f"out{suffix}", RecordingPlan(segment_seconds=2.0), sound=buffer)
    for ticks in times:
        for piece in range(2):  # pieces of 20 ms, a little ahead of the picture
            begin = ticks / 1e6 + 0.02 * piece
            samples = np.zeros((2, 960), np.float32)
            if round(begin * 1000) % 1000 == 0:
                samples[:, :48] = 0.9
            buffer.put(Sound(samples, begin))
        sink.write(result_at(ticks))
    sink.close()
    clicks = []
    for number, path in enumerate(sink.files):
        with av.open(str(path)) as container:
            frames = list(container.decode(audio=0))
        loud = [frame.time + np.abs(frame.to_ndarray()[0]).argmax() / SOUND_RATE for frame in frames if _is_loud(frame)]
        clicks += [round(7 + 2 * number + seconds, 2) for seconds in loud]
    assert {round(click) for click in clicks} >= {8, 9, 10, 11, 12}
    assert all(abs(click - round(click)) < 0.03 for click in clicks)


def _is_loud(frame: av.AudioFrame) -> bool:
    return bool(np.abs(frame.to_ndarray()).max() > 0.3)


KILLED = """
import sys, time
from pathlib import Path
from app.sinks.live_video_sink import LiveVideoSink
from tests.test_live_recording import result_at
sink = LiveVideoSink(Path(sys.argv[1]))
for number in range(100_000):
    sink.write(result_at(7_000_000 + 40_000 * number))
    if number % 25 == 0:
        print(number, flush=True)
    time.sleep(0.002)
"""


@FORMATS
def test_what_was_recorded_before_a_kill_can_be_played(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 200:
                process.send_signal(signal.SIGKILL)
                break
    times = seconds_in(path)
    assert len(times) >= 150, "all but the last second and what the encoder holds"
    assert times == pytest.approx([0.04 * number for number in range(len(times))], abs=0.0006)


FILLED = """
import resource, signal, sys
from pathlib import Path
from app.sinks import live_video_sink
from app.sinks.live_video_sink import LiveVideoSink
from tests.test_live_recording import noisy_result_at
live_video_sink.RETRY_SECONDS = 0.0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, 90_000))  # of each file, as a full disk
sink = LiveVideoSink(Path(sys.argv[1]), tell=print)
for number in range(150):
    sink.write(noisy_result_at(40_000 * number))
sink.close()
"""


def noisy_result_at(ticks: int) -> Result:
    image = np.random.default_rng(ticks).integers(0, 255, (*HW, 3), dtype=np.uint8)
    return Result(Frame(image, ticks, TICK, 0.0, "camera", ticks), Instances.empty(HW))


@FORMATS
def test_a_full_disk_is_told_and_recording_is_tried_again(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", FILLED, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"could not record into {path}: File too large. What was written before can be played; ")
    written = sorted(tmp_path.iterdir())
    assert len(written) >= 2, "another file is tried"
    assert len(lines) >= len(written) - 1
    assert all(len(seconds_in(one)) >= 10 for one in written[:2])


def test_an_index_that_the_full_disk_cut_off_gives_the_fragments_back(tmp_path: Path) -> None:
    (path,) = record(LiveVideoSink(tmp_path / "out.mp4"), uneven_times(120))
    whole = seconds_in(path)
    moov = complete_boxes(path)[-2][1]
    os.truncate(path, moov + 20)
    show_fragments_again(path)
    assert seconds_in(path) == pytest.approx(whole, abs=1e-5)


def test_a_link_to_a_folder_that_is_not_there_is_told_and_the_stream_goes_on(tmp_path: Path) -> None:
    told: list[str] = []
    sink = LiveVideoSink(tmp_path / "out.mp4", tell=told.append)
    (tmp_path / "out.mp4").symlink_to(tmp_path / "no" / "such.mp4")
    assert record(sink, uneven_times(50)) == []
    assert len(told) == 1
    assert "No such file or directory" in told[0]
    assert sink.problem == told[0]


def test_files_are_named_after_the_time_and_never_written_twice(tmp_path: Path) -> None:
    noon = datetime(2026, 1, 2, 12, 0, 0)
    names = FileNames(tmp_path / "a-{time}.mkv", makes_many=True)
    assert [names.next(noon).name for _ in range(2)] == ["a-20260102-120000.mkv", "a-20260102-120000-001.mkv"]
    (tmp_path / "b-001.mp4").touch()
    names = FileNames(tmp_path / "b.mp4", makes_many=True)
    assert [names.next().name for _ in range(2)] == ["b-002.mp4", "b-003.mp4"]
    (tmp_path / "c.mp4").touch()
    assert FileNames(tmp_path / "c.mp4", makes_many=False).next().name == "c.mp4", "a whole name is replaced"


def test_the_recording_has_no_readout_unless_it_is_asked_for(tmp_path: Path) -> None:
    shown = Result(
        Frame(np.full((*HW, 3), 100, np.uint8), 0, TICK, 0.0, "camera", 0),
        Instances.empty(HW),
        draw=lambda result: np.full((*HW, 3), 150, np.uint8),
        add_readout=lambda picture: np.full((*HW, 3), 200, np.uint8),
    )
    plans = RecordingPlan(), RecordingPlan(with_readout=True), RecordingPlan(is_clean=True)
    assert [int(plan.picture_of(shown)[0, 0, 0]) for plan in plans] == [150, 200, 100]
    assert int(shown.picture[0, 0, 0]) == 200, "viewers see it"
