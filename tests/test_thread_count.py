"""The count of threads follows what is faster."""

import os
from collections.abc import Callable

import pytest

from solov2.runtime.openmp import SPIN_COUNT, limit_spinning
from solov2.runtime.thread_count import PROBE_EVERY, ThreadCount


def run(threads: ThreadCount, calls: int, seconds: Callable[[int], float]) -> list[int]:
    """Make calls that take `seconds` of their count; return the counts."""
    counts = []
    for _ in range(calls):
        counts.append(threads.next())
        threads.took(counts[-1], seconds(counts[-1]))
    return counts


def idle(count: int) -> float:
    return 0.02 + 0.1 / count


def busy(count: int) -> float:
    """Every further thread makes all of them wait."""
    return 0.1 + 0.1 * count


def test_all_threads_are_used_while_they_are_the_fastest() -> None:
    counts = run(ThreadCount(2), 10 * PROBE_EVERY, idle)
    assert counts[0] == 2
    assert counts.count(1) == 11  # one call of 40 tries the other count, and one of the first


def test_fewer_threads_are_used_soon_after_others_take_the_cores_and_all_again_when_they_are_free() -> None:
    threads = ThreadCount(2)
    run(threads, 2 * PROBE_EVERY, idle)  # both counts are known
    counts = run(threads, PROBE_EVERY, busy)
    assert set(counts[10:-1]) == {1}
    counts = run(threads, 2 * PROBE_EVERY, idle)
    assert set(counts[PROBE_EVERY:-1]) == {2}


def test_a_run_that_begins_beside_a_busy_process_soon_uses_fewer_threads() -> None:
    assert run(ThreadCount(2), 10, busy) == [2, 2, 2, 2, 1, 1, 1, 1, 1, 1]


def test_one_slow_call_changes_nothing() -> None:
    threads = ThreadCount(2)
    run(threads, 2 * PROBE_EVERY, idle)
    run(threads, 1, lambda _: 0.12)
    assert set(run(threads, 10, idle)) == {2}


def test_of_many_cores_as_many_are_used_as_are_free() -> None:
    threads = ThreadCount(12)
    assert threads.counts == [12, 6, 3, 1]
    three_are_free = {12: 0.5, 6: 0.3, 3: 0.05, 1: 0.1}.__getitem__
    assert set(run(threads, 20 * PROBE_EVERY, three_are_free)[-PROBE_EVERY + 1 : -1]) == {3}


def test_a_single_core_has_no_choice() -> None:
    assert set(run(ThreadCount(1), 3 * PROBE_EVERY, idle)) == {1}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": str(SPIN_COUNT)}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
    ],
)
def test_threads_wait_asleep_unless_the_environment_says_how_they_wait(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: dict[str, str]
) -> None:
    monkeypatch.setattr(os, "environ", dict(given))
    limit_spinning()
    assert os.environ == expected
