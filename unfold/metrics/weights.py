"""Files that a metric requires. They are searched on disk and never downloaded."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import torch
from torch import Tensor

from .base import MetricError


def find_weights(metric: str, url: str, given: str | os.PathLike[str] | None) -> Path:
    """The given file, otherwise the file with the URL's name in torch.hub's cache.

    Raises:
        MetricError: if it does not exist; the message names the file, its place and its source.
    """
    if given is not None:
        if not os.path.isfile(given):  # (which takes names that are too long, too)
            raise MetricError(f"{metric}: there is no file {given}; get it from {url}")
        return Path(given)
    cached = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not cached.is_file():
        raise MetricError(
            f"{metric} needs {cached.name}, and nothing is downloaded for it: get it from {url} "
            f"and put it at {cached}, or name the file with the option weights"
        )
    return cached


def read_tensors(metric: str, path: Path) -> dict[str, Tensor]:
    """The state dict in a file. Only tensors are unpickled.

    Raises:
        MetricError: if the file contains anything else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise MetricError(
            f"{metric}: {path} is no file of plain tensors, and nothing else is unpickled; "
            "get it again, or save a state dict alone"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise MetricError(f"{metric}: {path} holds no state dict (name -> tensor)")
    return state
