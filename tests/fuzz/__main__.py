"""The long run: `python -m tests.fuzz --seconds 60 [TARGET ...]`; each target has a process of its own."""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from tests.fuzz.engine import fuzz_test
from tests.fuzz.target import Target, all_targets

BATCH = 500  # inputs between two looks at the clock


def main(argv: Sequence[str] | None = None) -> int:
    """Run each target for some seconds; return 1 if an input failed."""
    targets = all_targets()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Look for inputs that readers fail on.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(targets)} (default: all)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default: 60)")
    parser.add_argument("--engine", choices=("hypothesis", "atheris"), default="hypothesis")
    parser.add_argument("--seed", type=int, help="begin with this one; the run prints its own")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    unknown = sorted(set(options.targets) - set(targets))
    if unknown:
        parser.error(f"unknown target {unknown[0]!r}. Known: {', '.join(targets)}")
    if options.here:
        run = _run_atheris if options.engine == "atheris" else _run_hypothesis
        run(targets[options.targets[0]], options.seconds, options.seed)
        return 0
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    failed = [name for name in options.targets or targets if not _run_apart(name, options, seed)]
    print(f"{len(failed)} targets failed: {', '.join(failed)}" if failed else "no target failed")
    return bool(failed)


def _run_apart(name: str, options: argparse.Namespace, seed: int) -> bool:
    print(f"{name}: {options.seconds:g} s of {options.engine} with --seed {seed}", flush=True)
    settings = ["--seconds", str(options.seconds), "--engine", options.engine, "--seed", str(seed)]
    return subprocess.run([sys.executable, "-m", "tests.fuzz", name, *settings, "--here"]).returncode == 0


def _run_hypothesis(target: Target, seconds: float, seed: int) -> None:
    until = time.monotonic() + seconds
    tries = 0
    while time.monotonic() < until:
        fuzz_test(target, BATCH, seed + tries)()
        tries += BATCH
    print(f"{target.name}: about {tries} inputs, none failed", flush=True)


def _run_atheris(target: Target, seconds: float, seed: int) -> None:
    import atheris

    try_one: Callable[[bytes], object] = fuzz_test(target, BATCH, seed).hypothesis.fuzz_one_input
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", f"-seed={seed or 1}"], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main())
