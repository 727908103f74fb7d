"""DEvUDP: a blurred or dark photo to a sharp, bright one, by one generator."""

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
    """DEvUDP's generator G alone, which is all that inference needs; 6,949,251 parameters.

    The network works on [−1, 1]; the photo and the image are in [0, 1]. It is trained against a
    discriminator and an inverse generator, without pairs: by ``unfold train devudp``, which
    minimizes `unfold.training.unpaired`. By the paper, instance normalization and no global
    shortcut are what give the enhancement: brightness and contrast of the photo are divided out,
    and cannot come back around the network. The DT variant (``devudp-dt``) drops both for fidelity.

    It is blind and has no Lagrangian: ``kernel`` is not used, a ``history`` stays empty.

    Args:
        widths: channels at each scale, finest first.
        blocks: residual blocks in each stage; there is a stage on the way down and one on the way
            up at each scale.
        normalization: after each convolution but the last.
        shortcut: whether the photo is added to the network's output. The sum is clipped to
            [0, 1]; its gradient is not, so that training is not blind to what leaves the range.

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
        )  # by the whole photo's mean and variance
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
