"""DeepInverse's wavelets."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from unfold.core import Prior
from unfold.errors import InputError

from .steps import one_per_image


class DeepInvWavelet(Prior):
    """``g(x) = ‖Ψx‖₁`` over the details: the transform of `deepinv.models.WaveletDenoiser`.

    Ψ is the transform by an orthogonal wavelet of the image extended by zeros; the coarse part is
    not penalized. There are more coefficients than pixels (``ΨᵀΨ = I``, but ``ΨΨᵀ ≠ I``), except
    for the Haar wavelet and sides that are multiples of ``2**level``. Only then is soft
    thresholding of the coefficients, DeepInverse's denoiser, the proximal operator. In general it
    is the first step, from u = 0, of the projected gradient scheme on the dual::

        u ← clip(u + Ψ(v − Ψᵀu), −step, step),   x = v − Ψᵀu

    Here this scheme is accelerated and iterated. (DeepInverse's docstring has ``‖x − y‖²`` without
    the factor ½; its threshold ``ths`` corresponds to ``½‖x − y‖²``.)

    Args:
        wavelet: an orthogonal wavelet, by its name in PyWavelets.
        level: level of the decomposition.
        iterations: number of dual steps; 1 is DeepInverse's denoiser. For Haar, 1 is exact if the
            sides are multiples of ``2**level``, and 20 give seven digits otherwise; for long
            filters the error decreases like ``1 / iterations²``.

    Source: Beck and Teboulle, "Fast gradient-based algorithms for constrained total variation
    image denoising and deblurring problems", IEEE TIP 2009 (the scheme).
    """

    accepts_map = False

    def __init__(
        self,
        *,
        wavelet: str = "db8",
        level: Annotated[int, Field(ge=1, le=16)] = 3,
        iterations: Annotated[int, Field(ge=1, le=10_000)] = 20,
    ) -> None:
        import pywt
        from deepinv.models import WaveletDenoiser

        super().__init__()
        if not pywt.Wavelet(wavelet).orthogonal:
            raise InputError(
                f"DeepInvWavelet needs an orthogonal wavelet, got {wavelet!r}: use one of the "
                "families haar, db, sym, coif"
            )
        self.iterations = iterations
        # Of the extensions in PyWavelets, only this one gives ΨᵀΨ = I.
        self.transform = WaveletDenoiser(level=level, wv=wavelet, mode="zero")

    @staticmethod
    def option_errors(spec: Any) -> list[tuple[tuple[str], str]]:
        """The error of a wavelet that is unknown or not orthogonal."""
        import pywt

        if spec.wavelet in pywt.wavelist(kind="discrete") and pywt.Wavelet(spec.wavelet).orthogonal:
            return []
        return [(("wavelet",), "must be orthogonal: one of the families haar, db, sym, coif")]

    def step_for(self, variance: Tensor) -> Tensor:
        # For photos, the best threshold is slightly below the standard deviation.
        return 0.8 * variance.sqrt()

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        if v.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"DeepInvWavelet needs float32 or float64, got {v.dtype}: convert v and step with "
                ".float()"
            )
        bound = one_per_image(self, v, step).to(v.dtype)
        dual = ahead = [torch.zeros_like(d) for d in self._details(v)]
        t = 1.0
        for _ in range(self.iterations):
            rise = self._details(v - self._adjoint(ahead, v))
            moved = [a + r for a, r in zip(ahead, rise, strict=True)]
            before, dual = dual, [torch.clamp(m, -bound, bound) for m in moved]
            t, old = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
            momentum = 1 + (old - 1) / t
            ahead = [torch.lerp(b, d, momentum) for b, d in zip(before, dual, strict=True)]
        return v - self._adjoint(dual, v)

    def value(self, x: Tensor) -> Tensor:
        return torch.stack([d.abs().sum((1, 2, 3)) for d in self._details(x)]).sum(0)

    def _details(self, x: Tensor) -> list[Tensor]:
        """Ψx: every band except the coarse one, coarsest first."""
        return [band for bands in self.transform.dwt(x)[1:] for band in bands]

    def _adjoint(self, details: list[Tensor], like: Tensor) -> Tensor:
        """Ψᵀ: synthesis, cropped to the image (odd sides gain a row or column of zeros)."""
        levels = [details[i : i + 3] for i in range(0, len(details), 3)]
        image = self.transform.iwt([torch.zeros_like(details[0]), *levels])
        return image[..., : like.shape[-2], : like.shape[-1]]
