"""BM3D."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from unfold.core import Prior
from unfold.core.inputs import check_values
from unfold.errors import GradientError, InputError

from .color import filter_color

_PROFILES = {
    "np": "BM3DProfile",
    "lc": "BM3DProfileLC",
    "high": "BM3DProfileHigh",
    "vn": "BM3DProfileVN",
}


class BM3D(Prior):
    """Block matching and 3-D filtering of Gaussian noise of variance ``step``.

    ``prox(v, step) = BM3D(v, sqrt(step))``, an algorithm with unknown ``g``. It runs in NumPy on
    the CPU, image by image, and is not differentiable. It uses the `bm3d` package, which is
    licensed for non-commercial use only.

    Args:
        profile: settings of BM3D: "np" normal, "lc" fast, "high" finer, "vn" for strong noise.
        threads: number of threads; 0: one for each core. With several threads, two calls may differ
            by rounding errors.

    Source: Mäkinen, Azzari and Foi, "Collaborative filtering of correlated noise", IEEE TIP 2020;
    Dabov et al., "Image denoising by sparse 3-D transform-domain collaborative filtering", 2007.
    """

    accepts_map = False
    differentiable = False

    def __init__(
        self,
        *,
        profile: Literal["np", "lc", "high", "vn"] = "np",
        threads: Annotated[int, Field(ge=0, le=1024)] = 1,
    ) -> None:
        import bm3d

        super().__init__()
        self._bm3d = bm3d.bm3d
        self._profile = getattr(bm3d, _PROFILES[profile])()
        self._profile.num_threads = threads

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        self._check(v, step)
        sigmas = step.reshape(-1, 1, 1, 1).expand(v.shape[0], 1, 1, 1).sqrt().flatten().tolist()
        images = v.detach().permute(0, 2, 3, 1).to("cpu", torch.float64).numpy()
        filtered = [self._filter(image, s) for image, s in zip(images, sigmas, strict=True)]
        return torch.from_numpy(np.stack(filtered)).permute(0, 3, 1, 2).to(v).contiguous()

    def _filter(self, image: np.ndarray, sigma: float) -> np.ndarray:
        """One image, ``(H, W, 1 or 3)``."""
        if image.shape[-1] == 3:
            return filter_color(image, sigma, lambda z, s: self._bm3d(z, s, self._profile))
        return self._bm3d(image[..., 0], sigma, self._profile)[..., None]

    def _check(self, v: Tensor, step: Tensor) -> None:
        if torch.is_grad_enabled() and (v.requires_grad or step.requires_grad):
            which = "v" if v.requires_grad else "step"
            raise GradientError(
                f"BM3D passes no gradients, but {which} requires grad: call it under "
                "torch.no_grad(), detach its input, or train with a prior that is differentiable"
            )
        if step.shape[1:].numel() != 1:
            raise InputError(
                f"BM3D takes one step for each image, (1 or {v.shape[0]}, 1, 1, 1), got a map, "
                f"{tuple(step.shape)}: split the block with a constraint z = x and put the prior "
                "on z, or choose a prior with accepts_map"
            )
        check_values("v, the input of BM3D,", v)
        if v.shape[1] not in (1, 3):
            raise InputError(
                f"BM3D filters gray and RGB images, got {v.shape[1]} channels, {tuple(v.shape)}: "
                "give it 1 or 3 channels at a time"
            )
        # An image of exactly one block ends the process inside bm3d 4.0.3 (a segmentation fault).
        block = max(self._profile.bs_ht, self._profile.bs_wiener)
        if min(v.shape[-2:]) <= block:
            raise InputError(
                f"BM3D's blocks are {block}×{block} pixels and an image must be larger on both "
                f"sides, got {v.shape[-2]}×{v.shape[-1]}: pad it, or choose another prior"
            )
