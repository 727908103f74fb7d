"""Exposure, saturation and clipping; and their order in a pipeline."""

import numpy as np
import pytest
import scipy.stats
import skimage.color
import skimage.data
import torch

from unfold.degradation.camera_shake import CameraShake
from unfold.degradation.clip import Clip, ClippingReverse
from unfold.degradation.color_space import decode, encode
from unfold.degradation.frame_average import FrameAverage
from unfold.degradation.low_light import LowLight
from unfold.degradation.noise import GaussianNoise


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def numbers(**values):
    return {name: torch.tensor([value]) for name, value in values.items()}


def photo(name):
    array = getattr(skimage.data, name)()
    return torch.as_tensor(array / 255).permute(2, 0, 1)[None]


@pytest.mark.parametrize(
    ("degradation", "name", "low", "high"),
    [
        (LowLight(), "exposure", 0.05, 0.3),
        (LowLight(gamma=(1.5, 5.0)), "gamma", 1.5, 5.0),
        (ClippingReverse(), "amount", 20 / 255, 100 / 255),
        (GaussianNoise(sigma=(0.01, 0.2)), "sigma", 0.01, 0.2),
    ],
)
def test_numbers_are_drawn_evenly(degradation, name, low, high):
    drawn = degradation.sample(2000, seeded(1))[name].numpy()
    even = scipy.stats.uniform(low, high - low)
    assert scipy.stats.kstest(drawn, even.cdf).pvalue > 0.01


@pytest.mark.parametrize("transfer", ["srgb", "gamma-2.2"])
def test_an_exposure_scales_light(transfer):
    encoded = photo("chelsea")
    dark = LowLight().apply(decode(encoded, transfer), numbers(exposure=0.25, gamma=1.0))
    assert (dark.mean() / decode(encoded, transfer).mean()).item() == pytest.approx(0.25)
    torch.testing.assert_close(4 * dark, decode(encoded, transfer))


def test_the_curve_is_the_same_on_encoded_values():
    encoded = photo("coffee")[..., ::4, ::4]
    got = LowLight().apply(decode(encoded, "gamma-2.2"), numbers(exposure=1.0, gamma=1.7))
    torch.testing.assert_close(encode(got, "gamma-2.2"), encoded**1.7)


def test_low_light_takes_what_is_below_black_for_black():
    x = torch.tensor([-0.1, 0.0, 0.5]).expand(1, 3, 1, 3)
    got = LowLight().apply(x, numbers(exposure=0.1, gamma=2.0))[0, 0, 0]
    torch.testing.assert_close(got, torch.tensor([0.0, 0.0, 0.025]))


@pytest.mark.parametrize("name", ["rocket", "coffee", "astronaut"])
@pytest.mark.parametrize(("transfer", "allowed"), [("srgb", 0.0), ("gamma-2.2", 1e-3)])
def test_clipping_reverse_finds_what_is_saturated_in_lab(name, transfer, allowed):
    """scikit-image's lightness of the encoded photo; the two curves part little near white."""
    encoded = photo(name)
    saturated = skimage.color.rgb2lab(encoded[0].permute(1, 2, 0).numpy())[..., 0] > 98
    light = decode(encoded, transfer)
    added = (ClippingReverse().apply(light, numbers(amount=0.3)) - light)[0].numpy()
    assert saturated.any()
    found = added > 0.15
    assert (found == found[:1]).all()  # in all channels alike
    assert (found[0] != saturated).mean() <= allowed
    np.testing.assert_allclose(added, 0.3 * found, atol=1e-12)


def test_clip_cuts_at_black_and_white():
    x = torch.linspace(-1, 2, 12).view(1, 3, 2, 2)
    torch.testing.assert_close(Clip().apply(x, {}), x.clip(0, 1))


def test_frames_are_averaged_around_the_middle_one():
    clips = torch.rand(3, 9, 3, 5, 6, dtype=torch.float64)
    got = FrameAverage().apply(clips, {"frames": torch.tensor([1, 5, 9])})
    torch.testing.assert_close(got[0], clips[0, 4])
    torch.testing.assert_close(got[1], sum(clips[1, t] for t in range(2, 7)) / 5)
    torch.testing.assert_close(got[2], clips[2].mean(0))


def test_counts_of_frames_are_odd_and_even_in_their_chances():
    drawn = FrameAverage(frames=(3, 9)).sample(2000, seeded(0))["frames"]
    values, counts = drawn.unique(return_counts=True)
    assert values.tolist() == [3, 5, 7, 9]
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 0.01


