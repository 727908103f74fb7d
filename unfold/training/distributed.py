"""The processes of a training: a single process, or those of torchrun; and their shards."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unfold.core import Prior
from unfold.restorer import Restoration

from .error import TrainingError


@dataclass(frozen=True)
class Distributed:
    """Rank, number and device of the processes of a training."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def wrap(self, task: nn.Module) -> nn.Module:
        """The task; with several processes, its gradients are averaged over all of them."""
        if self.size == 1:
            return task
        from torch.distributed.fsdp import FSDPModule

        if any(isinstance(m, FSDPModule) for m in task.modules()):
            return task  # (FSDP averages the gradients itself.)
        # Some parameters affect no loss, such as the weights of a dual's last step.
        return DistributedDataParallel(task, find_unused_parameters=True)

    def means(self, values: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """The mean of each scalar over the processes."""
        together = torch.stack([value.detach().double() for value in values.values()])
        if self.size > 1:
            dist.all_reduce(together)
            together /= self.size
        return dict(zip(values, together.tolist(), strict=True))

    def wait(self) -> None:
        """Block until all processes arrive."""
        if self.size > 1:
            dist.barrier()


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Distributed]:
    """Join the process group of torchrun's environment; without torchrun, a single process."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Distributed(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Distributed(device, dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def shard(model: nn.Module, device: torch.device, size: int) -> None:
    """Shard the parameters of a model over all processes, in place.

    The parameters of each learned prior are gathered for its computation and released afterwards.
    All other parameters are gathered together for the computation of the model.

    Args:
        model: the model, on the device.
        device: device of this process.
        size: number of processes.

    Raises:
        TrainingError: if a parameter has no axis.
    """
    scalars = [name for name, p in model.named_parameters() if not p.ndim]
    if scalars:
        raise TrainingError(
            f"parallel: fsdp cannot shard parameters of shape (): {', '.join(scalars)}; give them "
            "the shape (1,), or train with parallel = ddp"
        )
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    _as_output()
    # Cropped pictures are views. We change none in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    mesh = init_device_mesh(device.type, (size,))
    for module in reversed(list(model.modules())):  # inner ones first, as it must be
        if isinstance(module, Prior) and next(module.parameters(), None) is not None:
            fully_shard(module, mesh=mesh)
    # The outermost too lets go after its forward: a validation must leave no gathered parameters.
    fully_shard(model, mesh=mesh, reshard_after_forward=True)


@functools.cache
def _as_output() -> None:
    """Register restorations as outputs, whose gradients trigger the gathering."""
    torch.export.register_dataclass(Restoration)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The unsharded tensors. If there are shards, all processes must call it."""
    return {name: gathered(tensor) for name, tensor in tensors.items()}


def gathered(tensor: Tensor) -> Tensor:
    """The unsharded tensor. If it is a shard, all processes must call it."""
    # (A plain tensor is recognized without the import of torch.distributed.tensor, which is slow.)
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[operator]


def cut_like(tensor: Tensor, model: Tensor | None) -> Tensor:
    """A tensor sharded like that of the model, if that is sharded and has the same shape."""
    if model is None or not hasattr(model, "full_tensor") or model.shape != tensor.shape:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(model, DTensor)
    return distribute_tensor(tensor, model.device_mesh, model.placements)
