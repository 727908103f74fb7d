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
_ROUNDING = 6e-8  # rounding error of numbers near 1 in float32
_SEVERAL = 4  # a graph rounds at every operation, not at its input only


@dataclass(frozen=True)
class Comparison:
    """The comparison of a graph with PyTorch on one tile.

    Attributes:
        runtime: name and version of the graph's runtime.
        largest, mean: absolute difference of the results, in units of [0, 1].
        seconds, torch_seconds: time for one tile, the best of three.
        rounding: change of PyTorch's own result due to noise of 6e-8, a float32 rounding, in the
            tile; None if it was not measured.
    """

    runtime: str
    largest: float
    mean: float
    seconds: float
    torch_seconds: float
    rounding: float | None = None

    @property
    def equal(self) -> bool:
        """Whether they differ by at most 1e-4, or by at most four times the change of PyTorch's own
        result due to rounding of the tile."""
        return self.largest <= max(LIMIT, _SEVERAL * (self.rounding or 0))

    def __str__(self) -> str:
        text = (
            f"{self.runtime} and PyTorch {torch.__version__} differ by {self.largest:.1e} at most "
            f"({self.mean:.1e} on average); {self.seconds:.2f} s a tile, PyTorch "
            f"{self.torch_seconds:.2f} s"
        )
        if self.rounding is not None:
            text += f"; rounding the tile changes PyTorch's own result by {self.rounding:.1e}"
        return text


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
        largest = difference.max().item()
        rounding = None
        if not largest <= LIMIT:
            noise = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(0))
            changed = tile(inputs[0] + _ROUNDING * noise, *inputs[1:])
            rounding = (changed - want).abs().max().item()
    return Comparison(runtime, largest, difference.mean().item(), seconds, torch_seconds, rounding)


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
