"""Commands as readers: a whole command line is run in this process, and its exit code and texts are judged."""

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout

from solov2.errors import SOLOv2Error

_SIGNS_OF_A_BUG = ("Traceback (most recent call last)", "a bug of this program")


def run_command_line(main: Callable[[Sequence[str]], int], arguments: Sequence[object]) -> None:
    """Run a command.

    Raises:
        SOLOv2Error: it said that something is wrong; the error has the command's own words.
        AssertionError: it showed a traceback, or ended with a code that it does not know.
    """
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    told = err.getvalue() + out.getvalue()
    assert not any(sign in told for sign in _SIGNS_OF_A_BUG), told[-1500:]
    assert code in (0, 1, 2), code
    if code == 2:
        raise SOLOv2Error(err.getvalue().removeprefix("error: ").removesuffix("\n"))
    if code == 1:
        raise SOLOv2Error("some inputs could not be read, or not to their end")