def test_moving_dot_becomes_a_streak():
    clips = torch.zeros(1, 7, 3, 5, 9)
    for t in range(7):
        clips[0, t, :, 2, t + 1] = 1.0
    streak = FrameAverage().apply(clips, numbers(frames=5))[0, 0]
    torch.testing.assert_close(streak[2], torch.tensor([0, 0, 1, 1, 1, 1, 1, 0, 0]) / 5)
    assert not streak[[0, 1, 3, 4]].any()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: FrameAverage(frames=(4, 7)), "both odd"),
        (lambda: FrameAverage(frames=(9, 7)), "both odd"),
        (lambda: FrameAverage().apply(torch.rand(1, 5, 3, 4, 4), numbers(frames=7)), "has 5: give"),
        (lambda: FrameAverage().apply(torch.rand(1, 3, 4, 4), numbers(frames=7)), "must be float"),
        (lambda: LowLight(exposure=(0.0, 1.0)), "low-light: exposure"),
        (lambda: ClippingReverse(lightness=120), "clipping-reverse: lightness=120"),
        (lambda: Clip().apply(torch.rand(1, 1, 4, 4), {}), "must be floating point of shape"),
        (lambda: Clip().apply(torch.zeros(1, 3, 4, 4).byte(), {}), "uint8"),
        (
            lambda: LowLight().apply(torch.rand(2, 3, 4, 4), numbers(exposure=1.0, gamma=1.0)),
            "'exposure' is for 1 photos, got 2",
        ),
    ],
)
def test_refuses(run, message):
    with pytest.raises(ValueError, match=message):
        run()


def lamp():
    """A round lamp, white, in a dark scene: ``(1, 3, 64, 64)`` linear; and its encoded values are
    all that a file has kept of it."""
    at = torch.arange(64) - 31.5
    disc = torch.hypot(at[:, None], at.expand(64, 64)) < 7
    return torch.where(disc, 1.0, 0.01).expand(1, 3, 64, 64)


def expose(order):
    """The lamp through steps in an order; ``> 0.999`` of it is white."""
    x, light = lamp(), "linear"
    steps = {
        "reverse": (ClippingReverse(), numbers(amount=100 / 255)),
        "blur": (CameraShake(), numbers(seed=7, extent=8.0, turns=0.0)),
        "noise": (GaussianNoise(), numbers(seed=3, sigma=0.01)),
        "clip": (Clip(), {}),
    }
    for name in order.split():
        step, parameters = steps[name]
        if step.color_space != light:
            x, light = (
                (decode if step.color_space == "linear" else encode)(x, "gamma-2.2"),
                step.color_space,
            )
        x = step.apply(x, parameters)
    return x


def test_a_streak_stays_white_with_clipping_reverse_and_in_the_right_order_only():
    streak = CameraShake().apply(lamp(), numbers(seed=7, extent=8.0, turns=0.0))[0, 0] > 0.74
    assert streak.sum() > 30  # the lamp's path while it shines on a place most of the time
    right = expose("reverse blur noise clip")
    assert right.max() == 1
    assert right.min() >= 0
    white = (right[0] == 1).all(0)
    assert white[streak].double().mean() > 0.9
    # Without it the streak is gray, though noise lifts some pixels.
    plain = expose("blur noise clip")
    assert (plain[0, :, streak] == 1).double().mean() < 0.05
    assert plain[0, :, streak].mean() < 0.97
    # Clipped before the blur, the light is lost again; clipped before the noise, white is noisy.
    early = expose("reverse clip blur noise clip")
    torch.testing.assert_close(early, plain)
    noisy = expose("reverse blur clip noise")
    assert noisy.max() > 1


def test_lights_stay_lights_in_the_dark_and_no_contour_shows():
    """Above the given lightness a pixel is kept, from 5 below it the darkening fades out."""
    y = torch.linspace(0.5, 1.2, 2000, dtype=torch.float64).expand(1, 3, 1, -1)
    dark = LowLight(exposure=(0.1, 0.1), preserve_highlights=97)
    out = dark(y, generator=torch.Generator().manual_seed(0))
    level = 116 * y[0, 0, 0] ** (1 / 3) - 16
    torch.testing.assert_close(out[..., level > 97], y[..., level > 97])
    torch.testing.assert_close(out[..., level < 92], 0.1 * y[..., level < 92])
    assert (out.diff() > 0).all()
    assert out.diff().max() < 0.01


def test_a_lightness_that_tells_no_lights():
    with pytest.raises(ValueError, match="preserve_highlights=101: give a lightness of 0 to 100"):
        LowLight(preserve_highlights=101)
