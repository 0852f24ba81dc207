"""Videos and pictures, each annotated in a batch with a whole video, which must be done whatever the other one is."""

import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from app import annotate
from tests.fake_annotation import use_fake_model
from tests.fuzz.commands import run_command_line
from tests.fuzz.files import HostileFile, mutated
from tests.fuzz.target import Target

FRAMES = 6
HW = (48, 64)
# Container, codec of the video, codec of the sound.
VIDEOS = {
    "mp4": ("libx264", "aac"),
    "mov": ("mpeg4", "pcm_s16le"),
    "mkv": ("libx264", "pcm_s16le"),
    "webm": ("libvpx", "libopus"),
    "avi": ("mpeg4", "pcm_s16le"),
    "mxf": ("mpeg2video", "pcm_s16le"),
    "ts": ("libx264", "aac"),
    "flv": ("flv", "aac"),
    "gif": ("gif", None),
}
PICTURES = ("png", "jpg", "tif", "webp", "bmp", "ppm")


@cache
def video(suffix: str) -> HostileFile:
    """Return a whole video of six frames, with sound where the container can hold some."""
    video_codec, audio_codec = VIDEOS[suffix]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"whole.{suffix}"
        with av.open(str(path), "w") as container:
            container.metadata["title"] = "a title"
            pictures: Any = container.add_stream(video_codec, rate=25)
            pictures.height, pictures.width = HW
            pictures.pix_fmt = "rgb8" if suffix == "gif" else "yuv420p"
            sound: Any = container.add_stream(audio_codec, rate=48000, layout="stereo") if audio_codec else None
            for index in range(FRAMES):
                image = np.full((*HW, 3), 20 * index, np.uint8)
                container.mux(pictures.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            if sound is not None:
                _add_sound(container, sound)
            container.mux(pictures.encode(None))
        return HostileFile(suffix, path.read_bytes())


def _add_sound(container: av.container.OutputContainer, sound: av.AudioStream) -> None:
    codec = sound.codec_context
    kind = np.float32 if codec.format.name.startswith("flt") else np.int16
    shape = (2, 960) if codec.format.is_planar else (1, 1920)
    for block in range(10):
        samples = av.AudioFrame.from_ndarray(np.zeros(shape, kind), codec.format.name, "stereo")
        samples.sample_rate, samples.pts, samples.time_base = 48000, 960 * block, Fraction(1, 48000)
        container.mux(sound.encode(samples))
    container.mux(sound.encode(None))


@cache
def picture(suffix: str) -> HostileFile:
    """Return a whole picture."""
    rows, columns = np.mgrid[:40, :50]
    image = np.stack([5 * rows, 4 * columns, rows + columns], axis=-1).astype(np.uint8)
    _, data = cv2.imencode(f".{suffix}", image)
    return HostileFile(suffix, data.tobytes())


def annotate_beside_a_whole_video(suffix: str, file: HostileFile) -> None:
    """Annotate the file with everything that can be wanted; the whole video is done in any case."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        use_fake_model(patched)
        folder = Path(name)
        hostile, whole = folder / f"hostile.{suffix}", folder / "whole.gif"
        hostile.write_bytes(file.content)
        whole.write_bytes(video("gif").content)
        wanted = ("--video", "--track", "--format", "coco", "--out", folder / "out")
        try:
            run_command_line(annotate.main, [hostile, whole, *wanted])
        finally:
            assert (folder / "out/whole/annotated.mp4").exists(), "the other input was dropped"


def _changed(suffix: str, old: bytes, new: bytes) -> HostileFile:
    content = video(suffix).content
    assert old in content
    return HostileFile(f"{suffix}: {new!r} for {old!r}", content.replace(old, new))


def _wide_picture(suffix: str) -> HostileFile:
    _, data = cv2.imencode(f".{suffix}", np.zeros((2, 20_000, 3), np.uint8))
    return HostileFile(f"{suffix}: 20000 px wide", data.tobytes())


def _huge_gif() -> HostileFile:
    content = bytearray(video("gif").content)
    content[6:10] = b"\xff\xff\xff\xff"
    return HostileFile("gif: 65535 px wide and high", bytes(content))


def _lab_tiff() -> HostileFile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lab.tif"
        Image.new("LAB", (50, 40), (200, 90, 160)).save(path)
        return HostileFile("tif: LAB", path.read_bytes())


def _known_videos(suffix: str) -> list[HostileFile]:
    """Return what once ended in a traceback, or dropped the inputs after it."""
    known = {
        "mp4": lambda: [_changed("mp4", b"a title", b"\xff\xfe\xe9tle"), _changed("mp4", b"avc1", b"zz9q")],
        "mkv": lambda: [video("mkv"), _changed("mkv", b"V_MPEG4/ISO", b"V_QQQQ4/ISO")],
        "webm": lambda: [_changed("webm", b"A_OPUS", b"A_QQQQ")],
        "avi": lambda: [video("avi")],
        "mxf": lambda: [video("mxf")],
        "gif": lambda: [_huge_gif()],
    }
    return known[suffix]() if suffix in known else []


def _known_pictures(suffix: str) -> list[HostileFile]:
    known: dict[str, Callable[[], list[HostileFile]]] = {
        "png": lambda: [_wide_picture("png")],
        "tif": lambda: [_lab_tiff()],
    }
    return known[suffix]() if suffix in known else []


TARGETS = (
    *(
        Target(
            f"video-{suffix}",
            "videos",
            mutated([video(suffix)]),
            partial(annotate_beside_a_whole_video, suffix),
            known=_known_videos(suffix),
            examples=8,
        )
        for suffix in VIDEOS
    ),
    *(
        Target(
            f"picture-{suffix}",
            "pictures",
            mutated([picture(suffix)]),
            partial(annotate_beside_a_whole_video, suffix),
            known=_known_pictures(suffix),
            examples=8,
        )
        for suffix in PICTURES
    ),
)
