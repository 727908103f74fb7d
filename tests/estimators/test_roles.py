"""Parts by role: what each gives, and that a model takes any of its role and refuses others."""

import math
import sys

import pytest
import torch
from distributions import install

import unfold
from unfold import ComponentError
from unfold.core.operators import power_spectrum
from unfold.estimators import (
    BlindKernel,
    BrightestExposure,
    DilatedDenoiser,
    ExposureEstimator,
    HyperParameters,
    IlluminationEnhancer,
    KernelEstimator,
    LearnedConstants,
    NoiseEstimator,
    NoisePowers,
    PhotoNoise,
    PointKernel,
    PowerCurve,
    PredictedFromKernel,
    ReflectanceDenoiser,
)
from unfold.models.jude import JUDE
from unfold.models.parts import make_blur, make_part
from unfold.registry.spec import _spec_type, resolve
from unfold.terms import Convolution

INITIAL = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))


def state(noise=(0.01, 0.05), kernel=None):
    sigma = torch.tensor(noise).view(-1, 1, 1, 1)
    point = torch.zeros(len(sigma), 1, 5, 5)
    point[..., 2, 2] = 1
    return {"noise": sigma, "H": point if kernel is None else kernel}


def test_constants_are_those_for_a_little_noise_and_learn():
    part = LearnedConstants(INITIAL)
    found = part(state())
    assert found.shape == (1, 3, 4)
    torch.testing.assert_close(found[0], INITIAL[0] + INITIAL[1] * math.log(0.01))
    found.sum().backward()
    assert part.values.grad.all()


@pytest.mark.parametrize("learned", [True, False])
def test_powers_of_the_noise(learned):
    part = NoisePowers(INITIAL, learned=learned)
    found = part(state())
    assert found.shape == (2, 3, 4)
    for i, sigma in enumerate((0.01, 0.05)):
        torch.testing.assert_close(found[i], INITIAL[0] + INITIAL[1] * math.log(sigma))
    assert len([*part.parameters()]) == len(part.state_dict()) == int(learned)
    if learned:
        found.sum().backward()
        assert part.affine.grad.all()


def test_predicted_numbers_begin_as_powers_of_the_noise_and_come_to_know_the_kernel():
    part = PredictedFromKernel(INITIAL, width=4)
    torch.testing.assert_close(part(state()), NoisePowers(INITIAL)(state()))
    part(state()).sum().backward()
    assert part.head.weight.grad.any()
    torch.nn.init.normal_(part.head.weight)
    wide = state(kernel=torch.full((2, 1, 9, 9), 1 / 81))
    assert (part(wide) - part(state())).abs().max() > 1e-3
    # Zeros around a kernel are no blur; several kernels are known by their mean power.
    padded = torch.nn.functional.pad(state()["H"], (3, 3, 3, 3))
    torch.testing.assert_close(part(state(kernel=padded)), part(state()))
    assert part(state(kernel=torch.rand(2, 3, 5, 5))).shape == (2, 3, 4)
    assert power_spectrum(torch.ones(1, dtype=torch.complex64)).item() == 1


def test_a_kernel_as_large_as_the_grid_is_taken():
    part = PredictedFromKernel(INITIAL, width=4)
    assert part(state(kernel=torch.rand(2, 1, 81, 67))).isfinite().all()


def test_a_point_is_no_blur():
    part = make_part(KernelEstimator, "point", 3, 2)
    image = torch.rand(2, 3, 8, 9, dtype=torch.float64)
    kernel, logits = part(image)
    assert logits is None
    assert torch.equal(kernel, torch.ones(1, 1, 1, 1, dtype=torch.float64))
    assert torch.equal(part.measure(image, torch.full((1, 1, 1, 1), 0.01))["kernel"], kernel)
    assert part.kernel_size == 1


