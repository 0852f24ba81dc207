"""What the benchmarks of live streams share: clips, a camera that can be stopped, and tables."""

import argparse
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).parents[1] / "tests" / "rtsp_server.py"
HD_HW = (720, 1280)


def write_clip(
    path: Path,
    seconds: int,
    size_hw: tuple[int, int] = HD_HW,
    fps: int = 30,
    group_seconds: float = 1,
    b_frames: int = 0,
) -> Path:
    """Write a moving pattern in H.264, with a key frame every `group_seconds`."""
    noise = np.random.default_rng(0).integers(0, 255, (size_hw[0] // 16, size_hw[1] // 16, 3), dtype=np.uint8)
    texture = noise.repeat(16, 0).repeat(16, 1)
    group = max(1, round(fps * group_seconds))
    params = f"keyint={group}:min-keyint={group}:scenecut=0:bframes={b_frames}:log-level=0"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "x264-params": params})
        stream.height, stream.width = texture.shape[:2]
        stream.pix_fmt = "yuv420p"
        for index in range(fps * seconds):
            picture = av.VideoFrame.from_ndarray(np.roll(texture, 4 * index, 1), format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


class Server:
    """GStreamer's RTSP server in a process of its own, on one port, which can be killed and started again.

    Attributes:
        clip: what it serves once it is started.
        port: where it listens.
    """

    def __init__(self, clip: Path, *options: str) -> None:
        """Start it."""
        self.clip, self._options = clip, options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    @property
    def address(self) -> str:
        """Of the stream."""
        return f"rtsp://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [SYSTEM_PYTHON, str(SERVER), str(self.clip), "--port", str(self.port), *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if self.process.stdout is None or not self.process.stdout.readline():
            raise SystemExit("no GStreamer RTSP server here: install gir1.2-gst-rtsp-server-1.0 and its plugins")

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> "Server":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it."""
        self.kill()


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table, and the machine."""
    print(f"\n| {' | '.join(headings)} |")
    print(f"|{'---|' * len(headings)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    command = " ".join([f"python -m benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    print(f"\n`{command}`")
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}", flush=True
    )


def memory_mib(process_id: int | str = "self") -> float:
    """Resident memory of a process, on Linux."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def number(text: str) -> float:
    """Parse a number above 0 for a benchmark's option."""
    if (value := float(text)) > 0:
        return value
    raise argparse.ArgumentTypeError("must be above 0")


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile of values; 0 of none."""
    return float(np.percentile(values, percent)) if values else 0.0
