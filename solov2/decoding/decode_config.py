"""The thresholds of decoding."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeConfig:
    """Thresholds between the network's outputs and instances; the defaults are the reference's.

    Attributes:
        score_threshold: a (cell, label) is a candidate above it (elsewhere: score_thr).
        mask_threshold: a pixel belongs to a mask above it (mask_thr).
        final_score_threshold: an instance is kept at or above it, after maskness and Matrix NMS (filter_thr).
        max_before_nms: the best so many go into Matrix NMS (nms_pre).
        max_instances: most instances of one picture (max_per_img).
        method: how an overlap turns into decay (kernel).
        gaussian_sigma: of the Gaussian decay exp(-sigma * iou^2) (sigma).
    """

    score_threshold: float = 0.1
    mask_threshold: float = 0.5
    final_score_threshold: float = 0.05
    max_before_nms: int = 500
    max_instances: int = 100
    method: Literal["gaussian", "linear"] = "gaussian"
    gaussian_sigma: float = 2.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("score_threshold", "mask_threshold", "final_score_threshold"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}")
        for name in ("max_before_nms", "max_instances"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.method not in ("gaussian", "linear"):
            raise ValueError(f"method must be 'gaussian' or 'linear', got {self.method!r}")
