"""What the models refuse."""

from __future__ import annotations

import torch
from torch import Tensor


def check_image(image: Tensor) -> None:
    """Refuse what no model can restore, and say how to mend it.

    Raises:
        ValueError: wrong shape, not floating point, far from [0, 1] or not finite. (Values are
            looked at on the CPU only: on a GPU that would wait for the device.)
    """
    if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
        raise ValueError(
            f"an image must have shape (batch, 3, height, width), got {tuple(image.shape)}: "
            "add a batch axis with image[None], repeat a grey channel three times"
        )
    if not image.is_floating_point():
        raise ValueError(f"an image must be floating point in [0, 1], got {image.dtype}")
    if image.device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = (bound.item() for bound in image.detach().aminmax())
        # Noise may leave [0, 1]; [0, 255] and [−1, 1] are other conventions.
        if not (low > -0.9 and high < 2):
            raise ValueError(
                f"an image must lie in [0, 1], got values from {low:g} to {high:g}: rescale it "
                "(divide 8-bit values by 255)"
            )


def check_kernel(kernel: Tensor, batch: int) -> None:
    """Refuse a kernel that is no blur.

    Raises:
        ValueError: wrong shape, or, on the CPU, a sum that is not 1 or values that are not finite.
    """
    if kernel.ndim != 4 or kernel.shape[0] not in (1, batch) or kernel.shape[1] != 1:
        raise ValueError(
            f"a kernel must have shape (1 or {batch}, 1, height, width), got {tuple(kernel.shape)}"
        )
    if kernel.device.type == "cpu" and not torch.compiler.is_compiling():
        sums = kernel.detach().sum((1, 2, 3))
        if not bool(((sums - 1).abs() < 1e-2).all()):
            raise ValueError(f"a kernel must sum to 1, got {sums.tolist()}: divide it by its sum")
