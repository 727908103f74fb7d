"""IAT: correction of exposure and color by a small network that imitates a camera's processing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfold.core import History
from unfold.models.checks import check_image
from unfold.models.convert import load_converted, rename
from unfold.restorer import Restoration, Restorer

from .globally import Global
from .local import Local
from .public import MODULES


class IAT(Restorer):
    """IAT: corrects a photo that is too dark or too bright.

    ``image = clip(M (gain ⊙ x + offset))^γ``. One branch predicts the gain and the offset of each
    pixel, another the color matrix M and the exponent γ of the whole photo, by attention with
    learned queries. 91,154 parameters. It does not deblur: ``kernel`` and ``history`` are ignored.

    Args:
        weights: a file that ``unfold convert iat`` wrote; None: random.

    Parts: ``gain``, ``offset`` (B,3,H,W); ``gamma`` (B,1,1,1); ``color`` (B,3,3,1), M.

    Raises:
        ComponentError: if weights cannot be read or belong to another network.

    Source: Cui et al., "You only need 90K parameters to adapt light: a light weight transformer
    for image enhancement and exposure correction", BMVC 2022. Stochastic depth, which the authors
    train with, is omitted.
    """

    def __init__(self, *, weights: Path | None = None) -> None:
        super().__init__()
        self.local, self.whole = Local(), Global()
        if weights is not None:
            load_converted(self, weights, {})
            self.requires_training = False

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        history: History | None = None,
        measurements: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        check_image(image, self)
        measurements = measurements or self.measure(image)
        gamma, color = measurements["gamma"], measurements["color"]
        gain, offset = self.local(image)
        mixed = torch.einsum("bkhw,bck->bchw", gain * image + offset, color[..., 0])
        # (At 0 the power has no gradient.)
        exposed = mixed.clamp(1e-8, 1) ** gamma
        parts = {"gain": gain, "offset": offset, "gamma": gamma, "color": color}
        return Restoration(exposed.clamp(0, 1), parts)

    def measure(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        gamma, color = self.whole(image)
        return {"gamma": gamma, "color": color}

    def explain(self) -> str:
        return (
            f"IAT: {sum(p.numel() for p in self.parameters()):,} parameters\n"
            "a feed-forward network: no Lagrangian, no kernel, no history\n\n"
            "gain, offset of each pixel: two rows of three blocks\n"
            "M, γ of the photo: attention with ten queries\n"
            "image = clip(M (gain ⊙ x + offset))^γ"
        )

    def convert_state_dict(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """The released state dict with this model's names.

        Raises:
            ComponentError: if it belongs to another network; lists the entries that do not fit.
        """
        return rename(state, MODULES, self.state_dict())
