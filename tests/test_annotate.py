"""`python -m app.annotate`: lines, videos, resuming, and what is told."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from app import annotate, annotate_run
from app.annotation.jsonl_sink import AnnotationSink
from app.sources import open_source
from tests.fake_annotation import FakeTorchPredictor, use_fake_model
from tests.fake_media import grey, seconds_of, write_picture, write_video

FRAMES = 25
PTS_MS = [40 * i + (i * 7) % 11 for i in range(FRAMES)]


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_model(monkeypatch)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", [grey(9 * i) for i in range(FRAMES)], PTS_MS)


def annotated(out: Path, *arguments: object) -> int:
    return annotate.main([*map(str, arguments), "--out", str(out)])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def timestamps(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [seconds_of(picture) for picture in container.decode(video=0)]


def test_every_frame_is_a_line_after_the_header(clip: Path, tmp_path: Path) -> None:
    assert annotated(tmp_path / "out", clip) == 0
    header, *frames = lines(tmp_path / "out/clip/instances.jsonl")
    assert header["format"] == "solov2-live/1"
    assert (header["source"], header["width"], header["height"]) == ("clip.mp4", 64, 48)
    assert (header["model"], header["score"], header["classes"]) == ("nano", 0.3, ["person", "cat"])
    assert [frame["frame"] for frame in frames] == list(range(FRAMES))
    time_base = Fraction(header["time_base"])
    assert [frame["pts"] * time_base for frame in frames] == [Fraction(ms, 1000) for ms in PTS_MS]
    assert [frame["seconds"] for frame in frames] == pytest.approx([ms / 1000 for ms in PTS_MS])
    assert not list((tmp_path / "out/clip").glob("*partial*"))


def test_a_line_holds_each_mask_with_its_hole_exactly(clip: Path, tmp_path: Path) -> None:
    annotated(tmp_path / "out", clip)
    frame = lines(tmp_path / "out/clip/instances.jsonl")[5]
    ring, square = frame["instances"]
    assert (ring["category_id"], ring["category"], ring["score"]) == (1, "person", 0.89)
    assert (square["category_id"], square["category"], square["bbox"]) == (2, "cat", [40, 2, 9, 9])
    mask = coco_mask.decode(ring["segmentation"])
    assert mask.shape == (48, 64)
    x, y, width, height = ring["bbox"]
    expected = np.zeros((48, 64), np.uint8)
    expected[4:18, x : x + 18] = 1
    expected[8:13, x + 5 : x + 12] = 0
    np.testing.assert_array_equal(mask, expected)
    assert (y, width, height, ring["area"]) == (4, 18, 14, 14 * 18 - 35)
    assert "track_id" not in ring


@pytest.mark.parametrize("video", [False, True])
@pytest.mark.parametrize("batch", [1, 4])
def test_wherever_it_was_killed_the_same_command_gives_the_same_files(
    clip: Path, tmp_path: Path, batch: int, video: bool
) -> None:
    options = [clip, "--batch", batch, "--track", "--stride", 2, *(["--video"] if video else [])]
    assert annotated(tmp_path / "whole", *options) == 0
    whole = (tmp_path / "whole/clip/instances.jsonl").read_bytes()
    header_end = whole.index(b"\n") + 1
    draw = random.Random(batch)
    for cut in [
        0,
        header_end - 1,
        header_end,
        len(whole) - 1,
        len(whole),
        *(draw.randrange(len(whole)) for _ in "abcde"),
    ]:
        folder = tmp_path / f"cut{cut}/clip"
        folder.mkdir(parents=True)
        (folder / "instances.partial.jsonl").write_bytes(whole[:cut])
        assert annotated(tmp_path / f"cut{cut}", *options) == 0
        assert (folder / "instances.jsonl").read_bytes() == whole
        if video:
            assert (folder / "annotated.mp4").read_bytes() == (tmp_path / "whole/clip/annotated.mp4").read_bytes()


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"7",
        b"\xff",
        b'{"frame":2,"pts":"x","seconds":0,"instances":[]}',
        b'{"instances":[{}]}',
        b"[" * 9999,
    ],
)
@pytest.mark.parametrize("video", [False, True])
def test_a_leftover_line_that_is_none_is_cut_off_and_made_again(
    clip: Path, tmp_path: Path, line: bytes, video: bool
) -> None:
    options = [clip, "--track", *(["--video"] if video else [])]
    annotated(tmp_path / "out", *options)
    whole = tmp_path / "out/clip/instances.jsonl"
    content = whole.read_bytes()
    kept = content.splitlines(keepends=True)[:12]
    whole.unlink()
    (tmp_path / "out/clip/instances.partial.jsonl").write_bytes(b"".join([*kept, line, b"\n", *kept[5:]]))
    (tmp_path / "out/clip/annotated.mp4").unlink(missing_ok=True)
    assert annotated(tmp_path / "out", *options) == 0
    assert whole.read_bytes() == content


def test_a_recorded_mask_that_was_changed_is_named_and_costs_no_other_input(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_video(tmp_path / "other.mp4", [grey(0)] * 5)
    annotated(tmp_path / "out", clip, "--track")
    whole = tmp_path / "out/clip/instances.jsonl"
    whole.write_text(whole.read_text().replace('"size":[48,64]', '"size":[0,64]', 1))
    capsys.readouterr()
    assert annotated(tmp_path / "out", clip, other, "--track", "--format", "coco") == 1
    assert "instances.jsonl, line 2 is not what solov2-live/1 asks for: instances.0.segm" in capsys.readouterr().out
    assert (tmp_path / "out/other/coco.json").exists()
    assert annotated(tmp_path / "out", clip, "--track", "--video") == 1
    assert "line 2 is not what" in capsys.readouterr().out
    whole.rename(whole.with_name("instances.partial.jsonl"))
    assert annotated(tmp_path / "out", clip, "--track") == 1
    assert "line 2 is not what" in capsys.readouterr().out


def test_after_a_cut_only_what_is_missing_runs_through_the_model(clip: Path, tmp_path: Path) -> None:
    annotated(tmp_path / "out", clip, "--batch", 4)
    whole = tmp_path / "out/clip/instances.jsonl"
    kept = whole.read_bytes().splitlines(keepends=True)[:12]  # the header, two batches, and three frames of the third
    whole.unlink()
    (tmp_path / "out/clip/instances.partial.jsonl").write_bytes(b"".join(kept) + b'{"frame":11,"pt')
    FakeTorchPredictor.batches.clear()
    assert annotated(tmp_path / "out", clip, "--batch", 4) == 0
    assert FakeTorchPredictor.batches[0] == [8, 9, 10, 11]


def test_a_killed_process_leaves_all_but_one_line_and_is_gone_on_with(clip: Path, tmp_path: Path) -> None:
    arguments = [str(clip), "--out", str(tmp_path / "out"), "--track"]
    partial = tmp_path / "out/clip/instances.partial.jsonl"
    command = [sys.executable, "-m", "tests.fake_annotation", "0.2", *arguments]
    process = subprocess.Popen(command, cwd=Path(__file__).parent.parent)
    while not (partial.exists() and partial.read_bytes().count(b"\n") > 5):
        assert process.poll() is None, "ended too early"
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    left = partial.read_bytes()
    assert annotated(tmp_path / "out", clip, "--track") == 0
    assert annotated(tmp_path / "whole", clip, "--track") == 0
    result = (tmp_path / "out/clip/instances.jsonl").read_bytes()
    assert result == (tmp_path / "whole/clip/instances.jsonl").read_bytes()
    assert result.startswith(left[: left.rindex(b"\n") + 1])


def test_ctrl_c_keeps_what_is_done_and_says_so_in_one_line(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    append, appended = AnnotationSink._append, []

    def append_and_interrupt(self: AnnotationSink, line: dict[str, Any]) -> None:
        append(self, line)
        appended.append(line)
        if len(appended) == 10:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(AnnotationSink, "_append", append_and_interrupt)
        assert annotated(tmp_path / "out", clip, "--video") == 130
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "interrupted: the same command resumes where this one stopped\n")
    assert lines(tmp_path / "out/clip/instances.partial.jsonl") == appended
    assert 10 <= len(appended) <= 1 + FRAMES
    assert annotated(tmp_path / "out", clip, "--video") == 0
    assert len(lines(tmp_path / "out/clip/instances.jsonl")) == 1 + FRAMES


def test_the_video_keeps_every_timestamp_the_sound_and_stands_upright(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mp4", rotation=90)
    assert annotated(tmp_path / "out", source, "--video") == 0
    saved = tmp_path / "out/film/annotated.mp4"
    assert timestamps(saved) == timestamps(source) == [Fraction(ms, 1000) for ms in PTS_MS]
    assert audio_packets(saved) == audio_packets(source)
    assert len(audio_packets(saved)) > 40
    upright = next(iter(open_source(str(source)))).image
    with av.open(str(saved)) as container:
        picture = next(container.decode(video=0))
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert picture.rotation == 0
    assert picture.to_ndarray(format="rgb24").shape == upright.shape == (96, 64, 3)
    boxes = saved.read_bytes()
    assert boxes.index(b"moov") < boxes.index(b"mdat")


def test_a_stretch_of_a_film_becomes_a_clip_from_zero_on_with_its_sound(tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mp4")
    assert annotated(tmp_path / "out", source, "--video", "--start", "0.2", "--end", "0.6") == 0
    inside = [ms for ms in PTS_MS if 200 <= ms < 600]
    found = lines(tmp_path / "out/film/instances.jsonl")[1:]
    assert [line["seconds"] for line in found] == [ms / 1000 for ms in inside]
    assert [line["frame"] for line in found] == [PTS_MS.index(ms) for ms in inside]
    saved = tmp_path / "out/film/annotated.mp4"
    assert timestamps(saved) == [Fraction(ms - inside[0], 1000) for ms in inside]
    packets = [packet for packet in audio_packets(source) if 0.2 <= packet[0] / 48000 < 0.6]
    shift = round(Fraction(inside[0], 1000) * 48000)
    assert audio_packets(saved) == [(pts - shift, data) for pts, data in packets]


def test_a_video_wanted_later_is_drawn_without_the_model(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotated(tmp_path / "both", clip, "--track", "--video")
    annotated(tmp_path / "later", clip, "--track")
    FakeTorchPredictor.batches.clear()
    capsys.readouterr()
    assert annotated(tmp_path / "later", clip, "--track", "--video") == 0
    assert capsys.readouterr().out.endswith(" done\n"), "and not: was done before"
    assert FakeTorchPredictor.batches == []
    names = ("annotated.mp4", "instances.jsonl")
    for name in names:
        assert (tmp_path / "later/clip" / name).read_bytes() == (tmp_path / "both/clip" / name).read_bytes()


def test_tracked_instances_keep_their_id(clip: Path, tmp_path: Path) -> None:
    annotated(tmp_path / "out", clip, "--track")
    squares = [found for line in lines(tmp_path / "out/clip/instances.jsonl")[1:] for found in line["instances"][1:]]
    assert len(squares) == 13
    assert len({found["track_id"] for found in squares}) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--score", "0.5"], "was made with score 0.3, and now it is 0.5"),
        (["--stride", "2"], "was made with stride 1, and now it is 2"),
        (["--batch", "2"], "was made with batch 1, and now it is 2"),
        (["--end", "1"], "was made with end null, and now it is 1.0"),
        (["--track"], "was made with track false, and now it is true"),
        (["--classes", "cat"], 'was made with kept_classes null, and now it is ["cat"]'),
    ],
)
def test_outputs_made_with_other_options_are_left_alone(
    clip: Path, tmp_path: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    annotated(tmp_path / "out", clip)
    before = (tmp_path / "out/clip/instances.jsonl").read_bytes()
    capsys.readouterr()
    assert annotated(tmp_path / "out", clip, *options) == 2
    message = capsys.readouterr().err
    assert told in message
    assert message.endswith("use the same options, name another --out, or delete that folder\n")
    assert message.count("\n") == 1
    assert (tmp_path / "out/clip/instances.jsonl").read_bytes() == before


def test_outputs_of_another_file_or_other_weights_are_left_alone(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    annotated(tmp_path / "out", clip)
    use_fake_model(monkeypatch, weight=2.0)
    assert annotated(tmp_path / "out", clip) == 2
    assert "was made with other weights" in capsys.readouterr().err
    use_fake_model(monkeypatch)
    write_video(clip, [grey(200)] * FRAMES)
    assert annotated(tmp_path / "out", clip) == 2
    assert "was made from another file of that name, or it has changed since" in capsys.readouterr().err


def test_damaged_and_unreadable_inputs_are_told_and_the_others_go_on(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    arguments = [tmp_path / "broken.mp4", tmp_path / "cut.mkv", clip]
    cut = write_video(tmp_path / "cut.mkv", [grey(2 * i) for i in range(100)])
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    for _ in range(2):  # the second time from the summary
        assert annotated(tmp_path / "out", *arguments) == 1
        table = capsys.readouterr().out
        assert "failed: could not read" in table
        assert "cut.mkv" in table
        assert "every frame that could be read was used" in table
        assert "2 with problems" in table
    assert not (tmp_path / "out/broken").exists()
    assert len(lines(tmp_path / "out/cut/instances.jsonl")) > 10
    assert len(lines(tmp_path / "out/clip/instances.jsonl")) == 1 + FRAMES


def test_what_is_done_is_not_done_again(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotated(tmp_path / "out", clip, "--video", "--format", "coco")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    capsys.readouterr()
    assert annotated(tmp_path / "out", clip, "--video", "--format", "coco", "--json") == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == times
    (summary,) = json.loads(capsys.readouterr().out)
    assert (summary["frames"], summary["new_frames"], summary["instances"]) == (FRAMES, 0, FRAMES + 13)
    assert summary["formats"] == {"coco": "coco.json"}


def test_a_terminal_gets_a_line_for_the_inputs_one_for_the_frames_and_one_for_the_formats(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_video(tmp_path / "other.mkv", [grey(0)] * 5)  # a container that does not count its frames
    monkeypatch.setattr(annotate_run, "is_terminal", lambda: True)
    assert annotated(tmp_path / "out", clip, other, "--format", "coco,yolo") == 0
    shown = capsys.readouterr().err
    for expected in ("inputs: 100%", f"clip:   0%|          | 0/{FRAMES} ", "other:   0%|          | 0/5 ", "frame/s"):
        assert expected in shown
    assert "clip: formats:   0%|          | 0/2 " in shown
    capsys.readouterr()
    monkeypatch.undo()
    use_fake_model(monkeypatch)
    assert annotated(tmp_path / "again", clip, other) == 0
    assert capsys.readouterr().err == "", "nobody looks"


@pytest.mark.parametrize(
    "name", ["...mp4", "..mp4", ".....mp4", ". .mp4", ".out.lock.mp4", "...png", "-.mp4", "a b.mp4"]
)
def test_no_name_of_an_input_leads_out_of_the_outputs(
    clip: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "place"
    (place / "labels").mkdir(parents=True)
    (place / "labels/precious.txt").write_text("precious")
    if name.endswith(".png"):
        write_picture(place / "x.png", grey(5)).rename(place / name)
    else:
        clip.rename(place / name)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert annotated(place / "out", place / name, "--format", "yolo,coco,masks,labelme", "--video") == 0
    made = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert made
    (folder,) = (place / "out").iterdir()
    assert all(folder in path.parents for path in made)
    assert (place / "labels/precious.txt").read_text() == "precious"
    capsys.readouterr()
    assert annotated(place / "out", place / name, "--format", "yolo,coco,masks,labelme", "--video") == 0
    assert "was done before" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["", "instances.partial.jsonl", "instances.jsonl", "summary.partial", "coco.json", "labels"]
)
def test_a_link_that_leads_out_of_the_outputs_is_refused(
    clip: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    link = tmp_path / "out/clip" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(outside if name in ("", "labels") else outside / "kept")
    assert annotated(tmp_path / "out", clip, "--format", "yolo,coco") == 2
    told = capsys.readouterr().err
    assert "which is not in --out" in told
    assert told.count("\n") == 1
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"


def test_the_outputs_may_lie_behind_a_link(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    assert annotated(tmp_path / "out", clip, "--format", "coco") == 0
    assert (tmp_path / "disk/clip/coco.json").exists()


def test_a_bug_costs_one_input_and_keeps_its_traceback(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from app.annotation.formats import FORMATS

    other = write_video(tmp_path / "other.mp4", [grey(0)] * 5)
    write_coco = FORMATS["coco"]
    fail_for = lambda path, folder: 1 / 0 if folder.name == "clip" else write_coco(path, folder)  # noqa: E731
    monkeypatch.setitem(FORMATS, "coco", fail_for)
    assert annotated(tmp_path / "out", clip, other, "--format", "coco") == 1
    told = capsys.readouterr()
    assert "failed: a bug of this program (ZeroDivisionError), whose traceback is printed" in told.out
    assert "ZeroDivisionError: division by zero" in told.err
    assert (tmp_path / "out/other/coco.json").exists()
    monkeypatch.undo()
    use_fake_model(monkeypatch)
    assert annotated(tmp_path / "out", clip, other, "--format", "coco") == 0


def test_a_format_that_an_input_cannot_have_costs_no_other_input(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    for name, hw in (("1.png", (48, 64)), ("2.png", (50, 70))):
        write_picture(tmp_path / "shots" / name, grey(50, hw))
    assert annotated(tmp_path / "out", tmp_path / "shots", clip, "--format", "youtube-vis", "--track") == 1
    assert (tmp_path / "out/clip/youtube_vis.json").exists()


def test_a_format_that_was_deleted_is_made_again(clip: Path, tmp_path: Path) -> None:
    annotated(tmp_path / "out", clip, "--format", "coco,yolo")
    first = (tmp_path / "out/clip/coco.json").read_bytes()
    (tmp_path / "out/clip/coco.json").unlink()
    assert annotated(tmp_path / "out", clip, "--format", "coco,yolo") == 0
    assert (tmp_path / "out/clip/coco.json").read_bytes() == first


def test_pictures_of_a_folder_are_one_input_and_named_in_their_lines(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    for name, hw in (("1.png", (48, 64)), ("2.png", (50, 70)), ("10.png", (48, 64))):
        write_picture(tmp_path / "shots" / name, grey(50, hw))
    assert annotated(tmp_path / "out", tmp_path / "shots", "--batch", 2) == 0
    header, *found = lines(tmp_path / "out/shots/instances.jsonl")
    assert (header["width"], header["height"]) == (64, 48)
    assert [line["file_name"] for line in found] == ["1.png", "2.png", "10.png"]
    assert [(line.get("width"), line.get("height")) for line in found] == [(None, None), (70, 50), (None, None)]
    assert found[1]["instances"][0]["segmentation"]["size"] == [50, 70]


def test_a_full_disk_is_one_line_and_what_was_written_is_gone_on_with(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    append, left = AnnotationSink._append, [7]

    def append_until_full(self: AnnotationSink, line: dict[str, Any]) -> None:
        left[0] -= 1
        if not left[0]:
            self._file.write(b'{"frame":')
            self._file.close()
            self._file = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
        append(self, line)

    with monkeypatch.context() as patched:
        patched.setattr(AnnotationSink, "_append", append_until_full)
        assert annotated(tmp_path / "out", clip) == 2
    message = capsys.readouterr().err
    assert "No space left on device" in message
    assert message.count("\n") == 1
    assert annotated(tmp_path / "out", clip) == 0
    assert annotated(tmp_path / "whole", clip) == 0
    assert (tmp_path / "out/clip/instances.jsonl").read_bytes() == (
        tmp_path / "whole/clip/instances.jsonl"
    ).read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere.mp4"], "no such file or folder: nowhere.mp4"),
        (["demo", "--format", "cocoa"], "unknown format 'cocoa'. Did you mean 'coco'?"),
        (["demo", "--format", "youtube-vis"], "over time: add --track"),
        (["demo", "--start", "5", "--end", "2"], "--start must lie before --end, got 5 and 2 seconds"),
        (["demo", "--device", "gpu"], "unknown device 'gpu'"),
        (["demo", "--classes", "cow"], "unknown class 'cow'"),
        (["rtsp://user:secret@host/1"], "rtsp://host/… is an address"),
    ],
)
def test_a_bad_option_is_one_line(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert annotated(tmp_path / "out", *options) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def write_film(path: Path, rotation: float | None = None) -> Path:
    """A film with uneven timestamps and a second of sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"qp": "10"})
        video.width, video.height, video.pix_fmt = (96, 64, "yuv420p") if rotation else (64, 96, "yuv420p")
        video.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            video.set_display_rotation(rotation)
        sound = container.add_stream("aac", rate=48000)
        for index, pts in enumerate(PTS_MS):
            picture = av.VideoFrame.from_ndarray(grey(9 * index, (video.height, video.width)), format="rgb24")
            picture.pts, picture.time_base = pts, Fraction(1, 1000)
            container.mux(video.encode(picture))
        for block in range(47):
            wave = np.sin(np.arange(1024 * block, 1024 * (block + 1)) / 20).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 48000, 1024 * block, Fraction(1, 48000)
            container.mux(sound.encode(samples))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path


