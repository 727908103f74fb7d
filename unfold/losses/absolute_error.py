"""Mean absolute errors of pictures, of their Fourier transforms, and of the sparse error."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from .base import Loss, LossError, Outcome, known

_BRIGHTNESS = 0.4, 2.5  # a ratio outside this range is not one of brightness


class L1(Loss):
    """Mean absolute error: ``mean |x̂ − x|`` over pixels, channels and images.

    Args:
        picture: x, a picture of the batch.
        of: x̂, ``"image"`` or a part of the restoration.
        scale: side of the squares over which x is averaged first, for a smaller x̂ (8 for LEDNet's
            side output).
        match_exposure: whether x is first brought to the exposure of the restoration's parts, if
            the model has changed it (parts ``gain`` and ``curve``): for the sharp, dark ``"I"`` of
            JUDE.
        match_brightness: whether each channel of x̂ is first multiplied by the number, between 0.4
            and 2.5, that brings it closest to x. No gradient passes to that number. Errors of
            brightness and white balance, which a crop cannot determine, then do not hide those of
            noise and blur.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import L1, Outcome
        >>> restoration = Restoration(torch.full((1, 3, 4, 4), 0.75))
        >>> L1()(Outcome(restoration, {"target": torch.ones(1, 3, 4, 4)})).item()
        0.25
    """

    def __init__(
        self,
        *,
        picture: str = "target",
        of: str = "image",
        scale: Annotated[int, Field(ge=1, le=64)] = 1,
        match_exposure: bool = False,
        match_brightness: bool = False,
    ) -> None:
        super().__init__()
        self.picture, self.of, self.scale = picture, of, scale
        self.match_exposure, self.match_brightness = match_exposure, match_brightness

    def forward(self, outcome: Outcome) -> Tensor:
        made, wanted = outcome.compared(
            self.of, self.picture, self.scale, match_exposure=self.match_exposure
        )
        made = brightness(made, wanted) * made if self.match_brightness else made
        return (made - wanted).abs().mean()


class FFT(Loss):
    """Mean absolute error of Fourier transforms: ``mean |F x̂ − F x|``.

    The mean is over the stacked real and imaginary parts of ``rfft2``.

    The transform is not normalized: its values grow with the square root of the number of pixels.
    It is computed in float32 or float64.

    Args:
        picture: x, a picture of the batch.

    Source: the second part of JUDE's loss, with weight 0.1. (That it is a mean, not a sum, is
    inferred from its scale.)

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import FFT, Outcome
        >>> restoration = Restoration(torch.full((1, 3, 4, 4), 0.75))
        >>> FFT()(Outcome(restoration, {"target": torch.zeros(1, 3, 4, 4)})).item()  # 4·4·0.75 / 24
        0.5
    """

    def __init__(self, *, picture: str = "target") -> None:
        super().__init__()
        self.picture = picture

    def forward(self, outcome: Outcome) -> Tensor:
        error = outcome.restoration.image - outcome.picture(self.picture)
        error = error if error.dtype == torch.float64 else error.float()
        return torch.view_as_real(torch.fft.rfft2(error)).abs().mean()


class PlantedError(Loss):
    """Mean absolute error of the sparse error: ``mean |E − (y − y₀)|``.

    E is the deviation of the photo from the blur model, ``y = B x + E``. In synthesized data it is
    known: ``y₀`` is the picture before the outliers, ``y`` the picture after them (a recipe of
    synthesis saves both, before and after its step ``outliers``).

    Args:
        of: E, a part of the restoration, ``(B, 3, H, W)``.
        before: y₀, a picture of the batch.
        after: y, a picture of the batch. If a phase adds noise to the input, name the saved
            picture, because otherwise the noise is part of the planted error.

    Source: ours; E is ErA's.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import Outcome, PlantedError
        >>> clean = torch.full((1, 3, 4, 4), 0.5)
        >>> spoiled = clean.clone()
        >>> spoiled[..., 0, 0] = 1.0
        >>> found = Restoration(clean, {"E": spoiled - clean})
        >>> PlantedError()(Outcome(found, {"clean": clean, "input": spoiled})).item()
        0.0
    """

    def __init__(self, *, of: str = "E", before: str = "clean", after: str = "input") -> None:
        super().__init__()
        self.of, self.before, self.after = of, before, after

    def forward(self, outcome: Outcome) -> Tensor:
        planted = outcome.picture(self.after) - outcome.picture(self.before)
        made = outcome.made(self.of)
        if made.shape != planted.shape:
            raise LossError(
                f"sparse-error: {self.of!r} has shape {tuple(made.shape)}, the planted error "
                f"{tuple(planted.shape)}"
            )
        return (made - known(planted, made)).abs().mean()


@torch.no_grad()
def brightness(made: Tensor, wanted: Tensor) -> Tensor:
    """The factor for each channel, ``(B, C, 1, 1)``, between 0.4 and 2.5, with which ``made`` is
    closest to ``wanted`` in the mean square."""
    square, product = made.square(), made * wanted
    ratio = product.sum((-2, -1), keepdim=True) / square.sum((-2, -1), keepdim=True)
    return ratio.nan_to_num(1).clamp(*_BRIGHTNESS)
