"""The built-in metrics keep the kit's promises; and each check sees what breaks its promise."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from unfold.metrics import MAE, Metric
from unfold.registry import scan
from unfold.registry.catalog import Component
from unfold.registry.spec import spec_type
from unfold.testing import ConformanceError, checks

DATA = Path(os.environ.get("UNFOLD_DATA", "")) / "weights"
# What a metric needs: its name in torch.hub's cache, and where it may be found.
NEEDS = {
    "lpips": ("alexnet-owt-7be5be79.pth", DATA / "lpips" / "alexnet_features_torchvision.pth"),
    "niqe": ("niqe_pris_params.npz", DATA / "iqa" / "niqe_pris_params.npz"),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    home = tmp_path_factory.mktemp("torch")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name, file in NEEDS.values():
        if os.environ.get("UNFOLD_DATA") and file.is_file():
            (folder / name).symlink_to(file)
    return home


def gather():
    for component in scan().components:
        if (component.group, component.distribution) != ("metrics", "unfold-imaging"):
            continue
        name = component.name
        for check in checks("metrics", lambda n=name: spec_type("metrics", n)().build(), name=name):
            yield pytest.param(name, check, id=f"{name}-{check}")


@pytest.mark.parametrize(("name", "check"), list(gather()))
def test_conformance(name, check, cache, monkeypatch):
    if name in NEEDS and not (cache / "hub" / "checkpoints" / NEEDS[name][0]).exists():
        pytest.skip(f"{NEEDS[name][0]} is in the folder named by UNFOLD_DATA")
    monkeypatch.setenv("TORCH_HOME", str(cache))
    check()


class Good(Metric):
    """The mean absolute difference."""

    better = "lower"

    def measure(self, image, reference):
        return (image.double() - reference.double()).abs().mean((1, 2, 3))


def wrong(change):
    """Good, but ``change`` makes what it returns: of itself, image and reference."""
    return type("Wrong", (Good,), {"measure": change})


def value(image, reference):
    return Good().measure(image, reference)


def in_place(self, image, reference):
    return value(image.mul_(0.9), reference)


def remembers(self, image, reference):
    self.calls = getattr(self, "calls", 0) + 1
    return value(image, reference) * self.calls


class Trusting(Good):
    @torch.no_grad()
    def forward(self, image, reference=None):
        return torch.zeros(len(image), dtype=torch.float64)


class KeepsTheGraph(Good):
    def forward(self, image, reference=None):
        return self.measure(image, reference)


class Raises(Good):
    def forward(self, image, reference=None):
        if reference is None:
            raise TypeError("no reference")
        return super().forward(image, reference)


WRONG = [
    ("type", nn.Identity),
    ("type", type("Neither", (Good,), {"better": "larger"})),
    ("values", wrong(lambda self, x, y: value(x, y).float())),
    ("values", wrong(lambda self, x, y: value(x, y).mean())),
    ("values", wrong(lambda self, x, y: value(x, y).log() * torch.nan)),
    ("precision", wrong(lambda self, x, y: value(x, y) + (x.dtype == torch.float64))),
    ("batch-independence", wrong(lambda self, x, y: value(x, y) - value(x, y).mean())),
    ("no-mutation", wrong(in_place)),
    ("determinism", wrong(remembers)),
    ("direction", wrong(lambda self, x, y: -value(x, y))),
    ("direction", wrong(lambda self, x, y: value(x, y).clamp(max=0.05))),
    ("direction", type("Alone", (Good,), {"needs_reference": False,
                                          "measure": lambda s, x, y: -x.diff().abs().mean((1, 2, 3))
                                          .double()})),
    ("bad-input", Trusting),
    ("bad-input", Raises),
    ("no-graph", KeepsTheGraph),
]  # fmt: skip


def by_name(make, **options):
    return {str(check): check for check in checks("metrics", make, **options)}


@pytest.mark.parametrize(("name", "make"), WRONG)
def test_each_check_can_fail(name, make):
    with pytest.raises(ConformanceError, match=f"^{name}: "):
        by_name(make)[name]()


def test_the_spec_check_can_fail(monkeypatch):
    class Vague(Good):
        def __init__(self, *, rate: object = object()):
            super().__init__()

    entry = Component("metrics", "vague", "acme", "1", "acme:Vague")
    monkeypatch.setattr("unfold.registry.spec.find", lambda group, name: entry)
    monkeypatch.setattr("unfold.registry.spec.load", lambda found: Vague)
    with pytest.raises(ConformanceError, match="^spec: "):
        by_name(Vague, name="vague")["spec"]()


def test_every_check_has_a_wrong_metric_and_good_ones_pass():
    # (What differs on a GPU cannot be shown without one.)
    assert set(by_name(Good)) - {"gpu"} == {name for name, _ in WRONG}
    for make in (Good, MAE):
        for name, check in by_name(make).items():
            if name != "gpu":
                check()
