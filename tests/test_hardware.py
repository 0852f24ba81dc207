"""Decoding on an NVIDIA device: used only where it gives what the processor gives."""

from pathlib import Path

import numpy as np
import pytest
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame

from app.annotation.job import hardware_notes
from app.sinks.video_sink import VideoSink
from app.sources import hardware, open_source, video
from app.sources.video import VideoSource
from app.stream_errors import SourceError
from tests.fake_media import grey, write_video

NO_SUCH_DEVICE = HWAccel(hardware.NVIDIA, "99")


def test_a_decoder_works_if_its_pictures_and_their_times_are_those_of_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not hardware.works(NO_SUCH_DEVICE)
    decode = hardware._decode

    def on_the_processor(clip: bytes, device: HWAccel | None) -> list[VideoFrame]:
        return decode(clip, None)

    monkeypatch.setattr(hardware, "_decode", on_the_processor)
    assert not hardware.works(NO_SUCH_DEVICE)  # nothing came from the device
    monkeypatch.setattr(hardware, "is_from_device", lambda picture: True)
    assert hardware.works(NO_SUCH_DEVICE)

    def late(clip: bytes, device: HWAccel | None) -> list[VideoFrame]:
        pictures = decode(clip, None)
        if device is not None:
            pictures[2].pts = (pictures[2].pts or 0) + 1
        return pictures

    monkeypatch.setattr(hardware, "_decode", late)
    assert not hardware.works(NO_SUCH_DEVICE)

    def paler(clip: bytes, device: HWAccel | None) -> list[VideoFrame]:
        pictures = decode(clip, None)
        if device is not None:
            facts = hardware._facts(pictures[0])
            pale = VideoFrame.from_ndarray(pictures[0].to_ndarray(format="rgb24") // 2 + 64, format="rgb24")
            pictures[0] = pale
            monkeypatch.setattr(hardware, "_facts", lambda picture: facts)
        return pictures

    monkeypatch.setattr(hardware, "_decode", paler)
    assert not hardware.works(NO_SUCH_DEVICE)


def test_the_clip_for_the_trial_varies_in_rate_and_is_turned() -> None:
    pictures = hardware._decode(hardware._make_clip(), None)
    seconds = [float((picture.pts or 0) * (picture.time_base or 0)) for picture in pictures]
    assert seconds == pytest.approx([pts / 1000 for pts in hardware._TRIED_PTS])
    assert {abs(picture.rotation) for picture in pictures} == {90}
    assert hardware._difference(pictures[0], pictures[-1]) > 10


def test_where_the_device_fails_the_processor_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "video.mp4", [grey(10 * i) for i in range(10)])
    monkeypatch.setattr(video, "find_hardware", lambda: NO_SUCH_DEVICE)
    source = open_source(str(path), uses_gpu=True)
    assert isinstance(source, VideoSource)
    assert not source.is_on_gpu
    assert [frame.image.mean() for frame in source] == pytest.approx([10 * i for i in range(10)], abs=3)
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(SourceError, match="could not read"):
        open_source(str(tmp_path / "empty.mp4"), uses_gpu=True)


def test_the_summary_says_what_decoded_and_encoded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", [grey(10)] * 5)
    source = open_source(str(path))
    assert isinstance(source, VideoSource)
    sink = VideoSink(tmp_path / "out.mp4")
    assert hardware_notes(source, []) == ["decoded by the CPU"]
    assert hardware_notes(source, [sink]) == ["decoded by the CPU", "encoded by the CPU"]
    assert hardware_notes(open_source("demo"), []) == []  # type: ignore[arg-type]


@pytest.mark.cuda
def test_nvidias_decoder_gives_the_processors_pictures(tmp_path: Path) -> None:
    if hardware.find_hardware() is None:
        pytest.skip("this device or driver does not decode video")
    images = [np.roll(np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 320, 3)), i, 0) for i in range(30)]
    path = write_video(tmp_path / "video.mp4", images, rotation=90)
    on_gpu, on_cpu = open_source(str(path), uses_gpu=True), open_source(str(path))
    assert isinstance(on_gpu, VideoSource)
    assert on_gpu.is_on_gpu
    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert (one.pts, one.index, one.image.shape) == (other.pts, other.index, other.image.shape)
        assert np.abs(one.image.astype(int) - other.image).mean() < 2
