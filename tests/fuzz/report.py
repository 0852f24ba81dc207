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
    parser.add_argument("--tries", type=int, default=400, help="in each area; at least its known inputs (default: 400)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    print("| area | tries | accepted | refused in one line | failures | peak memory of a try | slowest try |")
    print("|---|---|---|---|---|---|---|")
    any_failed = False
    for area in options.area or areas:
        members = [target for target in targets if target.area == area]
        new = max(options.tries - sum(len(target.known) for target in members), 0)
        tries = [outcome for target in members for outcome in _tries(target, -(-new // len(members)), options.seed)]
        print(_row(area, tries), flush=True)
        any_failed = any_failed or any(outcome.failed for outcome in tries)
    return int(any_failed)


def _tries(target: Target, count: int, first: int) -> list[Outcome]:
    """Return the outcome of each known input, and of `count` new ones; say which failed."""
    target.warm_up()
    outcomes: list[Outcome] = []

    def try_one(value: Any) -> None:
        outcome = try_apart(target, value)
        outcomes.append(outcome)
        if outcome.failed:
            print(f"{target.name}: {value!r:.200}: {outcome.kind}: {outcome.detail:.200}", file=sys.stderr, flush=True)

    for value in target.known:
        try_one(value)
    if not count:
        return outcomes

    @seed(first)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def try_new(value: Any) -> None:
        try_one(value)

    try_new()
    return outcomes


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
