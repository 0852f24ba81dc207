"""A short run of every fuzzing target, and the frame itself."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from solov2.errors import SOLOv2Error
from tests.fuzz.engine import fuzz_test
from tests.fuzz.files import HostileFile, mutated, reads_file
from tests.fuzz.isolated import try_apart
from tests.fuzz.target import Target, all_targets

TARGETS = all_targets()


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_takes_hostile_inputs_or_refuses_them_in_one_line(name: str) -> None:
    fuzz_test(TARGETS[name], TARGETS[name].examples, first=1, shrink=False)()


def refuse(message: str) -> None:
    raise SOLOv2Error(message)


def target(read: Any, **settings: Any) -> Target:
    return Target("made", "made", st.integers(0, 9), read, **settings)


def test_an_input_that_makes_the_reader_raise_is_found() -> None:
    with pytest.raises(ZeroDivisionError):
        fuzz_test(target(lambda value: 1 / (value - 7)), 100, first=1)()


def test_an_input_that_once_failed_is_tried_whatever_the_seed_makes() -> None:
    tried: list[int] = []
    fuzz_test(target(tried.append, known=(1234,)), 1, first=1)()
    assert tried[0] == 1234


@pytest.mark.parametrize("message", ["", "two\nlines", "\udc80", "x" * 3000])
def test_an_error_whose_message_is_no_printable_line_is_a_failure(message: str) -> None:
    with pytest.raises(AssertionError, match="message"):
        fuzz_test(target(lambda value: refuse(message)), 1, first=1)()


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (lambda value: None, "accepted"),
        (lambda value: refuse("must be positive, got -1"), "refused"),
        (lambda value: refuse("two\nlines"), "message"),
        (lambda value: [][value], "traceback"),
        (lambda value: os.kill(os.getpid(), signal.SIGFPE), "crash"),
        (lambda value: os._exit(3), "crash"),
        (lambda value: signal.pause(), "time"),
        (lambda value: sum(range(10**12)), "time"),
        (lambda value: len(bytearray(os.urandom(1) * (64 << 20))), "memory"),
    ],
)
def test_a_try_in_its_own_process_tells_how_it_ended(read: Any, kind: str) -> None:
    outcome = try_apart(target(read, max_mb=32, timeout_seconds=1 if kind == "time" else 60), 0)
    assert outcome.kind == kind, outcome
    assert outcome.failed == (kind not in ("accepted", "refused"))


def test_a_whole_file_is_damaged_and_given_to_its_reader_by_path(tmp_path: Path) -> None:
    whole, sizes = HostileFile("whole", bytes(range(200))), set()

    def read(path: Path) -> None:
        assert path.suffix == ".bin"
        sizes.add(path.read_bytes())

    fuzz_test(Target("made", "made", mutated([whole]), reads_file(read, ".bin")), 50, first=1)()
    assert len(sizes - {whole.content}) > 20
