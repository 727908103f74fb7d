"""Sharding: parameters, gradients and moments cut over processes, by torch's FSDP2."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from unfold.core import Prior
from unfold.restorer import Restoration

from .error import TrainingError


def shard(model: nn.Module, device: torch.device, size: int) -> None:
    """Cut a model's parameters over all processes, in place.

    Each learned prior is gathered for its own computation and let go after it; all other
    parameters are gathered together for the model's.

    Args:
        model: on the device.
        device: of this process.
        size: how many processes there are.

    Raises:
        TrainingError: a parameter has no axis to cut along.
    """
    scalars = [name for name, p in model.named_parameters() if not p.ndim]
    if scalars:
        raise TrainingError(
            f"parallel: fsdp cannot shard parameters of shape (): {', '.join(scalars)}; give them "
            "the shape (1,), or train with parallel = ddp"
        )
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
    """Let torch find the tensors in a restoration: their gradients set off the gathering."""
    torch.export.register_dataclass(Restoration)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with shards put together; where there are any, all processes must call it."""
    return {n: t.full_tensor() if isinstance(t, DTensor) else t for n, t in tensors.items()}


def cut_like(tensor: Tensor, model: Tensor | None) -> Tensor:
    """A whole tensor, cut as the model is, if that is cut and of the same shape."""
    if isinstance(model, DTensor) and model.shape == tensor.shape:
        return distribute_tensor(tensor, model.device_mesh, model.placements)
    return tensor
