"""One instance that is kept from flickering, and which instance of the next frame is the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from solov2.pixels import multiply

FloatArray = npt.NDArray[np.float32]

MIN_IOU = 0.3
OTHER_LABEL = 0.5  # what the IoU counts between instances of different labels
SAMPLE = 2  # overlap is measured at every second cell of every second row
SCORE_GAIN = 0.4  # how much a new score counts
RANK_SLACK = 0.1  # two masks that overlap change places only where their scores differ clearly
VOTE_DECAY = 0.7  # of the votes for a label, per frame


@dataclass(slots=True, eq=False)
class SteadyTrack:
    """An instance over several frames.

    Attributes:
        number: of the track, for its colour.
        probs: (h, w) smoothed probabilities.
        score: smoothed.
        seen_at: presentation time at which it was found last, seconds.
        is_shown: whether it was shown in the last frame.
        rank: what the order goes by: the score as it was when it last differed by `RANK_SLACK` from the rank.
        votes: for each label, the scores with which it was found, the last ones counting most.
    """

    number: int
    probs: FloatArray
    score: float
    seen_at: float
    is_shown: bool = False
    rank: float = 0.0
    votes: dict[int, float] = field(default_factory=dict)

    @property
    def label(self) -> int:
        """The label with the most votes."""
        return max(self.votes, key=lambda label: self.votes[label])

    def settle_rank(self) -> float:
        """Let the rank follow the score where they differ clearly, and return it."""
        if abs(self.score - self.rank) > RANK_SLACK:
            self.rank = self.score
        return self.rank

    def vote(self, label: int, score: float) -> None:
        """Take over the label of a new frame."""
        self.votes = {known: VOTE_DECAY * votes for known, votes in self.votes.items() if votes > 0.01}
        self.votes[label] = self.votes.get(label, 0.0) + score

    def update(self, probs: FloatArray, trust: FloatArray, score: float, seconds: float) -> None:
        """Take over what was found in a new frame.

        Args:
            probs: (h, w), new.
            trust: (h, w) in [0, 1]: how much the earlier probabilities count, which were carried to the new frame.
            score: new.
            seconds: presentation time.
        """
        self.probs = probs + trust * (self.probs - probs)
        self.score += SCORE_GAIN * (score - self.score)
        self.seen_at = seconds


def match(
    probs: FloatArray, labels: Sequence[int], tracks: Sequence[SteadyTrack], threshold: float
) -> dict[int, SteadyTrack]:
    """Return the track of each new instance that has one: the pairs with the largest overlap first.

    Args:
        probs: (N, h, w) of the new instances.
        labels: N of them.
        tracks: whose probabilities were carried to the new frame.
        threshold: of the probabilities.
    """
    if not len(probs) or not tracks:
        return {}
    new = _sampled(probs, threshold)
    old = _sampled(np.stack([track.probs[::SAMPLE, ::SAMPLE] for track in tracks]), threshold, 1)
    shared = multiply(new, old, transpose_right=True)  # (N, M)
    affinity = shared / np.maximum(new.sum(1)[:, None] + old.sum(1) - shared, 1)
    is_other = np.array(labels)[:, None] != np.array([track.label for track in tracks])
    affinity[is_other] *= OTHER_LABEL
    pairs: dict[int, SteadyTrack] = {}
    taken: set[int] = set()
    for place in np.argsort(-affinity, axis=None).tolist():
        row, column = divmod(place, len(tracks))
        if affinity[row, column] < MIN_IOU:
            break
        if row not in pairs and column not in taken:
            pairs[row] = tracks[column]
            taken.add(column)
    return pairs


def _sampled(probs: FloatArray, threshold: float, step: int = SAMPLE) -> FloatArray:
    """Return (N, cells) of 0 and 1: the masks at every `step`-th cell of every `step`-th row."""
    return np.asarray((probs[:, ::step, ::step] > threshold).reshape(len(probs), -1), np.float32)
