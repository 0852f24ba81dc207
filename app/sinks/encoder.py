"""Which encoder makes H.264: NVIDIA's where it is there and works, else x264."""

import functools
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder by FFmpeg's name, and its options.

    With `bf` 0 packets leave in the order of their timestamps, so a fragment of an MP4 needs no edit list.
    """

    name: str
    options: Mapping[str, str] = field(hash=False)


X264 = Encoder(
    "libx264",
    {
        "preset": "superfast",  # veryfast takes 1.6 times as long and makes a file a quarter smaller at this quality
        "crf": "22",
        "bf": "0",
        "x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709",
    },
)
NVENC = Encoder("h264_nvenc", {"preset": "p4", "rc": "vbr", "cq": "24", "b": "0", "bf": "0"})
THREADS = max(1, (os.cpu_count() or 1) // 4)  # the others belong to the model


@functools.lru_cache(maxsize=8)
def find_encoder(size_hw: tuple[int, int]) -> Encoder:
    """Return NVIDIA's encoder if it takes pictures of this size, which is tried, and else x264."""
    return NVENC if works(NVENC, size_hw) else X264


def works(encoder: Encoder, size_hw: tuple[int, int]) -> bool:
    """Whether `encoder` turns pictures of this even size into a video that can be read back."""
    file = io.BytesIO()
    grey = np.full((*size_hw, 3), 128, np.uint8)
    try:
        with av.open(file, "w", format="mp4") as container:
            added = container.add_stream(encoder.name, rate=Fraction(25), options=dict(encoder.options))
            stream = cast("VideoStream", added)
            stream.height, stream.width, stream.pix_fmt = *size_hw, "yuv420p"
            for _ in range(2):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(stream.encode(None))
        file.seek(0)
        with av.open(file, "r") as written:
            pictures = [picture.to_ndarray(format="rgb24") for picture in written.decode(video=0)]
    except (av.FFmpegError, ValueError):
        return False
    return len(pictures) == 2 and all(abs(float(picture.mean()) - 128) < 4 for picture in pictures)
