"""YouTube-VIS: one JSON file with a video and its tracks, each with one mask a frame or none. Exact."""

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from app.annotation.formats.atomic import atomic_file
from app.annotation.formats.coco import categories, to_json
from app.annotation.jsonl_reader import InstancesFile
from app.stream_errors import SinkError


@dataclass(slots=True)
class _Track:
    """Where a track's instances stand.

    Attributes:
        positions: which of the frames, 0, 1, 2, ..., it is in.
        offsets: of these frames' lines in the file.
    """

    category_id: int
    positions: "array[int]" = field(default_factory=lambda: array("q"))
    offsets: "array[int]" = field(default_factory=lambda: array("q"))


def write_youtube_vis(instances: Path, folder: Path) -> Path:
    """Write `youtube_vis.json` into `folder`.

    The first reading notes where each track's lines are, sixteen bytes for each instance; then track after track is
    read and written. An annotation's `segmentations`, `bboxes` and `areas` are as long as the video is, with null where
    the track is not seen; `score` is the mean.

    Args:
        instances: an `instances.jsonl` with track ids.
        folder: made if it is missing.

    Returns:
        What was written.

    Raises:
        SourceError: `instances` cannot be read.
        SinkError: the file cannot be written, there are no track ids, or the pictures differ in size.
    """
    recording = InstancesFile(instances)
    tracks, length = _find_tracks(recording)
    path = folder / "youtube_vis.json"
    with atomic_file(path) as file:
        file.write('{"info":' + to_json({"description": recording.header.source}))
        file.write(',"categories":' + to_json(categories(recording.header)))
        _write_video(file, recording, length)
        file.write(',\n"annotations":[')
        for number, (track_id, track) in enumerate(tracks.items()):
            file.write(",\n" if number else "\n")
            _write_track(file, recording, track_id, track, length)
        file.write("]}\n")
    return path


def _find_tracks(recording: InstancesFile) -> tuple[dict[int, _Track], int]:
    """Return the tracks by their ids, and the number of frames."""
    tracks: dict[int, _Track] = {}
    length = 0
    for position, (offset, frame) in enumerate(recording.offsets()):
        length += 1
        if (frame.width, frame.height) != (recording.header.width, recording.header.height):
            raise SinkError(f"youtube-vis is for videos, but {frame.picture} differs in size from the other pictures")
        for instance in frame.instances:
            if instance.track_id is None:
                raise SinkError(f"youtube-vis needs track ids, and {recording.path} has none: annotate with --track")
            track = tracks.setdefault(instance.track_id, _Track(instance.category_id))
            track.positions.append(position)
            track.offsets.append(offset)
    return tracks, length


def _write_video(file: TextIO, recording: InstancesFile, length: int) -> None:
    header = recording.header
    video = {"id": 1, "name": header.source, "width": header.width, "height": header.height, "length": length}
    file.write(',\n"videos":[\n' + to_json(video).removesuffix("}") + ',"file_names":[')
    for number, frame in enumerate(recording):
        file.write("," * (number > 0) + to_json(frame.picture))
    file.write("]}]")


def _write_track(file: TextIO, recording: InstancesFile, track_id: int, track: _Track, length: int) -> None:
    """Write a track's annotation; its masks go to the file one by one, and only boxes and areas are held."""
    size = {"width": recording.header.width, "height": recording.header.height, "length": length}
    first = {"id": track_id, "video_id": 1, "category_id": track.category_id, "iscrowd": 0, **size}
    file.write(to_json(first).removesuffix("}") + ',"segmentations":[')
    bboxes, areas = ["null"] * length, ["null"] * length
    scores, written = 0.0, 0
    for position, frame in zip(track.positions, recording.frames_at(track.offsets), strict=True):
        instance = next(instance for instance in frame.instances if instance.track_id == track_id)
        file.write("null," * (position - written) + to_json(instance.segmentation) + "," * (position + 1 < length))
        bboxes[position], areas[position] = to_json(instance.bbox), str(instance.area)
        scores, written = scores + instance.score, position + 1
    file.write(",".join(["null"] * (length - written)) + "],")
    file.write(f'"bboxes":[{",".join(bboxes)}],"areas":[{",".join(areas)}],')
    file.write(f'"score":{round(scores / len(track.positions), 4)}}}')
