"""Roles of the parts of a model: one abstract class for each.

A model requires a role, and every component with that role can be used.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn


class Estimator(nn.Module):
    """A part of a model.

    Attributes:
        role: name of the role.
        offers: the methods and attributes that every part with that role has, in one line.
        requires_training: whether the output is meaningless before training.

    Example:
        >>> import unfold
        >>> part = unfold.create("estimators", "noise")
        >>> part.role
        'noise estimator'
        >>> part.offers
        'forward(image) -> standard deviation (B, 1, 1, 1), positive, white being 1'
    """

    role: ClassVar[str]
    offers: ClassVar[str]
    requires_training: bool = False


class KernelEstimator(Estimator):
    """Estimates blur kernels from a photo.

    It is built as ``make(num_kernels, num_maps)``, or ``make()`` if it always returns one kernel.

    Attributes:
        kernel_size: rows and columns of the kernels.
        measured_maps: results of `measure` that are maps of the photo -> side of their cells in
            pixels; see `Restorer.measured_maps`.

    Example:
        >>> import torch
        >>> from unfold.estimators import KernelEstimator
        >>> class Box(KernelEstimator):
        ...     kernel_size = 3
        ...     def forward(self, image):
        ...         return image.new_full((image.shape[0], 1, 3, 3), 1 / 9), None
        >>> kernels, logits = Box()(torch.rand(2, 3, 8, 8))
        >>> kernels.shape
        torch.Size([2, 1, 3, 3])
    """

    role = "kernel estimator"
    offers = (
        "kernel_size, forward(image) -> (kernels (B, M, h, w) >= 0 of sum 1, logits of their maps "
        "(B, N, H, W) or None) and measure(image, noise) -> {'kernel': kernels}"
    )
    kernel_size: int
    measured_maps: Mapping[str, int] = {}

    @abstractmethod
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Kernels and the logits of their maps."""

    def measure(self, image: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """``kernel``, the kernels of a whole photo, with less memory, and the ``measured_maps``.

        Args:
            image: the photo, ``(B, C, H, W)``.
            noise: standard deviation of its noise, ``(1 or B, 1, 1, 1)``.
        """
        return {"kernel": self(image)[0]}

    def logits(self, image: Tensor, kernels: Tensor, maps: Mapping[str, Tensor]) -> Tensor | None:
        """The logits of the maps of given kernels, in a part of a photo.

        Args:
            image: the part, ``(B, C, H, W)``.
            kernels: those that `measure` found in the whole photo, ``(B, M, h, w)``, or a single
                kernel that is given.
            maps: the ``measured_maps`` at each pixel of the part, ``(B, C, H, W)``; none if the
                kernel is given.
        """
        return self(image)[1]


class IlluminationEnhancer(Estimator):
    """Brightens the illumination, ``(B, C, H, W)`` in (0, 1].

    It is built as ``make(channels)``.

    Attributes:
        pooled: whether `forward` needs the mean of its features over the whole photo.

    Example:
        >>> import torch
        >>> from unfold.estimators import IlluminationEnhancer
        >>> class Root(IlluminationEnhancer):
        ...     def forward(self, light, scene=None):
        ...         return light.sqrt(), None
        >>> light, _ = Root()(torch.full((1, 1, 8, 8), 0.25))
        >>> light.mean().item()
        0.5
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
        """The global quantity of the whole photo (at full exposure); None if there is none."""
        return None


class ReflectanceDenoiser(Estimator):
    """Removes the noise that the division by a low illumination amplified.

    It is built as ``make(channels)``.

    Example:
        >>> import torch
        >>> from unfold.estimators import ReflectanceDenoiser
        >>> class Shrink(ReflectanceDenoiser):  # towards the mean where the noise is strong
        ...     def forward(self, reflectance, deviation):
        ...         mean = reflectance.mean((-2, -1), keepdim=True)
        ...         return mean + (reflectance - mean) / (1 + deviation**2)
        >>> Shrink()(torch.tensor([[[[0.0, 1.0]]]]), deviation=torch.ones(1, 1, 1, 2))
        tensor([[[[0.2500, 0.7500]]]])
    """

    role = "reflectance denoiser"
    offers = "forward(reflectance (B, C, H, W), deviation (B, 1, H, W) of its noise) -> reflectance"

    @abstractmethod
    def forward(self, reflectance: Tensor, deviation: Tensor) -> Tensor:
        """The denoised reflectance."""


class ExposureEstimator(Estimator):
    """Estimates the gain and the curve that bring an underexposed photo to full exposure.

    See `unfold.estimators.exposure.expose`.

    Example:
        >>> import torch
        >>> from unfold.estimators import ExposureEstimator
        >>> class Double(ExposureEstimator):
        ...     def forward(self, image):
        ...         one = image.new_ones(image.shape[0], 1, 1, 1)
        ...         return 2 * one, one
        >>> gain, curve = Double()(torch.rand(4, 3, 8, 8))
        >>> gain.flatten()
        tensor([2., 2., 2., 2.])
    """

    role = "exposure estimator"
    offers = "forward(image) -> (gain, curve), each (B, 1, 1, 1) and at least 1"

    @abstractmethod
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Gain and curve."""


class NoiseEstimator(Estimator):
    """Estimates the standard deviation of a photo's noise.

    Example:
        >>> import torch
        >>> from unfold.estimators import NoiseEstimator
        >>> class Known(NoiseEstimator):
        ...     def forward(self, image):
        ...         return image.new_full((image.shape[0], 1, 1, 1), 0.02)
        >>> Known()(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 1, 1, 1])
    """

    role = "noise estimator"
    offers = "forward(image) -> standard deviation (B, 1, 1, 1), positive, white being 1"

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """The standard deviation."""


class HyperParameters(Estimator):
    """Predicts the hyper-parameters of every stage from the state before the first.

    A hyper-parameter is a real number; its model computes penalties and noise levels from it,
    usually by ``exp``. The estimator is built as ``make(initial)``.

    Args:
        initial: ``(2, stages, count)``, the initial coefficients: the value for noise of standard
            deviation 1, and the slope in the logarithm of the deviation. A hyper-parameter is
            ``initial[0] + initial[1] · log σ``.

    Example:
        >>> import torch
        >>> from unfold.estimators import HyperParameters
        >>> class Constant(HyperParameters):
        ...     def __init__(self, initial):
        ...         super().__init__()
        ...         self.values = initial[0]
        ...     def forward(self, state):
        ...         return self.values[None]
        >>> Constant(torch.zeros(2, 5, 3))({}).shape  # 5 stages, 3 numbers each
        torch.Size([1, 5, 3])
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
            state: contains ``noise`` (1 or B,1,1,1), the standard deviation, and ``H``
                (1 or B,M,h,w), the kernel or kernels.
        """
