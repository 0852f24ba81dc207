"""What a viewer sees of a stream that has something wrong with it: a table of `app.webcam`'s own lines and counters.

    python -m benchmarks.live_faults

The camera is GStreamer's RTSP server on loopback, behind a proxy that loses, stalls and cuts.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from benchmarks.live_clips import Server, print_table, write_clip
from tests.bad_servers import serving, show_page, stay_silent
from tests.fault_proxy import FaultProxy

SECONDS = 22.0
START_SECONDS = 180.0  # the first start may look for the fastest engine
TOLD = ("connected", "waiting", "error", "ended")
SMALL = (360, 640)


def main() -> None:
    """Run `app.webcam` on each fault, and print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
        folder = Path(name)
        plain = write_clip(folder / "plain.mp4", 60, SMALL)
        server = opened.enter_context(Server(plain))
        locked = opened.enter_context(Server(plain, "--login", "me:secret"))
        b_frames = opened.enter_context(Server(write_clip(folder / "b.mp4", 40, SMALL, b_frames=3)))
        shared = opened.enter_context(
            Server(write_clip(folder / "long.mp4", 60, SMALL, group_seconds=4), "--shared"),
        )
        silent = opened.enter_context(serving(stay_silent))
        page = opened.enter_context(serving(show_page))
        wrong = locked.address.replace("rtsp://", "rtsp://me:guessed@")
        cases: list[tuple[str, str, Callable[[], object]]] = [
            ("none", server.address, nothing),
            ("nobody listens", "rtsp://127.0.0.1:9/live", nothing),
            ("unknown host", "rtsp://no-such-host.invalid/live", nothing),
            ("the server accepts and never answers", f"rtsp://127.0.0.1:{silent}/live", nothing),
            ("a web page", f"rtsp://127.0.0.1:{page}/live", nothing),
            ("wrong password", wrong, nothing),
            ("no such stream (404)", server.address.replace("/live", "/other"), nothing),
            ("B-frames", b_frames.address, nothing),
            ("joined between key frames 4 s apart", shared.address, nothing),
        ]
        for words, address, act in cases:
            with watching(address) if address == shared.address else nullcontext():
                rows.append((words, *run(address, act, folder)))
        rows += [(words, *behind_proxy(server, act, folder)) for words, act in PROXY_FAULTS.items()]
        rows.append(("the size changes at a reconnect", *changed_size(folder, plain)))
    print_table(
        ("fault", "what the terminal says", "pictures shown", "reconnects", "stalls", "left out as damaged"), rows
    )


def nothing() -> None:
    """Leave the stream alone."""


def lose_packets(proxy: FaultProxy) -> None:
    """Lose 2 % of the packets."""
    proxy.lose_packets = 0.02


PROXY_FAULTS: dict[str, Callable[[FaultProxy], None]] = {
    "half-open: the connection stays, nothing comes": FaultProxy.stall,
    "the connection is cut": FaultProxy.cut,
    "2 % of the packets are lost": lose_packets,
}


def behind_proxy(server: Server, act: Callable[[FaultProxy], None], folder: Path) -> tuple[object, ...]:
    """Run with a proxy that goes wrong in the middle."""
    with FaultProxy(server.port) as proxy:
        return run(f"rtsp://127.0.0.1:{proxy.port}/live", lambda: act(proxy), folder)


def changed_size(folder: Path, plain: Path) -> tuple[object, ...]:
    """Run while a server is replaced by one of another size on the same port."""
    server = Server(plain)
    other = write_clip(folder / "other.mp4", 40, (180, 320))

    def replace() -> None:
        server.kill()
        server.clip = other
        server.start()

    try:
        return run(server.address, replace, folder)
    finally:
        server.kill()


@contextmanager
def watching(address: str) -> Iterator[None]:
    """Let another viewer watch, so that the next one joins in the middle."""
    command = [sys.executable, "-m", "app.webcam", "--source", address, "--headless"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def run(address: str, act: Callable[[], object], folder: Path) -> tuple[object, ...]:
    """Run `app.webcam` for a while, let `act` happen once it shows pictures, and return what it told."""
    stats = folder / "stats.jsonl"
    stats.unlink(missing_ok=True)
    command = [sys.executable, "-m", "app.webcam", "--source", address, "--headless", "--stats-json", str(stats)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None and not values(stats).get("state"):
        time.sleep(0.2)
    time.sleep(4)
    act()
    end = time.monotonic() + SECONDS - 4
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.2)
    counted = values(stats)
    process.terminate()
    told = [line for line in process.communicate(timeout=60)[1].splitlines() if line.startswith(TOLD)]
    lines = "; ".join(dict.fromkeys(told)) or "nothing"
    print(lines, file=sys.stderr, flush=True)  # a table takes minutes
    damaged = counted.get("dropped", {}).get("corrupt", 0)
    return lines, *(counted.get(name, 0) for name in ("displayed", "reconnects", "stalls")), damaged


def values(stats: Path) -> dict[str, dict[str, int]]:
    """Return the newest line of the counters."""
    lines = stats.read_text().splitlines() if stats.exists() else []
    try:
        return dict(json.loads(lines[-1])) if lines else {}
    except ValueError:  # it is being written
        return {}


if __name__ == "__main__":
    main()
