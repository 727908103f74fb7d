"""Restoration of a photo given as a path, an image, an array or a tensor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unfold.imaging import ImageError, read
from unfold.restorer import Restorer

from .tiling import TiledInference


def restore(
    image: Any,
    *,
    model: str | Mapping[str, Any] | Restorer | None = None,
    kernel: Tensor | None = None,
    device: torch.device | str = "cpu",
    memory: int | None = None,
) -> Any:
    """Restore one photo like `unfold restore`, and return it in the type in which it is given.

    Args:
        image: a path; a PIL image; a NumPy array ``(H, W, C)`` or ``(H, W)``, 8 or 16 bits or
            floating-point in [0, 1]; or a tensor ``(C, H, W)`` or ``(1, C, H, W)`` in [0, 1].
            Values are sRGB-encoded. C is 1 or 3, or any other number if the model accepts it
            (`Restorer.channels`), such as models without learned parameters and
            ``plug-and-play``.
        model: a name, a config, or a model; by default ``"jude-small"``, or ``"jude-classic"`` if a
            kernel is given. Shipped weights are loaded if the model has any.
        kernel: kernel of the blur, ``(1, 1, h, w)``, if it is known.
        device: device of the computation.
        memory: largest number of bytes to use; a photo that does not fit is restored in tiles.

    Returns:
        A PIL image, an array or a tensor, of the same type and shape as the input; for a path, an
        8-bit PIL image.

    Raises:
        ImageError: if the file or the values are not a photo.
        ComponentError: if the model does not exist, or must be trained first.

    Example:
        >>> import numpy as np, unfold
        >>> photo = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
        >>> unfold.restore(photo, model="tv-deblur").shape
        (32, 48, 3)
    """
    if isinstance(image, (str, os.PathLike)):
        return _as_pil(_restored(read(image).image, model, kernel, device, memory))
    if isinstance(image, Tensor):
        photo = _of_tensor(image)
        return _restored(photo, model, kernel, device, memory).to(image).view_as(image)
    if isinstance(image, np.ndarray):
        return _like_array(_restored(_of_array(image), model, kernel, device, memory), image)
    if hasattr(image, "convert") and hasattr(image, "mode"):
        photo = _of_array(np.asarray(image.convert("L" if image.mode == "L" else "RGB")))
        return _as_pil(_restored(photo, model, kernel, device, memory))
    raise ImageError(
        f"restore takes a path, a PIL image, a NumPy array or a tensor, got {type(image).__name__}"
    )


def _restored(
    photo: Tensor,
    model: str | Mapping[str, Any] | Restorer | None,
    kernel: Tensor | None,
    device: torch.device | str,
    memory: int | None,
) -> Tensor:
    from unfold import create_model  # (which imports this module on demand)

    if model is None:
        model = "jude-small" if kernel is None else "jude-classic"
    restorer = model if isinstance(model, Restorer) else create_model(model, pretrained=True)
    place = torch.device(device)
    sized = TiledInference(restorer.eval().to(place), kernel=kernel, device=place, memory=memory)
    if restorer.channels in (None, len(photo)):
        return sized(photo).image
    if len(photo) == 1:  # gray
        return sized(photo.expand(restorer.channels, -1, -1)).image.mean(0, keepdim=True)
    raise ImageError(
        f"the model restores images of {restorer.channels} channels, got {len(photo)}: choose one "
        "for any number of channels, such as tv-deblur, plug-and-play or jude-classic"
    )


def _of_tensor(image: Tensor) -> Tensor:
    if not image.is_floating_point() or image.ndim not in (3, 4) or image.shape[:-3].numel() != 1:
        raise ImageError(
            f"a tensor must be floating-point, (C, H, W) or (1, C, H, W), got {image.dtype} "
            f"{tuple(image.shape)}: divide 8-bit values by 255, and restore photos one by one"
        )
    return image.detach().float().cpu().reshape(image.shape[-3:])


def _of_array(image: np.ndarray) -> Tensor:
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ImageError(f"an array must be (H, W, C) or (H, W), got {image.shape}")
    if image.dtype.kind == "u":
        scaled = image.astype(np.float32) / np.iinfo(image.dtype).max
    elif image.dtype.kind == "f":
        scaled = image.astype(np.float32)
    else:
        raise ImageError(f"an array must be unsigned integers or floating-point, got {image.dtype}")
    channels_last = scaled.reshape(*image.shape[:2], -1)
    return torch.from_numpy(channels_last).permute(2, 0, 1).contiguous()


def _like_array(restored: Tensor, like: np.ndarray) -> np.ndarray:
    array = restored.permute(1, 2, 0).numpy().reshape(like.shape)
    if like.dtype.kind == "u":
        array = np.rint(array * np.iinfo(like.dtype).max)
    return array.astype(like.dtype)


def _as_pil(restored: Tensor) -> Any:
    from PIL import Image

    array = _like_array(restored, np.zeros((*restored.shape[1:], len(restored)), np.uint8))
    return Image.fromarray(array[..., 0] if len(restored) == 1 else array)
