"""Events and counts of zones and lines, from what was recorded: `events.jsonl` and `zones.csv`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from app.annotation.formats.atomic import atomic_file
from app.annotation.jsonl_reader import FrameRecord, Header, InstancesFile
from app.events.record import json_of, record_of
from app.processors.watching import Watching
from app.sinks.area_table import AreaSink, AreaTable
from app.stream.areas import Area
from app.stream.controls import ControlPanel
from app.stream.frames import Frame, Picture, Result
from app.stream.lazy import Lazy
from app.zones_file import check_areas
from solov2 import Instances

EVENTS_NAME = "events.jsonl"
TABLE_NAME = "zones.csv"


def write_area_outputs(instances: Path, folder: Path, areas: Sequence[Area]) -> None:
    """Write `events.jsonl` and `zones.csv` into `folder` again; the model is not needed.

    Args:
        instances: an `instances.jsonl` with track ids.
        folder: of the outputs.
        areas: the zones and lines.

    Raises:
        SourceError: `instances` cannot be read.
        AreaError: a point lies outside of the pictures.
        SinkError: an output cannot be written.
    """
    recording = InstancesFile(instances)
    header = recording.header
    check_areas(areas, (header.height, header.width), header.source)
    watching = Watching(areas, header.classes, panel=ControlPanel())
    partial = folder / f"{TABLE_NAME}.partial"
    table = AreaSink(AreaTable(partial))
    number = 0
    with atomic_file(folder / EVENTS_NAME) as file:
        for result in map(watching, results(recording)):
            table.write(result)
            for event in result.events:
                number += 1
                file.write(f"{json_of(record_of(event, str(number), is_live=False))}\n")
        table.close()
    if partial.exists():
        partial.replace(folder / TABLE_NAME)


def results(recording: InstancesFile) -> Iterator[Result]:
    """Yield what was recorded of each frame as a result, whose picture nobody has."""
    for record in recording:
        ids = tuple(one.track_id or 0 for one in record.instances)
        yield Result(_frame(record, recording.header), _instances(record), track_ids=ids)


def _frame(record: FrameRecord, header: Header) -> Frame:
    return Frame(Lazy(_no_picture), record.pts, header.time_base, 0.0, header.source, record.frame)


def _instances(record: FrameRecord) -> Instances:
    crops = [one.crop() for one in record.instances]
    labels = [one.category_id - 1 for one in record.instances]
    return Instances.from_crops(
        crops, [one.score for one in record.instances], np.array(labels, np.int64), (record.height, record.width)
    )


def _no_picture() -> Picture:
    raise RuntimeError("the picture of a recorded frame was asked for")
