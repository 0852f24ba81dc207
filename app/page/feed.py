"""One source of a run on the page: opened, with everything that belongs to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.drawing.renderer import Renderer
from app.drawing.waiting import WaitingCard
from app.events.delivery import Delivery
from app.lane_processors import LaneProcessors
from app.page.choice import SourceChoice
from app.page.view import View
from app.processors.steadying import SCORE_SLACK
from app.sinks.jpeg_sink import JpegSink
from app.sinks.live_recording import RecordingSink
from app.sources.browser import BrowserSource
from app.sources.failed import FailedSource
from app.sources.paced import PacedSource
from app.sources.reconnecting import Connection, ReconnectingSource
from app.sources.watched import WatchedSource
from app.stream.areas import Area
from app.stream.frames import Picture, Result
from app.stream.lane import FRAMES_WAITING_WATCHED, Lane
from app.stream.parts import Sink, Source
from app.stream.reporter import Reporter
from app.stream.stats import StreamStats
from app.stream_errors import Fault, SourceError
from app.zones_file import AreaError, check_areas

MAX_RECORDED_BYTES = 2 << 30
TILE_WIDTH_PX = 640


@dataclass(frozen=True, eq=False)
class Feed:
    """A source while it is streamed.

    Attributes:
        name: to show, without any password.
        view: its controls, and where its pictures are posted.
        source: what is read; tells its status.
        cover: what viewers see while a live source gives nothing; None of a file.
        camera: the source that a browser's pictures are pushed into; None of any other.
        shown: its JPEGs in full size, and its latest result.
        recording: its video file, started and stopped while it runs.
        stats: its counters.
        is_steady: whether its masks are kept from flickering.
        areas: zones and lines to watch.
    """

    name: str
    view: View
    source: ReconnectingSource | WatchedSource | FailedSource
    cover: WaitingCard | None
    camera: BrowserSource | None
    shown: JpegSink
    recording: RecordingSink
    stats: StreamStats
    is_steady: bool
    areas: tuple[Area, ...] = ()

    @property
    def reporter(self) -> Reporter:
        """Joins what is known about it."""
        return Reporter(self.name, self.stats, self.source)

    def lane(self, class_names: Sequence[str], has_tile: bool, deliveries: tuple[Delivery, ...] = ()) -> Lane:
        """Return its lane of the stream.

        Args:
            class_names: of the model.
            has_tile: whether small pictures are made, too, for those who look at several sources.
            deliveries: where its events go.
        """
        renderer, panel = Renderer(class_names), self.view.panel

        def draw(result: Result) -> Picture:
            return renderer.draw(result, panel.current, self.reporter.snapshot())

        processors = LaneProcessors(
            self.name, self.source.is_live, self.is_steady, areas=self.areas, deliveries=deliveries
        )
        sinks: list[Sink] = [self.shown, self.recording]
        if has_tile:
            sinks.append(JpegSink(self.view.tile, panel, self.cover, TILE_WIDTH_PX))
        return Lane(
            self.source,
            sinks,
            processors.make(panel, class_names),
            draw=draw,
            panel=panel,
            stats=self.stats,
            score_slack=SCORE_SLACK if self.is_steady else 0.0,
            frames_waiting=FRAMES_WAITING_WATCHED,
        )


def open_feed(choice: SourceChoice, view: View, *, is_one_of_many: bool = False) -> Feed:
    """Open a source, and make what belongs to it.

    A live source is opened again whenever it fails, and so is a camera that another program holds; a file plays at its
    own speed. One of many that cannot be opened is a `FailedSource`, so that the others go on.

    Raises:
        SourceError: the only source cannot be opened.
        AreaError: a zone or line lies outside of its picture.
    """
    opened = _open(choice, is_one_of_many)
    source: ReconnectingSource | WatchedSource | FailedSource
    cover = None
    if isinstance(opened, ReconnectingSource | FailedSource):
        source, cover = opened, WaitingCard(choice.name, opened)
    else:
        source = WatchedSource(opened if opened.is_live else PacedSource(opened))
        try:
            check_areas(choice.areas, source.frame_hw, choice.name)
        except AreaError:
            source.close()
            raise
    return Feed(
        choice.name,
        view,
        source,
        cover,
        opened if isinstance(opened, BrowserSource) else None,
        JpegSink(view.picture, view.panel, cover),
        RecordingSink(source.frame_rate, MAX_RECORDED_BYTES),
        StreamStats(),
        is_steady=source.is_live and choice.is_steady,
        areas=choice.areas,
    )


def _open(choice: SourceChoice, is_one_of_many: bool) -> Source:
    try:
        opened = choice.open_source()
    except SourceError as error:
        if error.fault is Fault.BUSY:
            return ReconnectingSource(choice.name, choice.open_source)
        if is_one_of_many:
            return FailedSource(choice.name, error)
        raise
    if isinstance(opened, Connection):
        return ReconnectingSource(choice.name, choice.open_source, first=opened)
    return opened
