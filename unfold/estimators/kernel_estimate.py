"""A photo's kernel, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .blind import BlindKernel

_SIZES = (31, 51, 75)
# This share of the mass within so many pixels of the rim: a larger size is due.
_CUT, _RIM = 0.02, 3
_SURE = 0.7


@dataclass(frozen=True)
class KernelEstimate:
    """What `estimate_kernel` found.

    Attributes:
        kernel: ``(1, 1, n, n)``, at least 0, sum 1, cut to its odd square; a single 1 for a photo
            without blur.
        agreement: correlation, 0 to 1, of the kernels that the photo's halves give, each moved to
            where it fits best: one that the whole photo shares is found in both. 1 where the whole
            photo has none.
    """

    kernel: Tensor
    agreement: float

    @property
    def sharp(self) -> bool:
        """Whether no blur was found that a kernel describes."""
        return self.kernel.numel() == 1

    @property
    def sure(self) -> bool:
        """Whether the halves agree: the blur is a shake of the whole photo."""
        return self.agreement >= _SURE


def estimate_kernel(image: Tensor, size: int | None = None) -> KernelEstimate:
    """The kernel of a photo's uniform blur, and whether its halves agree about it.

    Args:
        image: one photo ``(1, 1 or 3, H, W)`` in [0, 1].
        size: side of the square in which the kernel is sought, odd; None: 31, and 51 or 75 where
            the kernel reaches the rim of that, and the photo is three times as large. A photo less
            than twice as large shows none: it is taken for sharp.

    Returns:
        The kernel, which `unfold.create_model("tv-deblur")(image, kernel=...)` takes.

    Raises:
        ValueError: not one photo; values that are not finite; a size that is even.

    Source: `BlindKernel`.

    Example:
        >>> import torch, unfold
        >>> estimate = unfold.estimate_kernel(torch.full((1, 3, 64, 64), 0.5))  # no edges: a point
        >>> estimate.kernel
        tensor([[[[1.]]]])
    """
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] not in (1, 3):
        raise ValueError(
            f"estimate_kernel takes one photo, (1, 1 or 3, height, width), got "
            f"{tuple(image.shape)}: add the axis with image[None], or go through a batch"
        )
    if not bool(image.isfinite().all()):
        raise ValueError("the photo has values that are not finite: replace them")
    kernel, agreement = _found(image, [size] if size is not None else _sizes(image))
    return KernelEstimate(trimmed(kernel), agreement)


def _sizes(image: Tensor) -> list[int]:
    """Squares in which the kernel may be sought, one after the other."""
    least = min(image.shape[-2:])
    return [n for n in _SIZES if 3 * n <= least] or [max(3, least // 4 | 1)]


def _found(image: Tensor, sizes: list[int]) -> tuple[Tensor, float]:
    """The kernel and its agreement, by an estimator of a size that the kernel does not exceed."""
    estimator = BlindKernel(size=sizes[0])
    kernel, noisy = estimator.estimate(image)
    if len(sizes) > 1 and _rim(kernel) >= _CUT:
        return _found(image, sizes[1:])
    return estimator.compare_halves(image, kernel, noisy)


def trimmed(kernel: Tensor) -> Tensor:
    """A kernel ``(1, 1, n, n)``, n odd, without the rows and columns of zeros around it."""
    middle = kernel.shape[-1] // 2
    reach = int((kernel[0, 0].nonzero() - middle).abs().max())
    inner = slice(middle - reach, middle + reach + 1)
    return kernel[..., inner, inner]


def _rim(kernel: Tensor) -> float:
    return 1 - float(kernel[..., _RIM:-_RIM, _RIM:-_RIM].sum())
