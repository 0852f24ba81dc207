"""What each line of an `instances.jsonl` must hold, checked by pydantic before anything else sees it."""

from fractions import Fraction
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pycocotools import mask as coco_mask
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from solov2.masks.rle import MAX_PIXELS, check_rle

FORMAT = "solov2-live/1"

Index = Annotated[int, Field(ge=0, lt=2**63)]
Ticks = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Side = Annotated[int, Field(ge=1, le=MAX_PIXELS)]
Number = int | FiniteFloat  # an int stays one


def _checked_time_base(text: str) -> str:
    numerator, _, denominator = text.partition("/")
    if not all(part.isascii() and part.isdecimal() and len(part) < 20 for part in (numerator, denominator)):
        raise ValueError(f"must be two whole numbers such as 1/90000, got {text[:60]!r}")
    if not int(numerator) or not int(denominator):
        raise ValueError(f"must be more than 0, got {text!r}")
    return text


def _checked_name(name: str) -> str:
    """Return a picture's name if what is called like it stays within a folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name or "\0" in name:
        raise ValueError(f"{name[:60]!r} leads out of its folder, or is no name")
    return str(path)


class _Line(BaseModel):
    """A line may hold more than is read: what a newer version adds."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class HeaderLine(_Line):
    """The first line."""

    format: Literal["solov2-live/1"]
    source: str
    width: Side
    height: Side
    classes: list[str]
    time_base: Annotated[str, AfterValidator(_checked_time_base)]
    frame_rate: Number | None = None

    def seconds_per_tick(self) -> Fraction:
        """Return the time base as a number."""
        return Fraction(self.time_base)


class InstanceLine(_Line):
    """An instance of a frame."""

    category_id: Index
    score: Number
    bbox: Annotated[list[Number], Field(min_length=4, max_length=4)]
    area: Index
    segmentation: dict[str, Any]
    track_id: Index | None = None


class FrameLine(_Line):
    """Any other line."""

    frame: Index
    pts: Ticks
    seconds: Number
    instances: list[InstanceLine]
    width: Side | None = None
    height: Side | None = None
    file_name: Annotated[str, AfterValidator(_checked_name)] | None = None

    def check_instances(self, header: HeaderLine) -> None:
        """Check what the header says more about, and bring every mask into the form that is safe to decode.

        Raises:
            ValueError: a category is none of the header's, or a mask is broken, empty, or of another size.
        """
        size = self.height or header.height, self.width or header.width
        for number, instance in enumerate(self.instances):
            if not 1 <= instance.category_id <= len(header.classes):
                raise ValueError(
                    f"category_id {instance.category_id} is none of the header's {len(header.classes)} classes"
                )
            try:
                instance.segmentation = check_rle(instance.segmentation, size)
            except ValueError as error:
                raise ValueError(f"instances.{number}.segmentation: {error}") from error
            if instance.area and not coco_mask.area(instance.segmentation):
                raise ValueError(f"instances.{number}.segmentation: no pixel, but an area of {instance.area}")


AnyLine = TypeVar("AnyLine", HeaderLine, FrameLine)


def parse_line(kind: type[AnyLine], text: bytes) -> AnyLine:
    """Return a line of this kind.

    Raises:
        ValueError: it is not one; the message says in a few words which field is wrong.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        flaw = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, flaw["loc"]))
        if flaw["type"] == "missing":
            raise ValueError(f"lacks {place!r}") from None
        raise ValueError(f"{place}: {flaw['msg']}" if place else flaw["msg"]) from None
