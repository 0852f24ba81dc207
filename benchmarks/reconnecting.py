"""A camera that is killed and started again many times in one run: reconnects, time back to the picture, leaks.

python -m benchmarks.reconnecting
python -m benchmarks.reconnecting --restarts 5
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

from app.sources.backoff import Backoff
from app.sources.lasting import find_lasting
from app.sources.reconnecting import ReconnectingSource
from benchmarks.live_clips import Server, print_table, write_clip


def main() -> None:
    """Restart the camera, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(Path(folder) / "clip.mp4", 60, (360, 640))
        with Server(clip) as server:
            source = find_lasting(server.address, backoff=Backoff(1.0, 1.0))()
            if not isinstance(source, ReconnectingSource):
                raise SystemExit("the source does not reconnect")
            measure(source, server, options.restarts)


def measure(source: ReconnectingSource, server: Server, restarts: int) -> None:
    """Read the source in a thread of its own while the server is killed and started again."""
    came = threading.Event()

    def read() -> None:
        for _ in source:
            came.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    came.wait(30)
    time.sleep(1)
    before, back = resources(), []
    for number in range(restarts):
        server.kill()
        time.sleep(1.5 if number else 6.0)  # the first time it is away for longer
        server.start()
        reconnects, started = source.status.reconnects, time.monotonic()
        while source.status.reconnects == reconnects and time.monotonic() - started < 60:
            time.sleep(0.005)
        back.append(time.monotonic() - started)
    time.sleep(1)
    after = resources()
    print_table(
        ("restarts", "reconnects", "back after, median", "worst", "threads before, after", "descriptors before, after"),
        [
            (
                restarts,
                source.status.reconnects,
                f"{statistics.median(back):.2f} s",
                f"{max(back):.2f} s",
                f"{before[0]}, {after[0]}",
                f"{before[1]}, {after[1]}",
            )
        ],
    )
    source.close()
    reader.join(5)


def resources() -> tuple[int, int]:
    """Return how many threads and descriptors this process has, on Linux."""
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


if __name__ == "__main__":
    main()
