"""DEvUDP's generator: encoder and decoder of residual blocks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import pad

from unfold.errors import InputError
from unfold.priors.blocks import ResidualBlock

Normalization = Literal["instance", "batch", "none"]

_NORMS: dict[Normalization, Callable[[int], nn.Module] | None] = {
    "instance": nn.InstanceNorm2d,  # without scale and shift
    "batch": nn.BatchNorm2d,
    "none": None,
}


class Generator(nn.Module):
    """Maps photos in [−1, 1] to photos of the same shape, ``(B, 3, H, W)``.

    A 7×7 convolution; residual blocks at each scale of the encoder and the decoder, so six stages
    for three scales; 3×3 convolutions with stride 2 between the scales of the encoder, transposed
    ones in the decoder; additive skips between stages of the same size; a 7×7 convolution, and then
    tanh or the addition of the photo (the global shortcut, whose values may exceed [−1, 1]).
    Normalization and ReLU follow each convolution except the last; a residual block has no ReLU at
    its end. Convolutions with normalization have no bias.

    Photos of any size are extended at the right and bottom, by replication, to a multiple, and the
    result is cropped.

    Args:
        widths: number of channels at each scale, finest first.
        blocks: number of residual blocks in each stage.
        normalization: normalization after each convolution.
        shortcut: whether the photo is added to the output. The last layer is then initialized to
            zero, so that the untrained network returns the photo.
    """

    def __init__(
        self, widths: tuple[int, ...], blocks: int, normalization: Normalization, shortcut: bool
    ) -> None:
        super().__init__()
        if not widths or min(widths) < 1 or blocks < 1:
            raise InputError(
                f"Generator(widths={widths}, blocks={blocks}): needs at least one width, all "
                "positive, and at least one block"
            )
        norm = _NORMS[normalization]
        bias = norm is None

        def activated(convolution: nn.Module, width: int) -> list[nn.Module]:
            return [convolution, *([norm(width)] if norm else []), nn.ReLU()]

        def stage(width: int) -> nn.Sequential:
            return nn.Sequential(
                *(ResidualBlock(width, bias=bias, norm=norm) for _ in range(blocks))
            )

        def down(fine: int, coarse: int) -> nn.Sequential:
            half = nn.Conv2d(fine, coarse, 3, stride=2, padding=1, bias=bias)
            return nn.Sequential(*activated(half, coarse), stage(coarse))

        def up(coarse: int, fine: int) -> nn.Sequential:
            twice = nn.ConvTranspose2d(coarse, fine, 3, 2, padding=1, output_padding=1, bias=bias)
            return nn.Sequential(*activated(twice, fine))

        pairs = list(itertools.pairwise(widths))
        finest, coarsest = widths[0], widths[-1]
        # The coarsest map needs at least two pixels a side: one pixel has no variance.
        self.multiple = 2 ** len(pairs)
        self.least = 2 * self.multiple
        self.shortcut = shortcut
        self.head = nn.Sequential(*activated(_conv7(3, finest, bias), finest), stage(finest))
        self.down = nn.ModuleList(down(fine, coarse) for fine, coarse in pairs)
        self.middle = stage(coarsest)
        self.up = nn.ModuleList(up(coarse, fine) for fine, coarse in reversed(pairs))
        self.refine = nn.ModuleList(stage(fine) for fine, _ in reversed(pairs))
        self.tail = _conv7(finest, 3, True)
        if shortcut:
            nn.init.zeros_(self.tail.weight)
            nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = pad(x, (0, self._missing(width), 0, self._missing(height)), mode="replicate")
        features = self.head(x)
        skips = []
        for down in self.down:
            skips.append(features)
            features = down(features)
        features = self.middle(features)
        for up, refine in zip(self.up, self.refine, strict=True):
            features = refine(up(features) + skips.pop())
        out = self.tail(features)
        return (x + out if self.shortcut else out.tanh())[..., :height, :width]

    def _missing(self, size: int) -> int:
        return max(-(-size // self.multiple) * self.multiple, self.least) - size


def _conv7(inputs: int, outputs: int, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 7, padding=3, padding_mode="reflect", bias=bias)
