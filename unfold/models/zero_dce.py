"""Zero-DCE: low-light enhancement by a learned curve at each pixel."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from unfold.core import History
from unfold.priors.blocks import DCENet
from unfold.restorer import Restoration, Restorer

from .assembly import count
from .checks import check_image


class ZeroDCE(Restorer):
    """Zero-DCE: brightens a photo by a sequence of curves that a network predicts for each pixel.

    Starting from the photo x::

        x ← x + A_n ⊙ x ⊙ (1 − x),   n = 1...iterations

    ``A_n`` in [−1, 1] for each pixel and color: positive values brighten, negative values darken.
    Each curve maps 0 to 0 and 1 to 1 and is monotone in ``x``. The model does not deblur: it
    ignores a kernel. It has no Lagrangian: a history remains empty.

    Two differences from the paper: the photo's borders are replicated, not zero-padded, as zeros
    leave a frame, and values outside [0, 1] are clipped first.

    Args:
        iterations: number of curves; 8 in the paper, with 79,416 parameters.
        width: number of channels of the hidden layers; 32 in the paper.

    Training: ``unfold train zero-dce --set data.source=PHOTOS``, with photos of any exposure.

    Parts: ``curve_1`` ... ``curve_8`` (B,3,H,W) in [−1, 1], the ``A_n``.

    Source: Guo et al., "Zero-reference deep curve estimation for low-light image enhancement",
    CVPR 2020, equations 2 and 3.

    Example:
        >>> import torch
        >>> from unfold.models.zero_dce import ZeroDCE
        >>> model = ZeroDCE(iterations=3, width=4)
        >>> sorted(model(torch.rand(1, 3, 16, 16)).parts)
        ['curve_1', 'curve_2', 'curve_3']
    """

    def __init__(
        self,
        *,
        iterations: Annotated[int, Field(ge=1, le=100)] = 8,
        width: Annotated[int, Field(ge=1, le=1024)] = 32,
    ) -> None:
        super().__init__()
        self.network = DCENet(outputs=3 * iterations, width=width)

    def forward(
        self, image: Tensor, *, kernel: Tensor | None = None, history: History | None = None
    ) -> Restoration:
        check_image(image, self)
        x = image.clamp(0, 1)
        curves = self.network.without_frame(x).to(x.dtype).split(3, dim=1)
        for curve in curves:
            x = x + curve * x * (1 - x)
        parts = {f"curve_{n}": curve for n, curve in enumerate(curves, 1)}
        return Restoration(x.clamp(0, 1), parts)  # rounding may leave [0, 1] slightly

    def explain(self) -> str:
        curves = self.network.tail.out_channels // 3
        return (
            f"ZeroDCE: {count(self):,} parameters\n"
            f"{curves} times x ← x + A_n ⊙ x ⊙ (1 − x), from x = photo; the A_n are one network's "
            "outputs"
        )
