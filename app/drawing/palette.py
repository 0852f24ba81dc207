"""Colours that tell instances apart: a hue per class, a shade of it per instance."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

RGB = tuple[int, int, int]

FIRST_HUE_DEGREES = 250.0
GOLDEN_ANGLE_DEGREES = 137.508  # successive multiples never come close to one another
SHADE_DEGREES = (0, 38, -38, 19, -57, 57, -19)
LIGHTNESS = (0.76, 0.68, 0.83)
CHROMA = 0.16
INK: RGB = (16, 18, 24)  # legible on every instance colour: they are all light
PAPER: RGB = (255, 255, 255)

# OKLab to the cube roots of LMS, and LMS to linear sRGB: https://bottosson.github.io/posts/oklab/
_LAB_TO_LMS = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


@cache
def instance_colour(label: int, shade: int) -> RGB:
    """The colour of the instance number `shade` of class `label`; the same pair always has the same colour.

    Classes lie a golden angle apart on the hue circle of OKLCH, where equal steps look equally different; the instances
    of a class fan out on both sides of its hue and alternate in lightness.
    """
    hue = FIRST_HUE_DEGREES + label * GOLDEN_ANGLE_DEGREES + SHADE_DEGREES[shade % len(SHADE_DEGREES)]
    return _oklch_to_rgb(LIGHTNESS[shade % len(LIGHTNESS)], CHROMA, hue)


def instance_colours(labels: npt.NDArray[np.int64], shades: Sequence[int] | None = None) -> list[RGB]:
    """One colour for each of `labels` (N,), which an instance keeps for as long as it keeps its shade, or track id.

    Without shades the first, second, ... instance of a class take its first, second, ... shade.
    """
    if shades is not None:
        return [instance_colour(label, shade) for label, shade in zip(labels.tolist(), shades, strict=True)]
    seen: dict[int, int] = {}
    colours = []
    for label in labels.tolist():
        shade = seen.get(label, 0)
        seen[label] = shade + 1
        colours.append(instance_colour(label, shade))
    return colours


def _oklch_to_rgb(lightness: float, chroma: float, hue_degrees: float) -> RGB:
    hue = np.radians(hue_degrees)
    lms = (_LAB_TO_LMS @ (lightness, chroma * np.cos(hue), chroma * np.sin(hue))) ** 3
    linear = np.clip(_LMS_TO_RGB @ lms, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = np.rint(encoded * 255).astype(int).tolist()
    return red, green, blue
