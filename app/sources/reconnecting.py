"""A live source that survives: what fails or falls silent is opened again, until somebody closes it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from app.sources.backoff import Backoff
from app.sources.timeline import Timeline
from app.stream.channel import Cancelled, Channel, Empty, Finished
from app.stream.frames import Frame
from app.stream.sound import HasSound, SoundBuffer
from app.stream.source_status import SourceStatus
from app.stream_errors import Fault, SourceError

if TYPE_CHECKING:
    from app.stream.parts import Source

SILENT_SECONDS = 10.0
OPENING_SECONDS = 45.0  # longer than any source's own timeouts; a driver that never returns is left alone after that
LEAVE_SECONDS = 0.5  # how long the end of a reading thread is waited for

_HANGS = "the connection before this one has not ended yet"

Listener = Callable[[SourceStatus], None]


@runtime_checkable
class Connection(Protocol):
    """What a live source tells of itself, once it is open.

    Attributes:
        details: size, codec and rate, such as "1280x720 h264 30 fps".
        corrupt: how many pictures were left out because they were damaged.
    """

    details: str

    @property
    def corrupt(self) -> int:
        """See above."""
        ...


class ReconnectingSource:
    """Opens a live source, and opens it again whenever it fails, ends or gives no frame for too long.

    Each connection is read in a thread of its own: one that blocks in a driver or in the network is left alone, and
    ends by itself when its call returns. Size, rate and codec may change from one connection to the next. The
    timestamps of all connections are on one clock that goes on while nothing comes.

    Attributes:
        sound: of all connections, on the same clock as the frames; filled as far as the connections decode it.
    """

    is_live = True
    frame_count: int | None = None
    frame_rate: float | None = None
    frame_hw = (720, 1280)  # until the first connection tells
    time_base = Fraction(1, 1_000_000)

    def __init__(
        self,
        source_id: str,
        open_source: "Callable[[], Source]",
        backoff: Backoff | None = None,
        listener: Listener | None = None,
        *,
        silent_seconds: float = SILENT_SECONDS,
        first: "Source | None" = None,
    ) -> None:
        """Open nothing yet: that happens in threads of its own.

        Args:
            source_id: a name to show, without any password.
            open_source: opens it, or raises SourceError; called again for every connection.
            backoff: between the tries; by default forever.
            listener: called with every new status, in the thread that reads.
            silent_seconds: a connection that gives no frame for so long is given up.
            first: a connection to begin with, just opened.
        """
        self.source_id = source_id
        self._status = SourceStatus("connecting", time.monotonic())
        self.sound = SoundBuffer()
        self._open = open_source
        self._backoff = backoff or Backoff()
        self._listener = listener
        self._silent_seconds = silent_seconds
        self._closed = threading.Event()
        self._reader: _Reader | None = None
        self._corrupt_before = 0
        self._first = first
        if first is not None:
            self._learn(first)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until it is closed.

        Raises:
            SourceError: it failed too often in a row, or in a way that no other try can mend.
        """
        failures, timeline, was_live = 0, Timeline(self.time_base), False
        while not self._closed.is_set():
            self._set_phase("connecting")
            timeline.begin()
            try:
                for frame in self._frames():
                    if self.status.phase != "live":
                        self._set_phase("live", reconnects=self.status.reconnects + was_live)
                        failures, was_live = 0, True
                    placed = timeline.place(frame)
                    self._pass_sound_on(timeline)
                    yield placed
                break
            except SourceError as error:
                failures += 1
                wait = self._backoff.seconds(failures)
                if wait is None or (error.fault.is_permanent and not was_live):
                    self._set_phase("ended", reason=error.reason)
                    raise
                stalls = self.status.stalls + (error.fault is Fault.TIMED_OUT and self.status.phase == "live")
                self._set_phase("waiting", reason=error.reason, next_try_at=time.monotonic() + wait, stalls=stalls)
            self._closed.wait(wait)
        self._set_phase("ended")

    def close(self) -> None:
        """Stop at once, whatever the connection is doing."""
        self._closed.set()
        if self._first is not None:
            self._first.close()
        if self._reader is not None:
            self._reader.leave()

    def _frames(self) -> Iterator[Frame]:
        """Yield the frames of one connection, until it is closed; raise SourceError when it fails."""
        if self._reader is not None and self._reader.is_alive:  # such as a driver that blocks: one thread is enough
            raise SourceError(f"could not open {self.source_id}: {_HANGS}", Fault.TIMED_OUT, _HANGS)
        reader = self._reader = _Reader(self._connect)
        is_first = True
        try:
            while not self._closed.is_set():
                try:
                    frame = reader.frames.get(OPENING_SECONDS if is_first else self._silent_seconds)
                except (Cancelled, Finished):
                    return
                except Empty:
                    raise self._silence() from None
                if is_first and reader.source is not None:
                    self._learn(reader.source)
                is_first = False
                yield frame
        finally:
            reader.leave()
            self._corrupt_before += reader.corrupt

    def _pass_sound_on(self, timeline: Timeline) -> None:
        source = self._reader.source if self._reader is not None else None
        if isinstance(source, HasSound):
            for piece in map(timeline.place_sound, source.sound.take()):
                if piece is not None:
                    self.sound.put(piece)

    def _connect(self) -> "Source":
        first, self._first = self._first, None
        return first if first is not None else self._open()

    def _learn(self, source: "Source") -> None:
        self.frame_hw, self.frame_rate = source.frame_hw, source.frame_rate
        if isinstance(source, Connection):
            self._status = replace(self._status, details=source.details)
        if isinstance(source, HasSound):
            self.sound.has_sound = source.sound.has_sound

    def _silence(self) -> SourceError:
        reason = f"nothing came for {self._silent_seconds:.0f} s"
        return SourceError(f"lost {self.source_id}: {reason}", Fault.TIMED_OUT, reason)

    @property
    def status(self) -> SourceStatus:
        """What it is doing; may be read from any thread."""
        return replace(self._status, corrupt=self.corrupt)

    @property
    def corrupt(self) -> int:
        """How many pictures were left out because they were damaged."""
        reader = self._reader
        return self._corrupt_before + (reader.corrupt if reader is not None and not reader.is_left else 0)

    def _set_phase(self, phase: str, **changes: object) -> None:
        since = self.status.since if "live" not in (phase, self.status.phase) else time.monotonic()
        base = {"reason": "", "next_try_at": None, "since": since}
        self._status = replace(self._status, phase=phase, **(base | changes))  # type: ignore[arg-type]
        if self._listener is not None:
            self._listener(self.status)


