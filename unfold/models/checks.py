"""Checks of the inputs of models."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unfold.core.inputs import check_tensor, check_values
from unfold.errors import InputError
from unfold.restorer import Restorer

__all__ = ["check_image", "check_inputs"]


def check_image(image: Tensor, model: nn.Module | None = None) -> None:
    """Check the input image of a model.

    Every model calls it first: ``check_image(image, self)``.

    Args:
        image: the input.
        model: model that restores the image. Its parameters must have the image's type and device.

    Raises:
        InputError: if the image is not a tensor, has the wrong shape, type or device, has values
            far outside [0, 1], or is not finite. Values are checked on the CPU only, because on a
            GPU the check would wait for the device.

    Example:
        >>> import torch
        >>> from unfold.models.checks import check_image
        >>> check_image(torch.rand(1, 3, 32, 32))
        >>> check_image(torch.rand(3, 32, 32))
        Traceback (most recent call last):
            ...
        unfold.errors.InputError: an image must have shape (batch, 3, height, width), got ...
    """
    compiling = torch.compiler.is_compiling()
    check_tensor("an image", image, None if compiling else model)
    channels = getattr(model, "channels", 3)
    if image.ndim != 4 or image.shape[1] != (channels or image.shape[1]) or 0 in image.shape:
        raise InputError(
            f"an image must have shape (batch, {channels or 'channels'}, height, width), got "
            f"{tuple(image.shape)}: {_remedy(image, channels)}"
        )
    if image.device.type == "cpu" and not compiling:
        low, high = (bound.item() for bound in image.detach().aminmax())
        # Noise may exceed [0, 1]; [0, 255] and [−1, 1] are other conventions.
        if not (low > -0.9 and high < 2):
            raise InputError(
                f"an image must lie in [0, 1], got values from {low:g} to {high:g}: rescale it "
                "(divide 8-bit values by 255), and replace NaN and infinite values"
            )


def _remedy(image: Tensor, channels: int | None) -> str:
    """How to change an image of a wrong shape."""
    if 0 in image.shape:
        return "leave out empty images and batches"
    if image.ndim == 3 and channels in (None, image.shape[0]):
        return "add a batch axis with image[None]"
    if image.ndim == 4 and image.shape[-1] in (3, channels):
        return "put the channels first with image.permute(0, 3, 1, 2)"
    if image.ndim == 4 and image.shape[1] == 1:
        return f"repeat the gray channel with image.expand(-1, {channels}, -1, -1)"
    if image.ndim == 4:
        return "choose a model for this number of channels, such as tv-deblur or plug-and-play"
    return "add the missing axes with image[None], or restore batch by batch"


def check_inputs(model: Restorer, image: Tensor, kernel: Tensor | None) -> None:
    """Check the photo and the kernel that are given to a deconvolution model.

    Raises:
        InputError: see `check_image`, `check_full_precision` and `check_kernel`; or if the model
            needs a kernel and none is given.

    Example:
        >>> import torch, unfold
        >>> from unfold.models.checks import check_inputs
        >>> model = unfold.create_model("tv-deblur")
        >>> check_inputs(model, torch.rand(1, 3, 32, 32), torch.ones(1, 1, 1, 5) / 5)
        >>> check_inputs(model, torch.rand(1, 3, 32, 32), torch.ones(1, 1, 1, 5))
        Traceback (most recent call last):
            ...
        unfold.errors.InputError: ...must sum to 1...
    """
    if kernel is None and model.needs_kernel:
        raise InputError(
            "a deconvolution needs the blur's kernel: give kernel=..., or estimate it with "
            "kernel_estimator='blind', as the model deblur does"
        )
    check_image(image, model)
    check_full_precision(image)
    if kernel is not None:
        check_kernel(kernel, image)


def check_full_precision(image: Tensor) -> None:
    """Refuse half precision: FFTs and the estimates of noise and blur do not support it.

    Raises:
        InputError: if the image is neither float32 nor float64.
    """
    if image.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"this model computes FFTs and needs float32 or float64, got {image.dtype}: convert "
            "image and model with .float(); unfold.models.fast uses bfloat16 in convolutions only"
        )


def check_kernel(kernel: Tensor, image: Tensor) -> None:
    """Check that a kernel is a blur kernel for an image that passed its own checks.

    Raises:
        InputError: if the kernel is not a tensor, has the wrong shape or type, or, on the CPU, does
            not sum to 1 or is not finite.
    """
    batch = len(image)
    check_tensor("a kernel", kernel)
    if not image.is_meta:
        check_values("a kernel", kernel)
    if kernel.ndim != 4 or kernel.shape[0] not in (1, batch) or kernel.shape[1] != 1:
        first = "1" if batch == 1 else f"1 or {batch}"
        remedy = (
            "add axes with kernel[None, None]" if kernel.ndim == 2 else "give one for each image"
        )
        raise InputError(
            f"a kernel must have shape ({first}, 1, height, width), got {tuple(kernel.shape)}: "
            f"{remedy}"
        )
    if kernel.device.type == "cpu" and not torch.compiler.is_compiling():
        if not kernel.isfinite().all():
            raise InputError("a kernel must be finite, got NaN or infinite values: correct them")
        sums = kernel.detach().sum((1, 2, 3))
        if not bool(((sums - 1).abs() < 1e-2).all()):
            raise InputError(f"a kernel must sum to 1, got {sums.tolist()}: divide it by its sum")
