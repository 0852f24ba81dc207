"""What `app.webcam` does with results before they are shown: tracking, zones and lines, and events on their way."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from app.events.delivery import Delivery
from app.events.event_targets import open_target
from app.events.publishing import Publishing
from app.processors.mask_hold import MaskHold
from app.processors.one_name import OneName
from app.processors.steadying import Steadying
from app.processors.tracking import Tracking
from app.processors.watching import Watching
from app.sinks.area_table import AreaSink, AreaTable
from app.stream.parts import Processor, Sink
from app.webcam_outputs import Feed


def make_processors(
    feed: Feed, options: argparse.Namespace, class_names: Sequence[str], deliveries: Mapping[str, Delivery]
) -> list[Processor]:
    """Return what works on the results of an open source: steadying, tracking, and what needs it."""
    areas, panel = feed.plan.areas, feed.panel
    own = [deliveries[target] for target in dict.fromkeys(feed.plan.events)]
    first: list[Processor] = [MaskHold()]
    if not options.all_names:
        first.append(OneName())
    if feed.is_steady:
        first.append(Steadying(panel))
    if not areas and not own:
        return [*first, Tracking(panel)]
    return [
        *first,
        Tracking(panel, always=True),
        Watching(areas, class_names, panel=panel, gives_masks=options.event_masks),
        Publishing(own, name=feed.plan.name, is_live=feed.source.is_live),
    ]


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


def add_area_sinks(sinks: Sequence[list[Sink]], options: argparse.Namespace, feeds: Sequence[Feed]) -> None:
    """Give each source that has zones or lines a sink that writes their counts, if these are wanted."""
    if options.zones_csv is None:
        return
    table = AreaTable(options.zones_csv)
    for own, feed in zip(sinks, feeds, strict=True):
        if feed.plan.areas:
            own.append(AreaSink(table, name=feed.plan.name, is_live=feed.source.is_live))
