"""`Effect`: what is done to the pixels of a picture, as a value."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

EffectKind: TypeAlias = Literal["blur", "pixelate", "fill", "background-blur", "background", "cut-out"]

KINDS: tuple[EffectKind, ...] = get_args(EffectKind)
HIDING: tuple[EffectKind, ...] = ("blur", "pixelate", "fill")
HIDE_SCORE = 0.1  # what is hidden need not be as certain as what is shown
USAGE = "blur:CLASS, pixelate:CLASS, fill:CLASS, background-blur[:CLASS], background:PICTURE or cut-out[:CLASS]"


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect.

    Attributes:
        kind: "blur", "pixelate" and "fill" hide instances; the others keep instances and change what is around them.
        classes: names of the classes that are hidden or kept; None means all that are shown.
        picture: the file that "background" puts behind the instances.
    """

    kind: EffectKind
    classes: frozenset[str] | None = None
    picture: Path | None = None

    @property
    def hides(self) -> bool:
        """Whether it hides instances."""
        return self.kind in HIDING

    def __str__(self) -> str:
        """Return the text that `parse_effect` reads."""
        rest = str(self.picture) if self.picture is not None else "+".join(sorted(self.classes or ()))
        return f"{self.kind}:{rest}" if rest else self.kind


def parse_effect(text: str) -> Effect:
    """Return the effect that `text` names; see `USAGE`. Several classes stand between plus signs: blur:person+dog.

    Raises:
        ValueError: it names none.
    """
    name, _, rest = text.partition(":")
    is_wrong = name not in KINDS or (not rest and name in (*HIDING, "background"))
    classes = frozenset(part.strip() for part in rest.split("+") if part.strip())
    if is_wrong or (rest and not classes):
        raise ValueError(f"must be {USAGE}, got {text!r}")
    kind = cast("EffectKind", name)
    if kind == "background":
        return Effect(kind, picture=Path(rest))
    return Effect(kind, classes or None)
