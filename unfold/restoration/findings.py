"""Findings of a model in a photo, in one line."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unfold.estimators.blur_radius import blur_radius_of_cells
from unfold.estimators.defects import DARK, NOISY, exposure, is_point
from unfold.estimators.kernel_estimate import trimmed
from unfold.estimators.noise import PhotoNoise
from unfold.estimators.outliers import find_outliers

NAMES = ("gain", "curve", "kernel", "grain")
_MIDDLE = 512  # rows and columns of the part in which the focus is measured
_UNFOCUSED = 1.0  # radius in pixels


def findings(parts: Mapping[str, Tensor], *, kernel_known: bool) -> dict[str, Tensor]:
    """The exposure, kernel and noise among the parts of a restoration.

    Args:
        parts: parts or measurements of one photo.
        kernel_known: whether the kernel was given, and thus not estimated.
    """
    names = [name for name in NAMES if name != "kernel" or not kernel_known]
    return {name: parts[name].float().cpu() for name in names if name in parts}


@torch.inference_mode()
def with_focus(found: Mapping[str, Tensor], photo: Tensor) -> Mapping[str, Tensor]:
    """The findings of a model that found no shake, with ``radius``: the median of the blur radius
    in the middle of the photo, in pixels.

    Args:
        found: the findings of a model.
        photo: ``(C, H, W)`` in [0, 1].
    """
    if "kernel" not in found or not is_point(found["kernel"]).all():
        return found
    top, left = (max(0, n - _MIDDLE) // 2 for n in photo.shape[-2:])
    middle = photo[None, :, top : top + _MIDDLE, left : left + _MIDDLE]
    radius = blur_radius_of_cells(middle - find_outliers(middle), PhotoNoise()(middle))
    return {**found, "radius": radius.median().view(1, 1, 1, 1)}


def sentence(found: Mapping[str, Tensor]) -> str:
    """One line, such as "dark, shaken, noisy"; empty if only the noise was measured."""
    if not found.keys() & {"gain", "kernel"}:
        return ""
    errors = []
    if "gain" in found and (factor := float(exposure(found).max())) > DARK:
        errors.append(f"dark (exposure ×{factor:.1f})")
    if (kernel := found.get("kernel")) is not None and kernel.shape[1] == 1:
        side = max(trimmed(kernel).shape[-2:])
        if side > 1:
            errors.append(f"shaken (within {side} pixels)")
    if "radius" in found and (radius := float(found["radius"].max())) >= _UNFOCUSED:
        errors.append(f"out of focus (radius {radius:.1f} pixels, see --model era-small)")
    if "grain" in found and (grain := float(found["grain"].max())) > NOISY:
        errors.append(f"noisy (σ = {255 * grain:.1f}/255)")
    return f"found {', '.join(errors)}" if errors else "found no defect"
