"""Mixed data, and kernels on their way from a degradation to a model."""

import pytest
import torch
from tiny_training import photos

from unfold.degradation import blur
from unfold.losses import L1
from unfold.restorer import Restoration, Restorer
from unfold.synthesis import SynthesizedPhotos, parse_recipe
from unfold.synthesis.pipeline import Pipeline
from unfold.training import TrainingError
from unfold.training import parse_recipe as parse_training
from unfold.training.phase import Phase
from unfold.training.stream import open_stream
from unfold.training.task import Supervised

PHASE = Phase(steps=1, batch=1, crop=16, lr=1e-3)


def synthesis(*steps, **more):
    return {"input": "bad", "files": {}, **more,
            "steps": [*({"degradation": step} for step in steps),
                      {"degradation": "clip", "saves": "bad"}]}  # fmt: skip


def training(data, **more):
    return parse_training({
        "model": "deconv-small", "data": data, "losses": [{"loss": "l1"}],
        "phases": [{"steps": 2, "batch": 2, "crop": 16, "lr": 1e-3}], **more,
    })  # fmt: skip


@pytest.fixture
def source(tmp_path):
    return photos(tmp_path / "photos")


def part(source, exposure, weight):
    low = {"kind": "low-light", "exposure": [exposure, exposure]}
    data = {"kind": "synthesized", "source": str(source), "recipe": synthesis(low), "margin": 0}
    return {"weight": weight, "data": data}


def test_parts_are_drawn_by_their_weights(source):
    mixed = {"kind": "mixed", "parts": [part(source, 0.01, 3.0), part(source, 1.0, 1.0)]}
    stream = open_stream(training(mixed).data, PHASE, seed=5)
    # (Of a hundredth of the light a picture keeps less than a third of its encoded values.)
    items = [stream[n] for n in range(120)]
    dark = [bool(item["input"].mean() < 0.5 * item["target"].mean()) for item in items]
    # Binomial of 120 and 3/4: 90 ± 4.7, so ±4 deviations.
    assert 71 <= sum(dark) <= 109
    # Whichever was asked for before: what makes a resumed run the same.
    again = open_stream(training(mixed).data, PHASE, seed=5)
    for n in (117, 3):
        assert torch.equal(again[n]["input"], items[n]["input"])


def test_parts_of_other_kinds_are_refused(source):
    photos_alone = {"data": {"kind": "photos", "source": str(source)}}
    with pytest.raises(TrainingError, match="data.mixed.parts.0.data"):
        training({"kind": "mixed", "parts": [photos_alone]})
    with pytest.raises(TrainingError, match="data.mixed.parts"):
        training({"kind": "mixed", "parts": []})


SHAKE = {"kind": "camera-shake", "extent": [2, 5]}
SOFT = {"kind": "defocus", "shapes": ["gaussian"], "radius": [1, 1.5], "beta": [1, 1]}


@pytest.mark.parametrize("steps", [[SHAKE], [SOFT], [SHAKE, SOFT], []])
def test_the_kernel_is_that_of_all_blurs(source, steps):
    """The photo blurred once by the kernel is the photo blurred by one step after the other."""
    recipe = parse_recipe(synthesis(*steps, transfer="linear"))
    data = SynthesizedPhotos(source, recipe, crop=16, margin=0, kernel_size=31)
    item = data[0]
    kernel = item["kernel"]
    assert kernel.shape == (1, 31, 31)
    torch.testing.assert_close(kernel.sum(), torch.tensor(1.0))
    # (Mirrored borders do not commute with blurs that are not symmetric: the middle alone.)
    wide = SynthesizedPhotos(source, recipe, crop=48, margin=0, kernel_size=31)[0]
    middle = (..., slice(16, 32), slice(16, 32))
    made = blur(wide["target"][None], wide["kernel"][None])[0]
    torch.testing.assert_close(made[middle], wide["input"][middle], atol=2e-5, rtol=0)


def test_a_kernel_that_does_not_fit_is_refused(source):
    recipe = parse_recipe(synthesis(SHAKE, SOFT, transfer="linear"))
    with pytest.raises(ValueError, match=r"9×9 cannot hold: set the size to 17"):
        SynthesizedPhotos(source, recipe, crop=16, margin=0, kernel_size=9)[0]


def test_without_blur_it_is_a_point():
    pipeline = Pipeline(parse_recipe(synthesis()))
    kernel = pipeline.kernel(pipeline.draw(torch.Generator()), 4)
    want = torch.zeros(1, 1, 4, 4)
    want[..., 2, 2] = 1
    torch.testing.assert_close(kernel, want)


class Told(Restorer):
    """Keeps the kernel that it is given."""

    def forward(self, image, *, kernel=None, history=None):
        self.told = kernel
        return Restoration(image)

    def explain(self):
        return "image = image"


def test_a_player_passes_the_kernel_on():
    model = Told()
    task = Supervised(model, [("l1", 1.0, L1())])
    batch = {"input": torch.rand(2, 3, 8, 8), "target": torch.rand(2, 3, 8, 8)}
    task(batch)
    assert model.told is None
    task(batch | {"kernel": (kernel := torch.rand(2, 1, 3, 3))})
    assert model.told is kernel


def test_deconv_small_trains_and_is_measured_with_kernels(source, tmp_path):
    from unfold.training import train

    data = {"kind": "synthesized", "source": str(source), "kernel_size": 15, "margin": 8,
            "recipe": synthesis(SHAKE, transfer="linear")}  # fmt: skip
    recipe = training(
        data,
        model={"kind": "deconv-small", "K": 2, "prior": {"kind": "resunet", "widths": [4]}},
        validation={"data": data, "count": 1, "crop": 32, "every": 1},
        samples={"every": 1, "count": 1},
    )
    assert train(recipe, tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 2
