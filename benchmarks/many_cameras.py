"""Several cameras of 720p in one process, against as many processes of one camera each.

    python -m benchmarks.many_cameras
    python -m benchmarks.many_cameras --cameras 1 2 4 8 --seconds 20

Each camera is GStreamer's RTSP server on loopback; one more run has a camera that is dead among the others.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.live_clips import Server, memory_mib, print_table, write_clip

START_SECONDS = 300.0  # the first start may look for the fastest engine
DEAD = "rtsp://127.0.0.1:9/live"


def main() -> None:
    """Run both ways, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = write_clip(folder / "clip.mp4", 30)
        with Server(clip, "--shared") as server:
            for count in options.cameras:
                addresses = [server.address] * count
                rows.append(measure(f"{count}", [addresses], folder, options))
                if count > 1:
                    rows.append(measure(f"{count} processes", [[one] for one in addresses], folder, options))
            most = max(options.cameras)
            rows.append(measure(f"{most}, one of them dead", [[server.address] * (most - 1) + [DEAD]], folder, options))
    print_table(
        ("cameras", "fps in sum", "least of a living one", "most", "age p95, worst", "memory, all processes"), rows
    )


def measure(name: str, runs: Sequence[Sequence[str]], folder: Path, options: argparse.Namespace) -> tuple[str, ...]:
    """Run a process for each list of addresses; return a row of the table."""
    started, processes = [], []
    for number, addresses in enumerate(runs):
        stats = folder / f"stats-{number}.jsonl"
        stats.unlink(missing_ok=True)
        sources = [option for address in addresses for option in ("--source", address)]
        command = [sys.executable, "-m", "app.webcam", *sources, "--headless", "--model", options.model]
        processes.append(subprocess.Popen([*command, "--stats-json", str(stats)], stderr=subprocess.DEVNULL))
        started.append(stats)
    wait_for_frames(started)
    before, begin = [newest(stats) for stats in started], time.monotonic()
    time.sleep(options.seconds)
    memory = sum(memory_mib(process.pid) for process in processes)
    after, took = [newest(stats) for stats in started], time.monotonic() - begin
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(60)
    rates, ages = [], []
    for old, new in zip(before, after, strict=True):
        for source, values in new.items():
            if values["displayed"]:
                rates.append((values["displayed"] - old.get(source, {"displayed": 0})["displayed"]) / took)
                ages.append(values["run_age_p95_ms"])
    total, least, most = sum(rates), min(rates, default=0), max(rates, default=0)
    print(f"{name}: {total:.1f} fps", file=sys.stderr, flush=True)  # a table takes minutes
    return name, f"{total:.1f}", f"{least:.1f}", f"{most:.1f}", f"{max(ages, default=0):.0f} ms", f"{memory:.0f} MiB"


def wait_for_frames(files: Sequence[Path]) -> None:
    """Wait until every process has shown frames of all but the dead camera, START_SECONDS at most."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        values = [one for stats in files for one in newest(stats).values() if one["state"] == "live"]
        if all(newest(stats) for stats in files) and all(one["displayed"] for one in values) and values:
            return
        time.sleep(1)


def newest(stats: Path) -> dict[str, dict[str, Any]]:
    """Return the newest line of each source, by its name."""
    found = {}
    for line in stats.read_text().splitlines() if stats.exists() else ():
        try:
            values = json.loads(line)
        except ValueError:  # it is being written
            continue
        found[values["source"]] = values
    return found


if __name__ == "__main__":
    main()
