"""How often an id is lost when fewer frames are looked at: recorded masks, tracked again at every stride.

    python -m app.annotate bedroom.mp4 juggle.mp4 woman_dog.mp4 --out runs/tracked --track
    python -m benchmarks.tracking runs/tracked/*/instances.jsonl --strides 1 2 3 4

The ids of the recording, of every frame, are taken for the truth: look through its annotated video first. A switch is
an instance whose id differs from that of the one with the same true id before it, at most a second earlier.

With `nano`, by eye: the girl of `bedroom.mp4`, the juggler and the woman have one id from end to end, and each of the
six people of `one_by_one_person.mp4` (annotated with `--stride 2`) has one of their own. The boy of `bedroom.mp4` is in
one mask with the girl for four seconds and gets a new id after that, as does the dog of `woman_dog.mp4` (taken for a
cat) when it comes back into the picture. Mean over the frames to begin with:

                          frames   ids   switches at stride      1     2     3     4
    bedroom                  200     5                         0.0   1.5   1.3   0.5
    juggle                   247     1                         0.0   0.0   0.0   0.0
    one_by_one_person        697    12                         0.0   0.0   1.3   1.8
    woman_dog                289    10                         0.0   0.0   0.3   0.8

Without the second round of `Tracker`, by boxes with room around them, they were 0.0, 3.0, 10.7, 9.2 in
`one_by_one_person` and 0.0, 0.5, 1.3, 1.2 in `woman_dog`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from app.annotation.jsonl_lines import read_instances
from app.processors.observation import Observation, observations
from app.processors.tracker import KEEP_SECONDS, Tracker


@dataclass(frozen=True, slots=True)
class Moment:
    """What was recorded of one frame: its time, its instances and their ids."""

    seconds: float
    seen: list[Observation]
    ids: list[int]


def read(path: Path) -> list[Moment]:
    """Return the frames of an `instances.jsonl` with track ids."""
    with path.open(encoding="utf-8") as file:
        header, *lines = map(json.loads, file)
    size, time_base = (header["height"], header["width"]), Fraction(header["time_base"])
    return [
        Moment(
            float(line["pts"] * time_base),
            observations(read_instances(line["instances"], size)),
            [record["track_id"] for record in line["instances"]],
        )
        for line in lines
    ]


def switches(moments: Sequence[Moment]) -> int:
    """Track anew, and count how often a true id gets another id than a moment ago."""
    tracker, count = Tracker(), 0
    last: dict[int, tuple[int, float]] = {}
    for moment in moments:
        for true_id, given in zip(moment.ids, tracker.update(moment.seen, moment.seconds), strict=True):
            before, seconds = last.get(true_id, (given, moment.seconds))
            count += before != given and moment.seconds - seconds <= KEEP_SECONDS
            last[true_id] = given, moment.seconds
    return count


def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each recording."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("recordings", nargs="+", type=Path, metavar="instances.jsonl")
    parser.add_argument("--strides", nargs="+", type=int, default=[1, 2, 3, 4], metavar="N")
    options = parser.parse_args(argv)
    print(f"{'':20}{'frames':>8}{'ids':>6}   switches at stride " + "".join(f"{n:>6}" for n in options.strides))
    for path in options.recordings:
        moments = read(path)
        ids = len({true_id for moment in moments for true_id in moment.ids})
        means = [sum(switches(moments[start::n]) for start in range(n)) / n for n in options.strides]
        print(f"{path.parent.name:20}{len(moments):8}{ids:6}{'':22}" + "".join(f"{mean:6.1f}" for mean in means))
    return 0


if __name__ == "__main__":
    sys.exit(main())
