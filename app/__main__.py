"""`solov2-live COMMAND ...`, or `python -m app COMMAND ...`: one name for all commands.

A command is imported when it is asked for, so that help is there at once.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pkgutil import resolve_name

from solov2 import __version__
from solov2.cli import SCRIPT, CommandParser

COMMANDS = {
    "webcam": ("app.webcam", "segment a camera, a stream, a video or pictures, in a window or into a file"),
    "annotate": ("app.annotate", "find the instances in many files, and write them down frame by frame"),
    "ui": ("app.ui", "segment streams, videos and pictures in a browser"),
    "formats": ("app.formats", "turn an instances.jsonl into annotations that other tools read"),
    "benchmark": ("app.benchmark", "time each step of a frame"),
    "train": ("solov2.train", "train on labelled pictures"),
    "evaluate": ("solov2.evaluate", "measure a model on labelled pictures"),
    "export": ("solov2.export", "write a model for ONNX Runtime or OpenVINO, decoding included"),
    "zoo": ("solov2.zoo", "list, download and convert weights"),
}
"""From a command's name to the module that has its `build_parser` and `main`, and what it is for."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that is named first; return its exit code."""
    options = build_parser().parse_args(argv)
    if options.print_completion:
        print(completion(options.print_completion))
        return 0
    if not options.command:
        build_parser().print_help()
        return 0
    run: Callable[[Sequence[str]], int] = resolve_name(f"{COMMANDS[options.command][0]}:main")
    return run(options.arguments)


def build_parser() -> argparse.ArgumentParser:
    """Return the options that come before a command."""
    width = max(map(len, COMMANDS))
    parser = CommandParser(
        prog=SCRIPT,
        description="Live instance segmentation of cameras, streams and video files.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<{width}}  {purpose}" for name, (_, purpose) in COMMANDS.items())
        + f"\n\nThe options of a command: {SCRIPT} COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{SCRIPT} {__version__}")
    parser.add_argument(
        "--print-completion",
        choices=("bash", "zsh", "tcsh"),
        help="print the shell's completion: source it, or put it where the shell looks",
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the command's own options")
    return parser


def completion(shell: str) -> str:
    """Return the script that completes the commands and their options in `shell`."""
    import shtab

    parser = argparse.ArgumentParser(prog=SCRIPT)
    commands = parser.add_subparsers()
    for name, (module, purpose) in COMMANDS.items():
        build: Callable[[], argparse.ArgumentParser] = resolve_name(f"{module}:build_parser")
        commands.add_parser(name, help=purpose, parents=[build()], add_help=False)
    script: str = shtab.complete(parser, shell)
    return script


if __name__ == "__main__":
    sys.exit(main())
