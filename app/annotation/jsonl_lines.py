"""What is written about a frame: a line of `instances.jsonl` from a result, and instances back from a line.

The first line of the file is a header; README of the format: docs/annotating.md.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.processors.observation import SCORE_DIGITS
from app.stream.frames import Result
from solov2 import Instances
from solov2.pixels import Size

SECONDS_DIGITS = 6

Line = dict[str, Any]


def as_recorded(result: Result) -> Result:
    """Return `result` as a line will hold it: scores rounded, masks of one bit a pixel, none of them empty.

    What is drawn, tracked and written is this, so that it is the same whether it comes from the model or from the file.
    """
    found = result.instances
    kept = [number for number, crop in enumerate(found.crops) if crop.mask.size]
    scores = [round(float(found.scores[number]), SCORE_DIGITS) for number in kept]
    recorded = Instances.from_crops([found.crops[i] for i in kept], scores, found.labels[kept], found.image_hw)
    track_ids = None if result.track_ids is None else tuple(result.track_ids[number] for number in kept)
    return replace(result, instances=recorded, track_ids=track_ids)


def line_of(result: Result, class_names: Sequence[str]) -> Line:
    """Return the line of a result whose instances are `as_recorded`, without what the header already says.

    A `bbox` is x, y, width, height in pixels, exact from the mask; `category_id` is the label + 1.
    """
    instances = result.instances
    records = []
    track_ids = [None] * len(instances) if result.track_ids is None else result.track_ids
    parts = zip(instances.labels.tolist(), instances.scores.tolist(), instances.crops, instances.areas, strict=True)
    for (label, score, crop, area), track_id, code in zip(parts, track_ids, instances.rle(), strict=True):
        height, width = crop.mask.shape
        record = {
            "category_id": label + 1,
            "category": class_names[label],
            "score": round(score, SCORE_DIGITS),
            "bbox": [crop.left, crop.top, width, height],
            "area": int(area),
        }
        if track_id is not None:
            record["track_id"] = track_id
        records.append({**record, "segmentation": code})
    frame = result.frame
    seconds = round(frame.pts_seconds, SECONDS_DIGITS)
    return {"frame": frame.index, "pts": frame.pts, "seconds": seconds, "instances": records}


def encode_line(line: Line) -> bytes:
    """Return a line, or the header, as it stands in the file."""
    return (json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n").encode()


def read_instances(records: Iterable[Mapping[str, Any]], image_hw: Size) -> Instances:
    """Return the instances of a line; `as_recorded` made those that it was written from, and these are equal."""
    records = list(records)
    codes = [record["segmentation"] for record in records]
    labels = [record["category_id"] - 1 for record in records]
    return Instances.from_rle(codes, [record["score"] for record in records], labels, image_hw)
