"""IAT: exposure and color of a photo, by a small network that imitates a camera's processing."""

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
    """IAT: a photo that is too dark or too bright to a well-exposed one.

    ``image = clip(M (gain ⊙ x + offset))^γ``: gain and offset for each pixel from one branch, the
    color matrix M and the exponent γ of the whole photo from another, where learned queries look
    at it by attention. 91,154 parameters. It does not deblur: ``kernel`` and ``history`` are not
    used.

    Args:
        weights: a file that ``unfold convert iat`` wrote, to start from; None: random.

    Parts: ``gain``, ``offset`` (B,3,H,W); ``gamma`` (B,1,1,1); ``color`` (B,3,3,1), M.

    Raises:
        ComponentError: weights that cannot be read or are of another network.

    Source: Cui et al., "You only need 90K parameters to adapt light: a light weight transformer
    for image enhancement and exposure correction", BMVC 2022. Stochastic depth, which the authors
    train with, is left out.
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
        # (Of 0 the power has no gradient.)
        exposed = mixed.clamp(1e-8, 1) ** gamma
        parts = {"gain": gain, "offset": offset, "gamma": gamma, "color": color}
        return Restoration(exposed.clamp(0, 1), parts)

    def measure(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        gamma, color = self.whole(image)
        return {"gamma": gamma, "color": color}

    def explain(self) -> str:
        return (
            f"IAT: {sum(p.numel() for p in self.parameters()):,} parameters\n"
            "a feed-forward network: no Lagrangian, no kernel, nothing for a history\n\n"
            "gain, offset of each pixel: two rows of three blocks\n"
            "M, γ of the photo: ten queries that look at it by attention\n"
            "image = clip(M (gain ⊙ x + offset))^γ"
        )

    def convert_state_dict(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """The public release's state dict, its entries under this model's names.

        Raises:
            ComponentError: it is another network's; says which entries do not fit.
        """
        return rename(state, MODULES, self.state_dict())
