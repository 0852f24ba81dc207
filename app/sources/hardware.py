"""Decoding on an NVIDIA device, where that gives what decoding on the processor gives."""

import functools
import io
from fractions import Fraction

import av
import numpy as np
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame

_TRIED_HW = (160, 256)
_TRIED_PTS = (0, 30, 90, 100, 190)  # a rate that varies
_MAX_DIFFERENCE = 2.0  # of two pictures' values in the mean: rounding in how colours are spread
NVIDIA = "cuda"


@functools.cache
def find_hardware() -> HWAccel | None:
    """Return NVIDIA's decoder if it is there and works, which is tried once; else None, and the processor decodes."""
    hardware = HWAccel(NVIDIA)
    return hardware if works(hardware) else None


def works(hardware: HWAccel) -> bool:
    """Whether `hardware` gives the pictures of a turned clip of varying rate as the processor does, and their times."""
    clip = _make_clip()
    try:
        expected, actual = _decode(clip, None), _decode(clip, hardware)
    except (av.FFmpegError, NotImplementedError, RuntimeError, ValueError):
        return False
    return (
        all(is_from_device(picture) for picture in actual)
        and [_facts(picture) for picture in actual] == [_facts(picture) for picture in expected]
        and all(_difference(*pair) < _MAX_DIFFERENCE for pair in zip(actual, expected, strict=True))
    )


def is_from_device(picture: VideoFrame) -> bool:
    """Whether a decoded picture comes from NVIDIA's decoder: it lays colours out as the processor's does not."""
    return picture.format.name in ("nv12", "p010le", "p016le")


def _facts(picture: VideoFrame) -> tuple[int | None, int, int]:
    return picture.pts, picture.duration, picture.rotation


def _difference(one: VideoFrame, other: VideoFrame) -> float:
    pictures = [picture.to_ndarray(format="rgb24").astype(np.float32) for picture in (one, other)]
    return float(np.abs(pictures[0] - pictures[1]).mean())


def _make_clip() -> bytes:
    """Return a short H.264 clip of moving colours, to be shown turned by 90 degrees, in the colours of HD video."""
    file = io.BytesIO()
    rows, columns = np.indices(_TRIED_HW)
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "colormatrix=bt709", "qp": "10"})
        stream.height, stream.width = _TRIED_HW
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.set_display_rotation(90)
        for pts in _TRIED_PTS:
            colours = np.stack([rows + pts, columns, 255 - columns], -1) % 256
            picture = av.VideoFrame.from_ndarray(colours.astype(np.uint8), format="rgb24")
            picture.pts, picture.time_base = pts, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return file.getvalue()


def _decode(clip: bytes, hardware: HWAccel | None) -> list[VideoFrame]:
    with av.open(io.BytesIO(clip), "r", hwaccel=hardware) as container:
        return list(container.decode(video=0))
