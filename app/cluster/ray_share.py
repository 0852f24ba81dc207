"""How many workers a cluster holds, and which part of a machine each gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.cluster.ray_address import RayError

CPUS_PER_WORKER = 4


@dataclass(frozen=True, slots=True)
class Share:
    """How many workers there are, and the CPUs and GPUs of each."""

    workers: int
    cpus: int
    gpus: int


def choose_share(nodes: Sequence[Mapping[str, float]], wanted: int | None, device: str) -> Share:
    """Return one worker for each GPU, or for each `CPUS_PER_WORKER` CPUs where there is no GPU or it is not wanted.

    Args:
        nodes: the "CPU" and "GPU" of each machine.
        wanted: how many workers; None lets the machines decide. Fewer than fit get more CPUs each.
        device: as `--device` names it.

    Raises:
        RayError: so many do not fit, or there is no GPU where one is asked for.
    """
    gpus = 0 if device == "cpu" else int(sum(node.get("GPU", 0) for node in nodes))
    if device.startswith("cuda") and not gpus:
        raise RayError(f"--device {device} needs a GPU, and the Ray cluster has none: use --device cpu")
    if gpus:
        if (workers := wanted or gpus) > gpus:
            raise RayError(f"--ray-workers must be at most the cluster's {gpus} GPUs, got {workers}")
        per_gpu = min(node.get("CPU", 0) // node["GPU"] for node in nodes if node.get("GPU", 0))
        return Share(workers, max(1, int(per_gpu)), 1)
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    if not sum(cpus):
        raise RayError("the Ray cluster has no CPUs for workers: start one with: ray start --num-cpus N")
    if wanted is None:
        share = min(CPUS_PER_WORKER, max(cpus))
        return Share(_fitting(cpus, share), share, 0)
    share = next((share for share in range(max(cpus), 0, -1) if _fitting(cpus, share) >= wanted), 0)
    if not share:
        raise RayError(f"--ray-workers must be at most the cluster's {sum(cpus)} CPUs, got {wanted}")
    return Share(wanted, share, 0)


def _fitting(cpus: Sequence[int], share: int) -> int:
    return sum(count // share for count in cpus)