def audio_packets(path: Path) -> list[tuple[int, bytes]]:
    """Timestamp in 1/48000 s, and content, of each packet."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.pts is not None]
        return [(round(seconds_of(packet) * 48000), bytes(packet)) for packet in packets]


def test_zones_give_events_and_counts_of_what_was_recorded_without_the_model(clip: Path, tmp_path: Path) -> None:
    zones = tmp_path / "zones.yaml"
    zones.write_text("zones: [{name: all, points: [[0, 0], [1, 0], [1, 1], [0, 1]]}]")
    assert annotated(tmp_path / "out", clip, "--zones", zones, "--video") == 0
    folder = tmp_path / "out/clip"
    events = lines(folder / "events.jsonl")
    assert {"appeared", "entered_zone", "zone_count"} <= {event["event"] for event in events}
    assert {event["source"] for event in events} == {lines(folder / "instances.jsonl")[0]["source"]}
    assert ",all,zone," in (folder / "zones.csv").read_text()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}
    FakeTorchPredictor.batches.clear()
    (folder / "events.jsonl").unlink()
    assert annotated(tmp_path / "out", clip, "--zones", zones, "--video") == 0
    assert FakeTorchPredictor.batches == []
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"} == before


def test_a_zone_outside_of_the_pictures_is_one_line(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zones = tmp_path / "zones.yaml"
    zones.write_text("zones: [{name: far, pixels: [[0, 0], [9999, 0], [9999, 9]]}]")
    assert annotated(tmp_path / "out", clip, "--zones", zones) == 1
    assert "zone 'far' must lie in the picture" in capsys.readouterr().out
