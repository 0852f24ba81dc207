"""What the tabs and the routes of one page share."""

import itertools
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import HTTPConnection

from app.page.access import Access
from app.page.choice import Choice, SourceChoice
from app.page.jobs import Jobs
from app.page.senders import RequestSlots
from app.page.stream_runner import Engine

BLOCKS_ATTRIBUTE = "solov2_site"


@dataclass(eq=False)
class Site:
    """One page while it is served.

    Attributes:
        engine: the stream that all visitors share.
        access: what they may reach.
        most_upload_bytes: the size of the largest file that is taken.
        folder: where recordings and results lie; it is removed with the page.
        own: the sources that the operator named; none where visitors choose alone.
        recordings: the file of the last one of each source, by its number.
        jobs: the videos of visitors.
        pictures: who may have one segmented at the moment; each holds up to 64 MB and what is decoded from it.
        is_closed: whether another page has taken this one's place.
    """

    engine: Engine
    access: Access
    most_upload_bytes: int
    folder: Path
    own: tuple[SourceChoice, ...] = ()
    recordings: dict[int, Path] = field(default_factory=dict)
    is_closed: bool = False
    jobs: Jobs = field(init=False)
    pictures: RequestSlots = field(default_factory=lambda: RequestSlots(total=2, each=1, max_waiting=30))
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        """Keep the jobs' files in the page's folder."""
        self.jobs = Jobs(self.folder / "videos")

    def start_own(self, model: str = "", device: str = "auto") -> None:
        """Stream the operator's sources, if there are any; with the first model by default."""
        if self.own:
            self.engine.start(Choice(self.own, model or self.engine.models.names[0], device))

    def start_recording(self, source: int = 0) -> None:
        """Record a source, unless it is being recorded already; its recording before is removed.

        Raises:
            SinkError: nothing is streamed.
        """
        path = self.folder / f"solov2-{time.strftime('%Y%m%d-%H%M%S')}-{next(self._numbers)}.mp4"
        if not self.engine.start_recording(path, source):
            return
        previous = self.recordings.get(source)
        self.recordings[source] = path
        if previous is not None:
            previous.unlink(missing_ok=True)

    def close(self) -> None:
        """End the stream, let go of the models, and remove every file."""
        self.is_closed = True
        self.jobs.close()
        self.engine.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def site_of(connection: HTTPConnection) -> Site:
    """Return the site that the server shows at this moment; a reload puts another in its place."""
    site: Site = getattr(connection.app.get_blocks(), BLOCKS_ATTRIBUTE)
    return site


def is_logged_in(connection: HTTPConnection) -> bool:
    """Whether a request comes from somebody who has logged in, where that is asked for."""
    app = connection.app
    if app.auth is None:
        return True
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return any(connection.cookies.get(name) in app.tokens for name in names)
