"""DEvUDP: deblurring and brightening by one generator."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from unfold.core import History
from unfold.models.assembly import count
from unfold.models.checks import check_image
from unfold.priors.blocks import Widths
from unfold.restorer import Restoration, Restorer

from .generator import Generator, Normalization


class DEvUDP(Restorer):
    """DEvUDP's generator G, the part that inference needs; 6,949,251 parameters.

    The network works on [−1, 1]; the photo and the image are in [0, 1]. It is trained without pairs
    against a discriminator and an inverse generator: ``unfold train devudp`` minimizes
    `unfold.training.unpaired`. According to the paper, instance normalization without a global
    shortcut causes the enhancement: it removes the brightness and contrast of the photo, which
    no shortcut restores. The DT variant (``devudp-dt``) changes both for fidelity.

    It is blind and has no Lagrangian: a ``kernel`` is ignored, and a ``history`` stays empty.

    Args:
        widths: number of channels at each scale, finest first.
        blocks: number of residual blocks in each stage; the encoder and the decoder have a stage at
            each scale.
        normalization: normalization after each convolution except the last.
        shortcut: whether the photo is added to the network's output. The sum is clipped to
            [0, 1]; its gradient is not, so that values outside the range are trained, too.

    Parts: ``change`` (B,3,H,W): image − photo, in [−1, 1].

    Source: the DEvUDP paper. Its text gives the size, 6.95 M; the layout (see `Generator`) is
    inferred from it. (That layout takes 1.8 · 10¹² operations at 1280×720.)
    """

    def __init__(
        self,
        *,
        widths: Widths = (64, 128, 256),
        blocks: Annotated[int, Field(ge=1, le=64)] = 2,
        normalization: Normalization = "instance",
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.normalization = normalization
        self.needs_full_image = (
            normalization == "instance"
        )  # by the mean and variance of the whole photo
        self.generator = Generator(widths, blocks, normalization, shortcut)

    def forward(
        self, image: Tensor, *, kernel: Tensor | None = None, history: History | None = None
    ) -> Restoration:
        check_image(image, self)
        x = (self.generator(2 * image - 1).to(image.dtype) + 1) / 2
        restored = x.clamp(0, 1).detach() + (x - x.detach())
        return Restoration(restored, {"change": restored - image.clamp(0, 1)})

    def explain(self) -> str:
        network = "photo + network" if self.generator.shortcut else "tanh(network)"
        return (
            f"DEvUDP: {count(self):,} parameters\n"
            "a feed-forward generator: no Lagrangian, no kernel, nothing for a history\n"
            f"normalization: {self.normalization}\n"
            f"image = {network}, on [−1, 1], brought to [0, 1]"
        )
