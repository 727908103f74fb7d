"""Checks of the inputs of models."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unfold.core.inputs import check_tensor, check_values
from unfold.errors import InputError
from unfold.restorer import Restorer


def check_image(image: Tensor, model: nn.Module | None = None) -> None:
    """Check an image that a model is to restore.

    Every model calls it first: ``check_image(image, self)``.

    Args:
        image: as it was given.
        model: that is to restore it, and has parameters of the same type on the same device.

    Raises:
        InputError: no tensor, wrong shape, type or device, far from [0, 1] or not finite. (Values
            are looked at on the CPU only: on a GPU that would wait for the device.)
    """
    compiling = torch.compiler.is_compiling()
    check_tensor("an image", image, None if compiling else model)
    channels = getattr(model, "channels", 3)
    if image.ndim != 4 or image.shape[1] != (channels or image.shape[1]) or 0 in image.shape:
        raise InputError(
            f"an image must have shape (batch, {channels or 'channels'}, height, width), got "
            f"{tuple(image.shape)}: add a batch axis with image[None]"
            + ", repeat a gray channel three times"
            * (channels == 3)
        )
    if image.device.type == "cpu" and not compiling:
        low, high = (bound.item() for bound in image.detach().aminmax())
        # Noise may leave [0, 1]; [0, 255] and [−1, 1] are other conventions.
        if not (low > -0.9 and high < 2):
            raise InputError(
                f"an image must lie in [0, 1], got values from {low:g} to {high:g}: rescale it "
                "(divide 8-bit values by 255), and replace what is not finite"
            )


def check_inputs(model: Restorer, image: Tensor, kernel: Tensor | None) -> None:
    """Refuse a photo or a kernel that a model of deconvolutions cannot take.

    Raises:
        InputError: see `check_image`, `check_full_precision` and `check_kernel`; or the model needs
            a kernel, and none is given.
    """
    if kernel is None and model.needs_kernel:
        raise InputError(
            "a deconvolution needs the blur's kernel: give kernel=..., or --kernel FILE; "
            "or let it be estimated, kernel_estimator='blind', as the model deblur does"
        )
    check_image(image, model)
    check_full_precision(image)
    if kernel is not None:
        check_kernel(kernel, image)


def check_full_precision(image: Tensor) -> None:
    """Refuse half precision, in which no FFT and no estimate of noise or blur is computed.

    Raises:
        InputError: the image is neither float32 nor float64.
    """
    if image.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"this model computes FFTs and needs float32 or float64, got {image.dtype}: convert "
            "image and model with .float(); unfold.models.fast makes its convolutions bfloat16"
        )


def check_kernel(kernel: Tensor, image: Tensor) -> None:
    """Refuse a kernel that is no blur, of an image that is not refused.

    Raises:
        InputError: no tensor, wrong shape or type, or, on the CPU, a sum that is not 1 or values
            that are not finite.
    """
    batch = len(image)
    check_tensor("a kernel", kernel)
    if not image.is_meta:
        check_values("a kernel", kernel)
    if kernel.ndim != 4 or kernel.shape[0] not in (1, batch) or kernel.shape[1] != 1:
        raise InputError(
            f"a kernel must have shape (1 or {batch}, 1, height, width), got "
            f"{tuple(kernel.shape)}: add axes with kernel[None, None]"
        )
    if kernel.device.type == "cpu" and not torch.compiler.is_compiling():
        sums = kernel.detach().sum((1, 2, 3))
        if not bool(((sums - 1).abs() < 1e-2).all()):
            raise InputError(f"a kernel must sum to 1, got {sums.tolist()}: divide it by its sum")
