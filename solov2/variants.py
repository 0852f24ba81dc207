"""Every number that tells one variant from another, one row each, and the thresholds of decoding.

The rows reproduce the configurations published with OpenMMLab's checkpoints; `nano` is this project's own small model,
whose detector began as NanoDet-Plus.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from solov2.errors import CheckpointError, UnknownNameError

COCO_CLASSES: tuple[str, ...] = tuple(
    (
        "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,"
        "parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,"
        "suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,"
        "tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,"
        "hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,"
        "cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
    ).split(",")
)

PIXEL_MEAN = (123.675, 116.28, 103.53)  # RGB, of values 0..255
PIXEL_STD = (58.395, 57.12, 57.375)
SIZE_DIVISOR = 32  # the padded input is a multiple of it
INPUT_SIDES_PX = (32, 4096)  # the least and the most that a side of a picture may have in the network
MASK_STRIDE = 4  # input pixels per pixel of the mask features
COARSE_SIDE = 6  # pixels along each side of the coarse mask that a kernel holds where the head predicts boxes
LEVEL_STRIDES = (8, 8, 16, 32, 32)  # input pixels per feature pixel of the five head levels

Ranges = tuple[tuple[float, float], ...]

FULL_RANGES: Ranges = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))
LIGHT_RANGES: Ranges = ((1, 56), (28, 112), (56, 224), (112, 448), (224, 896))
LIGHT_DCN_RANGES: Ranges = ((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One row: a network, the size it is run at, and where its weights come from.

    Attributes:
        name: our name.
        backbone: torchvision's name of a ResNet, or "shufflenet".
        pyramid: "fpn" over a ResNet's maps, or "ghost-pan" over ShuffleNet's.
        last_stage: 5 where the backbone ends at C5; 4 where it ends at C4 and P5, P6 are strided convolutions of it.
        deformable_backbone: `conv2` of every block of C3..C5 is a modulated deformable convolution.
        deformable_branches: which convolutions of the kernel and category branches are deformable.
        deformable_mask_features: every convolution of the mask-feature branch is deformable.
        fpn_channels: channels of P2..P6.
        branch_channels, branch_depth: of the kernel and category branches.
        mask_feature_channels: channels inside the mask-feature branch.
        mask_channels: E, channels of the mask features.
        norm_groups: groups of every GroupNorm.
        grid_sizes: S of each level; None where the feature maps are the grids, and the head predicts boxes too.
        level_strides: input pixels per feature pixel of each head level.
        scale_ranges: px; a ground truth belongs to every level whose range holds the square root of its box's area.
        long_px, short_px: most that the long and the short side of the resized input may have.
        train_short_px: short sides to choose from in training.
        class_names: what the published or embedded weights know.
        mask_ap: published mask AP in % on COCO val2017, None where none was published.
        weights_file: file name of the published or embedded weights, None where there are none.
    """

    name: str
    backbone: str
    pyramid: Literal["fpn", "ghost-pan"] = "fpn"
    last_stage: Literal[4, 5] = 5
    deformable_backbone: bool = False
    deformable_branches: Literal["none", "last", "all"] = "none"
    deformable_mask_features: bool = False
    fpn_channels: int = 256
    branch_channels: int = 512
    branch_depth: int = 4
    mask_feature_channels: int = 128
    mask_channels: int = 256
    norm_groups: int = 32
    grid_sizes: tuple[int, ...] | None = (40, 36, 24, 16, 12)
    level_strides: tuple[int, ...] = LEVEL_STRIDES
    scale_ranges: Ranges = FULL_RANGES
    long_px: int = 1333
    short_px: int = 800
    train_short_px: tuple[int, ...] = (640, 672, 704, 736, 768, 800)
    class_names: tuple[str, ...] = COCO_CLASSES
    mask_ap: float | None = None
    weights_file: str | None = None

    @property
    def kernel_numbers(self) -> int:
        """D, the numbers of a kernel: one for each mask feature, and 36 of a coarse mask where there are boxes."""
        return self.mask_channels + (COARSE_SIDE**2 if self.grid_sizes is None else 0)


