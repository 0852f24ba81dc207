"""The numbers of a training run, and the runs that are worth a name."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from solov2.errors import UnknownNameError
from solov2.variants import VARIANTS

if TYPE_CHECKING:
    from solov2.pixels import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that decides how a run goes, beside the data.

    Attributes:
        variant: name of the row in `VARIANTS`.
        epochs: parts of the run, each followed by a validation.
        repeats: times that an epoch shows every picture.
        crowd_exponent: a picture of n instances is shown n**crowd_exponent times as often as one of a single instance,
            rounded; 0 shows all equally often.
        batch_size: pictures per step.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        learning_rate: of the head and pyramid, after the warm-up.
        backbone_rate: the learning rate of the `slow` parts relative to it.
        slow: names of the parts that began with trained weights, such as "backbone" or "mask_head.branches".
        frozen: names of the parts that are not trained.
        keeps: classes for which the starting weights' own scores are what is wanted wherever no annotation says
            otherwise: those that the data do not name, or all, where their annotations are incomplete; only for heads
            that predict boxes.
        weight_decay: of all weights but norms and biases (of all weights with "sgd", as published).
        drops: epochs after which the learning rate falls to a tenth; None means a cosine down to 1 %.
        warmup_steps: steps of linear warm-up.
        clip_norm: most that the gradient's norm may be.
        ema_decay: of the averaged weights that are validated and exported; 0 turns averaging off.
        canvases: network inputs to choose from per batch, the picture scaled by `scale_range` and cut or padded to it;
            None shows whole pictures at one of the variant's `train_short_px`.
        scale_range: of the picture, relative to the size that just fits the canvas.
        mosaic: share of the shown pictures that become one of four on a canvas, each in a quarter of it: instances are
            smaller, and more of them. Only with `canvases`.
        colour_jitter: change brightness, contrast, saturation and hue.
        seed: of everything random.
    """

    variant: str
    epochs: int
    repeats: int = 1
    crowd_exponent: float = 0.0
    batch_size: int = 16
    optimizer: Literal["adamw", "sgd"] = "sgd"
    learning_rate: float = 0.01
    backbone_rate: float = 1.0
    slow: tuple[str, ...] = ("backbone",)
    frozen: tuple[str, ...] = ()
    keeps: Literal["nothing", "other classes", "all classes"] = "nothing"
    weight_decay: float = 1e-4
    drops: tuple[int, ...] | None = None
    warmup_steps: int = 500
    clip_norm: float = 35.0
    ema_decay: float = 0.0
    canvases: tuple[Size, ...] | None = None
    scale_range: tuple[float, float] = (1.0, 1.0)
    mosaic: float = 0.0
    colour_jitter: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what a user can set."""
        for name in ("epochs", "batch_size", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")


DETECTOR = ("backbone", "neck", "mask_head.branches")  # the parts of `nano` that came from NanoDet-Plus

FIRST_STAGES = ("backbone.stem", "backbone.stages.0")
_CANVASES_480 = ((288, 480), (320, 480), (384, 480), (384, 384), (480, 384))
_NANO_416 = TrainConfig(
    variant="nano",
    epochs=10,
    crowd_exponent=0.5,
    batch_size=8,
    optimizer="adamw",
    learning_rate=1e-3,
    backbone_rate=0.1,
    slow=DETECTOR,
    weight_decay=0.02,
    warmup_steps=100,
    ema_decay=0.998,
    canvases=((256, 416), (256, 416), (320, 416), (320, 320), (416, 320)),
    scale_range=(0.75, 1.6),
    mosaic=0.3,
    colour_jitter=True,
)

PRESETS: dict[str, TrainConfig] = {
    "nano-masks": replace(_NANO_416, epochs=12, learning_rate=2e-3, frozen=DETECTOR),
    "nano-416": replace(_NANO_416, epochs=4, keeps="all classes", frozen=FIRST_STAGES),
    "nano": replace(
        _NANO_416, epochs=6, learning_rate=6e-4, keeps="all classes", frozen=FIRST_STAGES, canvases=_CANVASES_480
    ),
    "1x": TrainConfig(variant="r50-1x", epochs=12, drops=(8, 11)),
    "3x": TrainConfig(variant="r50", epochs=36, drops=(27, 33)),
    "light-3x": TrainConfig(variant="light-r18", epochs=36, drops=(27, 33)),
}
"""What can be trained by name.

