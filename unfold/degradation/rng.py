"""Random numbers: drawing parameters, and from their seeds what is too large to keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from unfold.errors import InputError

from . import counter

Range = tuple[float, float]


def _in_order(given: Range) -> Range:
    if not given[0] <= given[1]:
        raise InputError(f"the first of {given} must not be above the second")
    return given


# Marks the annotation of an option that is a range: what ends it has must not come first.
IN_ORDER = AfterValidator(_in_order)
Share = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[float, Field(ge=0, le=500)]


def check_range(
    what: str, given: Range, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float]:
    """The range as given, if ``least <= low <= high <= most`` and both are finite.

    Raises:
        InputError: otherwise; the message begins with ``what``, "low-light: exposure".
    """
    low, high = given
    if not (least <= low <= high <= most and math.isfinite(low) and math.isfinite(high)):
        bounds = [f"at least {least:g}"] * (least > -math.inf) + [f"at most {most:g}"] * (
            most < math.inf
        )
        raise InputError(
            f"{what}=({low}, {high}): give (low, high), finite, low not above high"
            + "".join(f", {bound}" for bound in bounds)
        )
    return low, high


def uniform(batch: int, given: Range, generator: torch.Generator) -> Tensor:
    """``(batch,)`` float64, evenly between the ends."""
    low, high = given
    return low + (high - low) * torch.rand(batch, generator=generator, dtype=torch.float64)


def seeds(batch: int, generator: torch.Generator) -> Tensor:
    """``(batch,)`` int64 seeds, each of an independent stream of random numbers."""
    return torch.randint(2**62, (batch,), generator=generator)


def normal(seed: Tensor, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers ``(B, *shape)`` on the seeds' device, each row from its own seed."""
    if counter.counting():
        return counter.normal(seed, *shape, dtype=dtype)
    return _drawn(torch.randn, seed, shape, dtype)


def even(seed: Tensor, *shape: int) -> Tensor:
    """Numbers ``(B, *shape)`` of [0, 1) on the seeds' device, float32, each row from its own."""
    if counter.counting():
        return counter.uniform(seed, *shape)
    return _drawn(torch.rand, seed, shape, torch.float32)


def _drawn(
    draw: Callable[..., Tensor], seed: Tensor, shape: tuple[int, ...], dtype: torch.dtype
) -> Tensor:
    rows = [
        draw(shape, generator=torch.Generator().manual_seed(s), dtype=dtype) for s in seed.tolist()
    ]
    made = torch.stack(rows) if rows else torch.empty(0, *shape, dtype=dtype)
    return made.to(seed.device)


def together(drawn: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The parameters of several batches as those of one."""
    return {name: torch.cat([values[name] for values in drawn]) for name in drawn[0]}


def columns(image: Tensor, parameters: Mapping[str, Tensor], *names: str) -> list[Tensor]:
    """Parameters ``(B,)`` as ``(B, 1, 1, 1)`` on the image's device and of its dtype.

    Raises:
        InputError: the image is no batch of RGB photos, or they are not as many as the
            parameters are for.
    """
    check_photos(image, parameters)
    return [parameters[name].to(image.device, image.dtype).view(-1, 1, 1, 1) for name in names]


def check_photos(image: Tensor, parameters: Mapping[str, Tensor]) -> None:
    """Check that an image is a batch of RGB photos, of the batch size of the parameters.

    Raises:
        InputError: if it is not.
    """
    if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
        raise InputError(
            f"photos must be floating point of shape (batch, 3, height, width), got {image.dtype} "
            f"{tuple(image.shape)}"
        )
    for name, value in parameters.items():
        if len(value) != len(image):
            raise InputError(
                f"the parameter {name!r} is for {len(value)} photos, got {len(image)}: sample "
                "again, or repeat it for each"
            )
