"""Photos that are out of focus in parts: discs, their flow, and what is restored."""

import pytest
import torch
from scipy.ndimage import convolve
from skimage.data import astronaut, chelsea, coffee

from unfold.core import History
from unfold.degradation.color_space import decode, encode
from unfold.degradation.depth_defocus import render
from unfold.imaging.boundary import Frame
from unfold.metrics import PSNR
from unfold.models import refocus
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


def test_maps_share_a_radius_between_its_neighbors():
    kernels = DiscKernels(5, least=0.7, largest=4.0)
    radius = torch.linspace(0, 4, 41).view(1, 1, 1, -1)
    maps = kernels.maps(radius)
    assert maps.min() >= 0
    torch.testing.assert_close(maps.sum(1, keepdim=True), torch.ones_like(radius))
    assert ((maps > 0).sum(1) <= 2).all()
    radii = torch.tensor(kernels.radii).view(1, -1, 1, 1)
    torch.testing.assert_close((maps * radii).sum(1, keepdim=True), radius)
    beyond = kernels.maps(torch.full((1, 1, 1, 1), 9.0))
    assert beyond.flatten().tolist() == [0, 0, 0, 0, 1]


def test_discs_are_as_wide_as_they_say():
    kernels = DiscKernels(5, least=0.7, largest=4.0)
    discs = kernels.measure(torch.zeros(1, 3, 8, 8))[0]
    axis = torch.arange(discs.shape[-1]) - discs.shape[-1] // 2
    for disc, radius in zip(discs, kernels.radii, strict=True):
        assert float(disc.sum()) == pytest.approx(1, abs=1e-6)
        # (The variance of a disc along an axis, and of a pixel, which it is averaged over.)
        want = radius**2 / 4 + (1 / 12 if radius else 0)
        assert float((disc.sum(0) * axis**2).sum()) == pytest.approx(want, rel=0.15)


@pytest.mark.parametrize("options", [{"num_kernels": 1}, {"least": 3.0, "largest": 2.0}])
def test_discs_that_do_not_grow_are_refused(options):
    with pytest.raises(ValueError, match="least must be smaller"):
        DiscKernels(**options)


def test_the_flow_is_the_sum_of_its_blurs():
    kernels = DiscKernels(4, largest=2.5).double()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 18, 20, dtype=torch.float64, generator=generator)
    radius = 3 * torch.rand(1, 1, 18, 20, dtype=torch.float64, generator=generator)
    maps, discs = kernels.maps(radius), kernels.measure(image)
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
    monkeypatch.setattr(refocus, "blur_radius", lambda x, noise: torch.full_like(x[:, :1], 4.0))
    restored = restore(sharp)
    assert restored.parts["share"].mean() < 0.2
    monkeypatch.setattr(refocus, "_FAILS", 1e8)
    monkeypatch.setattr(refocus, "_FITS", 1e7)
    assert psnr(restored.image, sharp) > psnr(restore(sharp).image, sharp) + 5


def test_a_known_kernel_is_that_of_the_whole_photo():
    sharp = photo("chelsea")
    depth = torch.full_like(sharp[:, :1], 2.0)
    kernel = DiscKernels(2, largest=2.0).discs[:, 1:]
    bad = encode(render(decode(sharp), depth))
    restored = restore(bad, kernel=kernel)
    assert "radius" not in restored.parts
    assert psnr(restored.image, sharp) > psnr(bad, sharp) + 1.2


def test_a_map_goes_on_beyond_the_photo():
    part = torch.arange(6.0).view(1, 1, 2, 3)
    got = refocus._beyond(part, Frame(1, 1, 2, 3), torch.zeros(1, 1, 4, 5))
    want = [[0, 0, 1, 2, 2], [0, 0, 1, 2, 2], [3, 3, 4, 5, 5], [3, 3, 4, 5, 5]]
    assert got[0, 0].tolist() == want


def test_half_of_the_grain_stays():
    """Where the restoration is smooth, half of what it leaves of the photo is given back."""
    noise = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    grainy = 0.5 + 0.02 * noise
    kernel = DiscKernels(2, largest=2.0).discs[:, 1:]
    with torch.inference_mode():
        restored = Refocus(noise=0.02).eval()(grainy, kernel=kernel).image
    assert 0.4 < float((restored - 0.5).std()) / 0.02 < 0.65


def test_the_history_is_filled():
    bad, _ = half_out_of_focus(photo("coffee")[..., :96, 32:128])
    history = restore(bad, history=History()).history
    assert len(history.penalties) == 4


def test_tiles_agree(monkeypatch):
    """As far as three steps of conjugate gradients do, preconditioned by each tile's own mean."""
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
    assert difference.max() < 0.06
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
    radii = torch.tensor(DiscKernels(6).radii).view(1, -1, 1, 1)
    radius = (parts["maps"] * radii).sum(1, keepdim=True)
    assert radius[depth > 0].mean() > radius[depth == 0].mean() + 1.5
