"""Photos that are out of focus in parts: discs, their flow, and what is restored."""

import pytest
import torch
from scipy.ndimage import convolve
from skimage.data import astronaut, chelsea, coffee

from unfold.core import History
from unfold.degradation.color_space import decode, encode
from unfold.degradation.depth_defocus import render
from unfold.metrics import PSNR
from unfold.models import disc_kernels, refocus
from unfold.models.disc_kernels import DiscKernels
from unfold.models.era import ErA
from unfold.models.refocus import Refocus
from unfold.restoration import TiledInference, tiling
from unfold.restoration.receptive_field import ReceptiveField
from unfold.terms import FilterFlow

PHOTOS = {
    "astronaut": astronaut()[:160, 140:300],
    "chelsea": chelsea()[60:220, 100:260],
    "coffee": coffee()[100:260, 200:360],
}
SIGMA = 2 / 255


def photo(name):
    return torch.tensor(PHOTOS[name]).permute(2, 0, 1)[None].float() / 255


def half_out_of_focus(sharp, radius=3.0):
    """The right half, with noise; and its true radius."""
    depth = torch.zeros_like(sharp[:, :1])
    depth[..., sharp.shape[-1] // 2 :] = radius
    noise = torch.randn(sharp.shape, generator=torch.Generator().manual_seed(0))
    return (encode(render(decode(sharp), -depth)) + SIGMA * noise).clamp(0, 1), depth


def psnr(a, b):
    return float(PSNR()(a, b))


def restore(image, **options):
    with torch.inference_mode():
        return Refocus(noise=SIGMA).eval()(image, **options)


def spread(least, most):
    """A map whose quantiles of 3 % and 97 % are the given radii."""
    return (least + (most - least) * (torch.linspace(0, 1, 101) - 0.03) / 0.94).view(1, 1, 1, -1)


def disc(radius):
    """One disc, ``(1, 1, n, n)``."""
    return DiscKernels(2).spanning(torch.full((1, 1, 1, 1), radius))[:, :1].float()


def test_maps_share_a_radius_between_its_neighbors():
    kernels = DiscKernels(5).spanning(spread(0.7, 4.0))
    radius = torch.linspace(0.7, 4, 41).view(1, 1, 1, -1).double()
    maps = DiscKernels.maps(radius, kernels)
    assert maps.min() >= 0
    torch.testing.assert_close(maps.sum(1, keepdim=True), torch.ones_like(radius))
    assert ((maps > 1e-9).sum(1) <= 2).all()
    radii = torch.linspace(0.7, 4, 5, dtype=torch.float64).view(1, -1, 1, 1)
    mixed = (maps * radii).sum(1, keepdim=True)
    torch.testing.assert_close(mixed, radius, atol=0.02, rtol=0)  # (interpolated in a table)
    for beyond, want in ((9.0, [0, 0, 0, 0, 1]), (0.0, [1, 0, 0, 0, 0])):
        assert (
            DiscKernels.maps(torch.full((1, 1, 1, 1), beyond), kernels).flatten().tolist() == want
        )


@pytest.mark.parametrize("radius", [0.0, 0.7, 2.0, 7.0])
def test_discs_are_as_wide_as_they_say(radius):
    kernel = disc(radius)[0, 0]
    axis = torch.arange(kernel.shape[-1]) - kernel.shape[-1] // 2
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-6)
    # (The variance of a disc along an axis, and of a pixel, which it is averaged over.)
    want = radius**2 / 4 + (1 / 12 if radius else 0)
    assert float((kernel.sum(0) * axis**2).sum()) == pytest.approx(want, rel=0.15)


def test_a_uniform_blur_gets_discs_of_its_radius():
    """Single cells with another radius do not change them."""
    radius = torch.full((1, 1, 10, 10), 2.5)
    radius[..., 0, :2] = 6
    kernels = DiscKernels(4).spanning(radius)
    torch.testing.assert_close(kernels[0], kernels[:, :1][0].expand(4, -1, -1))
    torch.testing.assert_close(kernels[0, 0].float(), disc(2.5)[0, 0])


@pytest.mark.parametrize("options", [{"num_kernels": 1}, {"largest": 0.0}])
def test_too_few_or_too_small_discs_are_refused(options):
    with pytest.raises(ValueError, match="at least two"):
        DiscKernels(**options)


