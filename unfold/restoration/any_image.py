"""Restoration of a photo given as a path, an image, an array or a tensor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unfold.errors import InputError
from unfold.imaging import ImageError, Photo, read
from unfold.imaging.io import profile_fits, samples
from unfold.restorer import Restorer

from .device import find_device
from .kernel_file import read_kernel
from .tiling import TiledInference

# Mode of a PIL image -> mode in which it is restored and returned.
_MODES = {
    **{mode: mode for mode in ("L", "LA", "RGB", "RGBA")},
    **dict.fromkeys(("I;16", "I;16L", "I;16B", "I;16N"), "I;16"),
    **dict.fromkeys(("1", "P", "CMYK", "YCbCr", "HSV", "RGBX"), "RGB"),
    **dict.fromkeys(("PA", "RGBa"), "RGBA"),
}


def restore(
    image: Any,
    *,
    model: str | Mapping[str, Any] | Restorer | None = None,
    kernel: Tensor | np.ndarray | str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
    memory: int | str | None = None,
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
        kernel: kernel of the blur, if it is known: a tensor or an array ``(h, w)`` or
            ``(1, 1, h, w)`` with sum 1, or the path of a kernel (see `read_kernel`).
        device: device of the computation; ``"auto"`` is a GPU if there is one.
        memory: largest number of bytes to use, such as ``2 * 2**30`` or ``"2GiB"``; a photo that
            does not fit is restored in tiles.

    Returns:
        An array or a tensor of the same type and shape as the input. For a PIL image, a PIL image:
        the modes ``L``, ``LA``, ``RGB``, ``RGBA`` and ``I;16`` are kept, with alpha unchanged;
        ``P``, ``1``, ``CMYK``, ``YCbCr`` and ``HSV`` become ``RGB``, or ``RGBA`` if they have
        transparency. For a path, a PIL image in one of these modes, with the color profile: gray
        photos of 16 bits keep their depth (``I;16``); all others have 8 bits, because PIL has no
        modes of 16 bits for color and alpha. (`unfold restore` writes 16 bits, and an array of 16
        bits keeps them.)

    Raises:
        ImageError: if the file or the values are not a photo.
        InputError: if the kernel, the device or the memory is invalid.
        ComponentError: if the model does not exist, or must be trained first.

    Example:
        >>> import numpy as np, unfold
        >>> photo = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
        >>> unfold.restore(photo, model="tv-deblur").shape
        (32, 48, 3)
    """
    options = model, _as_kernel(kernel), find_device(device), memory
    if isinstance(image, Tensor):
        return _restored(_of_tensor(image), *options).to(image).view_as(image)
    if isinstance(image, np.ndarray):
        return _like_array(_restored(_of_array(image), *options), image)
    if isinstance(image, (str, os.PathLike)):
        photo = read(image)
    elif hasattr(image, "convert") and hasattr(image, "mode"):
        photo = _of_pil(image)
    else:
        raise ImageError(
            "restore takes a path, a PIL image, a NumPy array or a tensor, got "
            f"{type(image).__name__}: convert it with numpy.asarray"
        )
    colors = photo.image[:1] if photo.gray else photo.image
    return _as_pil(replace(photo, image=_restored(colors, *options)))


def _restored(
    photo: Tensor,
    model: str | Mapping[str, Any] | Restorer | None,
    kernel: Tensor | None,
    device: torch.device,
    memory: int | str | None,
) -> Tensor:
    from unfold import create_model  # (which imports this module on demand)

    if model is None:
        model = "jude-small" if kernel is None else "jude-classic"
    restorer = model if isinstance(model, Restorer) else create_model(model, pretrained=True)
    restorer = restorer.eval().to(device)
    sized = TiledInference(restorer, kernel=kernel, device=device, memory=memory)
    if restorer.channels in (None, len(photo)):
        return sized(photo).image
    if len(photo) == 1:  # gray
        return sized(photo.expand(restorer.channels, -1, -1)).image.mean(0, keepdim=True)
    raise ImageError(
        f"the model restores images of {restorer.channels} channels, got {len(photo)}: choose one "
        "for any number of channels, such as tv-deblur, plug-and-play or jude-classic"
    )


def _as_kernel(kernel: Any) -> Tensor | None:
    if kernel is None:
        return None
    if isinstance(kernel, (str, os.PathLike)):
        return read_kernel(kernel)
    values = torch.from_numpy(kernel.copy()) if _has_numbers(kernel) else kernel
    if not isinstance(values, Tensor) or values.is_complex():
        raise InputError(
            "a kernel must be a tensor or an array of numbers, or the path of a kernel, got "
            f"{getattr(kernel, 'dtype', type(kernel).__name__)}: convert it with torch.as_tensor"
        )
    values = values.detach().float()
    return values[None, None] if values.ndim == 2 else values


def _has_numbers(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "biuf"


def _of_tensor(image: Tensor) -> Tensor:
    one = image.ndim in (3, 4) and image.shape[:-3].numel() == 1 and 0 not in image.shape
    if not (one and image.is_floating_point()):
        raise ImageError(
            "a tensor must be floating-point, (C, H, W) or (1, C, H, W), none of them 0, got "
            f"{image.dtype} {tuple(image.shape)}: divide 8-bit values by 255, and restore photos "
            "one by one"
        )
    return image.detach().float().cpu().reshape(image.shape[-3:])


def _of_array(image: np.ndarray) -> Tensor:
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ImageError(
            f"an array must be (H, W, C) or (H, W), none of them 0, got {image.shape}: restore "
            "photos one by one"
        )
    if image.dtype.kind == "u" and image.dtype.itemsize <= 2:
        scaled = image.astype(np.float32) / np.iinfo(image.dtype).max
    elif image.dtype.kind == "f":
        scaled = image.astype(np.float32)
    else:
        raise ImageError(
            f"an array must be uint8, uint16 or floating-point in [0, 1], got {image.dtype}: "
            "convert 8-bit values with .astype(numpy.uint8)"
        )
    channels_last = scaled.reshape(*image.shape[:2], -1)
    return torch.from_numpy(channels_last).permute(2, 0, 1).contiguous()


def _like_array(restored: Tensor, like: np.ndarray) -> np.ndarray:
    array = restored.permute(1, 2, 0).numpy().reshape(like.shape)
    if like.dtype.kind == "u":
        array = np.rint(array * np.iinfo(like.dtype).max)
    return array.astype(like.dtype)


def _of_pil(image: Any) -> Photo:
    mode = _MODES.get(image.mode)
    if mode is None:
        raise ImageError(
            f"a PIL image of mode {image.mode} is not restored, as its values have no known white: "
            "give an array numpy.asarray(image), scaled to [0, 1]"
        )
    if mode in ("L", "RGB") and "transparency" in image.info:
        mode += "A"
    same = mode in (image.mode, "I;16")  # (PIL clips 16 bits on conversion)
    planes = _of_array(np.asarray(image if same else image.convert(mode)))
    colors = 3 if mode.startswith("RGB") else 1
    icc = image.info.get("icc_profile")
    return Photo(
        planes[:colors],
        alpha=planes[colors:] if len(planes) > colors else None,
        gray=colors == 1,
        bits=16 if mode == "I;16" else 8,
        icc=icc if profile_fits(icc, gray=colors == 1) else None,
    )


def _as_pil(photo: Photo) -> Any:
    from PIL import Image

    single = photo.gray and photo.alpha is None  # (the only mode with 16 bits)
    planes = samples(photo if single else replace(photo, bits=8))
    made = Image.fromarray(planes[..., 0] if single else planes)
    if photo.icc:
        made.info["icc_profile"] = photo.icc
    return made
