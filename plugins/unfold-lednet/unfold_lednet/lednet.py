"""LEDNet: brightens in the encoder, deblurs in the decoder."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from torch import Tensor, nn

from unfold.core import History
from unfold.errors import InputError
from unfold.models.checks import check_image
from unfold.models.convert import load_converted, rename
from unfold.priors.blocks import Width, conv3
from unfold.restorer import Restoration, Restorer

from .blocks import Curve, Down, PyramidPooling, Up, decoder_block, encoder_block
from .fusion import Concatenation, FilterFusion
from .padding import reflect_to_multiple
from .public import MODULES, parameters_of

Parts = dict[str, Tensor]


def _in_order(given: tuple[float, float]) -> tuple[float, float]:
    if not given[0] < given[1]:
        raise InputError("the first must be less than the second")
    return given


Value = Annotated[float, Field(ge=-1e5, le=1e5)]
Range = Annotated[tuple[Value, Value], AfterValidator(_in_order)]
Wide = Annotated[int, Field(ge=4, le=1024, multiple_of=4)]


class LEDNet(Restorer):
    """LEDNet: joint low-light enhancement and deblurring by one feed-forward network.

    An encoder brightens its features by curves and halves the size three times; a decoder filters
    its features with filters predicted from the encoder's. 7,408,893 parameters. It has no
    Lagrangian: ``kernel`` and ``history`` are ignored. Photos of any size are extended at the right
    and bottom, by reflection, to a multiple of 8, and the result is cropped. Values are clipped to
    [0, 1]; their gradients are not, so that values outside the range are trained, too.

    Args:
        weights: a file that ``unfold convert lednet`` wrote; None: random.
        range: the range of values in the network that represents [0, 1] of the photo; the weights
            of the paper were trained on (0, 1), the authors' retrained weights on (−1, 1).
        ppm: whether the encoder has pyramid pooling (table 3: without).
        curve_nlu: whether the encoder has brightening curves (table 3: without).
        fusion: fusion of encoder and decoder: adaptive filters, or concatenation (table 3).
        side_output: whether the encoder outputs a brightened image at 1/8 of the size, for a loss
            of its own (table 3: without). Nothing else depends on it.
        widths: number of channels at full size, 1/2, 1/4 and 1/8.

    Parts: ``enhanced`` (B,3,⌈H/8⌉,⌈W/8⌉): the side output, in [0, 1]. At level n, 1/2ⁿ of the size:
    ``curves_n`` (B,3,h,w), n = 1, 2, 3: the strengths of the three curves, in (0, 1); ``filters_n``
    (B,1,h,w): the strength of the adaptive filters (root mean square of their norms).

    Raises:
        ComponentError: if weights cannot be read or belong to another network.

    Training: ``unfold train lednet --set data.source=PHOTOS``, with the paper's losses and rates.

    Source: Zhou, Li and Loy, "LEDNet: joint low-light enhancement and deblurring in the dark",
    ECCV 2022, section 4 and table 3.
    """

    def __init__(
        self,
        *,
        weights: Path | None = None,
        range: Range = (0.0, 1.0),
        ppm: bool = True,
        curve_nlu: bool = True,
        fusion: Literal["filter", "concatenation"] = "filter",
        side_output: bool = True,
        widths: tuple[Width, Wide, Wide, Wide] = (32, 64, 128, 128),
    ) -> None:
        super().__init__()
        options = {"range": range, "ppm": ppm, "curve_nlu": curve_nlu, "fusion": fusion,
                   "side_output": side_output, "widths": widths}  # fmt: skip
        if not range[0] < range[1]:
            raise InputError(f"LEDNet(range={range}): the first must be less than the second")
        if min(widths) < 1 or any(width % 4 for width in widths[1:]):
            raise InputError(
                f"LEDNet(widths={widths}): they must be positive, and multiples of 4 but for the "
                "first"
            )
        self.needs_full_image = ppm  # at three levels, means of the whole photo are needed
        self.low, self.high = range
        finest, *_, coarsest = widths
        fuse = FilterFusion if fusion == "filter" else Concatenation
        self.head = nn.Sequential(conv3(3, finest), nn.PReLU())
        self.encoder = nn.ModuleList(
            _Encoder(fine, coarse, ppm, curve_nlu) for fine, coarse in itertools.pairwise(widths)
        )
        self.side = conv3(coarsest, 3) if side_output else None
        self.middle = nn.Sequential(encoder_block(coarsest), encoder_block(coarsest))
        self.decoder = nn.ModuleList(
            _Decoder(below, width, fuse)
            for below, width in zip((None, *widths[:1:-1]), widths[:0:-1], strict=True)
        )
        self.tail = nn.Sequential(Up(widths[1], finest), decoder_block(finest), conv3(finest, 3))
        if weights is not None:
            load_converted(self, weights, options)
            self.requires_training = False

    def forward(
        self, image: Tensor, *, kernel: Tensor | None = None, history: History | None = None
    ) -> Restoration:
        check_image(image, self)
        height, width = image.shape[-2:]
        x = self.low + (self.high - self.low) * reflect_to_multiple(image, 8)
        x = self.head(x)
        found, parts = [], {}
        for level, encoder in enumerate(self.encoder, 1):
            x, seen = encoder(x)
            found.append(x)
            parts |= _at(level, seen)
        if self.side is not None:
            parts["enhanced"] = self._picture(self.side(x))
        x = self.middle(x)
        for level, decoder in zip((3, 2, 1), self.decoder, strict=True):
            x, seen = decoder(x, found.pop())
            parts |= _at(level, seen)
        return Restoration(self._picture(self.tail(x))[..., :height, :width], parts)

    def _picture(self, x: Tensor) -> Tensor:
        x = (x - self.low) / (self.high - self.low)
        return x.clamp(0, 1).detach() + (x - x.detach())  # clipped; its gradient is not

    def explain(self) -> str:
        parts = {"encoder": (self.head, self.encoder), "decoder": (self.middle, self.decoder,
                 self.tail), "side output": (self.side,)}  # fmt: skip
        sizes = ", ".join(f"{name} {_count(*modules):,}" for name, modules in parts.items())
        first, last = self.encoder[0], self.decoder[0]
        assert isinstance(first, _Encoder)
        assert isinstance(last, _Decoder)
        pooling = "residual blocks, down" + ", pyramid pooling" * (first.pyramid is not None)
        curves = "x += A ⊙ x(1 − x), three times" if first.curve is not None else "no curves"
        filters = isinstance(last.fuse, FilterFusion)
        fusion = "5×5 filters of each pixel, from e_n" if filters else "concatenation with e_n"
        lines = [
            f"LEDNet: {_count(self):,} parameters ({sizes})",
            "a feed-forward network: no Lagrangian, no kernel, no history",
            f"values of the network: [{self.low:g}, {self.high:g}]",
            "",
            f"encoder, n = 1, 2, 3 (1/2, 1/4, 1/8): {pooling}; {curves} → e_n",
            f"decoder, n = 3, 2, 1: up, residual blocks; {fusion}",
            "image = convolution(decoder), clipped",
        ]
        return "\n".join(lines)

    def convert_state_dict(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """The released checkpoint with this model's names.

        Raises:
            ComponentError: if it belongs to another network; lists the entries that do not fit.
        """
        return rename(parameters_of(state), MODULES, self.state_dict())


class _Encoder(nn.Module):
    def __init__(self, fine: int, coarse: int, ppm: bool, curve_nlu: bool) -> None:
        super().__init__()
        self.block = encoder_block(fine)
        self.down = Down(fine, coarse)
        self.pyramid = PyramidPooling(coarse) if ppm else None
        self.curve = Curve(coarse) if curve_nlu else None

    def forward(self, x: Tensor) -> tuple[Tensor, Parts]:
        x = self.down(self.block(x))
        if self.pyramid is not None:
            x = self.pyramid(x)
        if self.curve is None:
            return x, {}
        x, curves = self.curve(x)
        return x, {"curves": curves}


class _Decoder(nn.Module):
    def __init__(
        self, below: int | None, width: int, fuse: type[FilterFusion] | type[Concatenation]
    ) -> None:
        super().__init__()
        self.up = None if below is None else Up(below, width)
        self.block = decoder_block(width)
        self.fuse = fuse(width)

    def forward(self, x: Tensor, guide: Tensor) -> tuple[Tensor, Parts]:
        if self.up is not None:
            x = self.up(x)
        return self.fuse(self.block(x), guide)


def _at(level: int, parts: Parts) -> Parts:
    return {f"{name}_{level}": part for name, part in parts.items()}


def _count(*modules: nn.Module | None) -> int:
    return sum(p.numel() for m in modules if m is not None for p in m.parameters())