def test_the_flow_is_the_sum_of_its_blurs():
    kernels = DiscKernels(4, largest=2.5)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 18, 20, dtype=torch.float64, generator=generator)
    radius = 3 * torch.rand(1, 1, 18, 20, dtype=torch.float64, generator=generator)
    discs = kernels.spanning(radius)
    maps = kernels.maps(radius, discs)
    flow = FilterFlow("I", kernels="H", maps="W", observed="X")
    got = flow({"I": image, "H": discs, "W": maps, "X": torch.zeros_like(image)})
    for c in range(3):
        blurred = (
            w.numpy() * convolve(image[0, c].numpy(), k.numpy(), mode="wrap")
            for w, k in zip(maps[0], discs[0], strict=True)
        )
        torch.testing.assert_close(got[0, c], torch.tensor(sum(blurred)), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("name", "least"), [("astronaut", 1.0), ("chelsea", 0.6), ("coffee", 0.15)]
)
def test_deblurs_what_is_out_of_focus_and_no_more(name, least):
    sharp = photo(name)
    bad, _ = half_out_of_focus(sharp)
    restored = restore(bad)
    right, left = (..., slice(88, None)), (..., slice(64))
    gain = psnr(restored.image[right], sharp[right]) - psnr(bad[right], sharp[right])
    assert gain > least
    assert psnr(restored.image[left], bad[left]) > 40
    radius, share = restored.parts["radius"], restored.parts["share"]
    assert radius[right].mean() > radius[left].mean() + 1.5
    assert share[right].mean() > 0.5
    assert share[left].mean() < 0.1


@pytest.mark.parametrize("name", PHOTOS)
def test_a_sharp_photo_stays(name):
    sharp = photo(name)
    with torch.inference_mode():
        assert psnr(Refocus().eval()(sharp).image, sharp) > 40


def test_a_wrong_radius_is_found_out(monkeypatch):
    """A sharp photo that is taken for one out of focus: blurred again, it leaves too much."""
    sharp = photo("coffee")
    cells = torch.full((1, 1, *(-(-n // 16) for n in sharp.shape[-2:])), 4.0)
    monkeypatch.setattr(disc_kernels, "blur_radius_of_cells", lambda x, noise: cells)
    restored = restore(sharp)
    assert restored.parts["share"].mean() < 0.2
    monkeypatch.setattr(refocus, "_FAILS", 1e8)
    monkeypatch.setattr(refocus, "_FITS", 1e7)
    assert psnr(restored.image, sharp) > psnr(restore(sharp).image, sharp) + 5


def test_a_known_kernel_is_that_of_the_whole_photo():
    sharp = photo("chelsea")
    depth = torch.full_like(sharp[:, :1], 2.0)
    kernel = disc(2.0)
    bad = encode(render(decode(sharp), depth))
    restored = restore(bad, kernel=kernel)
    assert "radius" not in restored.parts
    assert psnr(restored.image, sharp) > psnr(bad, sharp) + 1.2


def test_half_of_the_grain_stays():
    """Where the restoration is smooth, half of what it leaves of the photo is given back."""
    noise = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    grainy = 0.5 + 0.02 * noise
    kernel = disc(2.0)
    with torch.inference_mode():
        restored = Refocus(noise=0.02).eval()(grainy, kernel=kernel).image
    assert 0.4 < float((restored - 0.5).std()) / 0.02 < 0.65


def test_the_history_is_filled():
    bad, _ = half_out_of_focus(photo("coffee")[..., :96, 32:128])
    history = restore(bad, history=History()).history
    assert len(history.penalties) == 4


def test_tiles_agree(monkeypatch):
    """As far as two steps of conjugate gradients do, whose lengths are those of each tile."""
    sharp = torch.tensor(astronaut()[:192, 60:380]).permute(2, 0, 1)[None] / 255
    bad, _ = half_out_of_focus(sharp)
    model = Refocus(noise=SIGMA).eval()
    with torch.inference_mode():
        want = model(bad).image[0]
    monkeypatch.setattr(tiling, "measure_receptive_field", lambda *_, **__: ReceptiveField(0, 0.0))
    restored = TiledInference(model, tile=48_000)(bad[0])
    assert len(restored.tilings[0].grid) > 1
    assert restored.tilings[0].receptive_field.radius >= model.min_receptive_field
    difference = (restored.image - want).abs()
    assert difference.max() < 0.09
    assert difference.mean() < 4e-4


def test_era_starts_from_discs():
    """The estimate of the radius as the flow that ErA optimizes with."""
    bad, depth = half_out_of_focus(photo("astronaut"))
    model = ErA(
        K=1, prior={"kind": "total-variation", "iterations": 2},
        kernel_estimator=DiscKernels, num_kernels=6,
    ).eval()  # fmt: skip
    with torch.no_grad():
        parts = model(bad).parts
    torch.testing.assert_close(parts["maps"].sum(1), torch.ones(1, 160, 160), atol=1e-5, rtol=0)
    radius = (parts["maps"] * torch.arange(6).view(1, -1, 1, 1)).sum(1, keepdim=True)
    assert radius[depth > 0].mean() > radius[depth == 0].mean() + 1.5
