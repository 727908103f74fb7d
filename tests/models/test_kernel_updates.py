"""JUDE with its kernel as a block."""

import pytest
import torch
from skimage.data import astronaut

import unfold
from unfold.core import History
from unfold.degradation import blur, motion_kernel
from unfold.estimators.blind import correlation

CLASSIC = {"exposure": None, "enhancer": None, "denoiser": None, "kernel_updates": True}


@pytest.fixture(scope="module")
def shaken():
    sharp = torch.from_numpy(astronaut()[40:200, 120:312].copy()).permute(2, 0, 1)[None] / 255.0
    kernel = motion_kernel(15, extent=6.0, generator=torch.Generator().manual_seed(4)).float()
    noise = 0.005 * torch.randn(sharp.shape, generator=torch.Generator().manual_seed(0))
    return (blur(sharp, kernel) + noise).clamp(0, 1), kernel


@torch.inference_mode()
def test_a_wrong_kernel_becomes_more_like_the_true_one(shaken):
    photo, kernel = shaken
    wrong = torch.nn.functional.avg_pool2d(kernel, 3, 1, 1)
    wrong = wrong / wrong.sum()
    refined = unfold.create_model("jude-classic", **CLASSIC)(photo, kernel=wrong).parts["kernel"]
    assert correlation(refined, kernel) > correlation(wrong, kernel) + 0.03


@torch.inference_mode()
def test_after_each_stage_it_is_a_kernel(shaken):
    photo, kernel = shaken
    history = History()
    two = torch.cat([photo, photo.flip(-1)])
    model = unfold.create_model("jude-classic", K=2, **CLASSIC)
    found = model(two, kernel=kernel, history=history).parts["kernel"]
    assert found.shape == (2, 1, *kernel.shape[-2:])
    assert found.min() >= 0
    torch.testing.assert_close(found.sum((-2, -1)), torch.ones(2, 1))
    assert not torch.equal(found[0], found[1])


@torch.inference_mode()
def test_the_update_minimizes_over_the_kernel(shaken):
    """The Lagrangian has no slope in H there, in float64 with conjugate gradients to the end."""
    from unfold.core import CG, State, lower
    from unfold.models.jude import jude_objective

    photo, kernel = (x.double() for x in shaken)
    lagrangian = jude_objective(kernel=True).lagrangian
    update, _ = lower(lagrangian, ("H", "K"), CG(maximum=500, tolerance=1e-13))
    state = State({**dict.fromkeys("XIZPR", photo), "Q": photo[:, :1], "L": photo[:, :1],
                   "H": kernel, "K": torch.full_like(kernel, 1 / kernel.numel()),
                   **{dual: torch.zeros_like(photo) for dual in "GD"},
                   "O": torch.zeros_like(photo[:, :1])})  # fmt: skip
    weights = dict.fromkeys(("w1", "w2", "w3", "w4", "w5"), 1.0) | {"w6": 7.0, "k": 1.0}
    found = update(state, weights)["H"]
    with torch.inference_mode(False), torch.enable_grad():
        h = found.clone().requires_grad_()
        residual = blur_circular(photo.clone(), h) - photo.clone()
        energy = 0.5 * residual.square().sum() + 3.5 * (h - state["K"].clone()).square().sum()
        (slope,) = torch.autograd.grad(energy, h)
    assert slope.abs().max() < 1e-8 * photo.square().sum()


def blur_circular(image, kernel):
    from unfold.terms.blur import transfer_function

    size = tuple(image.shape[-2:])
    return torch.fft.irfft2(torch.fft.rfft2(image) * transfer_function(kernel, size), s=size)


def test_the_declaration_says_what_it_does():
    text = unfold.create_model("jude-classic", **CLASSIC).explain()
    assert "w6/2 ‖H − K‖²" in text
    assert "scale and sign between I and H  Simplex on K" in text
    assert "Take('H', 'K')" in text


def test_it_sees_the_whole_photo():
    assert unfold.create_model("jude-classic", **CLASSIC).needs_full_image
    assert not unfold.create_model("jude-classic").needs_full_image


@pytest.mark.parametrize(
    "options", [{"order": "paper"}, {"blur": "filter-flow", "num_kernels": 2, "trust": False}]
)
def test_other_blurs_and_orders_are_refused(options):
    with pytest.raises(ValueError, match="blur='convolution' and order='data-first'"):
        unfold.create_model("jude", kernel_updates=True, **options)
