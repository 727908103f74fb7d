"""The losses of the darkening curve against loops; a short training against its aim."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut, chelsea, coffee

from unfold.degradation.zero_dce import DarkeningCurve, relative_lightness
from unfold.training.darkening import (
    darkening_losses,
    exposure_control,
    smoothness,
    spatial_consistency,
    train_darkening,
)

SIDES = st.tuples(st.integers(1, 3), st.integers(16, 45), st.integers(16, 45))


def maps(shape, count):
    generator = torch.Generator().manual_seed(sum(shape))
    b, h, w = shape
    made = torch.rand(count, b, 1, h, w, generator=generator, dtype=torch.float64)
    return made if count > 1 else made[0]


def regions(x, side):
    """Means of the whole regions of a picture ``(H, W)``."""
    h, w = (n // side for n in x.shape)
    return np.array(
        [
            [x[i * side : (i + 1) * side, j * side : (j + 1) * side].mean() for j in range(w)]
            for i in range(h)
        ]
    )


@given(shape=SIDES)
@settings(max_examples=15, deadline=None)
def test_spatial_consistency_is_its_sum(shape):
    before, after = maps(shape, 2)
    total, count = 0.0, 0
    for b, a in zip(before[:, 0].numpy(), after[:, 0].numpy(), strict=True):
        b, a = regions(b, 4), regions(a, 4)
        for i, j in np.ndindex(a.shape):
            count += 1
            for u, v in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if 0 <= u < a.shape[0] and 0 <= v < a.shape[1]:
                    total += ((a[i, j] - a[u, v]) - (b[i, j] - b[u, v])) ** 2
    assert spatial_consistency(before, after).item() == pytest.approx(total / count)


@given(shape=SIDES)
@settings(max_examples=15, deadline=None)
def test_exposure_control_is_its_sum(shape):
    after = maps(shape, 1)
    wanted = torch.linspace(0.05, 0.3, shape[0], dtype=torch.float64)
    errors = [
        (regions(a, 16) - e) ** 2 for a, e in zip(after[:, 0].numpy(), wanted.numpy(), strict=True)
    ]
    assert exposure_control(after, wanted).item() == pytest.approx(np.mean(errors))


@given(shape=SIDES)
@settings(max_examples=15, deadline=None)
def test_smoothness_is_its_sum(shape):
    rate = maps(shape, 1)
    r = rate[:, 0].numpy()
    b, h, w = shape
    down = sum((r[k, i + 1, j] - r[k, i, j]) ** 2 for k, i, j in np.ndindex(b, h - 1, w))
    along = sum((r[k, i, j + 1] - r[k, i, j]) ** 2 for k, i, j in np.ndindex(b, h, w - 1))
    want = 2 * (down / (h - 1) / w + along / h / (w - 1)) / b
    assert smoothness(rate).item() == pytest.approx(want)


def test_lednets_weights():
    curve = DarkeningCurve().double()
    before, wanted = maps((2, 32, 48), 1), torch.tensor([0.1, 0.2], dtype=torch.float64)
    ratio, rate = curve(before, wanted)
    losses = darkening_losses(curve, before, wanted)
    after = ratio * before
    assert losses["spatial"].item() == pytest.approx(spatial_consistency(before, after).item())
    assert losses["exposure"].item() == pytest.approx(10 * exposure_control(after, wanted).item())
    assert losses["smooth"].item() == pytest.approx(200 * smoothness(rate).item())


def photo(picture):
    return torch.from_numpy(picture).permute(2, 0, 1).float()[:, ::4, ::4] / 255


def train(steps=60):
    photos = [photo(astronaut()), photo(coffee())]
    return train_darkening(photos, steps=steps, batch=4, crop=32, learning_rate=6e-3, seed=1)


def test_a_short_training_reaches_the_exposure_on_a_new_photo():
    """To 0.08 at both ends of a range 0.25 wide: a curve that ignored it would miss by 0.125."""
    scene = relative_lightness(photo(chelsea())[None]).expand(6, -1, -1, -1)
    wanted = torch.linspace(0.05, 0.3, 6)

    def loss(curve):
        return sum(value.item() for value in darkening_losses(curve, scene, wanted).values())

    (start, _), (curve, history) = train(0), train()
    assert len(history) == 60
    assert loss(curve) < 0.5 * loss(start)
    reached = (curve(scene, wanted)[0] * scene).mean((1, 2, 3))
    assert (reached.diff() > 0).all()
    assert (reached - wanted).abs().max() < 0.08
    assert scene.mean() > 0.4


def test_training_repeats_and_leaves_chance_alone():
    one, _ = train(2)
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    two, _ = train(2)
    assert torch.equal(before, torch.random.get_rng_state())
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
    assert not any(parameter.requires_grad for parameter in one.parameters())


@pytest.mark.parametrize("photos", [[], [torch.rand(3, 40, 20)]])
def test_refuses_photos(photos):
    with pytest.raises(ValueError, match="photos of at least 32×32"):
        train_darkening(photos, steps=1, crop=32)
