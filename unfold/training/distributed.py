"""The processes of a training: one, or those that torchrun started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel


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
        if self.size == 1 or any(isinstance(m, FSDPModule) for m in task.modules()):
            return task  # (FSDP takes the means itself.)
        # Some parameters reach no loss: the weights of a dual's last step, say.
        return DistributedDataParallel(task, find_unused_parameters=True)

    def means(self, values: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """Each scalar's mean over the processes."""
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
    """Join the process group that torchrun's environment describes; without it, one process."""
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
