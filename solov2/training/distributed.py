"""Several processes that train together, one a GPU, as `torchrun` starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from solov2.runtime.device import find_device

_TIMEOUT = timedelta(hours=3)  # the others wait while the first one validates


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: 0 for the first one, which writes, prints and validates.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes, prints and validates."""
        return self.rank == 0

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of every process's `value`."""
        if self.count == 1:
            return value
        total = value.clone()
        torch.distributed.all_reduce(total)
        return total

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.count > 1:
            torch.distributed.barrier()

    def connect(self, model: nn.Module) -> nn.Module:
        """Return what runs `model` and averages its gradients over the processes."""
        return model if self.count == 1 else DistributedDataParallel(model, broadcast_buffers=False)


ALONE = Processes()


@contextmanager
def joined_processes(device_name: str) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes that `torchrun` started, if it did; yield them and the device of this one.

    Args:
        device_name: "auto", "cpu", "cuda" or "cuda:N"; with several processes each takes the GPU of its number.
    """
    device = find_device(device_name)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE, device
        return
    if device.type == "cuda":
        device = find_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        yield Processes(torch.distributed.get_rank(), count), device
    finally:
        torch.distributed.destroy_process_group()
