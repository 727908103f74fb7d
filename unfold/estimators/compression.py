"""Estimation of the errors of JPEG in a photo."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SIDE = 8
_BLOCKS = 8192  # largest number of blocks that are used
_STEPS = range(2, 65)  # quantization steps, in the unit of 8-bit values
_LUMA = (0.299, 0.587, 0.114)
# Frequencies (u, v) with 1 <= u + v <= 4, at which many blocks have nonzero coefficients.
_FREQUENCIES = [(u, v) for u in range(5) for v in range(5) if 1 <= u + v <= 4]
_FEWEST = 100  # smallest number of coefficients for an estimate
_SURE = 0.4  # mean cosine of coefficients that are multiples of the step, up to rounding
# Standard deviation for a deconvolution, relative to the step; chosen by experiments on photos.
_SHARE = 0.8


def jpeg_noise(image: Tensor) -> Tensor:
    """The standard deviation of the errors of JPEG in each photo, ``(B, 1, 1, 1)``.

    It is ``0.8 q``, q the median quantization step of the photo (see `quantization_step`). It is 0
    if no step is found: in a photo that was never a JPEG file, or was cropped or scaled afterwards.
    """
    return _SHARE / 255 * quantization_step(image)


def quantization_step(image: Tensor) -> Tensor:
    """The median quantization step of low luma frequencies, ``(B, 1, 1, 1)``, as 8-bit values.

    For each frequency of the 8×8 cosine transform it is the largest q for which the mean of
    ``cos(2π c / q)`` over the coefficients with ``|c| > q/2`` exceeds 0.4. (Coefficients of a photo
    without compression are spread evenly and have mean 0.) Blocks start at the photo's first pixel.
    The result is 0 if a step is found for less than a third of the frequencies. Steps below 2
    cannot be detected, and each frequency needs at least 100 coefficients.

    Source: the histogram of coefficients is a comb: Fan and de Queiroz, "Identification of bitmap
    compression history", IEEE TIP 2003.
    """
    if min(image.shape[-2:]) < _SIDE:
        return image.new_zeros(len(image), 1, 1, 1)
    values = _coefficients(255 * image)
    if values.shape[-1] < _FEWEST:
        return image.new_zeros(len(image), 1, 1, 1)
    steps = _combs(values)  # (B, frequencies)
    known = 3 * steps.count_nonzero(1) >= len(_FREQUENCIES)
    median = torch.where(steps == 0, torch.nan, steps).nanmedian(1).values
    return torch.where(known, median, 0).view(-1, 1, 1, 1)


def _coefficients(image: Tensor) -> Tensor:
    """The low frequencies of the luma's blocks, ``(B, frequencies, blocks)``."""
    height, width = (n // _SIDE * _SIDE for n in image.shape[-2:])
    if image.shape[1] == 3:
        image = torch.einsum("c,bchw->bhw", image.new_tensor(_LUMA), image)[:, None]
    blocks = image[:, 0, :height, :width].unfold(1, _SIDE, _SIDE).unfold(2, _SIDE, _SIDE)
    blocks = blocks.flatten(1, 2)
    blocks = blocks[:, :: -(-blocks.shape[1] // _BLOCKS)]
    place = torch.arange(_SIDE, dtype=image.dtype, device=image.device)
    cosines = torch.cos(math.pi / _SIDE * (place[None] + 0.5) * place[:, None]) / 2
    cosines[0] /= math.sqrt(2)
    transformed = cosines @ blocks @ cosines.mT
    return torch.stack([transformed[..., u, v] for u, v in _FREQUENCIES], 1)


def _combs(values: Tensor) -> Tensor:
    """The quantization step of each frequency, ``(B, frequencies)``; 0 if there is none, or there
    are too few coefficients."""
    found = torch.zeros_like(values[..., 0])
    for step in _STEPS:
        telling = values.abs() > step / 2
        count = telling.sum(-1)
        mean = ((2 * math.pi / step * values).cos() * telling).sum(-1) / count.clamp_min(1)
        found = torch.where((mean > _SURE) & (count >= _FEWEST), step, found)
    return found
