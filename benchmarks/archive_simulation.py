"""Stragglers and failures in an archive: what they cost, for several lengths of a chunk. Nothing is annotated.

    python -m benchmarks.archive_simulation
    python -m benchmarks.archive_simulation --fps 300 --workers 100 --mtbf-hours 24 --price 1.2

One driver's part is simulated, chunk by chunk: workers differ in speed, some are stragglers, each ends now and then and
takes its chunk with it. The defaults are what `python -m benchmarks.archive` measured for `nano`; name your own.
"""

import argparse
import heapq
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

HOUR = 3600.0
CHUNKS = (100, 1_000, 10_000, 100_000)


@dataclass(frozen=True)
class Cluster:
    """What is simulated.

    Attributes:
        workers: that one driver has.
        fps: frames per second of a worker.
        spread: standard deviation of the logarithm of a worker's speed.
        stragglers, slowness: which part of the workers is so many times as slow.
        mtbf_hours: mean hours until a worker ends.
        start_seconds: until its replacement has loaded the model.
        seek_seconds: decoded and discarded before each chunk, and the way of its result.
    """

    workers: int
    fps: float
    spread: float
    stragglers: float
    slowness: float
    mtbf_hours: float
    start_seconds: float
    seek_seconds: float


@dataclass(frozen=True)
class Cost:
    """What came out.

    Attributes:
        hours: until the last chunk.
        ideal_hours: of the same workers without failures, seeking, or waiting for the last ones.
        lost: part of the work that was done in vain.
        tail: part of the time in which some worker had nothing left to do.
        failures: workers that ended.
    """

    hours: float
    ideal_hours: float
    lost: float
    tail: float
    failures: int


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each length of a chunk, then the archive's time and cost; return the exit code."""
    options = parse(argv)
    cluster = Cluster(
        options.workers,
        options.fps,
        options.spread,
        options.stragglers,
        options.slowness,
        options.mtbf_hours,
        options.start_seconds,
        options.seek_seconds,
    )
    frames = round(options.hours * HOUR * options.video_fps)
    print(f"one driver: {cluster.workers} workers, {options.hours:,.0f} hours of video, {frames:,} frames")
    print("frames of a chunk   hours   over ideal   lost work   idle tail   failures")
    best = None
    for length in CHUNKS:
        cost = simulate(cluster, frames, length, random.Random(options.seed))
        over = cost.hours / cost.ideal_hours - 1
        best = cost if best is None or cost.hours < best.hours else best
        print(
            f"{length:17,d} {cost.hours:7.1f} {100 * over:10.2f} % {100 * cost.lost:9.2f} % "
            f"{100 * cost.tail:9.2f} % {cost.failures:10,d}"
        )
    assert best is not None
    tell_archive(options, best.hours * cluster.workers / options.hours)
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--workers", type=int, default=30, help="of one driver (%(default)s)")
    add("--hours", type=float, default=300, help="of video, of one driver (%(default)s)")
    add("--archive-hours", type=float, default=1e6, help="of video in all (%(default)s)")
    add("--video-fps", type=float, default=25, help="frames per second of the videos (%(default)s)")
    add("--fps", type=float, default=12, help="frames per second of a worker (%(default)s)")
    add("--spread", type=float, default=0.1, help="of the speeds, as the deviation of their logarithm (%(default)s)")
    add("--stragglers", type=float, default=0.02, help="part of the workers that is slow (%(default)s)")
    add("--slowness", type=float, default=3, help="how many times as slow these are (%(default)s)")
    add("--mtbf-hours", type=float, default=24, help="mean hours until a worker ends (%(default)s)")
    add("--start-seconds", type=float, default=10, help="until a replacement is ready (%(default)s)")
    add("--seek-seconds", type=float, default=0.5, help="before each chunk (%(default)s)")
    add("--price", type=float, default=0.04, help="of a worker for an hour, in any currency (%(default)s)")
    add("--merge-fps", type=float, default=450, help="frames per second that one driver merges (%(default)s)")
    add("--seed", type=int, default=1)
    return parser.parse_args(argv)


def simulate(cluster: Cluster, frames: int, length: int, draw: random.Random) -> Cost:
    """Let the workers do all chunks; each takes the next one when it is free, and a lost one is the next."""
    speeds = [
        cluster.fps
        * draw.lognormvariate(0, cluster.spread)
        / (cluster.slowness if draw.random() < cluster.stragglers else 1)
        for _ in range(cluster.workers)
    ]
    ends = [draw.expovariate(1 / (cluster.mtbf_hours * HOUR)) for _ in speeds]
    free = [(0.0, number) for number in range(cluster.workers)]
    waiting, last, lost, failures, first_idle = -(-frames // length), 0.0, 0.0, 0, None
    running: list[tuple[float, int, bool]] = []
    while waiting or running:
        while waiting and free:
            now, number = heapq.heappop(free)
            done_at = now + cluster.seek_seconds + length / speeds[number]
            survives = done_at <= ends[number]
            heapq.heappush(running, (done_at if survives else ends[number], number, survives))
            lost += 0 if survives else ends[number] - now
            waiting -= 1
        now, number, survived = heapq.heappop(running)
        if survived:
            last = max(last, now)
        else:
            waiting, failures = waiting + 1, failures + 1
            now += cluster.start_seconds
            ends[number] = now + draw.expovariate(1 / (cluster.mtbf_hours * HOUR))
        heapq.heappush(free, (now, number))
        if first_idle is None and not waiting:
            first_idle = now
    ideal = frames / sum(speeds)
    tail = (last - min(first_idle or last, last)) / last
    return Cost(last / HOUR, ideal / HOUR, lost / (last * cluster.workers), tail, failures)


def tell_archive(options: argparse.Namespace, worker_hours: float) -> None:
    """Print what an hour of video and the whole archive cost, and how many drivers it takes."""
    hours = options.archive_hours
    print(f"an hour of video takes {worker_hours:.2f} hours of a worker, and costs {worker_hours * options.price:.3f}")
    total = hours * worker_hours
    print(f"{hours:,.0f} hours take {total:,.0f} hours of workers, and cost {total * options.price:,.0f}")
    for days in (30, 365):
        workers = total / (24 * days)
        drivers = math.ceil(workers * options.fps / options.merge_fps)
        print(f"in {days} days: {workers:,.0f} workers, {drivers:,d} drivers or more for merging")


if __name__ == "__main__":
    sys.exit(main())
