"""Where the events of a run go, opened and closed with it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from app.events.delivery import Delivery
from app.events.event_targets import open_target


@contextmanager
def open_deliveries(targets: Sequence[str], is_live: bool) -> Iterator[dict[str, Delivery]]:
    """Open where events go, each target once, within the block, and say at its end what was sent and what was lost.

    Files wait for room; live sources lose the oldest events.

    Raises:
        SinkError: there is no such target.
        MissingExtraError: its library is not installed.
    """
    deliveries: dict[str, Delivery] = {}
    with ExitStack() as opened:  # a target that cannot be opened leaves none of the others open
        for spec in dict.fromkeys(targets):
            deliveries[spec] = Delivery(open_target(spec), waits=not is_live)
            opened.callback(deliveries[spec].close)
        try:
            yield deliveries
        finally:
            opened.close()
            for delivery in deliveries.values():
                print(f"events to {delivery.name}: {delivery.sent} sent, {delivery.lost} lost")
