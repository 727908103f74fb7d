"""The losses of the darkening curve by their weights; a short training against its aim."""

import pytest
import torch
from skimage.data import astronaut, chelsea, coffee

from unfold.degradation.zero_dce import DarkeningCurve, relative_lightness
from unfold.losses import exposure_control, smoothness, spatial_consistency
from unfold.training.darkening import darkening_losses, train_darkening


def test_lednets_weights():
    curve = DarkeningCurve().double()
    before, wanted = (
        torch.rand(2, 1, 32, 48).double(),
        torch.tensor([0.1, 0.2], dtype=torch.float64),
    )
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
