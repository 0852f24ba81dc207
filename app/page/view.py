"""What visitors see of a source, and the controls that they change."""

from dataclasses import dataclass, field

from app.sinks.jpeg_sink import LatestJpeg
from app.stream.controls import ControlPanel


@dataclass(frozen=True, eq=False)
class View:
    """The controls and the latest pictures of one source; they outlive the runs of the stream.

    Attributes:
        panel: the controls, written by the page's widgets.
        picture: the latest picture in full size.
        tile: the latest picture in the size of a tile, for those who look at several sources.
    """

    panel: ControlPanel
    picture: LatestJpeg = field(default_factory=LatestJpeg)
    tile: LatestJpeg = field(default_factory=LatestJpeg)
