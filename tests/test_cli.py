"""What every command line does with errors."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.stream_errors import SourceError
from solov2.cli import add_debug_flag, input_size, run_command
from solov2.errors import SOLOv2Error


def run(error: BaseException | None, *argv: str) -> int:
    parser = argparse.ArgumentParser()
    add_debug_flag(parser)

    def command(options: argparse.Namespace) -> int:
        if error:
            raise error
        return 5

    return run_command(parser, command, argv)


def test_the_commands_own_exit_code_is_returned() -> None:
    assert run(None) == 5


def test_a_users_error_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SOLOv2Error("no such thing. Try another")) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "error: no such thing. Try another\n")


def test_a_users_error_keeps_its_traceback_for_debugging() -> None:
    with pytest.raises(SOLOv2Error, match="no such thing"):
        run(SOLOv2Error("no such thing"), "--debug")


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(KeyError):
        run(KeyError("oops"))


def test_an_error_of_the_stream_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SourceError("could not open camera 2")) == 2
    assert capsys.readouterr().err == "error: could not open camera 2\n"


def test_ctrl_c_is_one_word_and_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("text", ["416", "x", "416x", "320x416", "5000x320", "416x0", "-416x320", "416x320x3", "axb"])
def test_an_input_size_is_two_sides_the_longer_one_first(text: str) -> None:
    assert input_size("416x320") == (416, 320)
    with pytest.raises(
        argparse.ArgumentTypeError, match="must be LONGxSHORT, the long side first, each from 32 to 4096 px"
    ):
        input_size(text)


def test_an_unknown_option_is_code_2() -> None:
    with pytest.raises(SystemExit) as caught:
        run(None, "--nonsense")
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        *([name, "--help"] for name in ("app.annotate", "app.benchmark", "app.formats", "app.ui", "app.webcam")),
        *([name, "--help"] for name in ("solov2.evaluate", "solov2.train", "solov2.zoo")),
        ["solov2.zoo", "list"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_cannot_be_written_is_one_line(arguments: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            cwd=Path(__file__).parent.parent,
        )
    assert done.stderr == "error: could not write to standard output: No space left on device\n"
    assert done.returncode == 2


def test_an_error_of_the_disk_that_nobody_told_keeps_its_traceback() -> None:
    with pytest.raises(PermissionError):
        run(PermissionError(13, "Permission denied"))
