"""How old live pictures are: the first one after the start, behind a slow worker, and with a real model.

    python -m benchmarks.live_delay
    python -m benchmarks.live_delay --seconds 20 --slow-seconds 600

The camera is GStreamer's RTSP server on loopback.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from app.sources import open_source
from app.stream.lane import Lane
from app.stream.pipeline import Stream
from app.stream.stats import StatsSnapshot
from benchmarks.live_clips import Server, memory_mib, number, print_table, write_clip
from solov2 import Instances, load_model
from solov2.pixels import Image
from solov2.predictor import Predictor, warm_up
from solov2.runtime.torch_predictor import TorchPredictor

SLOW_SECONDS = 0.5  # of a worker of 2 fps


class SlowPredictor:
    """Takes half a second for a frame and finds nothing."""

    class_names = ("person",)
    workers = batch_size = 1

    def predict_batch(
        self,
        images: Sequence[Image],
        score_threshold: float = 0.0,
        labels: Sequence[int] | None = None,
        steps_ms: MutableMapping[str, float] | None = None,
    ) -> list[Instances]:
        """Return nothing, late."""
        time.sleep(SLOW_SECONDS)
        return [Instances.empty((image.shape[0], image.shape[1])) for image in images]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seconds", type=number, default=20, help="with the model (20)")
    parser.add_argument("--slow-seconds", type=number, default=120, help="behind the slow worker (120)")
    parser.add_argument("--opens", type=int, default=5, help="how often each stream is opened (5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        first_pictures(Path(name), options.opens)
        clip = write_clip(Path(name) / "hd.mp4", max(20, round(options.seconds) + 5))
        predictor = TorchPredictor(load_model(options.model))
        warm_up(predictor)
        with_model = run(clip, predictor, options.seconds)[0]
        small = write_clip(Path(name) / "small.mp4", round(options.slow_seconds) + 5, (90, 160))
        slow, memory = run(small, SlowPredictor(), options.slow_seconds)
    rows = [row(f"720p30, {options.model}", options.seconds, with_model, None)]
    rows.append(row("30 fps, a worker of 2 fps", options.slow_seconds, slow, memory))
    headings = ("stream", "for", "fps", "age p50", "p95", "captured", "shown", "dropped", "not counted", "memory")
    print_table(headings, rows)


def first_pictures(folder: Path, opens: int) -> None:
    """Open streams whose key frames lie differently far apart."""
    rows = []
    for words, group in (("every frame is one", 1 / 30), ("1 s", 1.0), ("8 s", 8.0)):
        clip = write_clip(folder / f"group-{group:.2f}.mp4", 17, (360, 640), group_seconds=group)
        with Server(clip) as server:
            times = [time_to_first(server.address) for _ in range(opens + 1)][1:]  # the first starts the server up
        rows.append((words, opens, f"{statistics.median(times):.2f} s", f"{max(times):.2f} s"))
    print_table(("key frames lie apart", "opened", "time to the first picture, median", "worst"), rows)


def time_to_first(address: str) -> float:
    """Return the seconds from opening to the first frame."""
    started = time.monotonic()
    source = open_source(address)
    next(iter(source))
    took = time.monotonic() - started
    source.close()
    return took


def run(clip: Path, predictor: Predictor, seconds: float) -> tuple[StatsSnapshot, tuple[float, float]]:
    """Run a stream for a while; return its counters, and the memory after a tenth and at the end, in MiB."""
    stopped = threading.Event()
    memory: list[float] = []
    threading.Timer(seconds, stopped.set).start()
    threading.Timer(seconds / 10, lambda: memory.append(memory_mib())).start()
    with Server(clip) as server:
        lane = Lane(open_source(server.address))
        Stream([lane], predictor, stopped.is_set).run()
    return lane.stats.snapshot(), (memory[0], memory_mib())


def row(name: str, seconds: float, counted: StatsSnapshot, memory: tuple[float, float] | None) -> tuple[object, ...]:
    """Return what a table shows of a run."""
    dropped = sum(counted.dropped.values())
    return (
        name,
        f"{seconds:g} s",
        f"{counted.mean_fps:.1f}",
        f"{counted.run_age_p50_ms:.0f} ms",
        f"{counted.run_age_p95_ms:.0f} ms",
        counted.captured,
        counted.displayed,
        ", ".join(f"{count} at {cause}" for cause, count in counted.dropped.items()) or "0",
        counted.captured - counted.displayed - dropped,  # in flight when the run ended
        "" if memory is None else f"{memory[0]:.0f} then {memory[1]:.0f} MiB",
    )


if __name__ == "__main__":
    main()
