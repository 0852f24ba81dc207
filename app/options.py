"""Options that several command lines share: what they accept, and how they refuse the rest in one line."""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from app.sources.backoff import Backoff, parse_retry
from app.stream.areas import Area
from app.stream.effect import Effect, parse_effect
from solov2.cli import add_engine_option, add_input_size_option
from solov2.errors import UnknownNameError
from solov2.runtime.names import check_device_name, check_dtype_name, check_engine_name
from solov2.variants import VARIANTS, find_weights_file


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options that choose a model, the device and the engine that run it, and its precision."""
    parser.add_argument("--model", default="nano", help=f"a weights file, or one of: {', '.join(VARIANTS)} (nano)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16 (auto)")
    add_engine_option(parser)
    add_input_size_option(parser)


def check_model_options(options: argparse.Namespace) -> None:
    """Find mistakes in what `add_model_options` added, as far as that can be done without torch.

    Raises:
        UnknownNameError: there is no such model, device, precision or engine.
        MissingExtraError: the engine is not installed.
        CheckpointError: there is no such weights file.
    """
    if options.model not in VARIANTS:
        find_weights_file(options.model)
    check_device_name(options.device)
    check_dtype_name(options.dtype)
    check_engine_name(options.engine)


def areas_of(path: Path | None) -> tuple[Area, ...]:
    """Return the zones and lines in a file; none without one."""
    if path is None:
        return ()
    from app.zones_file import read_areas

    return read_areas(path)


def check_classes(names: frozenset[str] | None, known: Sequence[str]) -> frozenset[str] | None:
    """Return `names`; raise UnknownNameError if one of them is not `known`."""
    for name in sorted(names or ()):
        if name not in known:
            raise UnknownNameError("class", name, known)
    return names


def score(text: str) -> float:
    """Parse a number in [0, 1]."""
    with suppress(ValueError):
        number = float(text)
        if 0 <= number <= 1:
            return number
    raise argparse.ArgumentTypeError(f"must be a number in [0, 1], got {text!r}")


def count(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def retry(text: str) -> Backoff:
    """Parse how often a lost source is opened again."""
    try:
        return parse_retry(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def seconds(text: str) -> float:
    """Parse a number above 0."""
    with suppress(ValueError):
        number = float(text)
        if 0 < number < float("inf"):
            return number
    raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")


def size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT, such as 1280x720; return (width, height)."""
    width, _, height = text.lower().partition("x")
    if width.isdecimal() and height.isdecimal() and int(width) and int(height):
        return int(width), int(height)
    raise argparse.ArgumentTypeError(f"must be WIDTHxHEIGHT, such as 1280x720, got {text!r}")


def four_letters(text: str) -> str:
    """Parse the name of a camera's format."""
    if len(text) == 4 and text.isascii():
        return text.upper()
    raise argparse.ArgumentTypeError(f"must be four letters, such as MJPG, got {text!r}")


def effect(text: str) -> Effect:
    """Parse an effect."""
    try:
        return parse_effect(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def names(text: str) -> frozenset[str]:
    """Parse names between commas, at least one."""
    found = frozenset(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise argparse.ArgumentTypeError("must be names between commas, such as person,cat")
    return found


def moment(text: str) -> float:
    """Parse a time as seconds, minutes:seconds or hours:minutes:seconds; return seconds."""
    seconds = 0.0
    with suppress(ValueError):
        for part in text.split(":"):
            seconds = 60 * seconds + float(part)
        if 0 <= seconds < float("inf") and text.count(":") <= 2 and "-" not in text:
            return seconds
    raise argparse.ArgumentTypeError(f"must be seconds or hours:minutes:seconds, such as 90.5 or 1:30.5, got {text!r}")
