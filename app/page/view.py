"""What visitors see of a source, and the controls that they change."""

from dataclasses import dataclass, field

from app.sinks.jpeg_sink import LatestJpeg
from app.stream.controls import ControlPanel
from app.stream.effect import Effect


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

    def set_effects(self, effects: tuple[Effect, ...]) -> None:
        """Change the effects, and forget pictures that were drawn with others: nobody sees them any more."""
        self.panel.update(effects=effects)
        for board in (self.picture, self.tile):
            board.newest = None
