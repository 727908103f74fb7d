"""Every built-in runs through the very kit that plugin authors run."""

from functools import partial

import pytest
import torch
from systems import random_kernel

from unfold.core import Equal
from unfold.registry import scan
from unfold.registry.spec import spec_type
from unfold.terms import Convolution, FilterFlow, Gradient, MaskedConvolution, Retinex, SparseError
from unfold.testing import checks
from unfold.testing.options import unbounded

BUILT_IN = [c for c in scan().components if c.distribution == "unfold-imaging"]
CLAIMS = {
    "identity": ("nonexpansive", "bfloat16", "compile", "export"),
    "hyper-laplacian": ("compile", "export"),
    "l0": ("compile", "export"),
    "ridge": ("nonexpansive", "bfloat16", "compile", "export"),
    "simplex": ("nonexpansive", "compile", "export"),
    "box": ("nonexpansive", "bfloat16", "compile", "export"),
    "soft-threshold": ("nonexpansive", "bfloat16", "compile", "export"),
    "total-variation": ("nonexpansive",),
    "resunet": ("bfloat16", "export"),
    "ircnn": ("bfloat16", "export"),
    "denoiser": ("bfloat16", "export"),
}

# Few stages, and a small kernel: what the checks ask of a model does not depend on them. The kernel
# of a shake is estimated by one model in its place. Those of AS_REGISTERED see a model as it comes.
_POINT = {"kernel_estimator": {"kind": "point"}}
QUICK = {
    "deblur": {"K": 2, "kernel_estimator": {"kind": "blind", "size": 5}},
    "deconv-small": {"K": 2},
    "era-small": {"K": 2},
    "jude-classic": {"K": 2, **_POINT},
    "jude-small": _POINT,
    "plug-and-play": {"K": 2},
    "refocus": {"K": 2},
    "tv-deblur": {"K": 2},
}
# Photos in tiles are larger: smaller networks.
_NETWORK = {"kind": "resunet", "widths": [8, 16], "residual": True}
IN_TILES = {
    "deblur": {"K": 2, "prior": _NETWORK, "kernel_estimator": {"kind": "blind", "size": 5}},
    "deconv-small": {"K": 2, "prior": _NETWORK},
    "era-small": {"K": 1, "prior": _NETWORK},
    "jude-small": {"K": 1, "prior": _NETWORK, "light_prior": _NETWORK, **_POINT},
    "plug-and-play": {"K": 2, "prior": "total-variation"},
}
AS_REGISTERED = {"type", "spec", "explain"}
# A ramp, on which priors are told noise levels, shows no kernel: none is looked for.
ON_A_RAMP = {"jude-classic": _POINT, "jude-small": _POINT}


def state():
    size = (2, 3, 6, 7)
    made = {name: torch.randn(size, dtype=torch.float64) for name in "IXZPUE"}
    made["Q"] = torch.rand(2, 1, 6, 7, dtype=torch.float64)
    made["H"], made["K"] = random_kernel(2, 1), random_kernel(1, 2, (2, 4))
    made["T"] = torch.rand(2, 1, 6, 7, dtype=torch.float64)
    made["W"] = torch.rand(2, 2, 6, 7, dtype=torch.float64)
    made["G"] = torch.randn(2, 6, 6, 7, dtype=torch.float64)
    return made


TERMS = {
    "convolution": (lambda: Convolution("I", kernel="H", observed="X"), "IXH"),
    "filter-flow": (lambda: FilterFlow("I", kernels="K", maps="W", observed="X"), "IXKW"),
    "masked-convolution": (
        lambda: MaskedConvolution("I", kernel="H", mask="T", observed="X"),
        "IXHT",
    ),
    "gradient": (lambda: Gradient("I", gradient="G"), "IG"),
    "retinex": (lambda: Retinex("Z", reflectance="P", illumination="Q"), "ZPQ"),
    "sparse-error": (lambda: SparseError("U", error="E", observed="X"), "UEX"),
    "equal": (lambda: Equal("P", "Z"), "PZ"),
    "equal, broadcast": (lambda: Equal("Q", "Z"), "QZ"),
}


def gather():
    for name, (make, entries) in TERMS.items():
        for check in checks("terms", make, state=lambda e=entries: {n: state()[n] for n in e}):
            yield pytest.param(check, id=f"{name}-{check}")
    for component in BUILT_IN:
        group, name = component.group, component.name
        if group == "priors":
            make = lambda name=name: spec_type("priors", name)().build(3)  # noqa: E731
            for check in checks(group, make, claims=CLAIMS[name], name=name):
                yield pytest.param(check, id=f"{name}-{check}")
        elif group == "models" and name not in ("jude", "era", "trained", "declared"):
            # (The small ones stand for the large; trained and declared are what a file says.)
            yield from of_a_model(name)


def of_a_model(name):
    spec, quick = spec_type("models", name), QUICK.get(name, {})
    special = {title: {} for title in AS_REGISTERED}
    special |= {"tiles": IN_TILES.get(name, quick), "noise-levels": ON_A_RAMP.get(name, {})}
    for i, title in enumerate(map(str, checks("models", spec, name=name))):
        options = special.get(title, quick)
        check = checks("models", lambda options=options: spec(**options).build(), name=name)[i]
        yield pytest.param(check, id=f"{name}-{title}")


GATHERED = list(gather())


@pytest.mark.parametrize("check", GATHERED)
def test_conformance(check, monkeypatch):
    """Compiled are the graphs alone: torch's C++ for them takes most of a minute."""
    if str(check) == "compile":
        monkeypatch.setattr("unfold.priors.hyper_laplacian._NEWTON", 2)  # eight are all alike
        monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    check()


@pytest.mark.slow
@pytest.mark.parametrize("check", [p for p in GATHERED if str(p.values[0]) == "compile"])
def test_compiled_to_machine_code(check):
    check()


def test_no_built_in_is_left_out():
    assert {c.name for c in BUILT_IN if c.group == "terms"} <= set(TERMS)
    assert set(CLAIMS) == {c.name for c in BUILT_IN if c.group == "priors"}


LOADABLE = [c for c in scan().components if not c.obstacle and c.group != "engines"]


@pytest.mark.parametrize("component", LOADABLE, ids=lambda c: f"{c.group}-{c.qualified}")
def test_every_option_has_bounds(component):
    """Of every group, those without checks of their own and installed plugins included."""
    schema = spec_type(component.group, component.qualified).model_json_schema()
    assert list(unbounded(schema)) == []
