"""Skips what this machine cannot run, and fails it where the environment says that the machine must."""

import os
import signal
from collections.abc import Generator

import pytest
import torch

from solov2.runtime.names import ENGINE_VARIABLE

REQUIRABLE = ("cuda", "rtsp", "browser", "mqtt")

os.environ.setdefault(ENGINE_VARIABLE, "eager")  # no test waits until engines were compared, unless it asks for that


def pytest_configure() -> None:
    """Let Ctrl-C interrupt even where the tests were started in the background, with that signal ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test with mark `x` into a failure under REQUIRE_X=1."""
    report = yield
    for mark in REQUIRABLE:
        flag = f"REQUIRE_{mark.upper()}"
        if report.skipped and item.get_closest_marker(mark) and os.environ.get(flag) == "1":
            report.outcome, report.longrepr = "failed", f"skipped, but {flag}=1 forbids it: {report.longrepr}"
    return report
