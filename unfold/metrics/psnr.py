"""Peak signal-to-noise ratio."""

from __future__ import annotations

from torch import Tensor

from .base import Metric


class PSNR(Metric):
    """Peak signal-to-noise ratio: ``10 log₁₀(1 / mean (x − y)²)`` dB, over all channels.

    The peak is 1. Of identical pictures it is ``inf``; who averages must say what becomes of that
    (`unfold.evaluation` averages the finite values and counts the others).
    """

    better = "higher"
    unit = "dB"

    def measure(self, image: Tensor, reference: Tensor | None) -> Tensor:
        assert reference is not None
        # Not kornia's psnr: it averages the error over the whole batch.
        error = (image.double() - reference.double()).square().mean((1, 2, 3))
        return -10 * error.log10()
