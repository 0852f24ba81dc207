"""A table of areas: tries, failures, peak memory: `python -m tests.fuzz.report --area checkpoints --tries 400`.

Each try runs in a process of its own (Linux or macOS). The same seed makes the same inputs, so that two versions of the
program can be compared; the known inputs of each target come first and are counted.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.isolated import Outcome, try_apart
from tests.fuzz.target import Target, all_targets


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table of what is asked for; return 1 if an input failed."""
    targets = list(all_targets().values())
    areas = sorted({target.area for target in targets})
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.report", description="Count what readers fail on.")
    parser.add_argument("--area", choices=areas, action="append", help="may be given again (default: all)")
    parser.add_argument("--tries", type=int, default=400, help="in each area, its known inputs included (default: 400)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", type=int, default=20, metavar="N", help="show the first N of each area")
    options = parser.parse_args(argv)
    print("| area | tries | accepted | refused in one line | failures | peak memory of a try | slowest try |")
    print("|---|---|---|---|---|---|---|")
    any_failed = False
    for area in options.area or areas:
        members = [target for target in targets if target.area == area]
        tries = [
            attempt for target in members for attempt in _tries(target, -(-options.tries // len(members)), options.seed)
        ]
        print(_row(area, [outcome for _, _, outcome in tries]), flush=True)
        failed = [(target, value, outcome) for target, value, outcome in tries if outcome.failed]
        for target, value, outcome in failed[: options.failures]:
            print(f"  {target.name}: {value[:200]}: {outcome.kind}: {outcome.detail[:200]}", file=sys.stderr)
        any_failed = any_failed or bool(failed)
    return int(any_failed)


def _tries(target: Target, count: int, first: int) -> list[tuple[Target, str, Outcome]]:
    """Return each known input in words and its outcome, then as many new ones as `count` leaves room for."""
    tries = [(target, repr(value), try_apart(target, value)) for value in list(target.known)[:count]]
    missing = count - len(tries)
    if missing <= 0:
        return tries

    @seed(first)
    @settings(
        max_examples=missing,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def try_new(value: Any) -> None:
        tries.append((target, repr(value), try_apart(target, value)))

    try_new()
    return tries


def _row(area: str, outcomes: list[Outcome]) -> str:
    kinds = Counter(outcome.kind for outcome in outcomes)
    failures = {kind: count for kind, count in kinds.items() if kind not in ("accepted", "refused")}
    listed = f" ({', '.join(f'{count} {kind}' for kind, count in sorted(failures.items()))})" if failures else ""
    peak = max((outcome.peak_mb for outcome in outcomes), default=0.0)
    slowest = max((outcome.seconds for outcome in outcomes), default=0.0)
    return (
        f"| {area} | {len(outcomes)} | {kinds['accepted']} | {kinds['refused']} | {sum(failures.values())}{listed} "
        f"| {peak:.0f} MB | {slowest:.1f} s |"
    )


if __name__ == "__main__":
    raise SystemExit(main())
