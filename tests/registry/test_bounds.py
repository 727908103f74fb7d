"""Options that are absurd or contradict each other are errors of validation, each with its path."""

import importlib.metadata
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from unfold.metrics import MetricError
from unfold.models import weights
from unfold.registry import ComponentError
from unfold.registry.spec import resolve

ABSURD = [
    ("models", {"kind": "jude", "K": 10**9}, ("K",)),
    ("models", {"kind": "plug-and-play", "K": 10**30}, ("K",)),
    ("models", {"kind": "tv-deblur", "strength": 1e300}, ("strength",)),
    ("models", {"kind": "zero-dce", "width": 10**30}, ("width",)),
    ("models", {"kind": "cascade", "models": ["identity"] * 1000}, ("models",)),
    ("estimators", {"kind": "kernel", "size": 10**9}, ("size",)),
    ("estimators", {"kind": "kernel", "widths": [16]}, ("widths",)),
    ("estimators", {"kind": "blind", "size": 30}, ("size",)),
    ("estimators", {"kind": "illumination", "widths": []}, ("widths",)),
    ("priors", {"kind": "ircnn", "width": 10**30}, ("width",)),
    ("priors", {"kind": "resunet", "widths": [8, 0]}, ("widths", 1)),
    ("priors", {"kind": "resunet", "widths": [2] * 500}, ("widths",)),
    ("priors", {"kind": "box", "low": 2, "high": 1}, ("low",)),
    ("priors", {"kind": "total-variation", "iterations": 10**9}, ("iterations",)),
    ("metrics", {"kind": "ssim", "size": 4}, ("size",)),
    ("degradations", {"kind": "camera-shake", "extent": [5, 4]}, ("extent",)),
    ("degradations", {"kind": "gaussian-noise", "sigma": [0, float("nan")]}, ("sigma", 1)),
    ("degradations", {"kind": "frame-average", "frames": [4, 8]}, ("frames",)),
    ("degradations", {"kind": "defocus", "radius": [0, 1e9]}, ("radius", 1)),
    ("losses", {"kind": "l1", "scale": 10**30}, ("scale",)),
]
OF_PLUGINS = [
    ("models", {"kind": "lednet", "range": [5, 4]}, ("range",)),
    ("models", {"kind": "lednet", "widths": [8, 0, 16, 16]}, ("widths", 1)),
    ("models", {"kind": "lednet", "widths": [8, 6, 16, 16]}, ("widths", 1)),
    ("models", {"kind": "devudp", "widths": [0, 16]}, ("widths", 0)),
    ("estimators", {"kind": "patch-discriminator", "widths": []}, ("widths",)),
    ("priors", {"kind": "deepinv-drunet", "width": 10**9}, ("width",)),
    ("priors", {"kind": "deepinv-wavelet", "wavelet": "bior1.3"}, ("wavelet",)),
    ("priors", {"kind": "deepinv-wavelet", "wavelet": "none such"}, ("wavelet",)),
]


@pytest.mark.parametrize(("group", "config", "path"), ABSURD + OF_PLUGINS, ids=str)
def test_what_nobody_means(group, config, path):

    with pytest.raises(ValidationError) as caught:
        resolve(group, config)
    assert [error["loc"] for error in caught.value.errors()] == [path]


def test_what_a_constructor_refuses_names_the_component():
    with pytest.raises(ComponentError, match="degradation 'zero-dce-darkening' cannot be built: "):
        resolve("degradations", "zero-dce-darkening").build()


def test_errors_of_another_kind_stay_what_they_are():
    spec = resolve("metrics", {"kind": "lpips", "weights": "/none/such/file"})
    with pytest.raises(MetricError, match="/none/such/file"):
        spec.build()


SHIPPED = sorted(Path(weights.__file__).parent.glob("shipped/*/model.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_models_stay_within(path):
    facts = json.loads(path.read_text())
    for name in facts["needs"]:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
    resolve("models", facts["model"])
