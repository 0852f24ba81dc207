"""What `app.webcam` does with results before they are shown: tracking, zones and lines, and events on their way."""

import argparse
from collections.abc import Mapping, Sequence

from app.events.delivery import Delivery
from app.lane_processors import LaneProcessors
from app.sinks.area_table import AreaSink, AreaTable
from app.stream.parts import Processor, Sink
from app.webcam_outputs import Feed


def make_processors(
    feed: Feed, options: argparse.Namespace, class_names: Sequence[str], deliveries: Mapping[str, Delivery]
) -> list[Processor]:
    """Return what works on the results of an open source; `deliveries` has one for each target of its events."""
    wanted = LaneProcessors(
        feed.plan.name,
        feed.source.is_live,
        feed.is_steady,
        options.all_names,
        feed.plan.areas,
        tuple(deliveries[target] for target in dict.fromkeys(feed.plan.events)),
        options.event_masks,
    )
    return wanted.make(feed.panel, class_names)


def add_area_sinks(sinks: Sequence[list[Sink]], options: argparse.Namespace, feeds: Sequence[Feed]) -> None:
    """Give each source that has zones or lines a sink that writes their counts, if these are wanted."""
    if options.zones_csv is None:
        return
    table = AreaTable(options.zones_csv)
    for own, feed in zip(sinks, feeds, strict=True):
        if feed.plan.areas:
            own.append(AreaSink(table, name=feed.plan.name, is_live=feed.source.is_live))
