"""Findings of a model in a photo, in one line."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from unfold.estimators.defects import DARK, NOISY, exposure
from unfold.estimators.kernel_estimate import trimmed

NAMES = ("gain", "curve", "kernel", "grain")


def findings(parts: Mapping[str, Tensor], *, kernel_known: bool) -> dict[str, Tensor]:
    """The exposure, kernel and noise among the parts of a restoration.

    Args:
        parts: parts or measurements of one photo.
        kernel_known: whether the kernel was given, and thus not estimated.
    """
    names = [name for name in NAMES if name != "kernel" or not kernel_known]
    return {name: parts[name].float().cpu() for name in names if name in parts}


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
    if "grain" in found and (grain := float(found["grain"].max())) > NOISY:
        errors.append(f"noisy (σ = {255 * grain:.1f}/255)")
    return f"found {', '.join(errors)}" if errors else "found no defect"
