"""Cases that compare with other libraries."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from unfold.core import Constraint, Equal, Lagrangian, Quadratic, lower
from unfold.terms import Convolution

from .case import Case, PairedRun, Size, SkippedError
from .sample import kernels, photo

_PENALTY = 0.1


def peer_cases(size: Size) -> Iterator[Case]:
    """The stationary deconvolution step, ``argmin 1/2 ‖H⊗x − X‖² + 0.05 ‖x − z‖²``, against
    DeepInverse's."""

    def prepare(device: torch.device) -> PairedRun:
        version, theirs = deepinverse_step(size, device)
        return PairedRun(
            our_step(size, device), theirs, f"DeepInverse {version}'s L2().prox, BlurFFT"
        )

    yield Case("terms", "convolution, DeepInverse", size, prepare)


def our_step(size: Size, device: torch.device) -> Callable[[], Tensor]:
    """The step that unfold derives, as in the second and later stages: spectra are cached."""
    x, z, kernel = _problem(size, device)
    lagrangian = Lagrangian(
        Quadratic(Convolution("I", kernel="H", observed="X"), 1.0),
        Constraint(Equal("I", "Z"), penalty=_PENALTY, dual="D"),
    )
    (step,) = lower(lagrangian, ("I",))
    with torch.inference_mode():
        state = step({"I": x, "X": x, "Z": z, "D": torch.zeros_like(z), "H": kernel}, {})
    return lambda: step(state, {})["I"]


def deepinverse_step(size: Size, device: torch.device) -> tuple[str, Callable[[], Tensor]]:
    """DeepInverse's version, and its proximal step of the data term.

    Raises:
        SkippedError: if DeepInverse is not installed.
    """
    try:
        from deepinv.optim import L2  # pyright: ignore[reportMissingImports]
        from deepinv.physics import BlurFFT  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SkippedError(f"needs DeepInverse ({error}): pip install deepinv") from error
    x, z, kernel = _problem(size, device)
    physics = BlurFFT(img_size=(3, *size), filter=kernel, device=device)
    fidelity = L2()
    return (
        importlib.metadata.version("deepinv"),
        lambda: fidelity.prox(z, x, physics, gamma=1 / _PENALTY),
    )


def _problem(size: Size, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    return photo(size, device), photo(size, device, seed=1), kernels(1, 31, device)
