"""A restoration model of unfold as a reconstructor of DeepInverse."""

from __future__ import annotations

import torch
from deepinv.models.base import Reconstructor
from deepinv.physics import Blur, BlurFFT, Denoising, GaussianNoise, Physics
from torch import Tensor
from torch.nn.functional import pad

from unfold.errors import InputError
from unfold.restorer import Restorer

# A photo with circular blur is continued periodically beyond its border: by this many pixels and
# kernel sizes.
_MARGIN = 16


class UnfoldReconstructor(Reconstructor):
    """Any restoration model of unfold as a `deepinv.models.Reconstructor`.

    ``reconstructor(y, physics)`` restores photos that a blur of DeepInverse degraded. Kernels have
    the same convention in both libraries: true convolution, centered at ``(h // 2, w // 2)``.
    Known quantities are not estimated: the filter of the physics is the kernel, and the standard
    deviation of its Gaussian noise is given to the model's priors. With ``Denoising`` the kernel is
    a point. Without a physics, the model estimates kernel and noise.

    - ``padding="circular"``, ``BlurFFT``: the photo is continued periodically.
    - ``padding="valid"``: y is smaller than the image. The restored part is extended to the image's
      size by repeating its outermost pixels.
    - A gray image is repeated three times for a model of RGB photos, and the result is averaged.

    Args:
        model: from `unfold.create_model`; a submodule of the reconstructor.

    Example::

        >>> import deepinv, torch, unfold
        >>> from unfold_deepinv import UnfoldReconstructor
        >>> blur = deepinv.physics.Blur(torch.ones(1, 1, 3, 3) / 9, padding="reflect")
        >>> model = UnfoldReconstructor(unfold.create_model("deconv-small", pretrained=True))
        >>> model(blur(torch.rand(1, 3, 32, 32)), blur).shape
        torch.Size([1, 3, 32, 32])
    """

    def __init__(self, model: Restorer) -> None:
        super().__init__()
        self.model = model

    def forward(self, y: Tensor, physics: Physics | None = None, **kwargs: object) -> Tensor:
        """Restore a batch.

        Args:
            y: ``(B, C, H, W)``, noisy photos in [0, 1].
            physics: a 2-D ``Blur`` or ``BlurFFT`` with one filter for all channels, ``Denoising``,
                or None.
            kwargs: ignored. (Trainers pass additional arguments.)

        Raises:
            InputError: if the physics is another one, or the model refuses its input.
        """
        kernel = None if physics is None else _kernel(physics)
        if kernel is None:
            return self._restored(y, kernel, physics)
        h, w = kernel.shape[-2:]
        if _is_circular(physics):
            top, left = min(h + _MARGIN, y.shape[-2]), min(w + _MARGIN, y.shape[-1])
            continued = pad(y, (left, left, top, top), mode="circular")
            restored = self._restored(continued, kernel, physics)
            return restored[..., top : top + y.shape[-2], left : left + y.shape[-1]]
        restored = self._restored(y, kernel, physics)
        if isinstance(physics, Blur) and physics.padding == "valid":
            beyond = (w - 1 - w // 2, w // 2, h - 1 - h // 2, h // 2)
            restored = pad(restored, beyond, mode="replicate")
        return restored

    def _restored(self, y: Tensor, kernel: Tensor | None, physics: Physics | None) -> Tensor:
        gray = y.shape[1] == 1 and self.model.channels == 3
        photo = y.expand(-1, 3, -1, -1) if gray else y
        measurements = dict(self.model.measure(photo, kernel=kernel))
        noise = _noise(physics)
        if noise is not None and "noise" in measurements:
            measurements["noise"] = noise.to(photo).expand(len(photo), 1, 1, 1)
        known = {"measurements": measurements} if measurements else {}
        restored = self.model(photo, kernel=kernel, **known).image
        return restored.mean(1, keepdim=True) if gray else restored


def _kernel(physics: Physics) -> Tensor:
    """The kernel of a physics, ``(1 or B, 1, h, w)``."""
    if isinstance(physics, Denoising):
        return torch.ones(1, 1, 1, 1)
    if not isinstance(physics, Blur | BlurFFT):
        raise InputError(
            f"UnfoldReconstructor needs a Blur, a BlurFFT, Denoising or no physics, got "
            f"{type(physics).__name__}: for any other linear physics write an objective with "
            "unfold_deepinv.linear_physics, and solve or unroll it"
        )
    kernel = physics.filter
    if kernel is None or kernel.ndim != 4 or not bool((kernel == kernel[:, :1]).all()):
        shape = None if kernel is None else tuple(kernel.shape)
        raise InputError(
            "UnfoldReconstructor needs a physics with a filter (1 or B, 1, h, w), or the same one "
            f"for each channel, got {shape}"
            + ", whose channels differ: restore each channel with a physics of its own"
            * (kernel is not None and kernel.ndim == 4)
        )
    return kernel[:, :1]


def _is_circular(physics: Physics | None) -> bool:
    return isinstance(physics, BlurFFT) or getattr(physics, "padding", "") == "circular"


def _noise(physics: Physics | None) -> Tensor | None:
    """The standard deviation of the noise, ``(1 or B, 1, 1, 1)``; None if the physics lacks it."""
    model = getattr(physics, "noise_model", None)
    if not isinstance(model, GaussianNoise) or not bool((model.sigma > 0).all()):
        return None
    return model.sigma.reshape(-1, 1, 1, 1)
