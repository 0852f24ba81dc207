"""Masks, labels and colours that do not flicker where nothing moves, as a processor of live results."""

import time
from dataclasses import replace

import numpy as np
import torch

from app.processors.mask_repair import repaired
from app.processors.motion import FloatArray, Motion, MotionFinder
from app.processors.steady_track import SteadyTrack, match
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Result
from solov2 import Instances
from solov2.decoding.geometry import Geometry
from solov2.masks.prob_masks import ProbMasks

TRUST = 0.8  # how much the earlier probabilities count where the picture is what it was
SCORE_SLACK = 0.1  # what is shown stays until its score is so far below the threshold
HOLD_SECONDS = 0.3  # what is not found stays so long where the picture stands still
HOLD_STILLNESS = 0.6  # mean over its mask


class Steadying:
    """Smooths the stride-4 probabilities of each instance over time, without any delay.

    The earlier probabilities are carried along with the motion of the picture, and count where the picture is what it
    was; where it has changed, or something was uncovered, the new ones alone count. So what moves is shown where it
    is. An instance that is shown stays while its score is a little below the threshold, and for a moment when it is
    not found although the picture stands still; its label changes when another one has been found for a while. Small
    holes are closed, and small parts that lie apart are left out. Masks of another form than `ProbMasks` pass as they
    are.

    The lane must let scores pass that are lower than the threshold by `SCORE_SLACK`; see `Lane.score_slack`.
    """

    def __init__(self, panel: ControlPanel) -> None:
        """Follow the threshold and the classes of `panel`."""
        self._panel = panel
        self._controls = panel.current
        self._geometry: Geometry | None = None
        self._motion = MotionFinder()
        self._tracks: list[SteadyTrack] = []
        self._count = 0
        self._seconds = 0.0

    def __call__(self, result: Result) -> Result:
        """Return `result` with steady instances, best first, numbers for their colours, and the time it took."""
        started = time.perf_counter()
        controls, form = self._panel.current, result.instances.form
        if not isinstance(form, ProbMasks):
            keep = result.instances.scores >= controls.score_threshold
            return replace(result, instances=result.instances.select(keep))
        self._forget_if_changed(form.geometry, controls, result.frame.pts_seconds)
        motion = self._motion.find(result.frame.image, form.geometry)
        self._carry(motion)
        self._update(result.instances, form, motion)
        shown = self._show(controls.score_threshold, motion, form.threshold)
        instances = self._instances(shown, form)
        steps_ms = {**result.steps_ms, "steady": 1000 * (time.perf_counter() - started)}
        return replace(result, instances=instances, shades=tuple(one.number for one in shown), steps_ms=steps_ms)

    def _forget_if_changed(self, geometry: Geometry, controls: Controls, seconds: float) -> None:
        if geometry != self._geometry or controls.classes != self._controls.classes or seconds < self._seconds:
            self._tracks = []
        self._geometry, self._controls, self._seconds = geometry, controls, seconds

    def _carry(self, motion: Motion | None) -> None:
        if motion is None:
            self._tracks = []
        else:
            for track in self._tracks:
                track.probs = motion.carry(track.probs)

    def _update(self, instances: Instances, form: ProbMasks, motion: Motion | None) -> None:
        """Let each track take over its new instance, and begin tracks for those that have none."""
        probs, labels, scores = form.on_host, instances.labels.tolist(), instances.scores.tolist()
        pairs = match(probs, labels, self._tracks, form.threshold)
        trust = None if motion is None else TRUST * motion.stillness
        for number, (label, score) in enumerate(zip(labels, scores, strict=True)):
            track = pairs.get(number)
            if track is None or trust is None:
                self._count += 1
                track = SteadyTrack(self._count, probs[number], score, self._seconds)
                self._tracks.append(track)
            else:
                track.update(probs[number], trust, score, self._seconds)
            track.vote(label, score)

    def _show(self, score_threshold: float, motion: Motion | None, mask_threshold: float) -> list[SteadyTrack]:
        """Forget what is gone, and return what is shown now, best first."""
        self._tracks = [track for track in self._tracks if self._stays(track, motion, mask_threshold)]
        for track in self._tracks:
            slack = SCORE_SLACK if track.is_shown else 0.0
            track.is_shown = track.score >= score_threshold - slack
        return sorted((track for track in self._tracks if track.is_shown), key=lambda track: -track.settle_rank())

    def _stays(self, track: SteadyTrack, motion: Motion | None, mask_threshold: float) -> bool:
        if track.seen_at == self._seconds:
            return True
        if motion is None or not track.is_shown or self._seconds - track.seen_at > HOLD_SECONDS:
            return False
        stillness = motion.stillness[track.probs > mask_threshold]
        return bool(stillness.size and stillness.mean() >= HOLD_STILLNESS)

    def _instances(self, shown: list[SteadyTrack], form: ProbMasks) -> Instances:
        if not shown:
            return Instances.empty(form.image_hw)
        probs: FloatArray = np.stack([repaired(track.probs, form.threshold) for track in shown])
        scores, labels = [track.score for track in shown], [track.label for track in shown]
        return Instances.from_probs(torch.from_numpy(probs), scores, labels, form.geometry, form.threshold)
