"""With the sharp image known, the declared solver finds the kernel."""

import pytest
import torch
from skimage.data import camera

from unfold.core import (
    Constraint,
    Equal,
    Lagrangian,
    Quadratic,
    Regularizer,
    Stage,
    converge,
    lower,
)
from unfold.degradation import motion_kernel
from unfold.priors import Simplex
from unfold.terms import Convolution, differences, embed_kernel

SUPPORT = 15


def observe(size, noise=0.01):
    """The gradients of a sharp photo and of its blurred, noisy recording; the kernel."""
    sharp = torch.from_numpy(camera()[100:228, 180:308].copy())[None, None].double() / 255
    kernel = motion_kernel(size, generator=torch.Generator().manual_seed(1)).double()
    zero = torch.zeros_like(sharp)
    blurred = Convolution("I", kernel="H", observed="X")({"I": sharp, "H": kernel, "X": zero})
    blurred = blurred + noise * torch.randn(blurred.shape, dtype=torch.float64)
    return differences(sharp), differences(blurred), embed_kernel(kernel, (128, 128))


@pytest.mark.parametrize("size", [9, 11])
def test_the_kernel_comes_back(size):
    latent, observed, kernel = observe(size)
    lagrangian = Lagrangian(
        Quadratic(Convolution("G", kernel="H", observed="Y")),
        Constraint(Equal("H", "K"), penalty="ρ", dual="U"),
        Regularizer("K", Simplex(support=SUPPORT)),
    )
    stage = Stage(lower(lagrangian, ("H", "K", "U")), {"ρ": 20.0})
    flat = torch.full((1, 1, SUPPORT, SUPPORT), 1 / SUPPORT**2, dtype=torch.float64)
    flat = embed_kernel(flat, (128, 128))
    start = {"G": latent, "Y": observed, "H": flat, "K": flat}
    state, _ = converge(stage, start, tolerance=1e-6, maximum=40)
    found = state["K"]
    assert lagrangian.regularizers["K"].prior.value(found).item() == 0
    correlation = torch.corrcoef(torch.stack((found.flatten(), kernel.flatten())))[0, 1]
    assert correlation > 0.99
