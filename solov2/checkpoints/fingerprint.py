"""Which weights a model has, in few characters."""

import hashlib

import torch

from solov2.network.model import SOLOv2


def weights_fingerprint(model: SOLOv2) -> str:
    """Return sixteen hexadecimal digits that change with any weight or its precision."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
