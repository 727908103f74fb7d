"""Every built-in degradation runs through the kit that plugin authors run."""

import pytest
from safetensors.torch import save_file

from unfold.degradation.zero_dce import DarkeningCurve, ZeroDCEDarkening
from unfold.registry import scan
from unfold.registry.spec import spec_type
from unfold.testing import checks

NEEDS_WEIGHTS = "zero-dce-darkening"
NAMES = [
    c.name
    for c in scan().components
    if (c.group, c.distribution) == ("degradations", "unfold-imaging") and c.name != NEEDS_WEIGHTS
]


def gather():
    for name in NAMES:
        made = lambda name=name: spec_type("degradations", name)().build()  # noqa: E731
        for check in checks("degradations", made, name=name):
            yield pytest.param(check, id=f"{name}-{check}")


@pytest.mark.parametrize("check", list(gather()))
def test_conformance(check):
    check()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "curve.safetensors"
    save_file(DarkeningCurve().state_dict(), path)
    return path


@pytest.mark.parametrize("title", [str(c) for c in checks("degradations", ZeroDCEDarkening)])
def test_conformance_of_the_one_that_needs_weights(title, weights):
    found = checks("degradations", lambda: ZeroDCEDarkening(weights=weights))
    next(check for check in found if str(check) == title)()


def test_none_is_left_out():
    assert len(NAMES) >= 10
