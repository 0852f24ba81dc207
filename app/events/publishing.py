"""Hands the events of results to their targets, as the last processor: so that none is lost with a dropped picture."""

import uuid
from collections.abc import Sequence
from itertools import count

from app.events.delivery import Delivery
from app.events.record import record_of
from app.stream.frames import Result


class Publishing:
    """A processor that changes nothing. Several sources may share the deliveries."""

    def __init__(self, deliveries: Sequence[Delivery], *, name: str, is_live: bool) -> None:
        """Keep the parts.

        Args:
            deliveries: get every event.
            name: of the source.
            is_live: of the source; events then hold the time of day.
        """
        self._deliveries, self._name, self._is_live = deliveries, name, is_live
        self._run, self._numbers = uuid.uuid4().hex[:12], count(1)

    def __call__(self, result: Result) -> Result:
        """Hand over the events of `result`, and return it."""
        for event in result.events:
            identity = f"{self._run}-{next(self._numbers)}"
            record = record_of(event, identity, is_live=self._is_live, source=self._name)
            for delivery in self._deliveries:
                delivery.put(record)
        return result
