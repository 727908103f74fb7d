"""Processing of a visitor's photo."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unfold.imaging import ImageError, Photo, read, write
from unfold.imaging.io import SUFFIXES
from unfold.registry import ComponentError
from unfold.restoration import read_kernel

from . import child, view
from .job import Job, MakeModel, carry_out, check_stages
from .samples import sample
from .visit import Visit, Visits


@dataclass(frozen=True)
class Limits:
    """Upper limits for each visitor.

    Attributes:
        upload: size of a file, in MB.
        pixels: number of pixels of a photo.
        stages: number of stages of a model, or of all models of a cascade.
        seconds: time of a restoration, which is then ended.
    """

    upload: int = 50
    pixels: int = 30_000_000
    stages: int = 50
    seconds: float = 300.0


@dataclass(frozen=True)
class Restoring:
    """Processing of the visitors' photos.

    Attributes:
        make_model: function of a name, options, and whether the model may be untrained.
        visits: current visits.
        device: device of the computation.
        limits: upper limits for each visitor.
    """

    make_model: MakeModel
    visits: Visits
    device: torch.device
    limits: Limits

    def upload(self, visit: Visit, file: str) -> tuple[str, str]:
        """Check a visitor's photo; returns a message and the image."""
        path = visit.begin(Path(file).name)
        shutil.copyfile(file, path)
        photo = read(path, max_pixels=self.limits.pixels)
        visit.photo = path
        kind = "gray" if photo.gray else "color"
        size = f"{photo.image.shape[-1]}×{photo.image.shape[-2]} pixels"
        return f"{path.name}: {size}, {kind}, {photo.bits} bits", view.single(photo.image)

    def pick(self, visit: Visit, name: str) -> tuple[str, str]:
        """Choose a sample photo with a known kernel; returns a message and the image."""
        path = visit.begin(f"{name}.png")
        image, visit.kernel = sample(name)
        write(path, Photo(image))
        visit.photo = path
        text = f"{name}: a quarter of its light, and a camera shake that is known"
        return text, view.single(image)

    def use_kernel(self, visit: Visit, file: str | None) -> str:
        """Read the kernel of the photo's blur from a file, or forget it; returns a message."""
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
        self,
        visit: Visit,
        name: str,
        options: Mapping[str, Any],
        *,
        known: bool,
        untrained: bool,
        trust: bool,
    ) -> tuple[str, str, str]:
        """Restore the photo; returns a message, both images, and the stages.

        Raises:
            ImageError, ComponentError: if there is no photo or no model, or the model fails or
                exceeds the time limit.
        """
        if visit.photo is None:
            raise ImageError("there is no photo yet: upload one or pick a sample")
        source = visit.photo
        check_stages(name, options, self.limits.stages)
        suffix = source.suffix if source.suffix.lower() in SUFFIXES else ".png"
        target = source.with_name(f"{source.stem}-restored{suffix}")
        job = Job(
            source, target, f"restored/{visit.folder.name}/{target.name}",
            self.make_model, name, options, untrained, visit.kernel if known else None,
            self.device, self.limits.pixels, self.limits.stages, trust,
        )  # fmt: skip

        def wanted() -> bool:
            return visit.photo == source and visit.folder.exists()

        try:
            made = child.run(carry_out, job, seconds=self.limits.seconds, wanted=wanted)
        except child.EndedError as error:
            if not wanted():
                raise ImageError(f"{source.name}: another photo was chosen meanwhile") from error
            raise ComponentError(
                f"{name}: {error}; choose a smaller photo, another model or fewer stages"
            ) from error
        if not wanted():
            raise ImageError(f"{source.name}: another photo was chosen meanwhile")
        visit.restored = target
        return made
