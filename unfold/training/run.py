"""Training by a recipe, from Python."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from unfold._files import held
from unfold._heap import kept_heap

from .distributed import Distributed, joined
from .error import TrainingError
from .recipe import Recipe
from .trainer import Trainer


@kept_heap()
def train(
    recipe: Recipe,
    folder: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    workers: int = 0,
    allow_changes: bool = False,
    board: bool = False,
    begin: Callable[[Trainer], Callable[[int, dict[str, float]], None]] | None = None,
) -> bool:
    """Train by a recipe; if the folder has checkpoints of it, resume from the last.

    Under torchrun every process calls it, and they share each batch. Ctrl-C ends it after the
    current step, with a checkpoint; a second Ctrl-C ends it immediately.

    Args:
        recipe: a recipe, from `read_recipe` or `parse_recipe`.
        folder: folder of checkpoints, ``losses.csv``, ``validation.csv``, sample pictures, and
            finally ``model.safetensors`` and ``model.json``, for
            `unfold.models.weights.load_model`.
        device: device of the training.
        workers: number of processes that read and degrade photos; it has no effect on the result.
        allow_changes: whether to resume if the folder was started with another recipe.
        board: whether files for TensorBoard are written, too.
        begin: function that is called with the trainer in the writing process. It returns a
            function that is called after each step, with its number and losses.

    Returns:
        Whether the training is complete.

    Raises:
        TrainingError, ImageError, DataError, ComponentError, MetricError: if components or data are
            missing, or the training fails; the message says what is kept.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, write
        >>> from unfold.training import parse_recipe, train
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder, "photo.png"), Photo(torch.rand(3, 16, 16)))
        ...     recipe = parse_recipe({
        ...         "model": {"kind": "zero-dce", "iterations": 2, "width": 4},
        ...         "data": {"kind": "photos", "source": folder},
        ...         "losses": [{"loss": "color-constancy"}],
        ...         "phases": [{"steps": 2, "batch": 1, "crop": 16, "lr": 1e-4}],
        ...     })
        ...     train(recipe, Path(folder, "run"))
        ...     Path(folder, "run", "model.safetensors").exists()
        True
        True
    """

    def silent(step: int, losses: dict[str, float]) -> None:
        pass

    with joined(torch.device(device)) as distributed, contextlib.ExitStack() as stack:
        if distributed.first:
            stack.enter_context(own(Path(folder)))
        trainer = _trainer(recipe, folder, distributed, workers, allow_changes, board)
        watch = begin(trainer) if begin is not None and distributed.first else silent
        with _stopped_by_signals(trainer):
            return trainer.run(watch)


def own(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Create the folder if necessary and lock it for this process.

    Raises:
        TrainingError: if another process uses it, or it contains other files.
    """
    mark = "checkpoints/step-*"
    return held(folder / ".unfold-training", TrainingError, "is training there", mark=mark)


def _trainer(
    recipe: Recipe,
    folder: str | os.PathLike[str],
    distributed: Distributed,
    workers: int,
    allow_changes: bool,
    board: bool,
) -> Trainer:
    """(The caller's generators are restored, because building a model draws from them.)"""
    with torch.random.fork_rng():
        return Trainer(
            recipe,
            Path(folder),
            distributed,
            workers=workers,
            allow_changes=allow_changes,
            board=board,
        )


@contextlib.contextmanager
def _stopped_by_signals(trainer: Trainer) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the training after the current step; a second time, immediately.

    A signal that the process was started to ignore stays ignored: a shell script sets SIGINT so for
    what it starts with ``&``, because Ctrl-C is then for another process.
    """
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return

    def stop(number: int, frame: object) -> None:
        trainer.stopping = True
        signal.signal(number, before[number])

    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    before: dict[int, Any] = {n: h for n, h in handlers.items() if h is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
