"""The whole way from a picture to instances as one graph of fixed shapes, which other libraries can run."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from solov2.decoding.decode import rank, top_candidates
from solov2.decoding.decode_config import DecodeConfig
from solov2.decoding.geometry import Geometry, normalisation
from solov2.network.model import SOLOv2

INPUT_NAME = "image"
OUTPUT_NAMES = ("scores", "labels", "masks", "candidate_count")


class WholeNetwork(nn.Module):
    """Normalising, padding, the network, and decoding of the best candidates.

    Shape: (h, w, 3) uint8 RGB, the picture resized to `geometry.resized_hw`, to scores (N,) float32, best first, 0 for
    nothing; labels (N,) int64; masks (N, H/4, W/4), probabilities at stride 4 of the padded input; and the number of
    candidates above the threshold, () int64. While it is at most `max_candidates`, the instances are those of torch.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: SOLOv2, geometry: Geometry, max_candidates: int, config: DecodeConfig) -> None:
        """Copy `model` to the CPU in float32."""
        super().__init__()
        cpu = torch.device("cpu")
        self.model = copy.deepcopy(model).to(cpu, torch.float32)
        self.max_candidates, self.config = max_candidates, config
        mean, std = normalisation(cpu)
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())
        (height, width), (padded_height, padded_width) = geometry.resized_hw, geometry.padded_hw
        self.padding = (0, padded_width - width, 0, padded_height - height)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return scores, labels, masks and the number of candidates."""
        pixels = (image.permute(2, 0, 1).float() - self.mean) / self.std
        outputs = self.model(F.pad(pixels, self.padding)[None])
        candidates, count = top_candidates(outputs, self.config, self.max_candidates)
        ranked = rank(candidates, outputs.mask_features[0], self.config)
        return ranked.scores, ranked.labels, ranked.probs, count