@pytest.mark.parametrize("level", [0.1, 0.2, 0.34])
def test_a_power_curve_brings_the_light_to_its_level(level):
    # (The geometric mean of what is drawn; a power moves it exactly.)
    light = level * (0.4 * torch.randn(2, 1, 40, 40)).exp().clamp(0.2, 2.5)
    enhanced, features = PowerCurve(brightness=0.35)(light)
    mean = enhanced.log().mean().exp().item()
    power = math.log(0.35) / light.log().mean().item()
    assert mean == pytest.approx(0.35 if power > 0.4 else light.log().mean().exp() ** 0.4, rel=0.02)
    assert features is None
    assert enhanced.min() > 0
    assert enhanced.max() <= 1


def test_a_power_curve_leaves_a_bright_photo_and_treats_parts_alike():
    part = PowerCurve(brightness=0.35)
    bright = 0.6 + 0.3 * torch.rand(1, 1, 20, 20)
    torch.testing.assert_close(part(bright)[0], bright)
    photo = 0.3 * torch.rand(1, 3, 20, 30)
    light = photo.amax(1, keepdim=True).clamp_min(0.01)
    whole = part(light, part.measure(photo))[0]
    tile = part(light[..., :10], part.measure(photo))[0]
    torch.testing.assert_close(tile, whole[..., :10])
    torch.testing.assert_close(whole, part(light)[0])


@pytest.mark.parametrize(
    ("white", "gain"), [(1.0, 1.0), (0.71, 1.0), (0.4, 0.95 / 0.4), (0.2, 4.75), (0.01, 12.0)]
)
def test_the_brightest_tell_the_exposure(white, gain):
    image = 0.3 * white * torch.rand(2, 3, 30, 30)
    image[..., 0, :] = white  # one pixel of thirty
    found, curve = BrightestExposure()(image)
    assert found.shape == curve.shape == (2, 1, 1, 1)
    torch.testing.assert_close(found, torch.full_like(found, gain))
    assert torch.equal(curve, torch.ones_like(curve))


@pytest.mark.parametrize("sigma", [0.003, 0.02, 0.1])
def test_noise_is_measured(sigma):
    ramp = torch.linspace(0.2, 0.8, 120).expand(2, 3, 100, 120)
    found = PhotoNoise()(ramp + sigma * torch.randn(ramp.shape))
    assert found.shape == (2, 1, 1, 1)
    torch.testing.assert_close(found, torch.full_like(found, sigma), rtol=0.05, atol=0)
    assert (PhotoNoise()(ramp) == 0.003).all()


ROLES = {
    KernelEstimator: ("noise", (1, 1)),
    IlluminationEnhancer: ("kernel", (3,)),
    ReflectanceDenoiser: ("illumination", (3,)),
    ExposureEstimator: ("power-curve", ()),
    NoiseEstimator: ("point", ()),
    HyperParameters: ("reflectance", (3,)),
}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.__name__)
def test_what_does_not_fit_is_told_what_would(role):
    name, inputs = ROLES[role]
    with pytest.raises(ComponentError) as caught:
        make_part(role, resolve("estimators", name), *inputs)
    message = str(caught.value)
    assert message.startswith(f"'{name}' cannot serve as {role.role}: ")
    assert message.endswith(
        f"is not an unfold.estimators.{role.__name__}, which offers {role.offers}"
    )
    assert "\n" not in message


@pytest.mark.parametrize(
    ("option", "wrong"),
    [("kernel_estimator", "noise"), ("enhancer", "point"), ("denoiser", "power-curve"),
     ("exposure", "noise"), ("noise", "exposure-brightest"), ("hyper_parameters", "noise")],
)  # fmt: skip
def test_a_model_refuses_a_part_of_another_role(option, wrong):
    with pytest.raises((ComponentError, TypeError), match="cannot serve as|positional") as caught:
        unfold.create_model("jude-small", **{option: wrong})
    assert isinstance(caught.value, ComponentError)


