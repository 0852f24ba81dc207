"""What every command line does with errors."""

import argparse

import pytest

from solov2.cli import add_debug_flag, run_command
from solov2.errors import SOLOv2Error


def run(error: BaseException | None, *argv: str, user_errors: tuple[type[Exception], ...] = (SOLOv2Error,)) -> int:
    parser = argparse.ArgumentParser()
    add_debug_flag(parser)

    def command(options: argparse.Namespace) -> int:
        if error:
            raise error
        return 5

    return run_command(parser, command, argv, user_errors)


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


def test_a_command_names_its_users_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(KeyError("camera"), user_errors=(KeyError,)) == 2
    assert "camera" in capsys.readouterr().err


def test_ctrl_c_is_one_word_and_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_unknown_option_is_code_2() -> None:
    with pytest.raises(SystemExit) as caught:
        run(None, "--nonsense")
    assert caught.value.code == 2
