"""What every command line of this project does alike: one line for a user's error, and exit codes for scripts."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from solov2.errors import MissingExtraError, SOLOv2Error
from solov2.pixel_limit import apply_pixel_option
from solov2.runtime.names import ENGINE_NAMES, ENGINE_VARIABLE
from solov2.runtime.openmp import limit_spinning
from solov2.standard_output import OutputError, drop_standard_output, telling_output_errors
from solov2.variants import INPUT_SIDES_PX

SCRIPT = "solov2-live"  # the command that pip installs
OWN_PACKAGES = ("app", "solov2")
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_NO_READER = 141


def program(module: str) -> str:
    """Return how the command in `module` was started: "solov2-live webcam", or "python -m app.webcam"."""
    is_script = os.path.basename(sys.argv[0]) in (SCRIPT, f"{SCRIPT}.exe")
    return f"{SCRIPT} {module.rpartition('.')[2]}" if is_script else f"python -m {module}"


class CommandParser(argparse.ArgumentParser):
    """An `ArgumentParser` that answers a wrong option with one line, too."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is; exit with code 2."""
        self.exit(EXIT_USER_ERROR, f"error: {message}. For help: {self.prog} --help\n")


def add_debug_flag(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the flag `--debug` that `run_command` reads."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_engine_option(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option `--engine`; the environment may name another default."""
    default = os.environ.get(ENGINE_VARIABLE) or "eager"  # a search takes half a minute, once
    text = f"what runs the network: {', '.join(ENGINE_NAMES)}; auto is the fastest that is installed ({default})"
    parser.add_argument("--engine", default=default, metavar="NAME", help=text)


def add_input_size_option(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option `--input-size`."""
    text = "largest sides of the network's input, such as 416x320: smaller is faster, larger finds smaller things"
    parser.add_argument("--input-size", type=input_size, metavar="LONGxSHORT", help=f"{text} (the model's own)")


def input_size(text: str) -> tuple[int, int]:
    """Parse LONGxSHORT; return both in pixels."""
    long_px, _, short_px = text.lower().partition("x")
    if long_px.isdecimal() and short_px.isdecimal():
        least, most = INPUT_SIDES_PX
        if least <= int(short_px) <= int(long_px) <= most:
            return int(long_px), int(short_px)
    wanted = "the long side first, each from {} to {} px".format(*INPUT_SIDES_PX)
    raise argparse.ArgumentTypeError(f"must be LONGxSHORT, {wanted}, such as 416x320, got {text!r}")


@contextmanager
def importing() -> Iterator[None]:
    """Let Ctrl-C end the process at once, without a traceback, while the block imports what takes seconds."""
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_default or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def run_command(
    parser: argparse.ArgumentParser,
    command: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None = None,
    extra: str = "app",
) -> int:
    """Parse `argv`, run `command`, and turn a `SOLOv2Error` into one line on standard error.

    Args:
        parser: holds every option, `--debug` among them (see `add_debug_flag`), which keeps the traceback of an error.
        command: takes the parsed options, returns the exit code.
        argv: the arguments; None means `sys.argv[1:]`.
        extra: of this package, which installs the libraries that the command needs.

    Returns:
        The exit code: the command's own, 2 after a user's error or where standard output cannot be written, 130 after
        Ctrl-C, 141 if the reader of standard output has closed it, as `head` does.
    """
    try:
        with telling_output_errors():
            options = _parsed(parser, argv)
            code = _run(command, options, extra)
            print(end="", flush=True)
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        drop_standard_output()
        return EXIT_NO_READER
    except OutputError as error:
        drop_standard_output()
        print(f"error: could not write to standard output: {error}", file=sys.stderr)
        return EXIT_USER_ERROR


def _parsed(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    try:
        options = parser.parse_args(argv)
    except SystemExit:
        print(end="", flush=True)  # help that cannot be written is told by `run_command`, not by Python's exit
        raise
    return options


def _run(command: Callable[[argparse.Namespace], int], options: argparse.Namespace, extra: str) -> int:
    try:
        apply_pixel_option(options)
        limit_spinning()
        return _with_its_libraries(command, options, extra)
    except SOLOv2Error as error:
        if options.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR


def _with_its_libraries(command: Callable[[argparse.Namespace], int], options: argparse.Namespace, extra: str) -> int:
    """Run `command`; raise MissingExtraError where a library of `extra` is not installed."""
    try:
        return command(options)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in OWN_PACKAGES:
            raise
        raise MissingExtraError(library, extra) from error
