"""The estimated kernel of a photo, with its reliability."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unfold.errors import InputError

from .blind import BlindKernel

_SIZES = (31, 51, 75)
# A larger size is tried if more than this share of the mass is within so many pixels of the rim.
_CUT, _RIM = 0.02, 3
_SURE = 0.7


@dataclass(frozen=True)
class KernelEstimate:
    """The result of `estimate_kernel`.

    Attributes:
        kernel: ``(1, 1, n, n)``, nonnegative, with sum 1, cropped to the smallest odd square; a
            single 1 for a photo without blur.
        agreement: correlation, from 0 to 1, of the kernels of the photo's halves, after the best
            shift. It is high for a shake, which blurs both halves alike. It is 1 if the photo has
            no kernel.
    """

    kernel: Tensor
    agreement: float

    @property
    def sharp(self) -> bool:
        """Whether no blur was found, so that the kernel is a point."""
        return self.kernel.numel() == 1

    @property
    def sure(self) -> bool:
        """Whether the kernels of the halves agree: the blur is a shake of the whole photo."""
        return self.agreement >= _SURE


def estimate_kernel(image: Tensor, size: int | None = None) -> KernelEstimate:
    """Estimate the kernel of a photo's uniform blur, and whether it is the same in both halves.

    Args:
        image: one photo ``(1, 1 or 3, H, W)`` in [0, 1].
        size: largest height and width of the kernel, odd. None: 31; then 51 and 75 if the kernel
            reaches the rim of the square and the photo is at least three times as large. A photo
            smaller than twice the size is assumed to be sharp.

    Returns:
        The kernel, for `unfold.create_model("tv-deblur")(image, kernel=...)`, and its agreement.

    Raises:
        InputError: if ``image`` is not one photo, or is not finite, or the size is even.

    Source: `BlindKernel`.

    Example:
        >>> import torch, unfold
        >>> estimate = unfold.estimate_kernel(torch.full((1, 3, 64, 64), 0.5))  # no edges: a point
        >>> estimate.kernel
        tensor([[[[1.]]]])
    """
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] not in (1, 3):
        raise InputError(
            f"estimate_kernel takes one photo, (1, 1 or 3, height, width), got "
            f"{tuple(image.shape)}: add an axis with image[None], or loop over the batch"
        )
    if not bool(image.isfinite().all()):
        raise InputError("the photo has NaN or infinite values: replace them")
    kernel, agreement = _found(image, [size] if size is not None else _sizes(image))
    return KernelEstimate(trimmed(kernel), agreement)


def _sizes(image: Tensor) -> list[int]:
    """Sizes of the square in which the kernel is estimated, in order."""
    least = min(image.shape[-2:])
    return [n for n in _SIZES if 3 * n <= least] or [max(3, least // 4 | 1)]


def _found(image: Tensor, sizes: list[int]) -> tuple[Tensor, float]:
    """The kernel and its agreement, for the first size that the kernel does not exceed."""
    estimator = BlindKernel(size=sizes[0])
    kernel, noisy = estimator.estimate(image)
    if len(sizes) > 1 and _rim(kernel) >= _CUT:
        return _found(image, sizes[1:])
    return estimator.compare_halves(image, kernel, noisy)[:2]


def trimmed(kernel: Tensor) -> Tensor:
    """A kernel ``(1, 1, n, n)``, n odd, without the rows and columns of zeros around it."""
    middle = kernel.shape[-1] // 2
    reach = int((kernel[0, 0].nonzero() - middle).abs().max())
    inner = slice(middle - reach, middle + reach + 1)
    return kernel[..., inner, inner]


def _rim(kernel: Tensor) -> float:
    return 1 - float(kernel[..., _RIM:-_RIM, _RIM:-_RIM].sum())
