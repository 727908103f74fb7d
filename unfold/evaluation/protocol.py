"""Protocols: the exact procedure behind a reported number."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from unfold.errors import InputError, UnfoldError
from unfold.metrics.pixels import luma

from .errors import no_such


@dataclass(frozen=True)
class Crop:
    """The crop of every picture: its size in pixels, and its position.

    Example:
        >>> import torch
        >>> from unfold.evaluation import Crop
        >>> Crop(2, 4)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 2, 4])
    """

    height: int
    width: int
    anchor: Literal["center", "top-left"] = "center"

    def __call__(self, image: Tensor) -> Tensor:
        """The crop of a picture. Raises a ValueError if the picture is smaller."""
        height, width = image.shape[-2:]
        if height < self.height or width < self.width:
            raise InputError(
                f"is {width}×{height} pixels, smaller than the protocol's {self.width}×"
                f"{self.height} crop; leave it out, or choose a protocol without a crop"
            )
        top = left = 0
        if self.anchor == "center":
            top, left = (height - self.height) // 2, (width - self.width) // 2
        return image[..., top : top + self.height, left : left + self.width]


@dataclass(frozen=True)
class Measure:
    """One metric of a protocol.

    Attributes:
        metric: its registered name.
        options: options of the metric that differ from the defaults.
        color: ``"y"`` for the luma only (`unfold.metrics.pixels`, full range, not rounded).
        pool: side of the squares over which both pictures are averaged first.

    Example:
        >>> import torch
        >>> from unfold.evaluation import Measure
        >>> Measure("ssim", color="y", pool=2).prepare(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 1, 4, 4])
    """

    metric: str
    options: Mapping[str, Any] = field(default_factory=dict)
    color: Literal["rgb", "y"] = "rgb"
    pool: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def prepare(self, image: Tensor) -> Tensor:
        """The picture that is passed to the metric."""
        if self.color == "y":
            image = luma(image)
        if self.pool > 1:
            if min(image.shape[-2:]) < self.pool:
                raise InputError(f"the picture is too small to average {self.pool}× ahead of it")
            image = avg_pool2d(image, self.pool)
        return image


@dataclass(frozen=True)
class Protocol:
    """How pictures are processed before and after the model, and how they are compared.

    Numbers are comparable only if they were measured by the same protocol. In particular, those of
    ``jude`` and ``lednet`` are not comparable, although both are PSNR, SSIM and LPIPS on LOL-Blur:
    ``jude`` uses 1024×640 crops, computes SSIM at half the size, and gives LPIPS pictures with half
    of the contrast that it expects.

    The steps in order: ``input_bits``, ``resize`` and ``crop`` of the input and the target; the
    model; ``bits`` of the restored picture; ``border`` of the restored picture and the target; then
    each measure.
    All pictures are sRGB-encoded, in [0, 1].

    Attributes:
        name: name of the protocol.
        version: increases with every change that can affect a number.
        source: the paper or code it follows.
        measures: the reported metrics.
        notes: decisions where the source is silent.
        input_bits: with 8, the lower 8 bits of 16-bit pictures are dropped; None keeps all bits.
        resize: height and width to which pictures are scaled (bicubic, antialiased).
        crop: the crop of every picture.
        bits: number of bits to which the restored picture is rounded; None: not rounded.
        border: pixels cut off on each side before measuring.

    Example:
        >>> import torch
        >>> from unfold.evaluation import Crop, Measure, Protocol
        >>> mine = Protocol("mine", 1, "", (Measure("psnr"),), crop=Crop(8, 8), bits=8)
        >>> mine.before(torch.rand(1, 3, 16, 16)).shape
        torch.Size([1, 3, 8, 8])
        >>> mine.after(torch.full((1, 1, 1, 1), 0.501)).mul(255).item()
        128.0
    """

    name: str
    version: int
    source: str
    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = ()
    input_bits: Literal[8] | None = None
    resize: tuple[int, int] | None = None
    crop: Crop | None = None
    bits: Literal[8, 16] | None = 8
    border: int = 0

    def before(self, image: Tensor) -> Tensor:
        """Prepare an input or a target, ``(B, 3, H, W)``, for the model and the metrics.

        Raises:
            InputError: if it is smaller than the crop.
        """
        if self.input_bits == 8:
            image = (image * 65535).round().div(256, rounding_mode="floor") / 255
        if self.resize is not None:
            image = interpolate(image, self.resize, mode="bicubic", antialias=True).clamp(0, 1)
        return image if self.crop is None else self.crop(image)

    def after(self, restored: Tensor) -> Tensor:
        """Round a restored picture, ``(B, 3, H, W)``, to the bits of the protocol."""
        restored = restored.clamp(0, 1)
        if self.bits is None:
            return restored
        top = 2**self.bits - 1
        return (restored * top).round() / top

    def inner(self, image: Tensor) -> Tensor:
        """A picture without its border.

        Raises:
            InputError: if nothing is left.
        """
        height, width = (side - 2 * self.border for side in image.shape[-2:])
        if min(height, width) < 1:
            raise InputError(f"nothing is left within the protocol's border of {self.border}")
        return image[..., self.border :, self.border :][..., :height, :width]

    def facts(self) -> dict[str, Any]:
        """The protocol as plain data, for JSON."""
        measures = [
            {
                **{f.name: getattr(m, f.name) for f in dataclasses.fields(m)},
                "options": {**m.options},
            }
            for m in self.measures
        ]
        rest = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        crop = dataclasses.asdict(self.crop) if self.crop else None
        size = list(self.resize) if self.resize else None
        notes = list(self.notes)
        return {**rest, "measures": measures, "notes": notes, "crop": crop, "resize": size}


class ProtocolError(UnfoldError, ValueError):
    """Raised if a protocol does not exist; the message lists the existing ones.

    Example:
        >>> from unfold.evaluation import find_protocol
        >>> find_protocol("judge")
        Traceback (most recent call last):
            ...
        unfold.evaluation.protocol.ProtocolError: no protocol named 'judge'; did you mean ...
    """


def find_protocol(name: str) -> Protocol:
    """One of `unfold.evaluation.protocols.PROTOCOLS`.

    Raises:
        ProtocolError: if no protocol has that name.

    Example:
        >>> from unfold.evaluation import find_protocol
        >>> find_protocol("jude").crop
        Crop(height=640, width=1024, anchor='top-left')
    """
    from .protocols import PROTOCOLS

    if name in PROTOCOLS:
        return PROTOCOLS[name]
    raise ProtocolError(no_such("protocol", name, PROTOCOLS))
