"""One restoration, as it is carried out in a process of its own."""

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

# (name, options, untrained) -> a model. Raises ComponentError where it cannot be had.
MakeModel = Callable[[str, Mapping[str, Any], bool], Restorer]


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        source, target: the photo, and where its restoration goes.
        link: where the page finds the target.
        make_model, name, options, untrained: the model.
        kernel: of the blur, where it is known.
        device: to compute on.
        max_pixels, max_stages: more are refused.
        trust: whether it is shown how far the result can be trusted.
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
    """The photo restored: a message, both pictures, and what lies inside, as HTML.

    Raises:
        ImageError, ComponentError: no photo or no model; what a model failed of.
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
                note = " It is not unrolled: how far it can be trusted is unknown."
            looked = view.inside(trace)
        else:
            restored = any_size(photo.image).image
            note = " It is too large for the memory to be restored whole: no stages are shown."
    write(job.target, replace(photo, image=restored))
    message = f"{job.source.name} restored by {job.name}.{note}"
    return message, view.pair(photo.image, restored, job.link), looked


def check_stages(name: str, options: Any, most: int) -> None:
    """Refuse options that ask for too many stages, before they are built.

    Raises:
        ComponentError: there is a ``K`` above ``most``, at whatever depth.
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
    """Whatever a model raises, which may be a stranger's, becomes one line."""
    try:
        yield
    except (ComponentError, ImageError):
        raise
    except BaseException as error:  # a SystemExit or a panic in Rust is no Exception
        reason = " ".join(str(error).split())[:300]
        kind = type(error).__name__
        raise ComponentError(f"{name} failed ({kind}{': ' * bool(reason)}{reason})") from error
