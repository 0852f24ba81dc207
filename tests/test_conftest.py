"""A skip is a failure on the machine that must run the test."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SKIPPED = """
import pytest

@pytest.mark.{mark}
@pytest.mark.skipif(True, reason="not here")
def test_marked(): ...

@pytest.mark.skipif(True, reason="not here")
def test_unmarked(): ...
"""


@pytest.fixture
def skipping(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with this project's conftest."""
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    pytester.makeini("[pytest]\nmarkers =\n    cuda\n    rtsp\n    browser\n")
    return pytester


@pytest.mark.parametrize("mark", ["cuda", "rtsp", "browser"])
def test_a_skip_fails_under_its_requirement_flag_alone(
    skipping: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    skipping.makepyfile(SKIPPED.format(mark=mark))
    for flag in ("REQUIRE_CUDA", "REQUIRE_RTSP", "REQUIRE_BROWSER"):
        monkeypatch.delenv(flag, raising=False)
    skipping.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(skipped=2)
    monkeypatch.setenv(f"REQUIRE_{mark.upper()}", "1")
    result = skipping.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(skipped=1, errors=1)
    result.stdout.fnmatch_lines([f"*REQUIRE_{mark.upper()}=1 forbids it*not here*"])
