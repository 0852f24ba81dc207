"""A `nano` whose random weights find something everywhere."""

from collections.abc import Sequence

import torch
from torch import nn

from solov2 import VARIANTS, SOLOv2
from solov2.network.dense_head import DenseHead, LevelBranch
from solov2.network.shufflenet import LEAK
from tests.parity.recipe import make_picture

SCORE_SPREAD, SCORE_BIAS = 2.0, -5.0  # standard deviation and mean of each class's logits


def made_nano(class_names: Sequence[str] | None = None, seed: int = 7) -> SOLOv2:
    """Return the network with weights from a seed: medium scores, masks of all shapes."""
    model = SOLOv2(VARIANTS["nano"], class_names)
    head = model.mask_head
    assert isinstance(head, DenseHead)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                assert module.bias is not None
                nn.init.kaiming_normal_(module.weight, LEAK, nonlinearity="leaky_relu")
                nn.init.normal_(module.bias, std=0.1)
        picture = make_picture(60, 96, 1)
        outputs = model.eval()(model.preprocess([picture], model.geometry(picture)))
        for branch, logits in zip(head.branches, outputs.category_logits, strict=True):
            assert isinstance(branch, LevelBranch)
            assert branch.conv_cls.bias is not None
            spread, mean = logits.std((0, 2, 3)), logits.mean((0, 2, 3))  # (C,)
            branch.conv_cls.weight *= (SCORE_SPREAD / spread)[:, None, None, None]
            branch.conv_cls.bias.copy_(SCORE_BIAS + (branch.conv_cls.bias - mean) * SCORE_SPREAD / spread)
            branch.conv_box.weight *= 0.01
        head.mask_feature_head.conv_pred.weight /= outputs.mask_features.std()
        head.kernel_branch.conv_kernel.weight /= outputs.kernels[0].std()
    return model.eval()
