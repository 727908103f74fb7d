"""What happens to a visitor's photo."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from unfold.core import Restorer
from unfold.imaging import ImageError, Photo, read, write
from unfold.imaging.io import SUFFIXES
from unfold.registry import ComponentError
from unfold.restoration import AnySize, read_kernel

from . import view
from .look import look
from .samples import sample
from .visit import Visit, Visits

# (name, options, untrained) -> a model. Raises ComponentError where it cannot be had.
MakeModel = Callable[[str, Mapping[str, Any], bool], Restorer]


@dataclass(frozen=True)
class Restoring:
    """What happens to the photos of visitors.

    Attributes:
        make_model: from a name, options, and whether it may be an untrained one.
        visits: of now.
        device: to compute on.
        max_pixels: of one photo; larger ones are refused.
    """

    make_model: MakeModel
    visits: Visits
    device: torch.device
    max_pixels: int

    def upload(self, visit: Visit, file: str) -> tuple[str, str]:
        """A visitor's photo, checked: a message and the picture."""
        path = visit.begin(Path(file).name)
        shutil.copyfile(file, path)
        photo = read(path, max_pixels=self.max_pixels)
        visit.photo = path
        kind = "grey" if photo.grey else "colour"
        size = f"{photo.image.shape[-1]}×{photo.image.shape[-2]} pixels"
        return f"{path.name}: {size}, {kind}, {photo.bits} bits", view.single(photo.image)

    def pick(self, visit: Visit, name: str) -> tuple[str, str]:
        """A sample photo, whose kernel is known."""
        path = visit.begin(f"{name}.png")
        image, visit.kernel = sample(name)
        write(path, Photo(image))
        visit.photo = path
        text = f"{name}: a quarter of its light, and a camera shake that is known"
        return text, view.single(image)

    def use_kernel(self, visit: Visit, file: str | None) -> str:
        """The kernel of the photo's blur, from a file; None forgets it: a message."""
        visit.kernel = None
        if file is None:
            return "No blur kernel is known."
        with tempfile.TemporaryDirectory(dir=visit.folder) as folder:
            path = Path(folder, Path(file).name)
            shutil.copyfile(file, path)
            try:
                visit.kernel = read_kernel(path)
            except ImageError as error:
                raise ImageError(str(error).replace(f"{folder}/", "")) from error
        height, width = visit.kernel.shape[-2:]
        return f"{Path(file).name}: a blur kernel of {width}×{height} pixels"

    def restore(
        self, visit: Visit, name: str, options: Mapping[str, Any], *, known: bool, untrained: bool
    ) -> tuple[str, str, str]:
        """The photo restored: a message, both pictures, and what lies inside.

        Raises:
            ImageError, ComponentError: no photo or no model; what a model failed of.
        """
        if visit.photo is None:
            raise ImageError("there is no photo yet: upload one or pick a sample")
        source, kernel = visit.photo, visit.kernel if known else None
        photo = read(source, max_pixels=self.max_pixels)
        with _failing(name):
            model = self.make_model(name, options, untrained).to(self.device).eval()
            if kernel is not None:
                kernel = kernel.to(self.device)
            any_size = AnySize(model, kernel=kernel, device=self.device)
            note = looked = ""
            if any_size.fits(photo.image):
                restored, trace = look(model, photo.image[None].to(self.device), kernel=kernel)
                looked = view.inside(trace)
            else:
                restored = any_size(photo.image).image
                note = " It is too large for the memory to be restored whole: no stages are shown."
        suffix = source.suffix if source.suffix.lower() in SUFFIXES else ".png"
        target = source.with_name(f"{source.stem}-restored{suffix}")
        write(target, replace(photo, image=restored))
        if visit.photo != source:
            raise ImageError(f"{source.name}: another photo was chosen meanwhile")
        visit.restored = target
        link = f"restored/{visit.folder.name}/{target.name}"
        message = f"{source.name} restored by {name}.{note}"
        return message, view.pair(photo.image, restored, link), looked


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
