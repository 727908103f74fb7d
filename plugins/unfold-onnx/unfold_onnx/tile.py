"""The exported module: a model on one tile, given measurements of the whole photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from unfold.core import History, Prior
from unfold.estimators.noise import estimate_noise
from unfold.restorer import Restoration, Restorer


class Tile(nn.Module):
    """A model on one tile: ``(image, *inputs) -> image``, all tensors.

    Args:
        model: in eval mode.
        measured: measurements of the whole photo (`TiledInference.measure`), and ``kernel`` if it
            is known. They are constants (buffers ``measured_NAME``), except the inputs.
        inputs: names of the measurements that are given with each tile.
        kernel_known: whether the kernel was given, not estimated (see `Restorer.forward`).
    """

    def __init__(
        self,
        model: Restorer,
        measured: Mapping[str, Tensor],
        inputs: Sequence[str] = (),
        *,
        kernel_known: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.inputs, self.kernel_known = model, tuple(inputs), kernel_known
        self.constants = tuple(name for name in measured if name not in inputs)
        for name in self.constants:
            self.register_buffer(f"measured_{name}", measured[name].clone())

    def forward(self, image: Tensor, *values: Tensor) -> Tensor:
        measurements = {name: getattr(self, f"measured_{name}") for name in self.constants}
        measurements |= zip(self.inputs, values, strict=True)
        kernel = measurements.pop("kernel") if self.kernel_known else None
        options = {"measurements": measurements} if measurements else {}
        return self.model(image, kernel=kernel, **options).image


class PriorAsModel(Restorer):
    """A prior as a model: ``prox`` of a photo with white noise of standard deviation ``sigma``.

    Args:
        prior: a prior for 3 channels.
    """

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior, self.requires_training = prior, prior.requires_training

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        history: History | None = None,
        measurements: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        sigma = (measurements or self.measure(image))["sigma"]
        step = self.prior.step_for(sigma.square())
        return Restoration(self.prior.prox(image, step).clamp(0, 1))

    def measure(self, image: Tensor, *, kernel: Tensor | None = None) -> dict[str, Tensor]:
        return {"sigma": estimate_noise(image).clamp_min(1e-3)}

    def explain(self) -> str:
        return f"{type(self.prior).__name__}: the prior's proximal operator, sigma its noise"


def takes_map(model: Restorer, inputs: Sequence[str]) -> bool:
    """Whether the inputs beside the image are one map of the noise."""
    is_sigma = tuple(inputs) == ("sigma",)
    return is_sigma and isinstance(model, PriorAsModel) and model.prior.accepts_map


def as_input(name: str, value: Tensor, model: Restorer, size: int) -> Tensor:
    """A measurement in the shape in which it is given with each tile.

    The noise of a prior that accepts a map is a map, ``(1, 1, size, size)``, as in darktable.
    """
    if takes_map(model, (name,)):
        return value.expand(1, 1, size, size).contiguous()
    return value


def example(tile: Tile, image: Tensor, measured: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """The inputs of a tile: the image ``(1, 3, size, size)``, then the others."""
    size = image.shape[-1]
    values = (as_input(name, measured[name], tile.model, size) for name in tile.inputs)
    return tuple(torch.clone(value) for value in (image, *values))