class _Reader:
    """Opens and reads one connection in a thread of its own.

    Attributes:
        frames: what it gives; it fails as the connection does.
        source: the connection, once it is open.
    """

    def __init__(self, open_source: "Callable[[], Source]") -> None:
        self.frames: Channel[Frame] = Channel(2)
        self.source: Source | None = None
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(open_source,), name="connection", daemon=True)
        self._thread.start()

    @property
    def corrupt(self) -> int:
        return self.source.corrupt if isinstance(self.source, Connection) else 0

    @property
    def is_left(self) -> bool:
        return self._left.is_set()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def leave(self) -> None:
        """Let the connection be closed, and wait a moment for that; what blocks is left alone."""
        self._left.set()
        self.frames.cancel()
        if self.source is not None:
            self.source.close()
        if self._thread is not threading.current_thread():
            self._thread.join(LEAVE_SECONDS)

    def _read(self, open_source: "Callable[[], Source]") -> None:
        try:
            source = open_source()
            self.source = source
            if self._left.is_set():
                source.close()
                return
            for frame in source:
                self.frames.put(frame)
            self.frames.fail(SourceError(f"lost {source.source_id}: it ended", Fault.LOST, "it ended"))
        except Cancelled:
            with suppress(SourceError):
                source.close()
        except BaseException as error:
            self.frames.fail(error)
