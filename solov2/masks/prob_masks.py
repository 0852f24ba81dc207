"""Masks as probabilities at stride 4 of the network's input, where they are 50 times smaller than in an HD picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from solov2.decoding.geometry import Geometry
from solov2.masks.mask_crop import EMPTY, MaskCrop, trimmed
from solov2.masks.mask_form import ByteArray, FloatArray, MaskForm
from solov2.masks.painting import paint
from solov2.masks.rle import IntArray
from solov2.pixels import bounding_rect, multiply


class ProbMasks(MaskForm):
    """Mask probabilities at stride 4; boxes and the id map of those on CUDA are computed there.

    Attributes:
        probs: (N, h, w), on the device that computed them.
        geometry: how stride 4 relates to the picture.
        threshold: a pixel belongs to a mask above it.
    """

    def __init__(self, probs: Tensor, geometry: Geometry, threshold: float = 0.5) -> None:
        """Keep the parts.

        Raises:
            ValueError: the probabilities are not those of the geometry's padded input.
        """
        if probs.shape[1:] != geometry.mask_hw:
            raise ValueError(
                f"mask_probs must be (N, {geometry.mask_hw[0]}, {geometry.mask_hw[1]}), got {tuple(probs.shape)}"
            )
        self.probs, self.geometry, self.threshold = probs, geometry, threshold
        self.image_hw = geometry.image_hw
        self._complete = torch.cuda.current_stream(probs.device).record_event() if probs.is_cuda else None

    def __len__(self) -> int:
        """Return N."""
        return len(self.probs)

    def select(self, index: IntArray) -> "ProbMasks":
        """Return the masks that `index` picks."""
        with self._beside_the_network():
            picked = self.probs[torch.from_numpy(np.ascontiguousarray(index)).to(self.probs.device)]
            return ProbMasks(picked, self.geometry, self.threshold)

    def make_crops(self) -> list[MaskCrop]:
        """Enlarge each mask inside its bounding box."""
        return [self._crop(one, 1) for one in self.on_host]

    def sampled_crops(self, step: int) -> list[MaskCrop]:
        """Return each mask at every `step`-th row and column, in units of `step` pixels; only these are computed."""
        return [self._crop(one, step) for one in self.on_host]

    @cached_property
    def boxes(self) -> FloatArray:
        """(N, 4) float32 xyxy."""
        return self._painted[0] if self.probs.is_cuda else super().boxes

    @cached_property
    def id_map(self) -> ByteArray:
        """(H, W) uint8."""
        return self._painted[1] if self.probs.is_cuda else super().id_map

    @cached_property
    def _painted(self) -> tuple[FloatArray, ByteArray]:
        with self._beside_the_network():
            boxes, id_map = paint(self.probs, self.geometry, self.threshold)
            return boxes.cpu().numpy(), id_map.cpu().numpy()

    @cached_property
    def on_host(self) -> FloatArray:
        """(N, h, w) float32: the probabilities in the computer's own memory."""
        with self._beside_the_network():
            return self.probs.float().cpu().numpy()

    @contextmanager
    def _beside_the_network(self) -> Iterator[None]:
        """Run the block's CUDA work after that which made the masks, and wait for it, but for nothing queued later.

        In the usual stream the block would wait for the network's work on the next frame.
        """
        if self._complete is None:
            yield
            return
        stream = torch.cuda.Stream(self.probs.device)  # type: ignore[no-untyped-call]
        stream.wait_event(self._complete)
        with torch.cuda.stream(stream):
            yield
        stream.synchronize()

    def _crop(self, probs: FloatArray, step: int) -> MaskCrop:
        """Enlarge only the part of `probs` (h, w) that can lie above the threshold, and cut it to its bounding box."""
        left, top, width, height = bounding_rect(probs > self.threshold)
        rows, columns = self.geometry.rows, self.geometry.columns
        ys, row_taps = rows.reach(top, top + height, step)
        xs, column_taps = columns.reach(left, left + width, step)
        part = probs[row_taps, column_taps]
        if not width or not part.size:
            return EMPTY
        # Not by BLAS: its threads would spin after every product of this size, and take a core from the network.
        tall = multiply(rows.matrix[ys, row_taps], part)  # (lines, taps)
        values = multiply(tall, columns.matrix[xs, column_taps], transpose_right=True)
        crop = trimmed(np.greater(values, self.threshold), ys.start // step, xs.start // step)
        return MaskCrop(crop.top, crop.left, np.ascontiguousarray(crop.mask))
