import itertools
import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unfold.degradation import blur, motion_kernel
from unfold.degradation.camera_shake import CameraShake
from unfold.degradation.defocus import Defocus
from unfold.degradation.kernels import (
    SHAPES,
    aperture_kernels,
    disturbed,
    kernel_size,
    motion_kernels,
)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def moments(kernel):
    """Centroid and covariance (rows, columns) about the middle element, of ``(h, w)``."""
    h, w = kernel.shape
    y = (torch.arange(h) - h // 2).double()[:, None].expand(h, w)
    x = (torch.arange(w) - w // 2).double().expand(h, w)
    at = torch.stack((y, x)).flatten(1)
    mean = at @ kernel.double().flatten()
    return mean, (at * kernel.double().flatten()) @ at.T - mean[:, None] * mean


@given(size=st.integers(3, 41), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_sum_support_and_centre(size, seed):
    kernel = motion_kernel(size, generator=seeded(seed))
    assert kernel.shape == (1, 1, size, size)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
    assert (kernel >= 0).all()
    assert moments(kernel[0, 0])[0].abs().max() < 1e-3


def test_extent_bounds_the_path():
    for seed in range(10):
        kernel = motion_kernel(31, extent=4.0, generator=seeded(seed))[0, 0]
        outside = torch.ones(31, 31, dtype=torch.bool)
        outside[10:21, 10:21] = False
        assert not kernel[outside].any()
        assert kernel[~outside].count_nonzero() > 8


def test_seeds_repeat_and_differ():
    assert torch.equal(motion_kernel(generator=seeded(1)), motion_kernel(generator=seeded(1)))
    assert not torch.equal(motion_kernel(generator=seeded(1)), motion_kernel(generator=seeded(2)))


@pytest.mark.parametrize("bad", [{"size": 2}, {"size": 9, "extent": 4.0}, {"extent": 0.0}])
def test_refuses(bad):
    with pytest.raises(ValueError, match="extent in"):
        motion_kernel(**bad)


@pytest.mark.parametrize("turns", [0.0, 0.5, 6.0, 100.0])
def test_a_path_is_the_integral_of_a_random_walk_pulled_back_to_rest(turns):
    """Against the recursion, step by step, and bilinear weights, point by point."""
    steps, size, extent = 80, 14, 5.0
    noise = torch.randn(1, steps, 2, dtype=torch.float64)
    memory = math.exp(-turns / steps)
    velocity, path = noise[0, 0], [noise[0, 0]]
    for kick in noise[0, 1:]:
        velocity = memory * velocity + math.sqrt(1 - memory**2) * kick
        path.append(path[-1] + velocity)
    path = torch.stack(path)
    path = path - path.mean(0)
    path = path * extent / path.norm(dim=1).max() + size // 2
    want = torch.zeros(size, size, dtype=torch.float64)
    for y, x in path.tolist():
        for i in range(size):
            for j in range(size):
                want[i, j] += max(0, 1 - abs(y - i)) * max(0, 1 - abs(x - j)) / steps
    one = noise.new_ones(1)
    got = motion_kernels(noise, extent * one, turns * one, size)
    torch.testing.assert_close(got[0, 0], want, rtol=0, atol=1e-10)


def test_camera_shake_has_the_extents_asked_for_and_is_drawn_photo_by_photo():
    shake = CameraShake(extent=(2.0, 11.3), turns=(0.0, 6.0))
    parameters = shake.sample(40, seeded(0))
    kernels = shake.kernel(parameters)
    size = kernels.shape[-1]
    assert size == kernel_size(parameters["extent"])
    torch.testing.assert_close(kernels.sum((1, 2, 3)), torch.ones(40).double())
    away = (torch.arange(size) - size // 2).double()
    far = torch.hypot(away[:, None], away.expand(size, size))
    for i, kernel in enumerate(kernels[:, 0]):
        # A point is drawn on the four pixels around it, less than √2 away.
        reach = (far * (kernel > 0)).max().item()
        assert reach == pytest.approx(parameters["extent"][i].item(), abs=1.42)
        assert moments(kernel)[0].abs().max() < 1e-9
        one = {name: value[i : i + 1] for name, value in parameters.items()}
        alone = shake.kernel(one)[0, 0]
        spare = (size - len(alone)) // 2
        padded = torch.nn.functional.pad(alone, (spare,) * 4)
        torch.testing.assert_close(kernel, padded, rtol=0, atol=1e-12)


@given(extent=st.floats(0, 40))
def test_a_kernel_is_as_small_as_holds_its_path(extent):
    size = kernel_size(torch.tensor([extent, extent / 2], dtype=torch.float64))
    assert size % 2 == 1
    assert (size - 3) // 2 - 0.5 < extent <= (size - 1) // 2 - 0.5


def test_camera_shake_without_turns_is_a_straight_line():
    shake = CameraShake(extent=(9.0, 9.0), turns=(0.0, 0.0))
    for kernel in shake.kernel(shake.sample(5, seeded(0)))[:, 0]:
        small, large = torch.linalg.eigvalsh(moments(kernel)[1])
        assert large == pytest.approx(9**2 / 3, rel=0.03)  # evenly bright from −9 to 9
        assert small < 0.4  # bilinear weights are at most so wide


@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=st.tuples(st.integers(1, 15), st.integers(1, 15)),
)
@settings(max_examples=40, deadline=None)
def test_blur_is_scipys_with_a_mirrored_border(size, kernel):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    k = torch.rand(2, 1, *kernel, dtype=torch.float64)
    got = blur(x, k)
    for b in range(2):
        for c in range(3):
            weights = k[b, 0].numpy()
            want = scipy.ndimage.convolve(x[b, c].numpy(), weights, mode="reflect")
            np.testing.assert_allclose(got[b, c].numpy(), want, atol=1e-10)


def aperture(shape, radius, ratio=1.0, angle=0.0, beta=1.0):
    numbers = (torch.tensor([float(v)]).double() for v in (radius, ratio, angle, beta))
    return aperture_kernels(torch.tensor([SHAPES.index(shape)]), *numbers)[0, 0]


@pytest.mark.parametrize("shape", SHAPES)
@given(
    radius=st.floats(0, 12),
    ratio=st.floats(0.1, 1),
    angle=st.floats(0, math.pi),
    beta=st.floats(0.5, 4),
)
@settings(max_examples=25, deadline=None)
def test_apertures_are_positive_symmetric_and_sum_to_one(shape, radius, ratio, angle, beta):
    kernel = aperture(shape, radius, ratio, angle, beta)
    assert len(kernel) % 2 == 1
    assert kernel.sum().item() == pytest.approx(1)
    assert (kernel >= 0).all()
    torch.testing.assert_close(kernel, kernel.flip(0, 1), rtol=0, atol=1e-12)
    assert len(kernel) // 2 <= (2 if shape != "disc" else 1) * radius + 1.5


@pytest.mark.parametrize(
    ("shape", "beta"),
    [("disc", 1), *((s, b) for s in SHAPES[1:] for b in (0.5, 1, 4))],
)
@pytest.mark.parametrize("radius", [2.3, 5.0])
def test_apertures_are_the_formula_averaged_over_pixels(shape, beta, radius):
    """Against 41×41 places in every pixel, from the quadratic form with its matrix."""
    ratio, angle, n = 0.7, 0.6, 41
    got = aperture(shape, radius, ratio, angle, beta).numpy()
    half = len(got) // 2
    fine = (np.arange(len(got) * n) + 0.5) / n - half - 0.5
    points = np.stack(np.meshgrid(fine, fine), -1)  # x, y
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    axes = np.array([1, ratio]) * (radius if shape == "disc" else radius / 2)
    inverse = np.linalg.inv(turn @ np.diag(axes**2) @ turn.T)
    q = np.einsum("yxi,ij,yxj->yx", points, inverse, points)
    formula = {
        "disc": 1.0 * (q <= 1),
        "gaussian": np.exp(-(q**beta) / 2) * (q <= 16),
        "plateau": 1 / (q**beta + 1) * (q <= 16),
    }[shape]
    want = formula.reshape(len(got), n, len(got), n).mean((1, 3))
    np.testing.assert_allclose(got, want / want.sum(), atol=0.12 * got.max())
    assert abs(got - want / want.sum()).sum() < 0.06


def test_disc_and_gaussian_of_one_radius_spread_a_point_alike():
    for shape in ("disc", "gaussian"):
        _, covariance = moments(aperture(shape, 6.0))
        torch.testing.assert_close(
            covariance, (6.0**2 / 4 + 1 / 12) * torch.eye(2).double(), rtol=0.02, atol=1e-6
        )


def test_discs_grow_by_fractions_of_a_pixel():
    spread = [moments(aperture("disc", r))[1].trace().item() for r in np.arange(0.4, 5, 0.2)]
    assert all(b > a for a, b in itertools.pairwise(spread))


def test_an_aperture_of_no_radius_is_a_point():
    for shape in SHAPES:
        kernel = aperture(shape, 0.0)
        assert kernel[len(kernel) // 2, len(kernel) // 2] == 1


def test_defocus_draws_every_shape_within_its_ranges():
    defocus = Defocus(shapes=("disc", "plateau"), radius=(2.0, 3.0))
    drawn = defocus.sample(300, seeded(0))
    assert set(drawn["shape"].tolist()) == {0, 2}
    assert abs((drawn["shape"] == 0).double().mean() - 0.5) < 0.1
    for name, low, high in (("radius", 2, 3), ("beta", 0.5, 4), ("ratio", 0.6, 1)):
        assert low <= drawn[name].min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < drawn[name].max() <= high


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CameraShake(extent=(5.0, 2.0)), r"camera-shake: extent=\(5.0, 2.0\): give"),
        (lambda: CameraShake(extent=(-1.0, 2.0)), "at least 0"),
        (lambda: CameraShake(turns=(0.0, math.nan)), "finite"),
        (lambda: Defocus(ratio=(0.5, 1.5)), "at least 0.05, at most 1"),
        (lambda: Defocus(shapes=()), "some of disc, gaussian, plateau"),
    ],
)
def test_components_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@given(seed=st.integers(0, 1000), extent=st.floats(0.5, 13), error=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_disturbed_kernel_stays_a_kernel_at_its_place(seed, extent, error):
    kernel = motion_kernel(39, extent=extent, generator=seeded(seed))
    wrong = disturbed(kernel, error, seeded(seed + 1))
    assert wrong.shape == kernel.shape
    assert (wrong >= 0).all()
    assert wrong.sum().item() == pytest.approx(1, abs=1e-5)
    (before, _), (after, _) = moments(kernel[0, 0]), moments(wrong[0, 0])
    assert (after - before).abs().max() < 0.05


def test_the_error_grows_to_a_fifth_of_the_kernel():
    def wrong(error):
        found = []
        for seed in range(40):
            kernel = motion_kernel(39, extent=8.0, generator=seeded(seed))
            off = disturbed(kernel, error, seeded(seed)) - kernel
            found.append(off.abs().sum().item() / 2)  # the share of the mass that is elsewhere
        return sum(found) / len(found)

    assert wrong(0.0) == 0
    assert 0.02 < wrong(0.3) < wrong(1.0)
    assert 0.15 < wrong(1.0) < 0.4
