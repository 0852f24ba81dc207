"""A file over and over, on one clock that goes on."""

from itertools import chain, repeat

from app.sources.playlist import Open, PlaylistSource


class RepeatedSource(PlaylistSource):
    """Opens a source again whenever it ends; the timestamps of each round follow those of the round before."""

    def __init__(self, open_source: Open) -> None:
        """Open the first round.

        Raises:
            SourceError: it cannot be opened.
        """
        first = open_source()
        super().__init__(first.source_id, chain([lambda: first], repeat(open_source)))
