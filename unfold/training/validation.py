"""Validation: a model measured on photos that it is not trained on."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from unfold.metrics import Metric

from .recipe import SynthesizedData, Validation
from .stream import open_pairs
from .task import known


class Validator:
    """The photos and metrics of a recipe's validation.

    Photos are restored one at a time and whole; synthesized ones are cropped, and are the same
    each time. A metric's value is the mean over the photos where it is finite.
    """

    def __init__(self, given: Validation, seed: int, device: torch.device) -> None:
        synthesized = isinstance(given.data, SynthesizedData)
        # (Another seed: of a folder that is trained on too, other photos are made.)
        self.pairs = open_pairs(given.data, given.crop if synthesized else None, seed + 1)
        self.count = min(given.count or len(self.pairs), len(self.pairs))
        self.device = device
        self.metrics: Mapping[str, Metric] = {
            spec.kind: spec.build().to(device).eval() for spec in given.metrics
        }
        self.main = next(iter(self.metrics))

    def item(self, index: int) -> dict[str, Any]:
        """Pair ``index``, as a batch of one."""
        item = self.pairs.item(index, 0)
        return {
            key: item[key][None].to(self.device)
            for key in ("input", "target", "kernel")
            if key in item
        }

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Metric -> mean."""
        values: dict[str, list[float]] = {name: [] for name in self.metrics}
        with evaluating(model), torch.no_grad():
            for index in range(self.count):
                item = self.item(index)
                image = model(item["input"], **known(item)).image.float()
                for name, metric in self.metrics.items():
                    reference = item["target"] if metric.needs_reference else None
                    values[name].append(metric(image, reference).item())
        return {name: _mean(found) for name, found in values.items()}

    def better(self, value: float, than: float | None) -> bool:
        """Whether the main metric's value is the best so far."""
        if than is None or math.isnan(than):
            return True
        return value > than if self.metrics[self.main].better == "higher" else value < than


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode within, and as it was after."""
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)


def _mean(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
