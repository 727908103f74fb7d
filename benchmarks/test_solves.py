"""What the solve of one block costs, against the least that it could."""

import pytest
import torch

from unfold.core import CG, Constraint, Equal, Lagrangian, Quadratic, lower
from unfold.degradation import motion_kernel
from unfold.terms import Convolution, FilterFlow

SIZES = {"256x256": (256, 256), "720x1280": (720, 1280)}


@pytest.mark.benchmark(group="terms")
@pytest.mark.parametrize("size", SIZES)
def test_stationary_deconvolution(against, device, size):
    """Bound: two real FFTs of that size and one division."""
    x, z, d = torch.rand(3, 1, 3, *SIZES[size], device=device)
    lagrangian = Lagrangian(
        Quadratic(Convolution("I", kernel="H", observed="X"), "w1"),
        Constraint(Equal("I", "Z"), penalty="w2", dual="D"),
    )
    (step,) = lower(lagrangian, ("I",))
    weights = {"w1": 1.0, "w2": 0.1}
    with torch.inference_mode():
        kernel = motion_kernel(31).to(device)
        state = step({"I": x, "X": x, "Z": z, "D": d, "H": kernel}, weights)
    divisor = torch.rand_like(torch.fft.rfft2(x[:, :1]).real) + 0.1

    def bound():
        torch.fft.irfft2(torch.fft.rfft2(z) / divisor, s=x.shape[-2:])

    against(lambda: step(state, weights), bound, "two FFTs and a division")


@pytest.mark.benchmark(group="terms")
def test_spatially_varying_deconvolution(against, device):
    """Baseline: the same equations by plain conjugate gradients from zero, to the same residual."""
    batch, m, size = 1, 8, 256
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(batch, 3, size, size, generator=generator).to(device)
    kernels = torch.cat([motion_kernel(21, generator=generator) for _ in range(m)], 1).to(device)
    weights = torch.randn(batch, m, 8, 8, generator=generator).to(device)
    weights = torch.nn.functional.interpolate(weights, size=(size, size), mode="bilinear")
    blur = FilterFlow("I", kernels="K", weights="W", observed="X")
    lagrangian = Lagrangian(
        Quadratic(blur, 1.0), Constraint(Equal("I", "Z"), penalty=0.01, dual="D")
    )
    (step,) = lower(lagrangian, ("I",), CG(maximum=500, tolerance=1e-4))
    zero = torch.zeros_like(x)
    state = {"I": x, "X": x, "Z": x, "D": zero, "K": kernels, "W": weights.softmax(1)}
    with torch.inference_mode():
        state = step({**state, "X": blur({**state, "X": zero})}, {})
    cold = state.replace("I", zero)

    def plain():
        normal = lagrangian.normal("I", cold, {})
        rhs = -normal.gradient(zero)
        CG(500, 1e-4).solve(normal.apply, rhs, zero, lambda r: r)

    # Warm start: the state before the last little change of Z, as between two stages.
    warm = state.replace("Z", x + 0.01 * torch.randn_like(x))
    against(lambda: step(warm, {}), plain, "plain CG from zero", rounds=10)
