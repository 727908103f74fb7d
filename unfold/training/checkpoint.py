"""Checkpoints: the complete state of a training, in a folder that is written atomically."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unfold.registry.catalog import HOME

from .distributed import cut_like, whole
from .error import TrainingError

_TENSORS, _FACTS = "tensors.safetensors", "state.json"
_NAME = re.compile(r"step-(\d+)")
SEPARATOR = "|"  # no parameter's name holds it


@dataclass(frozen=True)
class Checkpoint:
    """A state of training.

    Attributes:
        tensors: parameters, buffers, averages, moments of the optimizers.
        facts: the step, the recipe and the versions, as JSON values.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


_TASK = "player"  # (the word in the files)


def gather(
    tasks: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of tasks and optimizers by name, and the optimizers' settings.

    If they are sharded, all processes must call it.
    """
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}
    for name, task in tasks.items():
        state = optimizers[name].state_dict()
        tensors |= {SEPARATOR.join((name, _TASK, k)): t for k, t in task.state_dict().items()}
        for number, moments in state["state"].items():
            for key, value in moments.items():
                tensors[SEPARATOR.join((name, "optimizer", str(number), key))] = value
        settings[name] = state["param_groups"]
    return whole(tensors), settings


def restore(
    checkpoint: Checkpoint,
    tasks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> None:
    """Restore the state of tasks and optimizers that `gather` returned.

    Raises:
        TrainingError: if the checkpoint is of other tasks or another model.
    """
    restore_weights(checkpoint, tasks)
    for name, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _of(checkpoint, name, "optimizer").items():
            number, moment = key.split(SEPARATOR)
            state.setdefault(int(number), {})[moment] = tensor
        with _fitting():
            owners = [p for group in optimizer.param_groups for p in group["params"]]
            cut = {
                number: {key: cut_like(t, owners[number]) for key, t in moments.items()}
                for number, moments in state.items()
            }
            groups = checkpoint.facts["optimizers"][name]
            optimizer.load_state_dict({"state": cut, "param_groups": groups})


def restore_weights(checkpoint: Checkpoint, tasks: Mapping[str, nn.Module]) -> None:
    """Restore the state of the tasks that `gather` returned, without the optimizers.

    Raises:
        TrainingError: if the checkpoint is of other tasks or another model.
    """
    for name, task in tasks.items():
        with _fitting():
            load_into(task, _of(checkpoint, name, _TASK))


def _of(checkpoint: Checkpoint, name: str, kind: str) -> dict[str, Tensor]:
    start = SEPARATOR.join((name, kind, ""))
    tensors = checkpoint.tensors.items()
    return {key.removeprefix(start): t for key, t in tensors if key.startswith(start)}


@contextlib.contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise TrainingError(f"the checkpoint does not fit the model: {reason}") from error


def load_into(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load unsharded tensors into a module, which may be sharded."""
    own = module.state_dict()
    module.load_state_dict({name: cut_like(t, own.get(name)) for name, t in tensors.items()})


def save(folder: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, named after its step. An existing checkpoint is kept.

    Raises:
        OSError: if it cannot be written; no part of it remains.
    """
    target = folder / f"step-{step:08d}"
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        beside.mkdir()
        # (Clones: tied parameters share memory, which the format does not hold.)
        tensors = {n: t.detach().cpu().contiguous().clone() for n, t in checkpoint.tensors.items()}
        try:
            save_file(tensors, beside / _TENSORS)
        except SafetensorError as error:  # how the format's writer tells of a full disk
            raise OSError(0, str(error), str(target)) from error
        (beside / _FACTS).write_text(json.dumps(checkpoint.facts, indent=1), encoding="utf-8")
        for file in beside.iterdir():
            _sync(file)
        os.replace(beside, target)
        _sync(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return target


def steps(folder: Path) -> list[int]:
    """The steps of the existing checkpoints, in increasing order."""
    if not folder.is_dir():
        return []
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def load(folder: Path, step: int) -> Checkpoint:
    """Read a checkpoint. Nothing is unpickled.

    Raises:
        TrainingError: if it is damaged.
    """
    place = folder / f"step-{step:08d}"
    try:
        facts = json.loads((place / _FACTS).read_text(encoding="utf-8"))
        # (Clones: the file is mapped, and would keep its room on the disk after it is removed.)
        tensors = {name: t.clone() for name, t in load_file(place / _TENSORS).items()}
        return Checkpoint(tensors, facts)
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingError(
            f"{place}: is damaged ({error}); remove it to continue from the previous one"
        ) from error


def prune(folder: Path, keep: int, best: int | None, *, returns: bool = False) -> None:
    """Remove unfinished checkpoints, and all others but the last ``keep`` and the best.

    Args:
        folder: folder of the checkpoints.
        keep: number of the last checkpoints to keep.
        best: step of the best checkpoint.
        returns: whether a later phase starts from the best checkpoint. Then the best checkpoint at
            the time of each remaining checkpoint is kept, too, so that training can resume from
            any of them.
    """
    there = steps(folder)
    kept = {best, *there[-keep:]}
    if returns:
        kept |= {_best_of(folder, step) for step in there[-keep:]}
    for step in there:
        if step not in kept:
            place = folder / f"step-{step:08d}"
            # Out of sight first: it must not be found half removed.
            doomed = folder / f".{place.name}.{secrets.token_hex(4)}.tmp"
            os.replace(place, doomed)
    for rest in folder.glob(".*.tmp"):
        shutil.rmtree(rest, ignore_errors=True)


def _best_of(folder: Path, step: int) -> int | None:
    """The best step at the time of a checkpoint; None if there is none, or it cannot be read."""
    try:
        facts = json.loads((folder / f"step-{step:08d}" / _FACTS).read_text(encoding="utf-8"))
        return facts["best"].get("step")
    except (OSError, ValueError, KeyError):
        return None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def versions() -> dict[str, str]:
    """Versions of the packages that affect the bits of a training."""
    return {
        "unfold": importlib.metadata.version(HOME),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
