"""A restored photo with records of all stages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from unfold.core import History
from unfold.errors import InputError
from unfold.restoration.trust import BAND, is_declared, part_of, with_trust
from unfold.restorer import Restoration, Restorer

from .scale import Shown, show

_STAGES = 8  # pictures in a row; of more stages, some are picked
_CHANNELS = 8  # shown of a part that is no picture


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
