"""Defocus by depth: against uniform defocus, ray tracing of two planes, and what must hold."""

import numpy as np
import pytest
import skimage.data
import torch

from unfold.degradation import blur
from unfold.degradation.depth_defocus import DepthDefocus, plane, render
from unfold.degradation.kernels import aperture_kernels


def numbers(**values):
    return {name: torch.tensor([v], dtype=torch.float64) for name, v in values.items()}


def disc(radius):
    one = torch.ones(1).double()
    return aperture_kernels(torch.zeros(1).long(), radius * one, one, one, one)


def photo(size=48):
    array = skimage.data.astronaut()[60 : 60 + size, 180 : 180 + size] / 255
    return torch.as_tensor(array).permute(2, 0, 1)[None]


@pytest.mark.parametrize("focus", [0.0, 0.3, 1.0])
def test_without_strength_nothing_happens(focus):
    disparity = torch.rand(1, 1, 48, 48).double()
    parameters = numbers(focus=focus, strength=0, tilt=1, direction=0)
    assert torch.equal(DepthDefocus().apply(photo(), parameters, disparity=disparity), photo())


@pytest.mark.parametrize(("depth", "focus"), [(1.0, 0.2), (0.0, 0.8)])
def test_a_wall_is_blurred_by_one_disc(depth, focus):
    parameters = numbers(focus=focus, strength=5, tilt=1, direction=0)
    disparity = torch.full((1, 1, 48, 48), depth, dtype=torch.float64)
    got = DepthDefocus().apply(photo(), parameters, disparity=disparity)
    torch.testing.assert_close(got, blur(photo(), disc(4.0)), rtol=0, atol=1e-9)


def test_a_scene_of_one_color_keeps_it_whatever_its_depths():
    x = torch.tensor([0.2, 0.5, 1.3]).double().view(1, 3, 1, 1).expand(1, 3, 40, 37)
    for radius in (
        10 * torch.rand(1, 1, 40, 37).double() - 5,
        torch.linspace(-6, 6, 37).double().expand(1, 1, 40, 37),
    ):
        torch.testing.assert_close(render(x, radius), x)


def scene(near, far):
    """A square before a background, 40 pixels wide in 80; and where it is."""
    square = torch.zeros(1, 1, 80, 80, dtype=torch.float64)
    square[..., 20:60, 20:60] = 1
    return square * near + (1 - square) * far, square


def test_a_blurred_background_does_not_spill_over_what_is_sharp_before_it():
    x, square = scene(0.0, 1.0)
    got = render(x.expand(1, 3, 80, 80), torch.where(square > 0, 0.0, -6.0).double())
    assert got[..., 20:60, 20:60].abs().max() < 1e-9
    torch.testing.assert_close(got, x.expand(1, 3, 80, 80), rtol=0, atol=1e-9)


@pytest.mark.parametrize("radius", [3, 6])
def test_a_blurred_thing_spills_over_a_sharp_background_as_rays_do(radius):
    """Outside the thing: its share of the aperture's rays, brute force, and the wall behind."""
    x, square = scene(1.0, 0.25)
    got = render(x.expand(1, 3, 80, 80), radius * square)[0, 0]
    kernel = disc(radius)[0, 0]
    half = len(kernel) // 2
    for y, column in ((40, 60), (40, 62), (61, 61), (18, 40), (70, 70)):
        window = square[0, 0, y - half : y + half + 1, column - half : column + half + 1]
        share = (window * kernel).sum()
        assert got[y, column].item() == pytest.approx((share + 0.25 * (1 - share)).item())


def spread(line):
    at = torch.arange(len(line)).double() - len(line) // 2
    return ((line * at**2).sum() / line.sum()).item()


@pytest.mark.parametrize("radius", [1.5, 2.0, 3.25, 5.0])
def test_blur_follows_the_radius_along_a_slope(radius):
    """Between whole radii too: a line is spread as by a mixture of the discs below and above."""
    x = torch.zeros(1, 3, 41, 81, dtype=torch.float64)
    x[..., 40] = 1
    slope = radius + 0.01 * (torch.arange(41).double() - 20)
    got = render(x, slope[:, None].expand(1, 1, 41, 81))[0, 0, 20]
    assert got.sum().item() == pytest.approx(1, abs=0.01)
    below, above = (spread(disc(r)[0, 0].sum(0)) for r in (int(radius), int(radius) + 1))
    part = radius - int(radius)
    assert spread(got) == pytest.approx((1 - part) * below + part * above, rel=0.02)


def test_a_plane_is_affine_and_has_the_tilt_asked_for():
    y, x = np.mgrid[:30, :50]
    affine = np.stack((y.ravel(), x.ravel(), np.ones(y.size)), 1)
    for direction in (0.0, 0.7, 2.5, 4.0):
        got = plane(torch.zeros(1, 3, 30, 50).double(), numbers(tilt=0.6, direction=direction))
        residual = np.linalg.lstsq(affine, got.numpy().ravel(), rcond=None)[1]
        assert residual.item() < 1e-20
        assert got.min().item() == pytest.approx(0.2, abs=0.02)
        assert got.max().item() == pytest.approx(0.8, abs=0.02)


def test_a_real_scene_is_sharp_in_its_focus_only():
    left, _, disparity = skimage.data.stereo_motorcycle()
    disparity = np.nan_to_num(disparity[100:400:2, 100:500:2], posinf=0) / 60
    x = torch.as_tensor(left[100:400:2, 100:500:2] / 255).permute(2, 0, 1)[None]
    depth = torch.as_tensor(disparity)[None, None].double()
    parameters = numbers(focus=0.7, strength=10, tilt=1, direction=0)
    got = DepthDefocus().apply(x, parameters, disparity=depth)
    change = (got - x).abs().mean(1, keepdim=True)
    near_focus, far = (depth - 0.7).abs() < 0.02, (depth - 0.7).abs() > 0.2
    assert near_focus.sum() > 500
    assert far.sum() > 500
    assert change[near_focus].mean() < 0.3 * change[far].mean()
    assert got.min() >= -1e-9
    assert got.max() <= 1 + 1e-9


def test_layers_are_blurred_where_they_reach_as_if_whole():
    """A thing near a corner, blurred within its reach, against all of it blurred by hand."""
    radius = torch.zeros(1, 1, 40, 50, dtype=torch.float64)
    radius[..., 2:6, 40:49] = 5.0
    x = torch.rand(1, 3, 40, 50, dtype=torch.float64)
    near = radius > 0
    color, alpha = blur(near * x, disc(5)), blur(1.0 * near, disc(5))
    behind = torch.where(near, 0.0, x)
    want = color + torch.minimum(1 - alpha, 1.0 * ~near) * behind
    left = 1 - alpha - torch.minimum(1 - alpha, 1.0 * ~near)
    torch.testing.assert_close(render(x, radius), want / (1 - left))


@pytest.mark.parametrize(
    ("disparity", "message"),
    [
        (torch.rand(1, 1, 9, 8), r"has shape \(1, 1, 9, 8\), must be \(1, 1, 8, 8\)"),
        (2 * torch.ones(1, 1, 8, 8), r"within \[0, 1\]"),
        (torch.full((1, 1, 8, 8), float("nan")), "fill NaN"),
    ],
)
def test_refuses_a_bad_disparity(disparity, message):
    parameters = numbers(focus=0.5, strength=5, tilt=1, direction=0)
    with pytest.raises(ValueError, match=message):
        DepthDefocus().apply(torch.rand(1, 3, 8, 8), parameters, disparity=disparity)
