"""Where a training starts from: an ImageNet backbone, or a whole model with the same or other classes."""

import sys
from pathlib import Path

from torch import Tensor

from solov2.checkpoints.checkpoint import read_checkpoint
from solov2.checkpoints.identify import class_count, fit_state_dict, is_by_class
from solov2.checkpoints.nanodet import is_nanodet, load_nanodet
from solov2.errors import CheckpointError, DownloadError
from solov2.network.model import SOLOv2


def load_backbone(model: SOLOv2, path: Path | None) -> None:
    """Fill the backbone from `path` (torchvision's key names), or from torchvision's ImageNet weights, downloaded once.

    Tensors that the file lacks keep their random start; what and how many is said on standard error.

    Raises:
        CheckpointError: the file cannot be read, or has nothing for this backbone.
        DownloadError: there is no network, or the file's hash is wrong.
    """
    weights = read_checkpoint(path).state_dict if path else _imagenet_weights(model.variant.backbone)
    own = model.backbone.state_dict()
    usable = {name: tensor for name, tensor in weights.items() if name in own and tensor.shape == own[name].shape}
    if not usable:
        raise CheckpointError(
            f"{path} has no tensor for a {model.variant.backbone}: it names {', '.join(list(weights)[:3])}"
        )
    missing = [name for name in own if name not in usable and not name.endswith("num_batches_tracked")]
    if missing:
        print(f"backbone: {len(missing)} of {len(own)} tensors start at random, such as {missing[0]}", file=sys.stderr)
    model.backbone.load_state_dict(usable, strict=False)


def _imagenet_weights(backbone: str) -> dict[str, Tensor]:
    import torchvision  # a second to import, for those who start from its weights alone

    weights = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"]
    try:
        state_dict: dict[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise DownloadError(
            f"could not download {weights.url}: {error}. Fetch it by hand and name it with --backbone FILE"
        ) from error
    return state_dict


def load_initial_weights(model: SOLOv2, path: Path) -> None:
    """Fill `model` from a checkpoint of the same variant; classes are matched by name.

    A class that both know takes over its category weights, a new one starts as in a fresh training.

    Raises:
        CheckpointError: the file cannot be read, or is of another variant.
    """
    checkpoint = read_checkpoint(path)
    if is_nanodet(checkpoint.state_dict):
        load_nanodet(model, checkpoint.state_dict)
        return
    state_dict = dict(checkpoint.state_dict)
    for name in filter(is_by_class, model.state_dict()):
        own = model.state_dict()[name].clone()
        theirs = state_dict.get(name)
        if theirs is not None and theirs.shape == (class_count(checkpoint, model.variant.name), *own.shape[1:]):
            for label, class_name in enumerate(model.class_names):
                if class_name in (checkpoint.class_names or ()):
                    own[label] = theirs[(checkpoint.class_names or ()).index(class_name)]
            state_dict[name] = own
    model.load_state_dict(fit_state_dict(state_dict, model))
