"""The network in one expression, and the way from pictures to instances."""

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor, nn

from solov2.decoding.decode import decode_batch
from solov2.decoding.decode_config import DecodeConfig
from solov2.decoding.geometry import Geometry, check_image, preprocess
from solov2.instances import Instances
from solov2.network.architecture import make_backbone, make_head, make_pyramid
from solov2.network.outputs import HeadOutputs
from solov2.pixels import Image
from solov2.variants import Variant


class SOLOv2(nn.Module):
    """A backbone, a feature pyramid and a head; attribute names are those of OpenMMLab's checkpoints.

    Attributes:
        variant: the row of numbers that it was built from.
        class_names: the name of each label.
    """

    def __init__(self, variant: Variant, class_names: Sequence[str] | None = None) -> None:
        """Build the untrained network of `variant`; `class_names` None means the variant's own."""
        super().__init__()
        self.variant = variant
        self.class_names = tuple(class_names or variant.class_names)
        self.backbone = make_backbone(variant)
        channels = self.backbone.out_channels
        self.neck = make_pyramid(variant, channels)
        self.mask_head = make_head(variant, channels, len(self.class_names))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return next(self.parameters()).dtype

    @property
    def memory_format(self) -> torch.memory_format:
        """How its tensors should lie in memory: channels last, which is faster.

        Deformable convolutions magnify the rounding in which the two orders differ, so in float32 networks with them
        keep the reference's.
        """
        is_exact = self.variant.deformable_backbone and self.dtype == torch.float32
        return torch.contiguous_format if is_exact else torch.channels_last

    def forward(self, images: Tensor) -> HeadOutputs:
        """Return the outputs for (B, 3, H, W) normalised images whose sides are multiples of 32."""
        outputs: HeadOutputs = self.mask_head(self.neck(self.backbone(images)))
        return outputs

    def geometry(self, image: Image) -> Geometry:
        """Return how (H, W, 3) `image` is brought to the variant's input size.

        Raises:
            ValueError: it is not such an array.
        """
        height, width = check_image(image).shape[:2]
        return Geometry.fit((height, width), self.variant.long_px, self.variant.short_px)

    def preprocess(self, images: Sequence[Image], geometry: Geometry) -> Tensor:
        """Return the (B, 3, H, W) input of pictures that share one geometry, in the model's precision."""
        batch = torch.stack([preprocess(image, geometry, self.device) for image in images])
        return batch.to(self.dtype, memory_format=self.memory_format)

    @overload
    def predict(self, images: Image, config: DecodeConfig | None = None) -> Instances: ...

    @overload
    def predict(self, images: Sequence[Image], config: DecodeConfig | None = None) -> list[Instances]: ...

    @torch.inference_mode()
    def predict(
        self, images: Image | Sequence[Image], config: DecodeConfig | None = None
    ) -> Instances | list[Instances]:
        """Segment one picture or several.

        Pictures of one size run in one batch; those of another run after them, because padding them further would
        change what the network sees. The result does not depend on the other images.

        Args:
            images: one (H, W, 3) uint8 RGB array, or a list of them.
            config: thresholds; None means the reference's.

        Returns:
            The instances of the picture, or a list with those of each.

        Raises:
            ValueError: an image is not such an array.
        """
        if not isinstance(images, Sequence):
            return self.predict([images], config)[0]
        geometries = [self.geometry(image) for image in images]
        found: dict[int, Instances] = {}
        for geometry in dict.fromkeys(geometries):
            members = [i for i, other in enumerate(geometries) if other == geometry]
            outputs = self(self.preprocess([images[i] for i in members], geometry))
            found.update(zip(members, decode_batch(outputs, geometry, config), strict=True))
        return [found[i] for i in range(len(images))]
