"""Mean absolute error between Fourier transforms."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Loss, Outcome


class FFT(Loss):
    """Mean absolute error of Fourier transforms: ``mean |F x̂ − F x|``.

    The mean is over the stacked real and imaginary parts of ``rfft2``.

    The transform is not normalized: its values grow like the square root of the pixels. It is
    computed in float32 at least.

    Args:
        picture: x, a picture of the batch.

    Source: JUDE, its loss's second part, of weight 0.1 there. (That it is a mean, not a sum, is
    an inference: else its scale would explode.)

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
