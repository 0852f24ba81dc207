"""One file of a live recording: MP4 or Matroska, playable at every moment of its making."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import av

from app.sinks.live_encoder import TICK, AnyPacket, LiveEncoder, is_video
from app.sinks.mp4_boxes import check_whole, drop_cut_fragment, show_fragments_again

MATROSKA = ".mkv"
_INTERLEAVE = {"max_interleave_delta": "1000000", "flush_packets": "1"}  # us: do not wait longer for sound
_MP4 = {
    # Fragments while it grows; "hybrid" joins them at the end by an index, without a copy of the file.
    "movflags": "hybrid_fragmented+frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": "1000000",  # us
    "movie_timescale": str(TICK.denominator),
    **_INTERLEAVE,
}
_MATROSKA = {"cluster_time_limit": "1000", **_INTERLEAVE}  # ms


class LiveFile:
    """Takes packets of a `LiveEncoder`. Whatever ends the process, all but the last second or so can be played.

    Attributes:
        path: of the file.
        first_ticks: the timestamp of the picture that is at 0 in the file.
    """

    def __init__(self, path: Path, encoder: LiveEncoder, first_ticks: int, with_sound: bool) -> None:
        """Create the file; raise OSError or av.FFmpegError if that fails."""
        self.path, self.first_ticks = path, first_ticks
        self._is_matroska = path.suffix.lower() == MATROSKA
        name, options = ("matroska", _MATROSKA) if self._is_matroska else ("mp4", _MP4)
        self._container = av.open(os.path.abspath(path), "w", format=name, options=options)
        self._container.metadata["creation_time"] = datetime.now(UTC).isoformat()
        self._video = self._container.add_stream_from_template(encoder.video)
        self._video.time_base = TICK
        self._audio = self._container.add_stream_from_template(encoder.audio) if with_sound else None
        self._container.start_encoding()  # writes the head of the file, so that a failure shows now
        self._held: AnyPacket | None = None  # until the next one tells how long it lasts
        self._picture_ticks = round(encoder.picture_seconds / TICK)

    def write(self, packet: AnyPacket) -> None:
        """Write a packet; sound before the first picture is left out. Raises OSError or av.FFmpegError."""
        if is_video(packet):
            packet.pts = (packet.pts or 0) - self.first_ticks
            packet.dts, packet.stream = packet.pts, self._video
            if self._held is not None:
                self._write_held(packet.pts - (self._held.pts or 0))
            self._held = packet
        elif self._audio is not None:
            packet.pts = (packet.pts or 0) - round(self.first_ticks * TICK / packet.time_base)
            packet.dts, packet.stream = packet.pts, self._audio
            if packet.pts >= 0:
                self._container.mux(packet)

    def close(self) -> None:
        """Complete the file.

        Raises:
            OSError, av.FFmpegError: it could not be completed; what is whole of it can be played.
        """
        try:
            self._write_held(self._picture_ticks)
            self._container.close()
            if not self._is_matroska:
                check_whole(self.path, last_box=b"moov")
        except (OSError, av.FFmpegError):
            self.abandon()
            raise

    def abandon(self) -> None:
        """Release the file after a failure; an MP4 ends with its last whole fragment then."""
        with suppress(OSError, av.FFmpegError):
            self._container.close()
        if not self._is_matroska:
            with suppress(OSError):
                show_fragments_again(self.path)
                drop_cut_fragment(self.path)

    def _write_held(self, duration_ticks: int) -> None:
        if self._held is not None:
            self._held.duration = duration_ticks
            held, self._held = self._held, None
            self._container.mux(held)
