"""Models with other defaults: small ones, which train on a CPU, and ones without learning."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from unfold.errors import InputTypeError
from unfold.restorer import Restorer

from .deconvolution import Deconvolution
from .era import ErA
from .jude import JUDE

Model = TypeVar("Model", bound=Restorer)

_SMALL_PRIOR = {"kind": "resunet", "widths": (32, 64), "residual": True, "unshuffle": 2}
_MAIN_PRIOR = {**_SMALL_PRIOR, "blocks": 2}
_LIGHT_PRIOR = {"kind": "resunet", "widths": (16, 32), "residual": True, "unshuffle": 4}
_FEW_STEPS = {"kind": "total-variation", "iterations": 5}
_SCHEDULE = {"kind": "noise-powers", "learned": False}
# Errors of the networks of deconv-small and deblur; from benchmarks/weights/coverage.py.
_DECONV_ERRORS = 2.6, 3.5


def preset(
    model: Callable[..., Model],
    about: str,
    *,
    error_scale: tuple[float | None, float | None] = (None, None),
    **defaults: Any,
) -> Callable[..., Model]:
    """A function with all options of a model, some of them with another default.

    Args:
        model: a class with keyword-only options.
        about: docstring of the function.
        error_scale: `Restorer.error_scale` of the models, measured with these defaults.
        defaults: option -> its default.

    Example::

        >>> from unfold.models.jude import JUDE
        >>> from unfold.models.presets import preset
        >>> preset(JUDE, "JUDE with one stage.", K=1)(tied=True)  # JUDE(K=1, tied=True)
        JUDE(...)
    """
    constructor = model.__init__
    parameters = inspect.signature(constructor).parameters.values()
    options = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    unknown = defaults.keys() - {option.name for option in options}
    if unknown:
        raise InputTypeError(f"{model.__name__} has no option {', '.join(sorted(unknown))}")

    def build(**given: Any) -> Model:
        made = model(**{**defaults, **given})
        made.error_scale = error_scale
        return made

    build.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [option.replace(default=defaults.get(option.name, option.default)) for option in options]
    )
    hints = typing.get_type_hints(constructor, include_extras=True)
    build.__annotations__ = {option.name: hints[option.name] for option in options}
    build.__doc__ = f"{about}\n\nIts options are those of `{model.__name__}`.\n"
    return build


jude_small = preset(
    JUDE,
    """JUDE with 3 stages, a learned prior on Z and a smaller one on Q,
    both on unshuffled pixels, a one-channel illumination, and a kernel that `BlindKernel`
    estimates. The reflectance ``Z/L`` is denoised at the end and has no prior within the stages.

    A dark photo is first brought to full exposure. The illumination enhancer has two more levels
    than JUDE's and uses features of the whole photo, because a few pixels do not show whether the
    exposure or the object is dark. A photo without defects is returned unchanged; where the kernel
    does not explain the photo, only its brightness changes.

    Example:
        >>> import torch, unfold
        >>> model = unfold.create_model("jude-small", pretrained=True)
        >>> dark, point = torch.full((1, 3, 32, 32), 0.05), torch.ones(1, 1, 1, 1)
        >>> bool(model(dark, kernel=point).image.mean() > 2 * dark.mean())
        True""",
    error_scale=(None, 5.6),
    K=3,
    prior=_MAIN_PRIOR,
    light_prior=_LIGHT_PRIOR,
    reflectance_prior="box",
    reflectance="Z/L",
    kernel_estimator="blind",
    careful=True,
    trust=False,
    enhancer={"kind": "illumination", "widths": (16, 32, 64, 64, 64), "pooled": True},
    denoiser={"kind": "prior-denoiser", "prior": _SMALL_PRIOR},
    exposure="exposure-histogram",
    illumination_channels=1,
)

era_small = preset(
    ErA,
    """ErA with 3 stages and small priors on unshuffled pixels. The blur is that of four discs with
    radii and maps that follow from the photo (`DiscKernels`). E has no learned prior.

    Example:
        >>> import torch, unfold
        >>> model = unfold.create_model("era-small", pretrained=True)
        >>> parts = model(torch.rand(1, 3, 64, 64)).parts
        >>> parts["kernel"].shape, parts["maps"].shape
        (torch.Size([1, 4, 17, 17]), torch.Size([1, 4, 64, 64]))""",
    K=3,
    prior=_MAIN_PRIOR,
    num_kernels=4,
    kernel_estimator="disc",
    error_prior=False,
)

_DECONV_SMALL = {
    "K": 3,
    "prior": _MAIN_PRIOR,
    "tied": False,
    "hyper_parameters": "noise-powers",
}

deconv_small = preset(
    Deconvolution,
    """Deconvolution with a known kernel in 3 rounds, each with a learned prior of its own.
    The noise variance given to the prior is a learned power of the photo's.

    Example:
        >>> import torch, unfold
        >>> from unfold.degradation import blur
        >>> sharp, kernel = torch.zeros(1, 3, 64, 64), torch.full((1, 1, 1, 7), 1 / 7)
        >>> sharp[..., 20:44, 20:44] = 1
        >>> blurred = blur(sharp, kernel)
        >>> model = unfold.create_model("deconv-small", pretrained=True)
        >>> psnr = unfold.create("metrics", "psnr")
        >>> before, after = psnr(blurred, sharp), psnr(model(blurred, kernel=kernel).image, sharp)
        >>> bool(after > before + 10)  # dB
        True""",
    error_scale=_DECONV_ERRORS,
    **_DECONV_SMALL,
)

deblur = preset(
    Deconvolution,
    """Blind deconvolution: `BlindKernel` estimates the kernel of a uniform shake, and deconv-small
    restores the photo, with its shipped weights. If no shake is found, only noise is removed. A
    photo with neither is returned unchanged, and so are the parts of a shaken photo that the kernel
    does not explain.

    Example:
        >>> import torch, unfold
        >>> model = unfold.create_model("deblur", pretrained=True)
        >>> flat = torch.full((1, 3, 48, 48), 0.5)  # neither blurred nor noisy
        >>> torch.allclose(model(flat).image, flat)
        True""",
    error_scale=_DECONV_ERRORS,
    **_DECONV_SMALL,
    kernel_estimator="blind",
    careful=True,
)

plug_and_play = preset(
    Deconvolution,
    """Deconvolution with a known kernel and any prior; only the prior may be learned.

    The noise level given to the prior decreases from 49/255 to that of the photo (DPIR).

    Example:
        >>> import torch, unfold
        >>> from unfold.degradation import blur
        >>> sharp, kernel = torch.zeros(1, 3, 64, 64), torch.full((1, 1, 1, 7), 1 / 7)
        >>> sharp[..., 20:44, 20:44] = 1
        >>> blurred = blur(sharp, kernel)
        >>> model = unfold.create_model("plug-and-play", prior="total-variation")
        >>> psnr = unfold.create("metrics", "psnr")
        >>> before, after = psnr(blurred, sharp), psnr(model(blurred, kernel=kernel).image, sharp)
        >>> bool(after > before + 10)  # dB
        True""",
)

tv_deblur = preset(
    Deconvolution,
    """Deconvolution with total variation; nothing is learned, and the exposure is not changed.

    12 rounds reduce ``½ ‖H⊗I − X‖² + τ σ TV(I)``, τ = 0.14 · ``strength``, σ the standard deviation
    of the photo's noise. Without a given kernel no blur is assumed: H is a point, and only noise is
    removed.

    Source: Rudin and Osher, "Total variation based image restoration with free local
    constraints", ICIP 1994; the splitting is that of Wang et al., SIAM J. Imaging Sci. 2008.

    Example:
        >>> import torch, unfold
        >>> from unfold.degradation import blur
        >>> sharp, kernel = torch.zeros(1, 3, 64, 64), torch.full((1, 1, 1, 7), 1 / 7)
        >>> sharp[..., 20:44, 20:44] = 1
        >>> blurred = blur(sharp, kernel)
        >>> model = unfold.create_model("tv-deblur")
        >>> psnr = unfold.create("metrics", "psnr")
        >>> before, after = psnr(blurred, sharp), psnr(model(blurred, kernel=kernel).image, sharp)
        >>> bool(after > before + 10)  # dB
        True""",
    error_scale=(2.4, None),
    K=12,
    prior=_FEW_STEPS,
    first_deviation=0.05,
    kernel_estimator="point",
)


jude_classic = preset(
    JUDE,
    """JUDE without learning: deblurs and brightens.

    The photo is scaled to full exposure, JUDE's Lagrangian is minimized with total variation on
    P, Q and Z, a power curve brightens the illumination, and the reflectance is denoised where the
    illumination was low. If no kernel is given, `BlindKernel` estimates that of a shake. A sharp,
    well-lit photo without noise is returned nearly unchanged. ``exposure=None, enhancer=None`` keep
    the exposure and the illumination.

    Source: JUDE's equations (see `unfold.models.jude.jude_objective`); the power curve is gamma
    correction.

    Example:
        >>> import torch, unfold
        >>> model = unfold.create_model("jude-classic")
        >>> dark, point = torch.full((1, 3, 32, 32), 0.05), torch.ones(1, 1, 1, 1)
        >>> bool(model(dark, kernel=point).image.mean() > 2 * dark.mean())
        True""",
    K=12,
    prior=_FEW_STEPS,
    tied=True,
    trust=False,
    kernel_estimator="blind",
    enhancer="power-curve",
    denoiser={"kind": "prior-denoiser", "prior": _FEW_STEPS},
    exposure="exposure-brightest",
    hyper_parameters=_SCHEDULE,
    illumination_channels=1,
    reflectance="Z/L",
)
