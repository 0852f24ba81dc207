"""The numbers of a training run, and the runs that are worth a name."""

from dataclasses import dataclass
from typing import Literal

from solov2.errors import UnknownNameError
from solov2.image import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that decides how a run goes, beside the data.

    Attributes:
        variant: name of the row in `VARIANTS`.
        epochs: times that every picture is shown.
        batch_size: pictures per step.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        learning_rate: of the head and pyramid, after the warm-up.
        backbone_rate: the backbone's learning rate relative to it.
        weight_decay: of all weights but norms and biases (of all weights with "sgd", as published).
        drops: epochs after which the learning rate falls to a tenth; None means a cosine down to 1 %.
        warmup_steps: steps of linear warm-up.
        clip_norm: most that the gradient's norm may be.
        ema_decay: of the averaged weights that are validated and exported; 0 turns averaging off.
        canvases: network inputs to choose from per batch, the picture scaled by `scale_range` and cut or padded to it;
            None shows whole pictures at one of the variant's `train_short_px`.
        scale_range: of the picture, relative to the size that just fits the canvas.
        colour_jitter: change brightness, contrast, saturation and hue.
        seed: of everything random.
    """

    variant: str
    epochs: int
    batch_size: int = 16
    optimizer: Literal["adamw", "sgd"] = "sgd"
    learning_rate: float = 0.01
    backbone_rate: float = 1.0
    weight_decay: float = 1e-4
    drops: tuple[int, ...] | None = None
    warmup_steps: int = 500
    clip_norm: float = 35.0
    ema_decay: float = 0.0
    canvases: tuple[Size, ...] | None = None
    scale_range: tuple[float, float] = (1.0, 1.0)
    colour_jitter: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what a user can set."""
        for name in ("epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")


PRESETS: dict[str, TrainConfig] = {
    "nano": TrainConfig(
        variant="nano",
        epochs=10,
        batch_size=8,
        optimizer="adamw",
        learning_rate=1e-3,
        backbone_rate=0.2,
        weight_decay=0.02,
        warmup_steps=100,
        ema_decay=0.998,
        canvases=((256, 384), (256, 384), (256, 384), (288, 288), (384, 256)),
        scale_range=(0.6, 1.6),
        colour_jitter=True,
    ),
    "1x": TrainConfig(variant="r50-1x", epochs=12, drops=(8, 11)),
    "3x": TrainConfig(variant="r50", epochs=36, drops=(27, 33)),
    "light-3x": TrainConfig(variant="light-r18", epochs=36, drops=(27, 33)),
}


def find_preset(name: str) -> TrainConfig:
    """Return the preset called `name`.

    Raises:
        UnknownNameError: there is none; the message lists the known ones.
    """
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    return PRESETS[name]
