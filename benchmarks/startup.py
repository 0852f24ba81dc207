"""Seconds until the first answer: help, a mistake, an import, the first frame of the built-in clip.

    python -m benchmarks.startup
    python -m benchmarks.startup --before ../old --runs 7

Each line is a fresh process, run several times; the medians of the elapsed and of the processor's seconds are printed.
With `--before`, another checkout of this project is measured by turns with this one, so that both see the same load; on
a machine that is busy with other work, the processor's seconds tell more.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parents[1]


def commands(folder: Path) -> dict[str, list[str]]:
    """Return what is timed: title to the arguments of Python; files are written into `folder`."""
    live = ["-m", "app.webcam", "--source", "demo", "--headless", "--max-frames", "1"]
    return {
        "python itself": ["-c", "pass"],
        "webcam --help": ["-m", "app.webcam", "--help"],
        "unknown option": ["-m", "app.webcam", "--loud"],
        "wrong file name": ["-m", "app.webcam", "--source", "nowhere.mp4"],
        "import solov2": ["-c", "import solov2"],
        "load_model's import": ["-c", "from solov2 import load_model"],
        "import app.webcam": ["-c", "import app.webcam"],
        "first frame": [*live, "--save", str(folder / "first.mp4")],
    }


def seconds_of(arguments: list[str], checkout: Path) -> tuple[float, float]:
    """Run Python in `checkout`, and return the elapsed and the processor's seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=checkout, capture_output=True, check=False)
    elapsed, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="DIR", help="another checkout to compare with")
    parser.add_argument("--runs", type=int, default=5, help="of each (%(default)s)")
    options = parser.parse_args()
    checkouts = [options.before, HERE] if options.before else [HERE]
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'seconds (of processor)':24}" + "".join(f"{checkout.resolve().name:>18}" for checkout in checkouts))
        for title, arguments in commands(Path(folder)).items():
            times: list[list[tuple[float, float]]] = [[] for _ in checkouts]
            for _ in range(options.runs):
                for taken, checkout in zip(times, checkouts, strict=True):
                    taken.append(seconds_of(arguments, checkout))
            medians = [[statistics.median(kind) for kind in zip(*taken, strict=True)] for taken in times]
            cells = [f"{elapsed:.2f} ({processor:.2f})" for elapsed, processor in medians]
            print(f"{title:24}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
