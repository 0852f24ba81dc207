"""Where the events of a run go, opened and closed with it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
    opened = {spec: open_target(spec) for spec in targets}
    deliveries = {spec: Delivery(target, waits=not is_live) for spec, target in opened.items()}
    try:
        yield deliveries
    finally:
        for delivery in deliveries.values():
            delivery.close()
        for delivery in deliveries.values():
            print(f"events to {delivery.name}: {delivery.sent} sent, {delivery.lost} lost")
