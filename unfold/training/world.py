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
class World:
    """Which process this is, of how many, and where it computes."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def wrap(self, player: nn.Module) -> nn.Module:
        """The player; of several processes, with gradients that are means over all of them."""
        if self.size == 1 or any(isinstance(m, FSDPModule) for m in player.modules()):
            return player  # (FSDP takes the means itself.)
        # Some parameters reach no loss: the weights of a dual's last step, say.
        return DistributedDataParallel(player, find_unused_parameters=True)

    def means(self, values: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """Each scalar's mean over the processes."""
        together = torch.stack([value.detach().double() for value in values.values()])
        if self.size > 1:
            dist.all_reduce(together)
            together /= self.size
        return dict(zip(values, together.tolist(), strict=True))

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            dist.barrier()


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """The world that torchrun's variables tell of; without them, this process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(device, dist.get_rank(), size)
    finally:
        dist.destroy_process_group()
