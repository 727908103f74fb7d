"""Options that are absurd or contradict each other are errors of validation, each with its path."""

import importlib.metadata
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated

import pytest
import torch
from pydantic import Field, ValidationError
from torch.nn.modules.module import register_module_parameter_registration_hook

from unfold.metrics import MetricError
from unfold.models import weights
from unfold.registry import Component, ComponentError
from unfold.registry.limit import limited
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


@pytest.mark.parametrize("path", ["/none/such/file", "x" * 300])
def test_errors_of_another_kind_stay_what_they_are(path):
    spec = resolve("metrics", {"kind": "lpips", "weights": path})
    with pytest.raises(MetricError, match=path):
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


@pytest.mark.parametrize(
    ("group", "config", "inputs"),
    [
        ("models", {"kind": "jude", "K": 1000}, ()),
        ("models", {"kind": "era", "K": 1000}, ()),
        ("models", {"kind": "deconv-small", "K": 1000}, ()),  # small networks, but many
        ("models", {"kind": "deconv-small", "prior": {"kind": "resunet", "blocks": 64,
                                                      "widths": [1024] * 6}}, ()),
        ("priors", {"kind": "resunet", "widths": [1024] * 8, "blocks": 64}, (3,)),
    ],
    ids=str,
)  # fmt: skip
def test_what_would_take_long_or_fill_the_memory_is_refused_before_it_is_built(
    group, config, inputs
):
    """Each option is within its bound, their product is not."""
    made = []
    hook = register_module_parameter_registration_hook(lambda *given: made.append(given[2].numel()))
    try:
        with pytest.raises(
            ComponentError, match=r"million parameters .*or more; .* make it smaller"
        ):
            resolve(group, config).build(*inputs)
    finally:
        hook.remove()
    assert sum(made) < 8e6  # the first of the stages


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "jude", "K": 10},
        {"kind": "tv-deblur", "K": 1000},
        {"kind": "deconv-small", "K": 50},
        {"kind": "deconv-small", "K": 2, "prior": {"kind": "resunet", "blocks": 4,
                                                  "widths": [64, 128, 256, 512]}},  # as DRUNet
    ],
    ids=str,
)  # fmt: skip
def test_what_one_may_want_is_built(config):
    with torch.device("meta"):
        resolve("models", config).build()


class Table(torch.nn.Module):
    """A stranger's: its arithmetic allocates, not its parameters."""

    def __init__(self, *, size: Annotated[int, Field(ge=1, le=10**9)] = 8):
        super().__init__()
        x = torch.arange(size)
        self.register_buffer("table", x[:, None] * x)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: torch.nn.Linear(10**6, 10**6), "1,000,000 million parameters or more"),
        (lambda: torch.zeros(10**12), "1,000,000 million"),
        (lambda: torch.ones(3).expand(10**9, 3).clone(), "3,000 million"),
        (lambda: torch.linspace(0, 1, 10**11), "100,000 million"),
        (lambda: torch.randn(10**11, generator=torch.Generator()), "100,000 million"),
        (lambda: Table(size=10**6), "1,000,001 million"),
        (
            lambda: torch.nn.Sequential(*map(torch.nn.ReLU, [False] * 2 * 10**4)),
            "in 9,167 modules",
        ),
    ],
)
def test_of_a_stranger_no_more_is_allocated_than_the_bound(make, error):
    """Tensors that no memory holds: they are refused, not tried."""
    with pytest.raises(ValueError, match=f"it would have .*{error}"), limited():
        make()


def test_what_is_built_within_another_counts_as_part_of_it():
    def build():
        with limited():
            torch.nn.Linear(10_000, 10_000, bias=False, device="meta")

    build()
    build()
    with pytest.raises(ValueError, match="it would have 200 million"), limited():
        torch.nn.ModuleList([build(), build()])
    torch.nn.Linear(20_000, 20_000, device="meta")  # and outside nothing is counted


def test_another_thread_is_not_counted():
    done = []

    def work():
        torch.nn.Sequential(*map(torch.nn.ReLU, [False] * 10**4))
        done.append(torch.empty(2 * 10**8, device="meta"))

    with limited():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert done


def test_what_has_no_options_is_as_large_as_its_author_made_it(monkeypatch):
    class Large(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(20_000, 20_000, device="meta")

    entry = Component("estimators", "large", "acme", "1", "acme:Large")
    monkeypatch.setattr("unfold.registry.spec.find", lambda group, name: entry)
    monkeypatch.setattr("unfold.registry.spec.load", lambda found: Large)
    assert resolve("estimators", "large").build().net.weight.numel() == 4 * 10**8


def test_building_a_component_does_not_import_torchs_compiler():
    """It takes seconds, and every command would wait for it."""
    code = (
        "import sys, unfold; unfold.create('priors', 'resunet'); "
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
