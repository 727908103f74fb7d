"""One restoration, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfold.core import Unrolled
from unfold.imaging import ImageError, read, write
from unfold.registry import ComponentError
from unfold.restoration import TiledInference
from unfold.restorer import Restorer

from . import view
from .look import look

# (name, options, untrained) -> a model. Raises ComponentError if the model cannot be built.
MakeModel = Callable[[str, Mapping[str, Any], bool], Restorer]


@dataclass(frozen=True)
class Job:
    """The description of one restoration.

    Attributes:
        source, target: paths of the photo and of its restoration.
        link: URL of the target.
        make_model, name, options, untrained: describe the model.
        kernel: the kernel of the blur, if it is known.
        device: device of the computation.
        max_pixels, max_stages: upper limits.
        trust: whether the reliability of the result is shown.
    """

    source: Path
    target: Path
    link: str
    make_model: MakeModel
    name: str
    options: Mapping[str, Any]
    untrained: bool
    kernel: Tensor | None
    device: torch.device
    max_pixels: int
    max_stages: int
    trust: bool


def carry_out(job: Job) -> tuple[str, str, str]:
    """Restore the photo; returns a message, both images, and its stages, as HTML.

    Raises:
        ImageError, ComponentError: if there is no photo or no model, or the model fails.
    """
    check_stages(job.name, job.options, job.max_stages)
    photo = read(job.source, max_pixels=job.max_pixels)
    kernel = None if job.kernel is None else job.kernel.to(job.device)
    with _failing(job.name):
        model = job.make_model(job.name, job.options, job.untrained).to(job.device).eval()
        count = sum(len(m.stages) for m in model.modules() if isinstance(m, Unrolled))
        _refuse_above(job.name, count, job.max_stages)
        any_size = TiledInference(model, kernel=kernel, device=job.device)
        note = looked = ""
        if any_size.fits(photo.image):
            x = photo.image[None].to(job.device)
            restored, trace = look(model, x, kernel=kernel, trust=job.trust)
            if job.trust and trace.restoration.trust is None:
                note = " It is not unrolled, so the reliability of the result is unknown."
            looked = view.inside(trace)
        else:
            restored = any_size(photo.image).image
            note = " It is too large to be restored as a whole, so no stages are shown."
    write(job.target, replace(photo, image=restored))
    message = f"{job.source.name} restored by {job.name}.{note}"
    return message, view.pair(photo.image, restored, job.link), looked


def check_stages(name: str, options: Any, most: int) -> None:
    """Refuse options with too many stages, before the model is built.

    Raises:
        ComponentError: if there is a ``K`` above ``most``, at any depth.
    """
    if isinstance(options, Mapping):
        stages = options.get("K")
        if isinstance(stages, (int, float)):
            _refuse_above(name, stages, most)
        options = list(options.values())
    if isinstance(options, list):
        for value in options:
            check_stages(name, value, most)


def _refuse_above(name: str, stages: float, most: int) -> None:
    if stages > most:
        raise ComponentError(f"{name}: {stages:g} stages, but this page allows {most}: lower K")


@contextmanager
def _failing(name: str) -> Iterator[None]:
    """Convert any exception of a model to a ComponentError with one line."""
    try:
        yield
    except (ComponentError, ImageError):
        raise
    except BaseException as error:  # SystemExit and a panic in Rust are not an Exception
        reason = " ".join(str(error).split())[:300]
        kind = type(error).__name__
        raise ComponentError(f"{name} failed ({kind}{': ' * bool(reason)}{reason})") from error
