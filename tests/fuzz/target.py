"""What a target is, when an input fails, and the list of all targets."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis.strategies import SearchStrategy

from solov2.errors import SOLOv2Error

MAX_MESSAGE_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class Target:
    """One reader, and what is given to it.

    Attributes:
        name: one word, for the command line.
        area: its row in the report; several targets may share one.
        inputs: makes hostile inputs.
        read: gives one input to the reader, and may check by `assert` what comes back.
        errors: what the reader may raise; the message must be one line.
        known: inputs that once failed, tried first.
        examples: how many inputs the short run makes.
        max_mb: how much memory one input may add to the process.
        timeout_seconds: how much of the processor's time one input may take; ten times as much on the clock.
        warm_up: is called once before the tries, which may each have a process of their own.
    """

    name: str
    area: str
    inputs: SearchStrategy[Any]
    read: Callable[[Any], object]
    errors: tuple[type[Exception], ...] = (SOLOv2Error,)
    known: Sequence[Any] = field(default_factory=tuple)
    examples: int = 100
    max_mb: float = 500.0
    timeout_seconds: float = 20.0
    warm_up: Callable[[], object] = lambda: None

    def check(self, value: Any) -> None:
        """Give `value` to the reader.

        Raises:
            AssertionError: the reader refused it with a message that is no single printable line, or what it returned
                is wrong.
            Exception: whatever else than `errors` the reader raised.
        """
        try:
            self.read(value)
        except self.errors as error:
            complaint = bad_message(str(error))
            if complaint:
                text = f"{type(error).__name__} {complaint}: {str(error)[:MAX_MESSAGE_LENGTH]!r}"
                raise AssertionError(text) from error


def bad_message(message: str) -> str | None:
    """Return what is wrong with the message of a user's error, None if nothing is."""
    if not message.strip():
        return "has no message"
    if len(message) > MAX_MESSAGE_LENGTH:
        return f"has a message of {len(message)} characters"
    if not message.isprintable():  # line breaks, control characters and lone surrogates
        return "has a message that is no single printable line"
    return None


def all_targets() -> dict[str, Target]:
    """Return the targets of every module in `tests/fuzz/targets`, by name."""
    from tests.fuzz import targets

    modules = sorted(module.name for module in pkgutil.iter_modules(targets.__path__, f"{targets.__name__}."))
    found = [target for name in modules for target in importlib.import_module(name).TARGETS]
    by_name = {target.name: target for target in found}
    assert len(by_name) == len(found), "two targets have the same name"
    return by_name
