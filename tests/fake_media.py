"""Pictures, videos and readers that the tests of several parts need, made at run time."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from app.sources import open_source
from app.stream.frames import Frame
from app.stream_errors import SourceError

Image = npt.NDArray[np.uint8]
TICK = Fraction(1, 1000)


def grey(value: int, hw: tuple[int, int] = (48, 64)) -> Image:
    return np.full((*hw, 3), value, np.uint8)


def seconds_of(timed: "av.VideoFrame | av.Packet[Any]") -> Fraction:
    """Return when a picture is shown, or a packet begins."""
    assert timed.pts is not None
    assert timed.time_base is not None
    return timed.pts * timed.time_base


def write_video(
    path: Path,
    images: list[Image],
    pts_ms: list[int] | None = None,
    rotation: float | None = None,
    options: dict[str, str] | None = None,
    container_format: str | None = None,
) -> Path:
    with av.open(str(path), "w", container_format, options=options or {}) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "5", "qp": "10"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TICK
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index, image in enumerate(images):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts = pts_ms[index] if pts_ms else index * 40
            picture.time_base = TICK
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def write_sound_film(path: Path, seconds: int = 2, hw: tuple[int, int] = (48, 64)) -> Path:
    """Write `seconds` of grey at 25 fps with a tone of 440 Hz."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "25", "bf": "0"})
        video.height, video.width = hw
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=48000, layout="mono")
        for index in range(25 * seconds):
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey(index % 250, hw), format="rgb24")))
            begin = 1920 * index
            wave = 0.3 * np.sin(2 * np.pi * 440 / 48000 * np.arange(begin, begin + 1920))
            samples = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48000, begin
            container.mux(audio.encode(samples))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    return path


def write_picture(path: Path, image: npt.NDArray[Any]) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def frames_until_error(spec: Path | str) -> tuple[list[Frame], str]:
    """The frames that a source gives before it raises SourceError, and the error's text."""
    frames: list[Frame] = []
    with pytest.raises(SourceError) as caught:
        frames.extend(open_source(str(spec)))
    return frames, str(caught.value)
