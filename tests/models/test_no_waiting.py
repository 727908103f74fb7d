"""No forward waits for the device: each one runs on tensors that have shapes and no values.

(On torch's meta device whatever would make a GPU's user wait, `item`, `bool`, `nonzero`, `cpu`,
raises. As on a GPU, the values of the input are not looked at.)
"""

import pytest
import torch

import unfold
from unfold.core import CG, Constraint, Equal, Lagrangian, Quadratic, lower
from unfold.registry import scan
from unfold.registry.spec import spec_type
from unfold.terms import FilterFlow

MODELS = [
    c.name
    for c in scan().components
    if c.group == "models" and c.name not in ("trained", "declared")
]


@pytest.mark.parametrize("name", MODELS)
def test_no_model_reads_a_value_back(name):
    few = {"K": 2} if "K" in spec_type("models", name).model_fields else {}
    if name in (
        "deblur",
        "jude-small",
        "jude-classic",
    ):  # blind estimation selects edges by their values
        few["kernel_estimator"] = "point"
    model = unfold.create_model(name, **few).eval().to("meta")
    image = torch.rand(2, 3, 37, 50, device="meta")
    kernel = torch.rand(1, 1, 5, 5, device="meta")
    with torch.inference_mode():
        assert model(image, kernel=kernel).image.shape == image.shape
        if not model.needs_kernel:
            assert model(image).image.shape == image.shape


@pytest.mark.parametrize(("cg", "waits"), [(CG(3, tolerance=None), False), (CG(3, 1e-3), True)])
def test_a_solve_to_a_tolerance_waits_and_one_of_fixed_length_does_not(cg, waits):
    lagrangian = Lagrangian(
        Quadratic(FilterFlow("I", kernels="K", maps="W", observed="X"), 1.0),
        Constraint(Equal("I", "Z"), penalty=0.1, dual="D"),
    )
    (step,) = lower(lagrangian, ("I",), cg)
    state = {name: torch.rand(1, 3, 8, 9, device="meta") for name in "IXZD"}
    state["K"] = torch.rand(1, 2, 3, 3, device="meta")
    state["W"] = torch.rand(1, 2, 8, 9, device="meta")
    if waits:
        with pytest.raises(RuntimeError, match="meta"):
            step(state, {})
    else:
        assert step(state, {})["I"].shape == (1, 3, 8, 9)
