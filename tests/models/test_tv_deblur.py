"""Total-variation deconvolution on real photos. (The conformance kit runs in tests/testing.)"""

import pytest
import torch
from skimage.data import astronaut, chelsea, coffee
from skimage.metrics import peak_signal_noise_ratio
from skimage.restoration import wiener

from unfold.core import History
from unfold.degradation import blur, motion_kernel
from unfold.models.presets import tv_deblur
from unfold.priors import TotalVariation

PHOTOS = {
    "astronaut": astronaut()[:160, 140:300],
    "chelsea": chelsea()[60:220, 100:260],
    "coffee": coffee()[100:260, 200:360],
}


@pytest.fixture(scope="module")
def kernel():
    return motion_kernel(15, generator=torch.Generator().manual_seed(3))


def photo(name):
    return torch.tensor(PHOTOS[name]).permute(2, 0, 1)[None].float() / 255


def degrade(sharp, kernel, sigma):
    noise = sigma * torch.randn(sharp.shape, generator=torch.Generator().manual_seed(0))
    return ((blur(sharp, kernel) + noise).clamp(0, 1) * 255).round() / 255


def psnr(a, b):
    return peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1)


def restore(image, **options):
    with torch.no_grad():
        return tv_deblur()(image, **options)


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize(("sigma", "margin"), [(0.003, 5.0), (0.01, 4.5)])
def test_deblurs_with_a_known_kernel(kernel, name, sigma, margin):
    sharp = photo(name)
    bad = degrade(sharp, kernel, sigma)
    assert psnr(sharp, restore(bad, kernel=kernel).image) > psnr(sharp, bad) + margin


def test_beats_a_wiener_filter_with_its_best_balance(kernel):
    sharp = photo("astronaut")
    bad = degrade(sharp, kernel, 0.01)
    psf = kernel[0, 0].numpy()
    best = max(
        psnr(sharp, torch.stack([torch.tensor(wiener(c.numpy(), psf, b)) for c in bad[0]])[None])
        for b in (3e-3, 1e-2, 3e-2, 0.1, 0.3)
    )
    assert psnr(sharp, restore(bad, kernel=kernel).image) > best


@pytest.mark.parametrize("exposure", [1.0, 0.25])
def test_brightness_stays(kernel, exposure):
    bad = degrade(exposure * photo("coffee"), kernel, 0.003)
    means = [x.mean((0, 2, 3)) for x in (bad, restore(bad, kernel=kernel).image)]
    torch.testing.assert_close(*means, rtol=0.01, atol=0)


@pytest.mark.parametrize("name", PHOTOS)
def test_without_a_kernel_it_takes_off_noise_and_no_more(name):
    sharp = photo(name)
    noise = torch.randn(sharp.shape, generator=torch.Generator().manual_seed(0))
    noisy = (sharp + 0.05 * noise).clamp(0, 1)
    assert psnr(sharp, restore(noisy).image) > psnr(sharp, noisy) + 2
    assert psnr(sharp, restore(sharp).image) > 37.5
    assert restore(sharp).parts["kernel"].shape == (1, 1, 1, 1)


def test_it_minimizes_what_it_says():
    """Without a blur the minimum is one proximal step of total variation."""
    image = photo("coffee")[..., :32, :48]  # sizes that are fast already: nothing is padded
    noisy = image.double() + 0.03 * torch.randn(image.shape, dtype=torch.float64)
    model = tv_deblur(K=100, strength=1.5, border="reflected")
    prior = model.stages.stages[0].lagrangian.priors["Z"]  # (one, which all rounds share)
    prior.iterations = 50  # its own few leave an error, which is this test's not
    with torch.no_grad():
        restoration = model(noisy)
        # (Minimizing over I leaves a proximal step of Z's at X, longer by what I is free to move.)
        step = 0.6 * (1 + 0.23 * 1.5) * restoration.parts["noise"]
        want = TotalVariation(iterations=1500).prox(noisy, step)
    # (At the border its total variation sees what the model puts around the photo.)
    inner = (..., slice(8, -8), slice(8, -8))
    got, want = restoration.image[inner], want.clamp(0, 1)[inner]
    torch.testing.assert_close(got, want, rtol=0, atol=2e-3)
    assert (want - noisy[inner]).abs().mean() > 0.01


def test_a_ledger_shows_that_it_converges(kernel):
    history = History()
    restore(degrade(photo("coffee"), kernel, 0.01), kernel=kernel, history=history)
    first, last = (max(e.dual.item() for e in history.stage(i)) for i in (0, -1))
    # (Each round has another problem, with less noise told to the prior: the next one's start.)
    assert last < 0.7 * first
    assert last < 1e-3


def test_explain_names_blocks_and_solvers():
    text = tv_deblur().explain()
    starts = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert {"I", "Z"} <= set(starts)
    assert "FFT" in text
    assert "tied: one set of priors" in text
