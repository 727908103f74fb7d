"""Zero-DCE's losses, which need no target, against loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unfold.losses import (
    ColorConstancy,
    CurveSmoothness,
    Exposure,
    LossError,
    Outcome,
    SpatialConsistency,
    exposure_control,
    smoothness,
    spatial_consistency,
)
from unfold.registry.spec import resolve
from unfold.restorer import Restoration

SIDES = st.tuples(st.integers(1, 3), st.integers(16, 45), st.integers(16, 45))
LOSSES = {"spatial-consistency": SpatialConsistency, "exposure": Exposure,
          "color-constancy": ColorConstancy, "curve-smoothness": CurveSmoothness}  # fmt: skip


def maps(shape, channels=1, seed=0):
    b, h, w = shape
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.rand(b, channels, h, w, generator=generator, dtype=torch.float64)


def outcome(before, after, parts=None):
    return Outcome(Restoration(after, parts or {}), {"input": before})


def regions(x, side):
    """Means of the whole regions of a picture ``(H, W)``."""
    h, w = (n // side for n in x.shape)
    return np.array(
        [
            [x[i * side : (i + 1) * side, j * side : (j + 1) * side].mean() for j in range(w)]
            for i in range(h)
        ]
    )


def spatial_loop(before, after):
    total, count = 0.0, 0
    for b, a in zip(before.numpy(), after.numpy(), strict=True):
        b, a = regions(b, 4), regions(a, 4)
        for i, j in np.ndindex(a.shape):
            count += 1
            for u, v in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if 0 <= u < a.shape[0] and 0 <= v < a.shape[1]:
                    total += ((a[i, j] - a[u, v]) - (b[i, j] - b[u, v])) ** 2
    return total / count


@given(shape=SIDES)
@settings(max_examples=15, deadline=None)
def test_spatial_consistency_is_its_sum(shape):
    before, after = maps(shape), maps(shape, seed=1)
    want = spatial_loop(before[:, 0], after[:, 0])
    assert spatial_consistency(before, after).item() == pytest.approx(want)


@given(shape=SIDES)
@settings(max_examples=15, deadline=None)
def test_spatial_consistency_of_photos_is_that_of_their_gray(shape):
    before, after = maps(shape, 3), maps(shape, 3, seed=1)
    got = SpatialConsistency()(outcome(before, after)).item()
    assert got == pytest.approx(spatial_loop(before.mean(1), after.mean(1)))


@given(shape=SIDES)
@settings(max_examples=15, deadline=None)
def test_exposure_control_is_its_sum(shape):
    after = maps(shape)
    wanted = torch.linspace(0.05, 0.3, shape[0], dtype=torch.float64)
    errors = [
        (regions(a, 16) - e) ** 2 for a, e in zip(after[:, 0].numpy(), wanted.numpy(), strict=True)
    ]
    assert exposure_control(after, wanted).item() == pytest.approx(np.mean(errors))


@given(shape=SIDES, level=st.floats(0, 1))
@settings(max_examples=15, deadline=None)
def test_exposure_of_photos_is_that_of_their_gray(shape, level):
    after = maps(shape, 3)
    want = np.mean([(regions(a, 16) - level) ** 2 for a in after.numpy().mean(1)])
    assert Exposure(level=level)(outcome(after, after)).item() == pytest.approx(want)


def test_a_photo_of_the_papers_level_is_exposed_well():
    assert Exposure()(outcome(*[torch.full((1, 3, 16, 16), 0.6)] * 2)).item() < 1e-12


@given(shape=SIDES)
@settings(max_examples=15, deadline=None)
def test_color_constancy_is_its_sum(shape):
    after = maps(shape, 3)
    want = []
    for r, g, b in after.numpy().mean((2, 3)):
        want.append((r - g) ** 2 + (r - b) ** 2 + (g - b) ** 2)
    assert ColorConstancy()(outcome(after, after)).item() == pytest.approx(np.mean(want))


def test_a_gray_photo_has_a_gradient():
    gray = torch.full((1, 3, 4, 4), 0.3, requires_grad=True)
    ColorConstancy()(outcome(gray, gray)).backward()
    assert torch.equal(gray.grad, torch.zeros_like(gray))


@given(shape=SIDES, curves=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_curve_smoothness_is_its_sum(shape, curves):
    parts = {f"curve_{n}": maps(shape, 3, n) for n in range(1, curves + 1)}
    b, h, w = shape
    want = 0.0
    for curve in parts.values():
        x = curve.numpy()
        for c in range(3):
            down = sum((x[k, c, 1:] - x[k, c, :-1]) ** 2 for k in range(b)).sum() / (h - 1) / w
            along = sum((x[k, c, :, 1:] - x[k, c, :, :-1]) ** 2 for k in range(b)).sum()
            want += 2 * (down + along / h / (w - 1)) / b
    image = maps(shape, 3)
    parts["curvature"] = image  # another part, which does not count
    assert CurveSmoothness()(outcome(image, image, parts)).item() == pytest.approx(want)


def test_smoothness_of_one_map_and_of_two():
    ramp = torch.arange(5.0).expand(2, 1, 4, 5)
    assert smoothness(ramp).item() == pytest.approx(2)
    assert smoothness(torch.cat((ramp, 3 * ramp), 1)).item() == pytest.approx(2 + 18)


@pytest.mark.parametrize("name", LOSSES)
def test_components_whose_mean_over_halves_is_the_whole(name):
    before, after = maps((4, 32, 20), 3), maps((4, 32, 20), 3, 1)
    loss = resolve("losses", name).build()
    assert type(loss) is LOSSES[name]

    def value(part):
        given = outcome(before[part], after[part], {"curve_1": after[part]})
        return loss(given).item()

    halves = [value(slice(0, 2)), value(slice(2, 4))]
    assert np.mean(halves) == pytest.approx(value(slice(0, 4)))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (SpatialConsistency(), "spatial-consistency: averages regions of 4×4, got 3×20"),
        (Exposure(), "exposure: averages regions of 16×16, got 3×20; take larger crops"),
        (CurveSmoothness(), "no part 'curve_1'; it makes image"),
    ],
)
def test_what_does_not_fit_is_told(loss, message):
    small = torch.rand(1, 3, 3, 20)
    with pytest.raises(LossError, match=message):
        loss(outcome(small, small))