FORMS = {
    "name": lambda: "reflectance",
    "mapping": lambda: {"kind": "reflectance", "width": 8},
    "spec": lambda: resolve("estimators", {"kind": "reflectance", "width": 8}),
    "object": lambda: DilatedDenoiser(3, width=8),
    "class": lambda: DilatedDenoiser,
    "function": lambda: lambda channels: DilatedDenoiser(channels, width=8),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_part_is_given_in_many_forms(form):
    value = FORMS[form]()
    model = unfold.create_model("jude-small", K=1, denoiser=value, kernel_estimator=PointKernel())
    assert isinstance(model.denoiser, DilatedDenoiser)
    assert isinstance(model.estimator, PointKernel)
    if form == "object":
        assert model.denoiser is value
    with torch.no_grad():
        assert model(torch.rand(1, 3, 16, 16)).image.isfinite().all()


@pytest.mark.parametrize("off", [None, False])
def test_parts_are_left_out_by_none_and_as_toml_writes_it(off):
    model = unfold.create_model("jude-small", K=1, denoiser=off, enhancer=off, exposure=off)
    assert (model.denoiser, model.enhancer, model.exposure) == (None, None, None)
    parts = model(torch.rand(1, 3, 16, 16)).parts
    assert torch.equal(parts["denoised"], parts["R"])
    assert torch.equal(parts["enhanced"], parts["L"])


class Ours(KernelEstimator):
    """A stranger's: it has one kernel, and no maps."""

    kernel_size = 3

    def forward(self, image):
        return torch.full((len(image), 1, 3, 3), 1 / 9).to(image), None


def test_a_strangers_kernel_estimator_serves():
    model = unfold.create_model("jude-small", K=1, kernel_estimator=Ours, trust=True)
    restoration = model(torch.rand(2, 3, 16, 16))
    assert torch.equal(restoration.parts["kernel"], torch.full((2, 1, 3, 3), 1 / 9))
    assert torch.equal(restoration.parts["trust"], torch.ones(2, 1, 16, 16))
    assert isinstance(unfold.create_model("jude-small", K=1).estimator, BlindKernel)


BLUR = """
from unfold.terms import Convolution

class Acme(Convolution):
    def __init__(self, block, *, kernel: str, observed: str, gain: float = 1.0):
        super().__init__(block, kernel=kernel, observed=observed)
        self.gain = gain
"""


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """An installed distribution with a blur."""
    install(tmp_path, "acme-blur", "[unfold.terms]\nacme-blur = acme_blur:Acme\n", acme_blur=BLUR)
    monkeypatch.syspath_prepend(tmp_path)
    _spec_type.cache_clear()
    yield
    _spec_type.cache_clear()
    sys.modules.pop("acme_blur", None)


@pytest.mark.parametrize("name", ["jude-small", "deconv-small", "plug-and-play", "era"])
def test_a_plugins_blur_serves(acme, name):
    options = {"prior": "total-variation", "blur": {"kind": "acme-blur", "gain": 2.0}, "K": 2}
    options |= {"num_kernels": 1} if name == "era" else {}
    model = unfold.create_model(name, **options)
    (term,) = {m for m in model.modules() if type(m).__name__ == "Acme"}
    assert term.gain == 2.0
    image = model(torch.rand(1, 3, 16, 16), kernel=torch.full((1, 1, 3, 3), 1 / 9)).image
    assert image.isfinite().all()


def test_a_function_that_makes_a_blur_serves():
    made = make_blur(lambda block, kernel, observed: Convolution(block, kernel=kernel,
                     observed=observed), "JUDE", "I", "X", "HT")  # fmt: skip
    assert isinstance(made, Convolution)
    assert JUDE(K=1, blur=Convolution, trust=False, prior="identity").maps is False


@pytest.mark.parametrize(
    ("blur", "entries", "message"),
    [
        ("filter-flow", "H", r"'filter-flow' cannot serve as the blur of JUDE.*it reads W"),
        ("masked-convolution", "H", r"'masked-convolution' cannot serve.*it reads T"),
        (lambda block: torch.nn.Identity(), "H", r"'Identity' cannot serve as the blur of JUDE"),
    ],
)
def test_what_is_no_blur_of_the_model_is_refused(blur, entries, message):
    with pytest.raises(ComponentError, match=message):
        make_blur(blur, "JUDE", "I", "X", entries)
