"""What a restoration model takes and gives."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from .ledger import Ledger


@dataclass(frozen=True)
class Restoration:
    """A restored batch and what it was made of.

    Attributes:
        image: ``(B, C, H, W)`` in [0, 1], as the input.
        parts: named intermediates of the model (its docstring lists them).
        ledger: the one that the model was given and has filled: ``restoration.ledger.plot()``.
        origin: row and column where the photo begins in the states of the stages, which may have a
            margin.
    """

    image: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    ledger: Ledger | None = None
    origin: tuple[int, int] = (0, 0)


class Restorer(nn.Module):
    """A model from bad photos to good ones.

    A photo too large for the memory is restored in tiles, which must agree. What a model takes
    from the whole photo it measures in `survey`, or declares in ``means``; ``forward`` then takes
    it back as ``guide=``, a mapping from names to tensors; where means change its last steps
    alone, `finish` takes them again, so that a photo is restored once. A model that looks only
    around each pixel needs none of this, and one that cannot do without the whole photo says
    ``whole``.

    Attributes:
        requires_training: True until trained weights are loaded; always False for a classical
            model, which has no weights to train.
        needs_kernel: whether it raises a ValueError where no kernel is given.
        channels: of the images that it takes; None: any number.
        whole: whether it cannot be run on a part of the photo.
        least_halo: by how many pixels tiles overlap at least. How far a model looks is measured
            where a photo has most detail; this is for one that looks further elsewhere.
        means: parts whose mean over rows and columns ``forward`` takes in its guide, by the same
            name; where it is given none it takes that of the part itself.
        finish_reads: parts, as high and wide as the image, that `finish` reads, and their channels.
    """

    requires_training: bool = True
    needs_kernel: bool = False
    channels: int | None = 3
    whole: bool = False
    least_halo: int = 0
    means: tuple[str, ...] = ()
    finish_reads: Mapping[str, int] = {}

    @abstractmethod
    def forward(
        self, image: Tensor, *, kernel: Tensor | None = None, ledger: Ledger | None = None
    ) -> Restoration:
        """Restore a batch.

        Args:
            image: ``(B, C, H, W)`` floating point, sRGB-encoded, in [0, 1]; any H and W >= 1,
                C = 3 unless ``channels`` says otherwise.
            kernel: the blur's kernel, ``(1 or B, 1, h, w)``, sum 1, where it is known.
            ledger: filled stage by stage, where given.
        """

    def survey(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        """What the model measures of a whole photo before it restores it, in little memory.

        Arguments as for ``forward``. Restoring a part of the photo with this as ``guide`` gives
        what restoring the whole gives there, up to what happens at the part's borders.
        """
        return {}

    def finish(
        self,
        image: Tensor,
        parts: Mapping[str, Tensor],
        *,
        kernel: Tensor | None = None,
        guide: Mapping[str, Tensor],
    ) -> Tensor:
        """The image that ``forward`` would make with this guide, which has the means of the whole
        photo.

        By default ``forward`` makes it; a model with ``finish_reads`` does the steps that the means
        change.

        Args:
            image: as for ``forward``.
            kernel: as for ``forward``.
            parts: ``finish_reads`` of a restoration of this image without the means, those that
                it has.
        """
        return self(image, kernel=kernel, guide=guide).image

    def successive(self) -> Sequence[Restorer]:
        """The models that it runs one after the other, each on what the one before it made."""
        return (self,)

    @abstractmethod
    def explain(self) -> str:
        """What the model does, in words and formulas."""
