"""What sources that give another source's frames in another way have in common."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.stream.parts import Source


class WrappedSource:
    """Says of itself what another source says, and closes it."""

    def __init__(self, source: "Source") -> None:
        """Take over `source`."""
        self.source_id = source.source_id
        self.is_live = source.is_live
        self.frame_rate = source.frame_rate
        self.frame_count = source.frame_count
        self.frame_hw = source.frame_hw
        self.time_base = source.time_base
        self._source = source

    def close(self) -> None:
        """Close the source."""
        self._source.close()
