"""Video files, and whatever else PyAV opens: every frame with its own timestamp, upright, in RGB."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from app.sources.decoding import every_picture, expected_pictures
from app.sources.hardware import find_hardware, is_from_device
from app.sources.reading import Reading
from app.sources.rgb_converter import RgbConverter, upright_hw
from app.sources.selection import EVERYTHING, Selection
from app.stream.frames import Frame
from app.stream_errors import Fault, SourceError
from solov2.pixel_limit import TooManyPixelsError, check_pixels, decoder_options, max_pixels

VIDEO_SUFFIXES = frozenset(
    ".3gp .asf .avi .flv .gif .h264 .m2ts .m4v .mjpeg .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .ts .webm .wmv".split()
)
Decode: TypeAlias = Callable[[InputContainer, VideoStream, str], Iterator[VideoFrame]]


class VideoSource:
    """The frames of one PyAV container, once. The first picture is decoded at once, so that errors show early.

    Attributes:
        is_on_gpu: whether NVIDIA's decoder makes the pictures.
    """

    def __init__(self, container: InputContainer, source_id: str, decode: Decode, is_live: bool) -> None:
        """Take over `container`.

        Args:
            container: just opened; closed by this source, also when this raises.
            source_id: a name to show, without any password.
            decode: yields the decoded pictures of the container's video stream, each with a `pts`; raises SourceError.
            is_live: frames are lost if not read.

        Raises:
            SourceError: there is no video in it, or not one picture can be decoded.
        """
        self.source_id = source_id
        self.is_live = is_live
        self._container = container
        self._reading = Reading(container.close)
        try:
            stream = video_stream(container, source_id)
            if not stream.codec_context.is_hwaccel:
                stream.thread_type = "SLICE" if is_live else "AUTO"
            self._pictures = decode(container, stream, source_id)
            self._first = _first(self._pictures, source_id, stream)
        except BaseException:
            container.close()
            raise
        self._converter = RgbConverter()
        self.frame_hw = upright_hw(self._first)
        self.is_on_gpu = stream.codec_context.is_hwaccel and is_from_device(self._first)
        self.time_base = self._first.time_base or ticks_of(stream)
        self.frame_rate = float(stream.average_rate) if stream.average_rate else None
        self.frame_count = None if is_live else expected_pictures(container, stream)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; a live source leaves out the first picture, which has grown old since it was decoded."""
        return self.frames()

    def frames(self, selection: Selection = EVERYTHING) -> Iterator[Frame]:
        """Yield the selected frames. The others are decoded, as those after them depend on them, and no more."""
        with self._reading:
            pictures = self._pictures if self.is_live else itertools.chain([self._first], self._pictures)
            wanted = itertools.takewhile(lambda _: not self._reading.is_closed, pictures)
            for index, picture in selection.choose(wanted, self._seconds):
                yield self._frame(picture, index)

    def close(self) -> None:
        """Stop. A thread that is reading stops at its next picture and releases the container itself."""
        self._reading.close()

    def _seconds(self, picture: VideoFrame) -> float:
        return float((picture.pts or 0) * self.time_base)

    def _frame(self, picture: VideoFrame, index: int) -> Frame:
        pixels, captured_at = self._converter.lazy(picture), time.monotonic()
        return Frame(pixels, picture.pts or 0, self.time_base, captured_at, self.source_id, index)


def open_video(path: Path, uses_gpu: bool = False, decode: Decode = every_picture) -> VideoSource:
    """Open a video file.

    Args:
        path: the file.
        uses_gpu: decode on the NVIDIA device where that works, for this file too; otherwise on the processor.
        decode: yields the pictures, see `VideoSource`.

    Raises:
        SourceError: it cannot be read, or holds no video.
    """
    hardware = find_hardware() if uses_gpu else None
    if hardware is not None:
        with suppress(SourceError):
            return VideoSource(open_container(path, hardware), str(path), decode, is_live=False)
    return VideoSource(open_container(path), str(path), decode, is_live=False)


def open_container(path: Path, hardware: HWAccel | None = None) -> InputContainer:
    """Open a video file for reading; raise SourceError if it cannot be read."""
    try:
        return av.open(  # FFmpeg takes "10:30.mp4" for an address
            os.path.abspath(path), hwaccel=hardware, options=decoder_options(), metadata_errors="replace"
        )
    except av.FFmpegError as error:
        raise SourceError(f"could not read {path} as a video: {error.strerror}") from error


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """Return the first video stream, whose decoder refuses frames of more pixels than are read.

    Raises:
        SourceError: there is none, or no decoder for it, or it declares more pixels. Nothing was decoded.
    """
    if not container.streams.video:
        raise SourceError(f"{name} holds no video", Fault.NOT_VIDEO, "it holds no video")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        reason = "this build of FFmpeg has no decoder for its codec"
        raise SourceError(f"could not decode {name}: {reason}", Fault.UNSUPPORTED, reason)
    try:
        check_pixels(stream.codec_context.width, stream.codec_context.height, name)
    except TooManyPixelsError as error:
        raise SourceError(str(error), Fault.UNSUPPORTED) from None
    stream.codec_context.options = stream.codec_context.options | decoder_options()
    return stream


def ticks_of(stream: VideoStream) -> Fraction:
    """Seconds per tick of a stream's timestamps."""
    return stream.time_base or Fraction(1, av.time_base)


def _first(pictures: Iterator[VideoFrame], name: str, stream: VideoStream) -> VideoFrame:
    for picture in pictures:
        return picture
    if not stream.codec_context.width:  # FFmpeg forgets a size that it was told to refuse
        limit = max_pixels() // 1_000_000
        message = f"{name} has no size, or more than {limit} megapixels: --max-megapixels allows more"
        raise SourceError(message, Fault.UNSUPPORTED)
    raise SourceError(f"{name} holds no readable picture")
