"""A digest that identifies a module's weights."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn


def tensors_digest(module: nn.Module) -> str | None:
    """SHA-256 of the names, dtypes, shapes and values of a module's tensors, including plain
    attributes; None if it has no tensors."""
    plain = {name: value for name, value in vars(module).items() if isinstance(value, Tensor)}
    tensors = {**module.state_dict(), **plain}
    if not tensors:
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous().flatten()
        digest.update(f"{name} {values.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()
