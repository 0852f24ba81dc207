"""How much the masks of clips flicker, with and without steadying, and whether steady masks are late.

    python -m benchmarks.flicker CLIP [CLIP ...]
    python -m benchmarks.flicker clip.mkv --frames 150 --pictures FOLDER

Each clip is segmented once; both ways get the same instances. The IoU is that of the masks of one track in neighbouring
frames; a gap is a frame in which a track is missing that was there before and after. "like now" and "like the frame
before" compare all steady masks with all masks as they were found, in the same frame and in the one before: what is
late would look more like the latter. `--pictures` writes both side by side.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from app.drawing.renderer import Renderer
from app.processors.affinity import mask_ious
from app.processors.observation import observations
from app.processors.steadying import SCORE_SLACK, Steadying
from app.processors.tracker import Tracker
from app.sources import open_source
from app.stream.controls import ControlPanel, Controls
from app.stream.frames import Result
from benchmarks.live_clips import percentile, print_table
from solov2 import Instances, load_model
from solov2.masks.mask_crop import MaskCrop
from solov2.runtime.torch_predictor import TorchPredictor


@dataclass
class Flicker:
    """What is noticed of the masks of one clip."""

    ious: list[float] = field(default_factory=list)
    holes: list[float] = field(default_factory=list)
    gaps: int = 0
    ids: set[int] = field(default_factory=set)
    _tracker: Tracker = field(default_factory=Tracker)
    _seen: list[dict[int, MaskCrop]] = field(default_factory=lambda: [{}, {}])

    def add(self, instances: Instances, seconds: float) -> None:
        """Take note of a frame."""
        ids = self._tracker.update(observations(instances), seconds)
        now = {number: crop for number, crop in zip(ids, instances.crops, strict=True) if number}
        before, long_before = self._seen
        self.ious += [float(mask_ious([now[one]], [before[one]])[0, 0]) for one in now.keys() & before.keys()]
        self.holes += [holes_in(crop.mask) for crop in now.values()]
        self.gaps += len((long_before.keys() - before.keys()) & now.keys())
        self.ids |= now.keys()
        self._seen = [now, before]

    def row(self) -> list[str]:
        """Return what a table shows of it."""
        mean = statistics.fmean(self.ious or [0])
        holes = f"{100 * statistics.fmean(self.holes or [0]):.1f} %", f"{100 * max(self.holes or [0]):.1f} %"
        return [f"{mean:.3f}", f"{percentile(self.ious, 10):.3f}", *holes, str(self.gaps), str(len(self.ids))]


def main() -> None:
    """Segment the clips, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    model = load_model(options.model)
    rows, costs = [], []
    for clip in options.clips:
        found = list(islice(segment(clip, TorchPredictor(model)), options.frames))
        panel = ControlPanel(Controls())
        steadying, plain, steady = Steadying(panel), Flicker(), Flicker()
        likeness, milliseconds, before = [], [], None
        for result in found:
            raw = result.instances.select(result.instances.scores >= panel.current.score_threshold)
            started = time.perf_counter()
            steadied = steadying(result)
            milliseconds.append(1000 * (time.perf_counter() - started))
            plain.add(raw, result.frame.pts_seconds)
            steady.add(steadied.instances, result.frame.pts_seconds)
            mask = steadied.instances.id_map > 0
            if before is not None and mask.any():
                likeness.append((iou(mask, raw.id_map > 0), iou(mask, before)))
            before = raw.id_map > 0
            if options.pictures is not None:
                pair = Renderer(model.class_names), panel.current
                save_pair(options.pictures, f"{Path(clip).stem}-{result.frame.index:04d}.jpg", pair, (result, steadied))
        rows += [(Path(clip).name, "as found", *plain.row()), ("", "steady", *steady.row())]
        now, late = (statistics.fmean(one) for one in zip(*likeness, strict=True))
        count = statistics.fmean(len(result.instances) for result in found)
        costs.append(
            (Path(clip).name, f"{count:.1f}", f"{statistics.median(milliseconds):.2f} ms", f"{now:.3f}", f"{late:.3f}")
        )
    print_table(("clip", "masks", "IoU, mean", "p10", "holes, mean", "worst", "gaps", "tracks"), rows)
    print_table(("clip", "instances", "time per frame, median", "like now", "like the frame before"), costs)
    print_table(("10 instances at 1280x720", "time per frame, median"), [("steadying", f"{cost_of_ten():.2f} ms")])


def segment(clip: str, predictor: TorchPredictor) -> Iterator[Result]:
    """Yield what the stream would give to steadying."""
    threshold = Controls().score_threshold - SCORE_SLACK
    for frame in open_source(clip):
        (found,) = predictor.predict_batch([frame.image], threshold)
        yield Result(frame, found.select(found.scores >= threshold))


def cost_of_ten() -> float:
    """Return the milliseconds that ten instances of a 720p picture take, of masks at 96x56 as `nano` makes them."""
    import torch

    from app.stream.frames import Frame
    from solov2.decoding.geometry import Geometry

    geometry = Geometry((720, 1280), (216, 384), (224, 384))
    steadying, took = Steadying(ControlPanel(Controls())), []
    texture = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    for number in range(60):
        probs = torch.full((10, *geometry.mask_hw), 0.02)
        for one in range(10):
            left, top = 4 + 18 * (one % 5) + number % 3, 4 + 25 * (one // 5)
            probs[one, top : top + 20, left : left + 14] = 0.9
        found = Instances.from_probs(probs, [0.8] * 10, list(range(10)), geometry)
        image = np.roll(texture, 4 * number, 1)
        result = Result(Frame(image, number, Fraction(1, 30), 0.0, "made up", number), found)
        started = time.perf_counter()
        steadying(result)
        took.append(1000 * (time.perf_counter() - started))
    return statistics.median(took[10:])


def holes_in(mask: npt.NDArray[np.bool_]) -> float:
    """Return the area of enclosed background as a share of the mask."""
    padded = np.pad(mask, 1).astype(np.uint8)
    cv2.floodFill(padded, None, (0, 0), 1, flags=4)
    return float(np.count_nonzero(padded == 0)) / max(1, int(np.count_nonzero(mask)))


def iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Return the intersection over union of two masks."""
    return float(np.count_nonzero(one & other)) / max(1, int(np.count_nonzero(one | other)))


def save_pair(folder: Path, name: str, how: tuple[Renderer, Controls], pair: tuple[Result, Result]) -> None:
    """Write the picture as found and the steady one side by side."""
    renderer, controls = how
    found, steady = pair
    raw = replace(found, instances=found.instances.select(found.instances.scores >= controls.score_threshold))
    both = np.concatenate([renderer.draw(one, controls) for one in (raw, steady)], axis=1)
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), cv2.cvtColor(both, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
