"""Ids that last: which instance of this frame is which of the frames before it.

Masks are compared. `trackers` and supervision's ByteTrack compare boxes alone, and norfair asks for numpy 1, so the
lifecycle is written here, after ByteTrack (Zhang et al. 2022): the affinity is weighted with the score, and a lost
track is kept for a while. scipy solves the assignment.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.processors.affinity import buffered_ious, mask_ious
from app.processors.observation import FloatArray, Observation
from solov2.masks.mask_crop import MaskCrop

MIN_IOU = 0.1
MIN_SCORE = 0.01
KEEP_SECONDS = 1.0
KEEP_UPDATES = 2  # at least, where updates are seconds apart
EXTRAPOLATION_SECONDS = 0.25  # a lost instance is expected to go on moving for so long
VELOCITY_GAIN = 0.4
SCORE_GAIN = 0.2
CONFIRMED_AFTER = 5  # observations

Affinity = Callable[[Sequence[MaskCrop], Sequence[MaskCrop]], FloatArray]


@dataclass(slots=True, eq=False)
class Track:
    """One thing that is followed.

    Attributes:
        track_id: its id.
        last: how it looked when it was observed last.
        centroid: (row, column) of `last`, in cells.
        observed_at: presentation time of `last`, seconds.
        score: mean of its scores, the last ones counting most.
        velocity: (rows, columns) per second.
        observation_count: how often it was observed.
        updates_missed: frames since `last`.
    """

    track_id: int
    last: Observation
    centroid: FloatArray
    observed_at: float
    score: float
    velocity: FloatArray = field(default_factory=lambda: np.zeros(2))
    observation_count: int = 1
    updates_missed: int = 0

    def is_lost(self, seconds: float) -> bool:
        """Whether it was not observed for too long; a clock that goes back ends it, too."""
        return self.updates_missed > KEEP_UPDATES and not 0 <= seconds - self.observed_at <= KEEP_SECONDS

    @property
    def confidence(self) -> float:
        """How much its affinity counts, in (0, 1]: more for a track with high scores and many observations.

        The square root stops a brief duplicate from stealing an id, and leaves to a young track what fits it far
        better.
        """
        count = min(self.observation_count, CONFIRMED_AFTER)
        return math.sqrt(max(self.score, MIN_SCORE) * count / CONFIRMED_AFTER)

    def predict(self, seconds: float) -> MaskCrop:
        """Return the mask that is expected now: the last one, moved by the velocity."""
        elapsed = min(max(seconds - self.observed_at, 0.0), EXTRAPOLATION_SECONDS)
        rows, columns = np.rint(self.velocity * elapsed).astype(int).tolist()
        return self.last.moved(rows, columns).mask

    def update(self, observation: Observation, seconds: float) -> None:
        """Take over a new observation."""
        elapsed, centroid = seconds - self.observed_at, observation.centroid()
        if elapsed > 0:
            self.velocity += VELOCITY_GAIN * ((centroid - self.centroid) / elapsed - self.velocity)
        self.last, self.centroid, self.observed_at = observation, centroid, seconds
        self.score += SCORE_GAIN * (observation.score - self.score)
        self.observation_count += 1
        self.updates_missed = 0


class Tracker:
    """Gives instances ids, frame by frame; the ids depend on nothing but the calls of `update` so far."""

    def __init__(self) -> None:
        """Start without tracks."""
        self._tracks: list[Track] = []
        self._ids_given = 0

    def update(self, observations: Sequence[Observation], seconds: float) -> list[int]:
        """Return the id of each instance of the next frame.

        The affinity of an instance and a track is the IoU of their masks, after the track's mask was moved by its
        velocity. It is weighted with the instance's score and the track's confidence, so that a brief duplicate of an
        instance does not steal its id, and the assignment with the largest sum over all pairs is taken. Instances that
        are left are matched by enlarged boxes, because a thing that was lost for some frames, or that turned, may
        overlap no earlier mask. An instance without a track starts one.

        Args:
            observations: of one frame, in any order, of instances that may overlap.
            seconds: presentation time of the frame.

        Returns:
            Ids from 1 on, all different, never given to another instance later; 0 for an instance without a pixel.
        """
        self._tracks = [track for track in self._tracks if not track.is_lost(seconds)]
        for track in self._tracks:
            track.updates_missed += 1
        pairs = self._match(observations, seconds)
        return [
            self._assign(observation, pairs.get(number), seconds) if observation.mask.mask.size else 0
            for number, observation in enumerate(observations)
        ]

    def _match(self, observations: Sequence[Observation], seconds: float) -> dict[int, Track]:
        """Return the track of each observation that has one: first by masks, then the rest by enlarged boxes."""
        pairs: dict[int, Track] = {}
        for affinity, min_observations in ((mask_ious, 1), (buffered_ious, 2)):
            matched = {track.track_id for track in pairs.values()}
            numbers = [number for number in range(len(observations)) if number not in pairs]
            tracks = [
                track
                for track in self._tracks
                if track.track_id not in matched and track.observation_count >= min_observations
            ]
            weights = _weighted_affinity([observations[number] for number in numbers], tracks, affinity, seconds)
            for row, column in _assignment(weights):
                pairs[numbers[row]] = tracks[column]
        return pairs

    def _assign(self, observation: Observation, track: Track | None, seconds: float) -> int:
        if track is not None:
            track.update(observation, seconds)
            return track.track_id
        self._ids_given += 1
        self._tracks.append(Track(self._ids_given, observation, observation.centroid(), seconds, observation.score))
        return self._ids_given


def _weighted_affinity(
    observations: Sequence[Observation], tracks: Sequence[Track], affinity: Affinity, seconds: float
) -> FloatArray:
    """Return the weighted affinity of each pair: (observations, tracks), 0 where it is too small."""
    ious = affinity([one.mask for one in observations], [track.predict(seconds) for track in tracks])
    categories = np.array([one.category for one in observations]), np.array([track.last.category for track in tracks])
    ious[(categories[0][:, None] != categories[1]) | (ious < MIN_IOU)] = 0
    scores = np.array([max(one.score, MIN_SCORE) for one in observations])
    confidences = np.array([track.confidence for track in tracks])
    return np.asarray(ious * scores[:, None] * confidences)


def _assignment(weights: FloatArray) -> list[tuple[int, int]]:
    """Return the (row, column) pairs with the largest sum of weights, each row and column once, none of weight 0."""
    if not weights.any():
        return []
    from scipy.optimize import linear_sum_assignment  # its import takes 0.3 seconds, which only tracking is worth

    rows, columns = linear_sum_assignment(weights, maximize=True)
    return [(row, column) for row, column in zip(rows.tolist(), columns.tolist(), strict=True) if weights[row, column]]
