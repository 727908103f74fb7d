"""Priors of unfold in the programs of DeepInverse."""

import pytest
import torch

pytest.importorskip("deepinv")

import deepinv
from deepinv.models import ArtifactRemoval
from deepinv.optim.dpir import DPIR
from deepinv.physics import BlurFFT, GaussianNoise
from unfold_deepinv import UnfoldDenoiser

from unfold.priors import TotalVariation
from unfold.priors.denoiser import Denoiser


@pytest.fixture
def photo():
    skimage = pytest.importorskip("skimage.data")
    photo = torch.as_tensor(skimage.astronaut()).permute(2, 0, 1)[None] / 255
    return photo[..., 20:148, 160:288]


def psnr(x, reference):
    return -10 * (x - reference).square().mean().log10().item()


@pytest.mark.parametrize("prior", [Denoiser, lambda: TotalVariation(iterations=30)])
def test_sigma_is_the_standard_deviation_in_every_form(prior):
    prior, v = prior().double(), torch.rand(2, 3, 16, 20, dtype=torch.float64)
    denoiser = UnfoldDenoiser(prior)
    one = prior.prox(v, prior.step_for(torch.full((1, 1, 1, 1), 0.01, dtype=torch.float64)))
    for sigma in (0.1, torch.tensor(0.1), torch.tensor([0.1]), torch.tensor([0.1, 0.1])):
        torch.testing.assert_close(denoiser(v, sigma), one, rtol=0, atol=1e-7)
    other = denoiser(v, 0.3)
    assert (one - other).abs().max() > 0.01
    for sigmas in (torch.tensor([0.1, 0.3]), torch.tensor([0.1, 0.3]).view(2, 1, 1, 1)):
        both = denoiser(v, sigmas)
        torch.testing.assert_close(both, torch.stack((one[0], other[1])), rtol=0, atol=1e-6)


def test_a_map_of_sigma():
    denoiser, v = UnfoldDenoiser(Denoiser()), torch.rand(2, 3, 16, 20)
    sigma = torch.rand(2, 1, 16, 20) / 5
    torch.testing.assert_close(denoiser(v, sigma), denoiser.prior.prox(v, sigma**2))


@torch.no_grad()
def test_every_prior_removes_the_noise_that_it_is_told_of(photo):
    """DeepInverse's ``ths`` would be another number for each of them."""
    noisy = photo + 0.1 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    for prior, gain in ((Denoiser(), 8), (TotalVariation(), 5)):
        denoiser = UnfoldDenoiser(prior)
        best = psnr(denoiser(noisy, 0.1), photo)
        assert best > psnr(noisy, photo) + gain
        assert best > max(psnr(denoiser(noisy, sigma), photo) for sigma in (0.05, 0.2))


@torch.no_grad()
def test_dpir_runs_with_it(photo):
    """DeepInverse's algorithm and physics, unfold's denoiser; a TV of its own for comparison."""
    torch.manual_seed(0)
    kernel = deepinv.physics.functional.gaussian_blur(sigma=(1.5, 1.5))
    physics = BlurFFT(tuple(photo.shape[1:]), kernel, noise_model=GaussianNoise(0.01))
    y = physics(photo)
    ours = DPIR(sigma=0.01, denoiser=UnfoldDenoiser(Denoiser()))(y, physics)
    weak = DPIR(sigma=0.01, denoiser=UnfoldDenoiser(TotalVariation(iterations=20)))(y, physics)
    assert psnr(ours, photo) > psnr(weak, photo) + 0.5 > psnr(y, photo) + 2.5
    noise_model = GaussianNoise(0.1)
    removal = ArtifactRemoval(UnfoldDenoiser(Denoiser()))
    denoising = deepinv.physics.Denoising(noise_model)
    noisy = denoising(photo)
    torch.testing.assert_close(
        removal(noisy, denoising), UnfoldDenoiser(Denoiser())(noisy, 0.1), rtol=0, atol=1e-6
    )


def test_it_is_a_denoiser_of_deepinverse_and_trains():
    denoiser = UnfoldDenoiser(Denoiser())
    assert isinstance(denoiser, deepinv.models.Denoiser)
    assert len(list(denoiser.parameters())) == len(list(Denoiser().parameters()))
    denoiser(torch.rand(1, 3, 16, 16), 0.1).sum().backward()
    assert denoiser.prior.net.tail.weight.grad.abs().max() > 0
