"""Losses on parts of a restoration: reflectance, sparse error, references of another exposure."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unfold.core import State
from unfold.estimators.exposure import expose
from unfold.losses import (
    L1,
    LossError,
    Outcome,
    PlantedError,
    Reblur,
    ReflectanceConsistency,
    StageWise,
)
from unfold.losses.consistency import reblur
from unfold.registry.spec import resolve
from unfold.restorer import Restoration

SHAPE = (2, 3, 6, 5)


def picture(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(SHAPE, generator=generator, dtype=torch.float64)


def both(one, other):
    """An outcome with the reflectances of the two inputs."""
    second = None if other is None else Restoration(picture(), {"R": other})
    return Outcome(Restoration(picture(), {"R": one}), {}, other=second)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("reflectance-consistency", ReflectanceConsistency), ("sparse-error", PlantedError)],
)
def test_they_are_components(name, kind):
    assert isinstance(resolve("losses", name).build(), kind)


def test_reflectance_consistency_is_the_distance_of_normalized_reflectances():
    one, other = picture(1), picture(2)
    got = ReflectanceConsistency()(both(one, other)).item()
    a, b = one.numpy(), other.numpy()
    errors = [np.abs(a[i] / np.abs(a[i]).mean() - b[i] / np.abs(b[i]).mean()) for i in range(2)]
    assert got == pytest.approx(np.mean(errors))
    assert got > 0.1


@given(c=st.floats(0.01, 100), d=st.floats(0.01, 100))
def test_reflectance_consistency_is_blind_to_one_factor_per_image(c, d):
    one, other = picture(1), picture(2)
    factors = torch.tensor([c, d], dtype=torch.float64).view(2, 1, 1, 1)
    loss = ReflectanceConsistency()
    assert loss(both(one, one * factors)).item() < 1e-12
    want = loss(both(one, other)).item()
    assert loss(both(one * factors, other)).item() == pytest.approx(want)
    by_channel = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).view(1, 3, 1, 1)
    assert loss(both(one, one * by_channel)).item() > 0.1


def test_reflectance_consistency_has_gradients_and_batches_alike():
    one, other = picture(1).requires_grad_(), picture(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: ReflectanceConsistency()(both(a, b)), (one, other))
    loss = ReflectanceConsistency()
    halves = [loss(both(one[i : i + 1], other[i : i + 1])).item() for i in (0, 1)]
    assert np.mean(halves) == pytest.approx(loss(both(one, other)).item())
    black = torch.zeros(SHAPE).requires_grad_()
    loss(both(black, torch.rand(SHAPE))).backward()
    assert black.grad.isfinite().all()


def test_reflectance_consistency_names_what_is_missing():
    with pytest.raises(LossError, match="has not restored the second input, the picture 'other'"):
        ReflectanceConsistency()(both(picture(), None))
    with pytest.raises(LossError, match="no part 'denoised'; it makes image, R"):
        ReflectanceConsistency(of="denoised")(both(picture(), picture()))


def test_the_sparse_error_is_compared_with_the_planted_one():
    clean, planted = picture(1), torch.zeros(SHAPE, dtype=torch.float64)
    planted[0, :, 2, 3], planted[1, 1, 0, 0] = 0.5, -0.2
    batch = {"clean": clean, "input": clean + planted, "noisy": clean + planted + 0.1}

    def loss(error, **options):
        return PlantedError(**options)(Outcome(Restoration(clean, {"E": error}), batch)).item()

    assert loss(planted) < 1e-12
    assert loss(-planted) == pytest.approx(2 * planted.abs().mean().item())
    assert loss(torch.zeros_like(planted)) == pytest.approx((3 * 0.5 + 0.2) / planted.numel())
    assert loss(planted, after="noisy") == pytest.approx(0.1)
    with pytest.raises(LossError, match=r"'E' has shape \(2, 3, 6, 4\)"):
        loss(planted[..., 1:])
    with pytest.raises(LossError, match="no picture 'gone'"):
        loss(planted, before="gone")


GAIN = torch.tensor([2.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1)
CURVE = torch.tensor([1.0, 3.0], dtype=torch.float64).view(2, 1, 1, 1)


@pytest.mark.parametrize(
    "loss",
    [
        L1(of="I", picture="dark", match_exposure=True),
        StageWise(block="I", picture="dark", match_exposure=True),
        Reblur(of="I", picture="dark", match_exposure=True),
    ],
)
def test_references_are_brought_to_the_exposure_of_the_restoration(loss):
    dark = picture(1)
    exposed = expose(dark, GAIN, CURVE)
    point = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    point[..., 1, 1] = 1
    parts = {"I": exposed, "kernel": point}
    light = {"gain": GAIN, "curve": CURVE}

    def value(parts, image):
        stages = (State({"I": image}),)
        return loss(Outcome(Restoration(dark, parts | {"I": image}), {"dark": dark}, stages)).item()

    assert value(parts | light, exposed) < 1e-9
    assert value(parts | light, dark) > 0.1
    for missing in ({}, {"gain": GAIN}, {"curve": CURVE}):
        assert value(parts | missing, dark) < 1e-9
        assert value(parts | missing, exposed) > 0.1
    loss.match_exposure = False
    assert value(parts | light, dark) < 1e-9
    assert reblur(dark, point).shape == dark.shape


def test_no_gradient_passes_to_the_exposure():
    gain = GAIN.clone().requires_grad_()
    parts = {"I": picture(1).requires_grad_(), "gain": gain, "curve": CURVE}
    outcome = Outcome(Restoration(picture(), parts), {"dark": picture(2)})
    L1(of="I", picture="dark", match_exposure=True)(outcome).backward()
    assert gain.grad is None
    assert parts["I"].grad is not None
