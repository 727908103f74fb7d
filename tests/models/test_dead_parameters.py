"""Every parameter learns: the image depends on each of them.

A parameter that the image does not depend on is saved, loaded, averaged and counted for nothing. So
each model's parameters are moved a little (some begin at 0, where gradients vanish too), and each
must have a gradient of the image, or stand in `ALLOWED` with the reason.
"""

from fnmatch import fnmatch

import pytest
import torch

import unfold
from unfold.registry import scan
from unfold.registry.spec import spec_type

_PRIOR = {"kind": "resunet", "widths": (4, 4), "residual": True}
_KERNEL = {"kind": "kernel", "size": 5, "widths": (4, 4)}
_LIGHT = {"kind": "illumination", "widths": (8, 8)}
_JUDE = {"K": 2, "prior": _PRIOR, "kernel_estimator": _KERNEL, "enhancer": _LIGHT,
         "denoiser": {"kind": "reflectance", "width": 8}}  # fmt: skip
_SMALL = {"K": 2, "prior": _PRIOR, "kernel_estimator": _KERNEL}
# Model -> title -> options: small, but with everything that a model can have.
CASES = {
    "jude": {
        "jude": _JUDE,
        "jude-tied": {**_JUDE, "tied": True},
        "jude-gray": {**_JUDE, "illumination_channels": 1, "enhancer": {**_LIGHT, "pooled": True},
                      "exposure": "exposure-histogram", "denoiser": None},
        "jude-paper": {**_JUDE, "K": 3, "order": "paper"},
        "jude-untrusting": {**_JUDE, "trust": False},
        "jude-masked": {**_JUDE, "blur": "masked-convolution"},
        "jude-flow": {**_JUDE, "blur": "filter-flow", "num_kernels": 2, "trust": False},
        "jude-predicted": {**_JUDE, "hyper_parameters": "predicted-from-kernel"},
    },
    "jude-small": {"jude-small": _SMALL},
    "era": {
        "era": _SMALL,
        "era-tied": {**_SMALL, "tied": True},
        "era-one-kernel": {**_SMALL, "num_kernels": 1},
        "era-stationary": {**_SMALL, "num_kernels": 1, "blur": "convolution"},
        "era-paper": {**_SMALL, "K": 3, "order": "paper"},
        "era-without-error": {**_SMALL, "error": False},
        "era-without-error-prior": {**_SMALL, "error_prior": False},
    },
    "era-small": {"era-small": _SMALL},
    "deconv-small": {"deconv-small": {"K": 2, "prior": _PRIOR}},
    "deblur": {
        "deblur": {"K": 2, "prior": _PRIOR, "kernel_estimator": {"kind": "blind", "size": 7}},
    },
    "plug-and-play": {"plug-and-play": {"K": 2}},
    "fdn": {"fdn": {"stages": 2}},
}  # fmt: skip
# No model of their own: what they are made of is tested.
WRAPPERS = ("cascade", "declared", "trained")
_SIDE = {"side.*": "makes the part 'enhanced', which has a loss of its own in LEDNet's training"}
_GRAY = {"*.grey.*": "the denoiser's net for other numbers of channels than three"}
ALLOWED: dict[str, dict[str, str]] = {
    "lednet": _SIDE,
    "lednet-small": _SIDE,
    "plug-and-play": _GRAY,
}


def cases():
    for component in scan().components:
        if component.group == "models" and component.name not in WRAPPERS:
            for title, options in CASES.get(component.name, {component.name: {}}).items():
                yield pytest.param(component.name, options, id=title)


def dead(model, outputs):
    """The names of the parameters that no output depends on, and how many numbers they hold."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    # (Random coefficients: the sum of a softmax, say, has no gradient.)
    total = sum((x * torch.rand_like(x)).sum() for x in outputs if x.requires_grad)
    gradients = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return {
        name: named[name].numel()
        for name, gradient in zip(named, gradients, strict=True)
        if gradient is None or not gradient.any()
    }


@pytest.mark.parametrize(("name", "options"), list(cases()))
def test_no_parameter_is_dead(name, options):
    torch.manual_seed(0)
    model = unfold.create_model(name, **options).double().train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        pytest.skip("no parameters")
    with torch.no_grad():
        for parameter in parameters:
            parameter += 0.02 * torch.randn_like(parameter)
        if hasattr(model, "estimator") and hasattr(model.estimator, "to_kernels"):
            model.estimator.to_kernels.bias.zero_()  # kernels that blur: ErA sees an error then
    kernel = torch.rand(2, 1, 5, 5).double() if model.needs_kernel else None
    if kernel is not None:
        kernel /= kernel.sum((-2, -1), keepdim=True)
    for of in ("the image and the parts", "the image"):
        allowed = ALLOWED.get(name, {}) if of == "the image" or name == "plug-and-play" else {}
        found = {}
        # (Several photos: the slope of a PReLU, say, learns only from negative values.)
        for n in range(5):
            made = model(photo(), kernel=kernel)
            outputs = [made.image, *(made.parts.values() if of != "the image" else ())]
            now = dead(model, outputs)
            now = {k: v for k, v in now.items() if not any(fnmatch(k, a) for a in allowed)}
            found = {k: v for k, v in now.items() if k in found} if n else now
            if not found:
                break
        assert not found, f"{sum(found.values()):,} numbers without a gradient of {of}"


def photo():
    """Two dark photos of random contrast, with white spots (what ErA's E is for)."""
    dark = 0.1 + 0.3 * torch.rand(2, 3, 24, 32).double() ** (4 * torch.rand(2, 1, 1, 1).double())
    return torch.where(torch.rand(2, 1, 24, 32) < 0.02, 1.6, dark)


def test_a_dead_parameter_is_found():
    model = torch.nn.ModuleDict({"used": torch.nn.Linear(2, 3), "dead": torch.nn.Linear(2, 3)})
    image = model["used"](torch.rand(1, 2)) + 0 * model["dead"].bias
    assert dead(model, [image]) == {"dead.weight": 6, "dead.bias": 3}


def test_every_allowed_one_is_there():
    for name, allowed in ALLOWED.items():
        names = [n for n, _ in unfold.create_model(name).named_parameters()]
        for pattern in allowed:
            assert any(fnmatch(n, pattern) for n in names), pattern
    assert set(CASES) <= {c.name for c in scan().components if c.group == "models"}
    assert all(set(options) <= set(spec_type("models", name).model_fields)
               for name, several in CASES.items() for options in several.values())  # fmt: skip