def _light(name: str, backbone: str, mask_ap: float | None, weights_file: str | None) -> Variant:
    """Return a row of the Light family: a thinner head at 448 px."""
    return Variant(
        name=name,
        backbone=backbone,
        branch_channels=256,
        branch_depth=2,
        mask_channels=128,
        scale_ranges=LIGHT_RANGES,
        long_px=768,
        short_px=448,
        train_short_px=(352, 384, 416, 448, 480, 512),
        mask_ap=mask_ap,
        weights_file=weights_file,
    )


def _deformable(name: str, backbone: str, mask_ap: float, weights_file: str) -> Variant:
    """Return a row of the full family with deformable convolutions everywhere."""
    return Variant(
        name=name,
        backbone=backbone,
        deformable_backbone=True,
        deformable_branches="all",
        deformable_mask_features=True,
        mask_ap=mask_ap,
        weights_file=weights_file,
    )


_ROWS = (
    Variant(
        name="nano",
        backbone="shufflenet",
        pyramid="ghost-pan",
        fpn_channels=96,
        mask_feature_channels=64,
        mask_channels=48,
        grid_sizes=None,
        level_strides=(8, 16, 32, 64),
        long_px=480,
        short_px=384,
        train_short_px=(384,),
        weights_file="nano.safetensors",
    ),
    _light("light-r18", "resnet18", 29.7, "solov2_light_r18_fpn_3x_coco_20220511_083717-75fa355b.pth"),
    _light("light-r34", "resnet34", 31.9, "solov2_light_r34_fpn_3x_coco_20220511_091839-e51659d3.pth"),
    _light("light-r50", "resnet50", 33.7, "solov2_light_r50_fpn_3x_coco_20220512_165256-c93a6074.pth"),
    Variant(
        name="light-r50-dcn",
        backbone="resnet50",
        deformable_backbone=True,
        deformable_branches="last",
        branch_channels=256,
        branch_depth=3,
        mask_channels=128,
        scale_ranges=LIGHT_DCN_RANGES,
        long_px=768,
        short_px=448,
        train_short_px=(352, 384, 416, 448, 480, 512),
    ),
    Variant(
        name="r50-1x",
        backbone="resnet50",
        train_short_px=(800,),
        mask_ap=34.8,
        weights_file="solov2_r50_fpn_1x_coco_20220512_125858-a357fa23.pth",
    ),
    Variant(
        name="r50",
        backbone="resnet50",
        mask_ap=37.5,
        weights_file="solov2_r50_fpn_3x_coco_20220512_125856-fed092d4.pth",
    ),
    Variant(
        name="r101",
        backbone="resnet101",
        mask_ap=39.1,
        weights_file="solov2_r101_fpn_3x_coco_20220511_095119-c559a076.pth",
    ),
    _deformable("r101-dcn", "resnet101", 41.2, "solov2_r101_dcn_fpn_3x_coco_20220513_214734-16c966cb.pth"),
    _deformable("x101-dcn", "resnext101_64x4d", 42.4, "solov2_x101_dcn_fpn_3x_coco_20220513_214337-aef41095.pth"),
)

VARIANTS: dict[str, Variant] = {row.name: row for row in _ROWS}


def find_variant(name: str) -> Variant:
    """Return the row called `name`.

    Raises:
        UnknownNameError: there is none; the message lists the known ones.
    """
    if name not in VARIANTS:
        raise UnknownNameError("variant", name, VARIANTS)
    return VARIANTS[name]


def find_weights_file(name: str) -> Path:
    """Return the path of the weights file called `name`, where that is not the name of a variant.

    Raises:
        CheckpointError: there is no such file.
        UnknownNameError: it looks like a variant's name, and there is no such variant either.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix or len(path.parts) > 1:
        raise CheckpointError(f"no such weights file: {path}. A variant's name works too: {', '.join(VARIANTS)}")
    raise UnknownNameError("variant", name, VARIANTS)
