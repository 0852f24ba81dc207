"""What became of an input: kept beside its outputs, told at the end of the run."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.sinks.writable import writing

SUMMARY_NAME = "summary.json"
_HEADINGS = ("input", "frames", "instances", "fps", "result")
_LONGEST_NAME = 40


@dataclass(slots=True)
class Outcome:
    """The state of one input and its outputs.

    Attributes:
        input: what the user calls it.
        frames, instances: in its `instances.jsonl`.
        problem: why not all of it could be read; None if it could. What could be read is there.
        notes: what else a user should know.
        formats: the outputs made from the lines: format to file or folder name.
        effects: with which the annotated video was drawn, as `parse_effect` reads them.
        new_frames, seconds: what this run did, and in which time. Not kept.
        is_new: whether this run made any of the outputs. Not kept.
        is_done: whether every output is whole. Not kept.
    """

    input: str
    frames: int = 0
    instances: int = 0
    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    formats: dict[str, str] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    new_frames: int = 0
    seconds: float = 0.0
    is_new: bool = False
    is_done: bool = False

    @classmethod
    def read(cls, folder: Path, name: str) -> "Outcome":
        """Return what an earlier run kept in `folder`, or that nothing is known about the input called `name`."""
        try:
            kept = json.loads((folder / SUMMARY_NAME).read_bytes())
            effects = kept.get("effects", [])  # files of earlier versions have none
            return cls(
                name, kept["frames"], kept["instances"], kept["problem"], kept["notes"], kept["formats"], effects
            )
        except (OSError, ValueError, KeyError, TypeError):
            return cls(name)

    def save(self, folder: Path) -> None:
        """Keep it in `folder`; raise SinkError if that cannot be written."""
        path = folder / SUMMARY_NAME
        with writing(path):
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(self._kept(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            partial.replace(path)

    def _kept(self) -> dict[str, Any]:
        kept = asdict(self)
        for name in ("new_frames", "seconds", "is_new", "is_done"):
            del kept[name]
        return kept

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "fps": self.fps}

    @property
    def fps(self) -> float:
        """Frames per second of this run."""
        return self.new_frames / self.seconds if self.seconds else 0.0

    @property
    def result(self) -> str:
        """In words: what is there, and what is not."""
        if not self.is_done:
            return f"failed: {self.problem}"
        parts = [f"damaged: {self.problem}"] if self.problem else ["done" if self.is_new else "was done before"]
        return "; ".join([*parts, *self.notes])


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a table, with a line for all of them together."""
    rows = [_HEADINGS, *map(_row, outcomes)]
    if len(outcomes) > 1:
        total = Outcome(f"{len(outcomes)} inputs", is_done=True)
        for one in outcomes:
            total.frames, total.instances = total.frames + one.frames, total.instances + one.instances
            total.new_frames, total.seconds = total.new_frames + one.new_frames, total.seconds + one.seconds
        bad = sum(not one.is_done or one.problem is not None for one in outcomes)
        rows.append((*_row(total)[:-1], f"{bad} with problems" if bad else "all done"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    return "\n".join(_aligned(row, widths) for row in rows)


def _row(one: Outcome) -> tuple[str, ...]:
    name = one.input if len(one.input) <= _LONGEST_NAME else f"...{one.input[3 - _LONGEST_NAME :]}"
    return name, str(one.frames), str(one.instances), f"{one.fps:.1f}" if one.new_frames else "", one.result


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = row[:-1]
    cells = [name.ljust(widths[0]), *(text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True))]
    return "  ".join([*cells, row[-1]]).rstrip()