- "nano-masks", "nano-416", "nano", one after the other: a model for CPUs, from NanoDet-Plus's detector. The first
  trains kernels and mask features alone, which is cheap; the second everything, while the detector's own scores keep
  what it knows; the third does the same with larger pictures. What the embedded weights reached, on what and in how
  long stands in their model card.
- "1x", "3x", "light-3x": the published schedules, for COCO train2017. `published_ap` says what each variant reached
  with its schedule, in mask AP on val2017; nobody has repeated that with this code yet.
"""

FINE_TUNING_SHOWN = (3200, 16_000)  # pictures that a fine-tuning shows in all, at least and at most
FINE_TUNING_VALIDATIONS = 10


def preset_of(variant: str) -> str:
    """Return the name of the preset that `variant` was made with."""
    if variant == "nano":
        return "nano"
    if variant.startswith("light-"):
        return "light-3x"
    return "1x" if variant.endswith("-1x") else "3x"


def published_ap() -> str:
    """Return a line for each variant but `nano`: the options that ask for its schedule, and the published mask AP."""
    lines = []
    for name, row in VARIANTS.items():
        if name != "nano":
            reached = "none published" if row.mask_ap is None else f"{row.mask_ap:.1f}"
            lines.append(f"  --preset {preset_of(name):<9} --variant {name:<14}{reached}")
    return "\n".join(lines)


def fine_tuning(config: TrainConfig, pictures: int, **given: Any) -> TrainConfig:
    """Return `config` changed for going on from trained weights with a set of `pictures` pictures, and as `given`.

    - Every picture is shown 40 times, but 3,200 are shown in all at least, and 16,000 at most, which `nano` manages in
      an hour on two cores that compute in bfloat16 (AVX-512). A set of more than 16,000 is shown once.
    - AP is measured up to 10 times, so an epoch of a small set shows every picture several times.
    - AdamW with 3e-4 for `nano`, whose training began at 1e-3, and 1e-4 for the larger ones; the backbone moves at a
      fifth of that. Linear warm-up over the first tenth, at most 100 steps; then a cosine.
    - 8 pictures a step for `nano`, 4 for the larger ones; averaged weights; colours changed.
    """
    least, most = FINE_TUNING_SHOWN
    batch_size = 8 if config.variant == "nano" else 4
    passes = max(min(max(40 * pictures, least), most) // pictures, 1)
    epochs = min(passes, FINE_TUNING_VALIDATIONS)
    repeats = passes // epochs
    tuned = replace(
        config,
        epochs=epochs,
        repeats=repeats,
        crowd_exponent=0.0,
        batch_size=batch_size,
        optimizer="adamw",
        learning_rate=3e-4 if config.variant == "nano" else 1e-4,
        backbone_rate=0.2,
        weight_decay=0.02,
        drops=None,
        mosaic=0.0,
        ema_decay=0.998,
        colour_jitter=True,
        slow=tuple(part for part in config.slow if part in ("backbone", "neck")),
        keeps="nothing" if config.keeps == "nothing" else "other classes",
    )
    tuned = replace(tuned, **given)
    steps = tuned.epochs * tuned.repeats * pictures // tuned.batch_size
    return replace(tuned, warmup_steps=min(steps // 10, 100))


def find_preset(name: str) -> TrainConfig:
    """Return the preset called `name`.

    Raises:
        UnknownNameError: there is none; the message lists the known ones.
    """
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return PRESETS[name]
