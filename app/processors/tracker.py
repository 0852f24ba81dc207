"""Ids that last: which instance of this frame is which of the frames before it.

Masks are associated. `trackers` and supervision's ByteTrack compare boxes alone, and norfair asks for numpy 1, so the
lifecycle is written here, after ByteTrack (Zhang et al. 2022): likeness is weighed with the score, and what is lost is
kept for a while. scipy solves the assignment.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from app.stream.frames import ControlPanel, Frame, Result
from app.stream.pipeline import Segmenter
from solov2 import Instances

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

SCORE_DIGITS = 4
MAX_CELLS = 320  # along the picture's long side: masks are compared on a grid of this fineness
MIN_IOU = 0.1
BOX_BUFFER = 0.5  # of a box, on each of its sides, for what no mask overlaps
MIN_SCORE = 0.01
KEEP_SECONDS = 1.0
KEEP_UPDATES = 2  # at least, where updates are seconds apart
EXTRAPOLATION_SECONDS = 0.25  # a lost instance is expected to go on moving for so long
VELOCITY_GAIN = 0.4
SCORE_GAIN = 0.2
CONFIRMED_AFTER = 5  # observations


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What the tracker looks at in one instance.

    Attributes:
        category: instances of different categories never are the same.
        score: rounded to `SCORE_DIGITS`.
        corner: (top, left) of `cells` on the grid.
        cells: (rows, columns) bool, the mask at every n-th pixel of every n-th row; without any where it is empty.
    """

    category: int
    score: float
    corner: tuple[int, int]
    cells: BoolArray

    @classmethod
    def of_crop(
        cls, category: int, score: float, corner_px: tuple[int, int], mask: BoolArray, image_hw: Sequence[int]
    ) -> "Observation":
        """Thin out a mask inside its bounding box, whose (top, left) is `corner_px`; a tiny one keeps one cell."""
        step = max(1, -(-max(image_hw) // MAX_CELLS))
        top, left = corner_px
        cells = np.ascontiguousarray(mask[-top % step :: step, -left % step :: step])
        if mask.size and not cells.any():
            middle = (top + mask.shape[0] // 2) // step, (left + mask.shape[1] // 2) // step
            return cls(category, round(score, SCORE_DIGITS), middle, np.ones((1, 1), np.bool_))
        return cls(category, round(score, SCORE_DIGITS), (-(-top // step), -(-left // step)), cells)

    @property
    def centre(self) -> FloatArray:
        """(row, column) of the mask's centroid on the grid."""
        rows, columns = np.nonzero(self.cells)
        return np.add(self.corner, (rows.mean(), columns.mean()))


def observations(instances: Instances) -> list[Observation]:
    """Return what the tracker needs of each of `instances`, in their order."""
    parts = zip(instances.labels.tolist(), instances.scores.tolist(), instances.crops, strict=True)
    image_hw = instances.image_hw
    return [
        Observation.of_crop(label, score, (crop.top, crop.left), crop.mask, image_hw) for label, score, crop in parts
    ]


@dataclass(slots=True, eq=False)
class Track:
    """One thing that is followed: how it looked last, when, how sure that was, where it moves, in cells per second."""

    track_id: int
    last: Observation
    centre: FloatArray
    seen_at: float
    score: float
    velocity: FloatArray = field(default_factory=lambda: np.zeros(2))
    times_seen: int = 1
    updates_missed: int = 0

    def is_lost(self, seconds: float) -> bool:
        """Whether it was not seen for so long that it is given up; a clock that went back ends it, too."""
        return self.updates_missed > KEEP_UPDATES and not 0 <= seconds - self.seen_at <= KEEP_SECONDS

    @property
    def confidence(self) -> float:
        """How much it counts, in (0, 1]: more if it was seen often, and surely.

        The root keeps a passing double from taking an id, and leaves to a young track what fits it far better.
        """
        return math.sqrt(max(self.score, MIN_SCORE) * min(self.times_seen, CONFIRMED_AFTER) / CONFIRMED_AFTER)

    def expected(self, seconds: float) -> Observation:
        """How it should look now: as it did last, moved on."""
        elapsed = min(max(seconds - self.seen_at, 0.0), EXTRAPOLATION_SECONDS)
        rows, columns = np.rint(self.velocity * elapsed).astype(int).tolist()
        top, left = self.last.corner
        return replace(self.last, corner=(top + rows, left + columns))

    def see(self, observation: Observation, seconds: float) -> None:
        """Take in what it looks like now."""
        elapsed, centre = seconds - self.seen_at, observation.centre
        if elapsed > 0:
            self.velocity += VELOCITY_GAIN * ((centre - self.centre) / elapsed - self.velocity)
        self.last, self.centre, self.seen_at = observation, centre, seconds
        self.score += SCORE_GAIN * (observation.score - self.score)
        self.times_seen += 1
        self.updates_missed = 0


Affinity = Callable[[Observation, Observation], float]


class Tracker:
    """Gives instances ids, frame by frame; what it says depends on nothing but the calls of `update` so far."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._tracks: list[Track] = []
        self._ids_given = 0

    def update(self, observations: Sequence[Observation], seconds: float) -> list[int]:
        """Return the id of each instance of the next frame.

        How alike an instance and a track are says the IoU of their masks, the track's moved on by its velocity. It
        counts for more the surer the instance is and the better known the track, so that a passing double of an
        instance does not take its id; the sum over all pairs is made as large as can be. What is left is matched by
        boxes with room around them, as a thing that was not seen for some frames, or that turned, may overlap no mask
        of before. What finds no track starts one.

        Args:
            observations: of one frame, in any order, of instances that may overlap.
            seconds: presentation time of the frame.

        Returns:
            Ids from 1 on, no two alike, never given to another instance later; 0 for an instance without a pixel.
        """
        self._tracks = [track for track in self._tracks if not track.is_lost(seconds)]
        for track in self._tracks:
            track.updates_missed += 1
        pairs = self._match(observations, seconds)
        return [
            self._see(observation, pairs.get(number), seconds) if observation.cells.size else 0
            for number, observation in enumerate(observations)
        ]

    def _match(self, observations: Sequence[Observation], seconds: float) -> dict[int, Track]:
        """Find the tracks of the observations: by their masks, then the rest by enlarged boxes."""
        pairs: dict[int, Track] = {}
        for likeness, least_seen in ((mask_iou, 1), (buffered_iou, 2)):
            rows = [number for number in range(len(observations)) if number not in pairs]
            columns = [
                track for track in self._tracks if track not in pairs.values() and track.times_seen >= least_seen
            ]
            weights = _weigh([observations[row] for row in rows], columns, likeness, seconds)
            for row, column in zip(*linear_sum_assignment(weights, maximize=True), strict=True):
                if weights[row, column]:
                    pairs[rows[row]] = columns[column]
        return pairs

    def _see(self, observation: Observation, track: Track | None, seconds: float) -> int:
        if track is not None:
            track.see(observation, seconds)
            return track.track_id
        self._ids_given += 1
        self._tracks.append(Track(self._ids_given, observation, observation.centre, seconds, observation.score))
        return self._ids_given


def _weigh(
    observations: Sequence[Observation], tracks: Sequence[Track], likeness: Affinity, seconds: float
) -> FloatArray:
    """Return the weighted affinity of each pair: (observations, tracks), 0 where they do not overlap."""
    weights = np.zeros((len(observations), len(tracks)))
    for column, track in enumerate(tracks):
        expected = track.expected(seconds)
        for row, observation in enumerate(observations):
            iou = likeness(observation, expected) if observation.category == expected.category else 0.0
            weights[row, column] = iou * max(observation.score, MIN_SCORE) * track.confidence if iou >= MIN_IOU else 0.0
    return weights


def buffered_iou(one: Observation, other: Observation) -> float:
    """Intersection over union of two bounding boxes that are each enlarged by half of their size on every side.

    Source: Yang et al. 2023, "Hard to track objects with irregular motions and similar appearances? Make it easier by
    buffering the matching space".
    """
    shapes = [np.array(observation.cells.shape) for observation in (one, other)]
    if not all(shape.all() for shape in shapes):
        return 0.0
    starts = [np.array(s.corner) - BOX_BUFFER * shape for s, shape in zip((one, other), shapes, strict=True)]
    sizes = [(1 + 2 * BOX_BUFFER) * shape for shape in shapes]
    ends = [start + size for start, size in zip(starts, sizes, strict=True)]
    both = float(np.clip(np.minimum(*ends) - np.maximum(*starts), 0, None).prod())
    return both / (float(sizes[0].prod() + sizes[1].prod()) - both)


def mask_iou(one: Observation, other: Observation) -> float:
    """Intersection over union of two masks, looked at only where their boxes overlap."""
    tops, lefts = zip(one.corner, other.corner, strict=True)
    bottoms, rights = ([s.corner[axis] + s.cells.shape[axis] for s in (one, other)] for axis in (0, 1))
    top, left, bottom, right = max(tops), max(lefts), min(bottoms), min(rights)
    if top >= bottom or left >= right:
        return 0.0
    parts = [
        s.cells[top - s.corner[0] : bottom - s.corner[0], left - s.corner[1] : right - s.corner[1]]
        for s in (one, other)
    ]
    both = np.count_nonzero(parts[0] & parts[1])
    return both / (np.count_nonzero(one.cells) + np.count_nonzero(other.cells) - both)


def tracked(segmenter: Segmenter, tracker: Tracker, panel: ControlPanel) -> Segmenter:
    """Wrap `segmenter` so that its results carry track ids while the panel's controls say so."""

    def segment(frames: Iterable[Frame]) -> Iterator[Result]:
        for result in segmenter(frames):
            yield with_track_ids(result, tracker) if panel.current.track else result

    return segment


def with_track_ids(result: Result, tracker: Tracker) -> Result:
    """Return `result` with the id of each of its instances."""
    started = time.perf_counter()
    ids = tracker.update(observations(result.instances), result.frame.pts_seconds)
    steps_ms = {**result.steps_ms, "track": 1000 * (time.perf_counter() - started)}
    return replace(result, track_ids=tuple(ids), steps_ms=steps_ms)
