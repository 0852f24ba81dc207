"""What the network says about a batch of images."""

from dataclasses import dataclass

from torch import Tensor

from solov2.variants import LEVEL_STRIDES


@dataclass(frozen=True, slots=True)
class HeadOutputs:
    """What the network says about B images, before any decision.

    Attributes:
        category_logits: per level (B, C, S, S).
        kernels: per level (B, D, S, S); each cell's first E numbers are a 1x1 convolution over the mask features, and
            with boxes the 36 further ones are a coarse mask of its box (`decoding.mask_logits`).
        mask_features: (B, E, h, w) at stride 4.
        boxes: per level (B, 4, S, S) xyxy in input pixels, to which masks are cut; None where the head predicts none.
        strides: input pixels per feature pixel of each level.
    """

    category_logits: list[Tensor]
    kernels: list[Tensor]
    mask_features: Tensor
    boxes: list[Tensor] | None = None
    strides: tuple[int, ...] = LEVEL_STRIDES

    def of_image(self, index: int) -> "HeadOutputs":
        """Return the outputs of one image of the batch, still with a batch axis of length 1."""
        one = slice(index, index + 1)
        return HeadOutputs(
            [level[one] for level in self.category_logits],
            [level[one] for level in self.kernels],
            self.mask_features[one],
            None if self.boxes is None else [level[one] for level in self.boxes],
            self.strides,
        )
