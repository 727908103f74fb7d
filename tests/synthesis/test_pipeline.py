"""The pipeline: light is converted where physics demands, numbers alone make the picture."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unfold.degradation import Degradation
from unfold.degradation.color_space import decode, encode
from unfold.synthesis import Pipeline, SynthesisStep, parse_recipe
from unfold.synthesis.pipeline import from_json, seeded, to_json

RECIPE = parse_recipe(
    {
        "transfer": "gamma-2.2",
        "steps": [
            {"degradation": {"kind": "camera-shake", "extent": [2, 4]}, "saves": "blur"},
            {"degradation": {"kind": "gaussian-noise"}, "saves": "noisy"},
            {"degradation": {"kind": "clip"}, "of": "blur", "saves": "clipped"},
        ],
        "files": {"{sequence}/{frame}.png": "noisy"},
        "input": "noisy",
    }
)


@given(st.floats(0, 8), st.sampled_from(["srgb", "gamma-2.2"]))
def test_encoding_and_decoding_undo_each_other(value, transfer):
    x = torch.full((3, 1, 1), value, dtype=torch.float64)
    # (The two parts of the sRGB curve, as the standard rounds them, meet to 1e-7.)
    torch.testing.assert_close(encode(decode(x, transfer), transfer), x, rtol=1e-9, atol=1e-6)


def test_srgb_is_the_standards_curve():
    # IEC 61966-2-1: the curve's two parts meet, and mid gray 0.5 is 21.4 % of the light.
    x = torch.tensor([0.04045, 0.04046, 0.5, 1.0, 0.0], dtype=torch.float64)
    y = decode(x.expand(3, 1, -1))[0, 0]
    assert y[1] - y[0] < 2e-6
    torch.testing.assert_close(y[2:], torch.tensor([0.21404, 1, 0]).double(), atol=1e-5, rtol=0)


def formula(x, encoding):
    """IEC 61966-2-1, in NumPy."""
    x = np.maximum(x, 0)
    if encoding:
        return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize(("convert", "encoding"), [(decode, False), (encode, True)])
def test_srgb_of_photos_and_clips_is_the_standards_formula(convert, encoding, dtype, allowed):
    """Negative values are taken for 0; those above 1 go on by the same curve."""
    x = torch.linspace(-0.5, 2, 2 * 4 * 3 * 50 * 7, dtype=dtype)
    x[:5] = torch.tensor([0.04045, 0.0031308, 0.0, 1.0, -1e-9])
    clips = x.view(2, 4, 3, 50, 7)
    want = formula(clips.double().numpy(), encoding)
    np.testing.assert_allclose(convert(clips).numpy(), want, atol=allowed, rtol=allowed)
    assert convert(clips).dtype == dtype
    torch.testing.assert_close(convert(clips[:, 1]), convert(clips)[:, 1])


def test_blur_mixes_light_not_encoded_values():
    """Half black, half white, blurred far: the middle has half the light, not half the value."""
    recipe = parse_recipe(RECIPE.model_dump() | {"transfer": "gamma-2.2"})
    pipeline = Pipeline(recipe)
    scene = torch.zeros(1, 3, 40, 40)
    scene[..., 20:] = 1
    made = pipeline.make({"sharp": scene}, pipeline.draw(seeded(0)))
    (kernel,) = pipeline.degradations[0].kernel(pipeline.draw(seeded(0))[0])
    # In linear light the blurred edge is the kernel's cumulated column sums.
    want = kernel[0].sum(0).cumsum(0).float() ** (1 / 2.2)
    half = len(want) // 2
    torch.testing.assert_close(
        made["blur"][0, 0, 20, 20 - half : 21 + half], want, atol=2e-3, rtol=0
    )


def test_steps_begin_where_they_are_told_to():
    pipeline = Pipeline(RECIPE)
    scene = torch.rand(2, 3, 20, 30)
    made = pipeline.make({"sharp": scene}, pipeline.draw(seeded(1), 2))
    assert set(made) == {"sharp", "blur", "noisy", "clipped"}
    torch.testing.assert_close(made["clipped"], made["blur"].clamp(0, 1), atol=1e-5, rtol=0)
    assert (made["noisy"] - made["blur"]).std() > 1e-3
    torch.testing.assert_close(made["sharp"], scene)


def test_a_step_left_out_changes_nothing_else():
    pipeline = Pipeline(RECIPE)
    scene, drawn = {"sharp": torch.rand(1, 3, 20, 30)}, pipeline.draw(seeded(1))
    whole, part = pipeline.make(scene, drawn), pipeline.make(scene, drawn, omit="camera-shake")
    noise = [made["noisy"] - made["blur"] for made in (whole, part)]
    torch.testing.assert_close(part["blur"], scene["sharp"])
    torch.testing.assert_close(*noise, atol=1e-5, rtol=0)


def test_numbers_written_down_make_the_same_picture():
    pipeline = Pipeline(RECIPE)
    scene, drawn = {"sharp": torch.rand(1, 3, 16, 16)}, pipeline.draw(seeded(7))
    again = from_json(json.loads(json.dumps(to_json(pipeline.kinds, drawn))))
    made = (pipeline.make(scene, numbers)["noisy"] for numbers in (drawn, again))
    torch.testing.assert_close(*made, atol=0, rtol=0)


def sometimes(probability):
    """`RECIPE`, with a blur that is applied with this probability."""
    steps = RECIPE.model_dump()["steps"]
    steps[0]["probability"] = probability
    return Pipeline(parse_recipe(RECIPE.model_dump() | {"steps": steps}))


def test_a_step_with_a_probability_is_applied_to_that_share_of_the_photos():
    (first, *_) = sometimes(0.3).draw(seeded(1), 4000)
    assert first["applied"].double().mean().item() == pytest.approx(0.3, abs=0.03)
    for probability, applied in ((0.0, False), (0.999999, True)):
        drawn = sometimes(probability).draw(seeded(1), 50)
        assert drawn[0]["applied"].tolist() == [applied] * 50
    # Recipes without probabilities draw what they always drew.
    assert "applied" not in Pipeline(RECIPE).draw(seeded(1))[0]


def test_a_step_that_is_not_applied_passes_its_picture_on():
    pipeline, always = sometimes(0.5), Pipeline(RECIPE)
    scene, drawn = torch.rand(6, 3, 20, 30), pipeline.draw(seeded(1), 6)
    applied = drawn[0].pop("applied")
    assert 0 < applied.sum() < 6
    every = always.make({"sharp": scene}, drawn)
    drawn[0]["applied"] = applied
    made = pipeline.make({"sharp": scene}, drawn)
    torch.testing.assert_close(made["blur"][applied], every["blur"][applied])
    torch.testing.assert_close(made["blur"][~applied], scene[~applied])
    for i in range(6):  # alone as in a batch
        one = [{name: value[i : i + 1] for name, value in step.items()} for step in drawn]
        alone = pipeline.make({"sharp": scene[i : i + 1]}, one)
        torch.testing.assert_close(alone["noisy"][0], made["noisy"][i], atol=1e-5, rtol=0)


def test_whether_a_step_was_applied_is_written_down():
    pipeline = sometimes(0.5)
    scene = {"sharp": torch.rand(1, 3, 16, 16)}
    outcomes = set()
    for seed in range(8):
        drawn = pipeline.draw(seeded(seed))
        again = from_json(json.loads(json.dumps(to_json(pipeline.kinds, drawn))))
        made = (pipeline.make(scene, numbers)["noisy"] for numbers in (drawn, again))
        torch.testing.assert_close(*made, atol=0, rtol=0)
        outcomes.add(to_json(pipeline.kinds, drawn)[0]["applied"])
    assert outcomes == {True, False}


def test_the_kernel_of_a_blur_that_is_not_applied_is_a_point():
    pipeline = sometimes(0.5)
    drawn = pipeline.draw(seeded(1), 6)
    applied = drawn[0]["applied"]
    kernel = pipeline.kernel(drawn, 31)
    assert (kernel[applied].amax((1, 2, 3)) < 0.9).all()
    torch.testing.assert_close(kernel[~applied, 0, 15, 15], torch.ones(int((~applied).sum())))
    none = [{"applied": torch.tensor([False]), **{n: v[:1] for n, v in step.items() if
             n != "applied"}} if "applied" in step else step for step in drawn]  # fmt: skip
    assert pipeline.kernel(none, 1).item() == 1


class Mean(Degradation):
    """Averages frames; records what it was given."""

    color_space = "linear"
    frames = True
    inputs = ("disparity",)

    def sample(self, batch, generator):
        return {}

    def apply(self, image, parameters, **inputs):
        self.saw = image.shape, inputs["disparity"]
        return image.mean(1)


def test_frames_are_degraded_alike_until_they_are_averaged():
    pipeline = Pipeline(RECIPE)
    mean = Mean()
    pipeline.degradations[1] = mean
    frames = torch.rand(2, 3, 3, 20, 30)
    drawn = pipeline.draw(seeded(1), 2)
    made = pipeline.make({"sharp": frames}, drawn)
    assert mean.saw == ((2, 3, 3, 20, 30), None)
    torch.testing.assert_close(made["sharp"], frames[:, 1])
    for t in range(3):
        alone = pipeline.degradations[0].apply(decode(frames[:, t], "gamma-2.2"), drawn[0])
        if t == 1:
            torch.testing.assert_close(made["blur"], encode(alone, "gamma-2.2"), atol=1e-5, rtol=0)
    assert made["noisy"].shape == (2, 3, 20, 30)
    assert made["clipped"].shape == (2, 3, 20, 30)


def test_frames_that_are_not_averaged_become_the_middle_one():
    steps = RECIPE.model_dump()["steps"]
    steps[1]["probability"] = 0.5
    pipeline = Pipeline(parse_recipe(RECIPE.model_dump() | {"steps": steps}))
    pipeline.degradations[1] = Mean()
    frames = torch.rand(2, 3, 3, 20, 30)
    drawn = pipeline.draw(seeded(1), 2)
    drawn[1]["applied"] = torch.tensor([True, False])
    made = pipeline.make({"sharp": frames}, drawn)
    torch.testing.assert_close(made["noisy"][1], made["blur"][1], atol=1e-5, rtol=0)
    assert (made["noisy"][0] - made["blur"][0]).abs().max() > 0.05


def test_keys_do_not_collide():
    first = [torch.rand((), generator=seeded(*key)) for key in ((0, 1), (0, 11), (1, 0), (0, 1, 1))]
    assert len({float(x) for x in first}) == 4


def test_steps_are_strict():
    with pytest.raises(ValueError, match="save"):
        SynthesisStep.model_validate({"degradation": "clip", "save": "x"})
