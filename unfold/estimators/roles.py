"""What the parts around an optimization do: one abstract class for each role.

A model asks for a part by its role, and any component of that role fits, whoever wrote it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn


class Estimator(nn.Module):
    """A part of a model.

    Attributes:
        role: what it does.
        offers: what every part of that role must offer, in one line.
        requires_training: whether its output is meaningless until it is trained.
    """

    role: ClassVar[str]
    offers: ClassVar[str]
    requires_training: bool = False


class KernelEstimator(Estimator):
    """Estimates blur kernels from a photo.

    It is built as ``make(num_kernels, num_maps)``, or ``make()`` where it has one kernel always.

    Attributes:
        kernel_size: rows and columns of the kernels.
    """

    role = "kernel estimator"
    offers = (
        "kernel_size, forward(image) -> (kernels (B, M, h, w) >= 0 of sum 1, logits of their maps "
        "(B, N, H, W) or None) and measure(image) -> kernels"
    )
    kernel_size: int

    @abstractmethod
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Kernels and the logits of their maps."""

    def measure(self, image: Tensor) -> Tensor:
        """The kernels of a whole photo, in little memory."""
        return self(image)[0]


class IlluminationEnhancer(Estimator):
    """Brightens the illumination, ``(B, C, H, W)`` in (0, 1].

    It is built as ``make(channels)``.

    Attributes:
        pooled: whether `forward` needs the mean of its features over the whole photo.
    """

    role = "illumination enhancer"
    offers = (
        "forward(light, scene=None) -> (enhanced light, features or None), and measure(image) -> "
        "scene (B, C, 1, 1) or None"
    )
    pooled: bool = False

    @abstractmethod
    def forward(self, light: Tensor, scene: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The enhanced light, and the features whose mean over the photo is ``scene``."""

    def measure(self, image: Tensor) -> Tensor | None:
        """What is to be known of the whole photo (at full exposure), where that is not pooled."""
        return None


class ReflectanceDenoiser(Estimator):
    """Removes the noise that dividing by a low light amplified.

    It is built as ``make(channels)``.
    """

    role = "reflectance denoiser"
    offers = "forward(reflectance (B, C, H, W), deviation (B, 1, H, W) of its noise) -> reflectance"

    @abstractmethod
    def forward(self, reflectance: Tensor, deviation: Tensor) -> Tensor:
        """The denoised reflectance."""


class ExposureEstimator(Estimator):
    """Tells what brings an underexposed photo to full exposure; see `expose`."""

    role = "exposure estimator"
    offers = "forward(image) -> (gain, curve), each (B, 1, 1, 1) and at least 1"

    @abstractmethod
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Gain and curve."""


class NoiseEstimator(Estimator):
    """Estimates the standard deviation of a photo's noise."""

    role = "noise estimator"
    offers = "forward(image) -> standard deviation (B, 1, 1, 1), positive, white being 1"

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """The standard deviation."""


class HyperParameters(Estimator):
    """Predicts the hyper-parameters of every stage from the state before the first.

    A hyper-parameter is a real number; the model that it belongs to makes penalties and noise
    levels of it, usually by ``exp``. It is built as ``make(initial)``.

    Args:
        initial: ``(2, stages, count)``: the value at noise of standard deviation 1, and the slope
            in the logarithm of that deviation, with which it starts. The hyper-parameter is
            ``initial[0] + initial[1] · log σ``.
    """

    role = "hyper-parameter estimator"
    offers = (
        "a constructor that takes initial (2, stages, count), and forward(state) -> (1 or B, "
        "stages, count)"
    )

    @abstractmethod
    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        """The hyper-parameters, ``(1 or B, stages, count)``.

        Args:
            state: has ``noise`` (1 or B,1,1,1), the standard deviation, and ``H``
                (1 or B,M,h,w), the kernel or kernels.
        """
