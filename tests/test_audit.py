"""What `make audit` makes of pip-audit's report."""

import subprocess
from typing import Any

import pytest

from tests import audit

CLEAN = {"name": "numpy", "version": "2.0", "vulns": []}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.14.1+cpu)"}
HOLE = {"name": "pillow", "version": "10.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["10.3"]}]}


@pytest.mark.parametrize(
    ("packages", "code", "line"),
    [
        ([CLEAN, CLEAN], 0, "2 packages have no known vulnerability"),
        ([CLEAN, SKIPPED], 0, "1 packages have no known vulnerability; 1 are not on PyPI: torch"),
        ([CLEAN, SKIPPED, HOLE], 1, "pillow 10.0: PYSEC-1, mended in 10.3"),
        ([SKIPPED, SKIPPED], 3, "nothing was audited"),
        ([], 3, "nothing was audited"),
    ],
)
def test_the_verdict_counts_what_was_not_looked_up(packages: list[dict[str, Any]], code: int, line: str) -> None:
    actual, lines = audit.verdict(packages)
    assert actual == code
    assert lines[0].startswith(line)


def test_a_service_that_is_not_reached_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nConnectionError: no route\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    assert audit.main() == 3
    assert capsys.readouterr().err.count("\n") == 1
