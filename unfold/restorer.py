"""The protocol of a restoration model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from .core import History

__all__ = ["Restoration", "Restorer"]


@dataclass(frozen=True)
class Trust:
    """How far a restoration can be trusted, pixel by pixel (see `unfold.restoration.with_trust`).

    Attributes:
        measured: ``(B, 1, H, W)`` in [0, 1]: the share of each pixel's value that the photo
            determines; its neighbors and the prior determine the rest.
        deviation: ``(B, 1, H, W)``, at least 0, in units of the image: the standard deviation of
            the error. The interval of ± 1.645 deviations should contain 90 % of the true values.
        reblur: ``(B, 1, H, W)`` in [0, 1]: the share of the restoration that is reliable because
            the kernel explains the photo (see `unfold.estimators.reblur.reblur_share`); None with
            more than one kernel.
        blocks: block without a prior -> share of the measured terms in its last update, mean over
            the pixels, ``(B, 1, 1, 1)`` (see `unfold.core.measured_share`).
        calibrated: whether the deviation was scaled on validation photos; otherwise it includes
            only the error due to noise, and the true error is larger.
    """

    measured: Tensor
    deviation: Tensor
    reblur: Tensor | None
    blocks: Mapping[str, Tensor]
    calibrated: bool


@dataclass(frozen=True)
class Restoration:
    """A restored batch and its intermediates.

    Attributes:
        image: ``(B, C, H, W)`` in [0, 1], with the size of the input.
        parts: named intermediates; the model's docstring lists them.
        history: the history that was given to the model, with the recorded stages:
            ``restoration.history.plot()``.
        origin: row and column of the photo's first pixel in the states of the stages, which may
            have a margin.
        trust: how far the image can be trusted, from `unfold.restoration.with_trust`.

    Example:
        >>> import torch
        >>> import unfold
        >>> restoration = unfold.create_model("zero-dce", pretrained=True)(torch.rand(1, 3, 8, 8))
        >>> restoration.image.shape, restoration.parts["curve_1"].shape
        (torch.Size([1, 3, 8, 8]), torch.Size([1, 3, 8, 8]))
    """

    image: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    history: History | None = None
    origin: tuple[int, int] = (0, 0)
    trust: Trust | None = None


class Restorer(nn.Module):
    """Base class of restoration models.

    A photo that does not fit into memory is restored in tiles, whose results must agree with that
    of the whole photo. A model whose output at a pixel depends on a neighborhood alone needs
    nothing else. Any other model does one of the following:

    - It returns global quantities (noise level, exposure, kernel) from `measure`. ``forward`` then
      takes them as ``measurements=``, a mapping from names to tensors. A measurement that is listed
      in ``measured_maps`` is a map of the photo, of which ``forward`` takes the part of its image.
    - It lists in ``pooled_features`` the parts whose spatial means it uses, and takes the means
      among the measurements. If the means change its last steps alone, `finish` repeats those
      steps, so that each tile is restored once.
    - It sets ``needs_full_image``.

    Attributes:
        requires_training: True until trained weights are loaded; always False for a classical
            model, which has no parameters to train.
        needs_kernel: whether ``forward`` requires a kernel.
        channels: number of channels of its images; None: any.
        needs_full_image: whether the model cannot be applied to tiles.
        min_receptive_field: lower bound of the receptive field's radius in pixels, for models whose
            receptive field exceeds the one measured where the photo has most detail.
        measured_maps: measurements that are maps, ``(B, C, rows, columns)`` -> side of their cells
            in pixels, a divisor of 32. ``forward`` measures the maps that are not given in its
            image.
        pooled_features: parts whose means over rows and columns ``forward`` takes among its
            measurements, under the same names; without them, it uses the means of its own input.
        finish_reads: parts of the image's height and width that `finish` reads -> their channels.
        error_scale: standard deviation of the error divided by that of the error due to noise,
            first with a given kernel, then with an estimated one; measured on validation photos.
            None: not measured.

    Example:
        >>> import torch
        >>> from unfold import Restoration, Restorer
        >>> class Gamma(Restorer):
        ...     requires_training = False
        ...     channels = None
        ...     def forward(self, image, *, kernel=None, history=None):
        ...         return Restoration(image.clamp(0, 1) ** 0.5)
        ...     def explain(self):
        ...         return "image = input ** 0.5"
        >>> Gamma()(torch.full((1, 1, 1, 1), 0.25)).image.item()
        0.5
    """

    requires_training: bool = True
    needs_kernel: bool = False
    channels: int | None = 3
    needs_full_image: bool = False
    min_receptive_field: int = 0
    measured_maps: Mapping[str, int] = {}
    pooled_features: tuple[str, ...] = ()
    finish_reads: Mapping[str, int] = {}
    error_scale: tuple[float | None, float | None] = (None, None)

    @abstractmethod
    def forward(
        self, image: Tensor, *, kernel: Tensor | None = None, history: History | None = None
    ) -> Restoration:
        """Restore a batch.

        Args:
            image: ``(B, C, H, W)`` floating point, sRGB-encoded, in [0, 1]; any H and W >= 1,
                C = 3 unless ``channels`` says otherwise.
            kernel: blur kernel, ``(1 or B, 1, h, w)``, sum 1; None: unknown.
            history: records every stage, if given.

        Raises:
            InputError: if the image or the kernel is not as described, or if ``needs_kernel`` and
                none is given.
        """

    def measure(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        """Measure the global quantities of a whole photo, with little memory.

        The arguments are those of ``forward``. A part of the photo, restored with the result as
        ``measurements``, equals that part of the restored photo, except near the part's borders.
        """
        return {}

    def part_of(
        self, measurements: Mapping[str, Tensor], rows: slice, columns: slice
    ) -> dict[str, Tensor]:
        """The measurements for a part of the photo, which begins at multiples of 32 pixels."""
        part = dict(measurements)
        for name in self.measured_maps.keys() & part.keys():
            cell = self.measured_maps[name]
            down, across = (slice(s.start // cell, -(-s.stop // cell)) for s in (rows, columns))
            part[name] = part[name][..., down, across]
        return part

    def finish(
        self,
        image: Tensor,
        parts: Mapping[str, Tensor],
        *,
        kernel: Tensor | None = None,
        measurements: Mapping[str, Tensor],
    ) -> Tensor:
        """The image that ``forward`` returns for these measurements, which include the means of the
        pooled features.

        The default calls ``forward``; a model with ``finish_reads`` repeats only the steps that
        depend on the means.

        Args:
            image: as for ``forward``.
            kernel: as for ``forward``.
            parts: the parts listed in ``finish_reads``, from a restoration of this image without
                the means.
            measurements: measurements of the whole photo, including the means.
        """
        return self(image, kernel=kernel, measurements=measurements).image

    def sequence(self) -> Sequence[Restorer]:
        """The models of a cascade, each applied to the output of the previous one."""
        return (self,)

    @abstractmethod
    def explain(self) -> str:
        """A description of the model in words and formulas."""
