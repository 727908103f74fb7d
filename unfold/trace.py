"""The stages of an unrolled network on a photo, as pictures and as an HTML page."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfold._files import held, replace_file
from unfold.core import History
from unfold.errors import InputError
from unfold.imaging import ImageError, Photo, write
from unfold.pages import render
from unfold.restoration.trust import BAND, is_declared, part_of, with_trust
from unfold.restorer import Restoration, Restorer

__all__ = ["Shown", "Trace", "show", "trace"]

_STAGES = 8  # pictures in a row; of more stages, some are picked
_CHANNELS = 8  # shown of a part that is no picture
_MOST = 0.99  # of the values; what lies beyond is clipped, or a few pixels would set the scale
_DARK = 0.6  # a picture whose light values lie below this is brightened
_SIGNED = 0.1  # share of all magnitude below zero that makes a block a signed one
_MARKER = ".unfold-trace"  # says whose folder it is, and is locked


@dataclass(frozen=True)
class Trace:
    """The restoration of a photo and its stages.

    Attributes:
        image: the photo, ``(1, 3, H, W)``.
        restoration: the restoration.
        history: the stages with their states; empty if the model has none.
        explanation: description of the model, in words and formulas.

    Example:
        >>> import torch, unfold
        >>> from unfold.trace import trace
        >>> photo, kernel = torch.rand(1, 3, 16, 16), torch.full((1, 1, 1, 3), 1 / 3)
        >>> found = trace(unfold.create_model("tv-deblur"), photo, kernel=kernel)
        >>> found.stages()[0], list(found.blocks())
        (0, ['I', 'Z'])
    """

    image: Tensor
    restoration: Restoration
    history: History
    explanation: str

    def stages(self) -> list[int]:
        """The states that are shown: 0 (before the first stage), some, and the last."""
        last = len(self.history.states) - 1
        if last < 0:
            return []
        count = min(last, _STAGES)
        return sorted({round(i * last / count) for i in range(count + 1)} if count else {0})

    def blocks(self) -> dict[str, Shown]:
        """Block or dual -> pictures, one for each of `stages`, on a common scale."""
        rows = {}
        states = [self.history.states[stage] for stage in self.stages()]
        if not states:  # of models in a row none are kept
            return rows
        updated = dict.fromkeys(entry.block for entry in self.history.entries)
        names = [*updated, *(name for name in states[0] if name not in updated)]
        for name in names:
            found = [self._cropped(state[name]) for state in states]
            constant = name not in updated and all(torch.equal(x, found[0]) for x in found)
            if found[0].shape[0] in (1, 3) and self._is_picture(found[0]) and not constant:
                rows[name] = show(found)
        return rows

    def parts(self) -> dict[str, Shown]:
        """Part -> its pictures: one, or one for each channel, such as the kernels of a filter flow.

        Parts of the size of the photo are shown on a common scale. In kernels and other small maps,
        the largest value of each channel is white.
        """
        return {
            name: self._part(part[0])
            for name, part in self.restoration.parts.items()
            if part.ndim == 4 and part[0, 0].numel() > 1
        }

    def trust(self) -> dict[str, Shown]:
        """The trust in the result as pictures; none for a model without rounds."""
        trust = self.restoration.trust
        if trust is None:
            return {}
        bars = "error bar, 90 %" if trust.calibrated else "deviation by noise alone"
        width = BAND * trust.deviation if trust.calibrated else trust.deviation
        rows = {"measured": show([trust.measured[0]]), bars: show([width[0]])}
        if trust.reblur is not None:
            rows["re-blur test"] = show([trust.reblur[0]])
        return rows

    def shares(self) -> dict[str, float]:
        """Block without a prior -> share of the data in its last update."""
        trust = self.restoration.trust
        return {} if trust is None else {name: x.item() for name, x in trust.blocks.items()}

    def numbers(self) -> dict[str, float]:
        """Part -> its value, if it is a number."""
        return {n: p.item() for n, p in self.restoration.parts.items() if p.numel() == 1}

    def _part(self, part: Tensor) -> Shown:
        if not self._is_picture(part):
            small = part[:_CHANNELS, None].float()
            whitest = small.amax((-2, -1), keepdim=True).clamp_min(1e-12)
            pictures = tuple((small / whitest).clamp(0, 1).expand(-1, 3, -1, -1))
            return Shown(pictures, f"{part.shape[-1]}×{part.shape[-2]}; white is the largest value")
        if part.shape[0] in (1, 3):
            return show([part])
        return show([channel[None] for channel in part[:_CHANNELS]])

    def _is_picture(self, x: Tensor) -> bool:
        return x.shape[-2:] == self.image.shape[-2:]

    def _cropped(self, x: Tensor) -> Tensor:
        """The part of an entry of a state inside the photo."""
        (top, left), (height, width) = self.restoration.origin, self.image.shape[-2:]
        if x.shape[-2] < top + height or x.shape[-1] < left + width:
            return x[0].cpu()
        return x[0, :, top : top + height, left : left + width].cpu()


def trace(model: Restorer, image: Tensor, *, kernel: Tensor | None = None) -> Trace:
    """Restore a photo and record the effect of each stage on each block.

    Recording takes memory for all states. It doubles the time of stages with learned priors, and
    takes several times that of stages with cheap ones. The stages of sequences of models are not
    recorded. The trust in the result of an unrolled model is estimated by another restoration.

    Args:
        model: model on the device of the photo.
        image: ``(1, 3, H, W)`` sRGB-encoded, in [0, 1].
        kernel: kernel of the blur, ``(1, 1, h, w)``, if it is known.

    Raises:
        InputError: not one photo; or what the model raises.

    Example:
        >>> import torch, unfold
        >>> from unfold.trace import trace
        >>> photo, kernel = torch.rand(1, 3, 16, 16), torch.full((1, 1, 1, 3), 1 / 3)
        >>> found = trace(unfold.create_model("tv-deblur"), photo, kernel=kernel)
        >>> found.restoration.image.shape, len(found.history.entries) > 0
        (torch.Size([1, 3, 16, 16]), True)
    """
    if image.ndim != 4 or len(image) != 1:
        raise InputError(f"one photo (1, 3, H, W) is traced, got {tuple(image.shape)}")
    history = History(keep=len(model.sequence()) == 1)
    was = model.training
    model.eval()
    try:
        with torch.inference_mode():
            restore = partial(with_trust, model) if is_declared(model) else model
            restoration = restore(image, kernel=kernel, history=history)
    finally:
        model.train(was)
    parts = {name: part.cpu() for name, part in restoration.parts.items()}
    trust = restoration.trust and part_of(restoration.trust, 0)
    restored = Restoration(restoration.image.cpu(), parts, origin=restoration.origin, trust=trust)
    return Trace(image.cpu(), restored, history, model.explain())


@dataclass(frozen=True)
class Shown:
    """Pictures on one scale.

    Attributes:
        pictures: ``(3, H, W)`` in [0, 1].
        scale: description of the scale.

    Example:
        >>> import torch
        >>> from unfold.trace import Shown
        >>> Shown((torch.zeros(3, 8, 8),), "as it is").scale
        'as it is'
    """

    pictures: tuple[Tensor, ...]
    scale: str


def show(tensors: Sequence[Tensor]) -> Shown:
    """Tensors ``(1 or 3, H, W)`` of one kind as pictures on a common scale.

    If there are negative values, gray is 0. Dark pictures are brightened, and the description
    states the factor. Values that are not finite are magenta.

    Raises:
        InputError: if the number of channels is not 1 or 3, or there are no tensors.

    Example:
        >>> import torch
        >>> from unfold.trace import show
        >>> show([torch.full((1, 8, 8), 0.25)]).scale
        '4× as bright as it is'
        >>> show([torch.full((3, 8, 8), 0.25), torch.full((3, 8, 8), -0.25)]).scale
        'gray is 0; white and black are ±0.25'
    """
    if not tensors or any(x.ndim != 3 or x.shape[0] not in (1, 3) for x in tensors):
        shapes = ", ".join(str(tuple(x.shape)) for x in tensors) or "nothing"
        raise InputError(f"pictures are (1 or 3, H, W), got {shapes}")
    values = torch.cat([x.float().flatten() for x in tensors])
    values = values[values.isfinite()]
    if not len(values):
        values = torch.zeros(1)
    if -values.clamp_max(0).sum() > _SIGNED * values.abs().sum():
        most = max(_top(values.abs()), 1e-12)
        pictures = [0.5 + x.float() / (2 * most) for x in tensors]
        scale = f"gray is 0; white and black are ±{most:.3g}"
    else:
        high = _top(values)
        dark = 0 < high < _DARK
        gain = 1 / high if dark else 1.0
        pictures = [x.float() * gain for x in tensors]
        scale = f"{gain:.3g}× as bright as it is" if dark else "as it is"
    return Shown(tuple(_finite(p, x) for p, x in zip(pictures, tensors, strict=True)), scale)


def _top(values: Tensor) -> float:
    """A high quantile of the values."""
    place = max(1, round(_MOST * len(values)))
    return values.kthvalue(place).values.item()


def _finite(picture: Tensor, given: Tensor) -> Tensor:
    color = picture.clamp(0, 1).nan_to_num().expand(3, -1, -1)
    bad = ~given.isfinite().all(0)
    magenta = picture.new_tensor([1.0, 0.0, 1.0])[:, None, None]
    return torch.where(bad, magenta, color).contiguous()


def write_page(trace: Trace, folder: str | os.PathLike[str], *, title: str) -> Path:
    """Write ``index.html`` and the pictures as PNG files.

    Args:
        trace: trace of a photo.
        folder: a folder that is new, empty, or of an earlier trace, whose files are replaced.
        title: title of the page.

    Returns:
        Path of the page, which needs no other file.

    Raises:
        ImageError, OSError: if a file cannot be written, the folder contains other files, or
            another process uses it. The page is written last.
        ImportError: if matplotlib, which draws the curves, is not installed.
    """
    folder = Path(folder)
    with held(folder / _MARKER, ImageError, "writes a trace there"):
        return _write(trace, folder, title)


def _write(trace: Trace, folder: Path, title: str) -> Path:
    compared = {"input": trace.image[0], "output": trace.restoration.image[0]}
    for name, picture in compared.items():
        write(folder / f"{name}.png", Photo(picture.float()))
    captions = ["start" if not k else f"stage {k}" for k in trace.stages()]
    page = render(
        "trace.html",
        title=title,
        trace=trace,
        compared=compared,
        trust=[_row(folder, f"trust-{n.split()[0]}", n, s) for n, s in trace.trust().items()],
        parts=[_row(folder, f"part-{n}", n, shown) for n, shown in trace.parts().items()],
        blocks=[
            _row(folder, f"block-{n}", n, shown, captions) for n, shown in trace.blocks().items()
        ],
        curves=_curves(trace, folder) if trace.history.states else "",
    )
    replace_file(folder / "index.html", page.encode())
    return folder / "index.html"


def _row(
    folder: Path, stem: str, name: str, shown: Shown, captions: Sequence[str] | None = None
) -> dict[str, Any]:
    """Write a row of pictures. Returns its description for the page."""
    figures = []
    for number, picture in enumerate(shown.pictures):
        caption = captions[number] if captions else f"{number + 1}" * (len(shown.pictures) > 1)
        file = "-".join(filter(None, (stem, caption.replace(" ", "-")))) + ".png"
        write(folder / file, Photo(picture))
        figures.append({"file": file, "picture": picture, "caption": caption})
    return {"name": name, "scale": shown.scale, "figures": figures}


def _curves(trace: Trace, folder: Path) -> str:
    """Write the curves as a PNG file. Returns the file in base64."""
    buffer = io.BytesIO()
    trace.history.plot().savefig(buffer, format="png", dpi=110)
    replace_file(folder / "curves.png", buffer.getvalue())
    return base64.b64encode(buffer.getvalue()).decode()
