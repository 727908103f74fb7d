"""Comparison of an exported graph with the original model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from .tile import Tile

LIMIT = 1e-4
_RUNS = 3


@dataclass(frozen=True)
class Comparison:
    """The comparison of a graph with PyTorch on one tile.

    Attributes:
        runtime: name and version of the graph's runtime.
        largest, mean: absolute difference of the results, in units of [0, 1].
        seconds, torch_seconds: time for one tile, the best of three.
    """

    runtime: str
    largest: float
    mean: float
    seconds: float
    torch_seconds: float

    @property
    def equal(self) -> bool:
        """Whether they differ by at most 1e-4."""
        return self.largest <= LIMIT

    def __str__(self) -> str:
        return (
            f"{self.runtime} and PyTorch {torch.__version__} differ by {self.largest:.1e} at most "
            f"({self.mean:.1e} on average); {self.seconds:.2f} s a tile, PyTorch "
            f"{self.torch_seconds:.2f} s"
        )


def compare(
    run: Callable[..., Tensor], runtime: str, tile: Tile, inputs: tuple[Tensor, ...]
) -> Comparison:
    """Compare a graph with the module from which it was made.

    Args:
        run: the graph, as a function of tensors.
        runtime: its name and version.
        tile: the module.
        inputs: arguments of both.
    """
    with torch.inference_mode():
        seconds, got = _timed(run, inputs)
        torch_seconds, want = _timed(tile, inputs)
        difference = (got - want).abs()
    largest, mean = difference.max().item(), difference.mean().item()
    return Comparison(runtime, largest, mean, seconds, torch_seconds)


def in_onnxruntime(model: bytes) -> tuple[Callable[..., Tensor], str]:
    """A function of tensors that runs an ONNX model with PyTorch's number of threads, and the name
    of the runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names: Sequence[str] = [given.name for given in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        given = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return torch.from_numpy(np.asarray(session.run(None, given)[0]))

    return run, f"onnxruntime {onnxruntime.__version__}"


def _timed(run: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple[float, Tensor]:
    made, times = run(*inputs), []
    for _ in range(_RUNS):
        begun = time.perf_counter()
        made = run(*inputs)
        times.append(time.perf_counter() - begun)
    return min(times), made
