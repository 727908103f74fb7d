"""Models whose Lagrangian is a file: the same bits as the built-in ones, and every error told."""

import copy
import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from skimage.data import coffee

import unfold
from unfold.core import Prior
from unfold.degradation import motion_kernel
from unfold.models.declaration import Weight
from unfold.registry.config import read_config
from unfold.registry.spec import resolve
from unfold.testing import checks

EXAMPLES = Path(__file__).parents[2] / "examples"
JUDE, TV, ERA = (EXAMPLES / f"{name}.toml" for name in ("jude-classic", "tv-deconvolution", "era"))
TOTAL_VARIATION = {"kind": "total-variation", "iterations": 5}
SHARP = {"kernel_estimator": "point"}  # (blind estimation takes seconds)


@pytest.fixture(scope="module")
def photo():
    dark = 0.3 * torch.tensor(coffee()[100:190, 200:300]).permute(2, 0, 1)[None] / 255
    noise = torch.randn(dark.shape, generator=torch.Generator().manual_seed(0))
    return (dark + 0.01 * noise).clamp(0, 1)


def kernel(size):
    return motion_kernel(size, generator=torch.Generator().manual_seed(3))


def config(path=TV, **changes):
    return {**copy.deepcopy(read_config(path)), **changes}


def era(**changes):
    """ErA with total variation in the place of its networks."""
    declared = config(ERA, kernel_estimator={"kind": "kernel", "size": 9}, **changes)
    for term in declared["terms"]:
        if term.get("block") in ("Z", "P"):
            term["prior"] = TOTAL_VARIATION
    return declared


def restored(model, image, **options):
    with torch.no_grad():
        return model.eval()(image, **options)


@pytest.mark.parametrize("size", [None, 15])
def test_jude_classic_declared_is_the_built_in_bit_for_bit(photo, size):
    given = {} if size is None else {"kernel": kernel(size)}
    want = restored(unfold.create_model("jude-classic"), photo, **given)
    got = restored(unfold.create_model(str(JUDE)), photo, **given)
    assert torch.equal(got.image, want.image)
    assert (got.image - photo).abs().mean() > 0.1
    for name in want.parts.keys() - {"R"}:  # (there the R of JUDE is the quotient Z/L)
        assert torch.equal(got.parts[name], want.parts[name]), name
    assert got.parts.keys() - want.parts.keys() == {"P", "Q"}


def test_total_variation_declared_is_tv_deblur_bit_for_bit(photo):
    given = {"kernel": kernel(41)}  # (of small kernels tv-deblur's margin is wider)
    want = restored(unfold.create_model("tv-deblur", border="reflected"), photo, **given)
    assert torch.equal(restored(unfold.create_model(str(TV)), photo, **given).image, want.image)


def test_era_declared_is_era(photo):
    """Given a point as kernel (ErA begins at U = B Y, the declaration at U = Y) and a photo without
    outliers (which ErA's E begins at, and its prior keeps zeros)."""
    torch.manual_seed(0)
    options = {"kind": "kernel", "size": 9}
    own = unfold.create_model(
        "era", K=2, prior=TOTAL_VARIATION, tied=True, kernel_estimator=options
    )
    torch.manual_seed(0)
    declared = unfold.create_model(era(stages=2))
    for model in (own, declared):
        with torch.no_grad():
            model.estimator.to_logits.weight.mul_(100)  # maps that are not flat
    point = torch.ones(1, 1, 1, 1)
    want, got = (restored(model, photo, kernel=point) for model in (own, declared))
    assert got.parts["maps"].std() > 0.01
    for name in ("X", "Z", "U", "E", "P", "maps", "kernel"):
        torch.testing.assert_close(got.parts[name], want.parts[name], rtol=0, atol=2e-5)


class Recorder(Prior):
    """Keeps the steps that it is given."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def prox(self, v, step):
        self.steps.append(step)
        return v


@pytest.mark.parametrize(
    ("declared", "blocks"),
    [(config(TV), "Z"), (config(JUDE, **SHARP), "PQZRL"), (era(), "EZP"),
     (config(JUDE, **SHARP, noise=0.2), "PQZRL")],
)  # fmt: skip
def test_the_level_of_a_prior_is_between_the_noise_and_a_quarter(photo, declared, blocks):
    model = unfold.create_model(declared)
    lagrangian = model.stages.stages[0].lagrangian
    recorders = {block: Recorder() for block in blocks}
    lagrangian.priors.update(recorders)
    restoration = restored(model, photo)
    noise = restoration.parts["noise"].square().item()
    for block, recorder in recorders.items():
        # (Of a factor of a product the level varies; where noise is strong, from half of that.)
        least = min(noise, 0.25**2 / (2 if block in "PQ" else 1))
        assert len(recorder.steps) == len(model.stages.stages)
        for step in recorder.steps:
            assert step.min() >= least * (1 - 1e-5), block
            assert step.max() <= 0.25**2 * (1 + 1e-5), block
    if "Z" in blocks:
        told = [step.mean().item() for step in recorders["Z"].steps]
        assert all(late <= early * (1 + 1e-6) for early, late in itertools.pairwise(told))
        assert told[-1] == pytest.approx(min(noise, 0.25**2), rel=1e-4)


def test_the_level_counts_every_channel_that_a_light_is_shared_by(photo):
    """A light of one channel equals an image of three: its normal matrix has 3 w, not w."""
    declared = {
        "kind": "declared", "order": ["L"], "output": "L", "stages": 1, "noise": 0.02,
        "data": {"X": "photo"}, "start": {"L": "light"},
        "terms": [
            {"quadratic": {"kind": "equal", "left": "L", "right": "X"}, "weight": 2},
            {"prior": "total-variation", "block": "L", "level": 0.1},
        ],
    }  # fmt: skip
    model, recorder = unfold.create_model(declared), Recorder()
    model.stages.stages[0].lagrangian.priors["L"] = recorder
    assert restored(model, photo).image.shape == photo.shape
    assert recorder.steps[0].item() == pytest.approx(0.01)


@pytest.mark.parametrize("path", [TV, JUDE])
def test_conformance(path):
    declared = config(path, stages=2, **(SHARP if path == JUDE else {}))
    for check in checks("models", lambda: resolve("models", declared).build()):
        check()


def test_conformance_of_learned_priors():
    declared = era(stages=2, num_kernels=2)
    declared["terms"][5]["prior"] = {"kind": "resunet", "widths": [4], "residual": True}
    for check in checks("models", lambda: resolve("models", declared).build()):
        check()


def test_no_value_is_read_back_from_the_device():
    # (Blind estimation reads values.)
    for declared in (config(JUDE, stages=2, **SHARP), era(stages=2)):
        model = unfold.create_model(declared).eval().to("meta")
        image = torch.rand(2, 3, 37, 50, device="meta")
        with torch.inference_mode():
            assert model(image).image.shape == image.shape


@pytest.mark.parametrize("path", [TV, JUDE, ERA])
def test_a_declaration_survives_json(path, photo):
    spec = resolve("models", config(path, stages=1))
    again = resolve("models", json.loads(spec.model_dump_json()))
    assert again == spec
    assert resolve("models", json.loads(json.dumps(spec.model_dump(mode="json")))) == spec
    if path == JUDE:
        assert torch.equal(
            restored(spec.build(), photo, kernel=kernel(9)).image,
            restored(again.build(), photo, kernel=kernel(9)).image,
        )


def test_untied_stages_have_priors_of_their_own():
    network = {"kind": "resunet", "widths": [4], "residual": True}
    terms = [*config()["terms"][:2], {"prior": network, "block": "Z"}]
    sizes = [
        sum(p.numel() for p in unfold.create_model(config(terms=terms, **given)).parameters())
        for given in ({"tied": True}, {"tied": False, "stages": 3}, {"tied": False, "stages": 1})
    ]
    assert sizes[0] == sizes[2]
    assert sizes[1] == 3 * sizes[0]


def test_what_is_marked_learned_is_learned_and_nothing_else(photo):
    declared = config(stages=3, penalties={"w": {"balances": "Z", "learned": True}})
    fixed, model = unfold.create_model(config(stages=3)), unfold.create_model(declared)
    assert not list(fixed.parameters())
    assert torch.equal(restored(fixed, photo).image, restored(model, photo).image)
    assert [p.shape for p in model.parameters()] == [(2, 3, 1)]
    model(photo).image.square().sum().backward()
    assert all(p.grad.any() for p in model.parameters())
    declared["terms"][2]["level"] = {"first": 0.05, "learned": True}
    declared["hyper_parameters"] = "learned-constants"
    assert [p.shape for p in unfold.create_model(declared).parameters()] == [(3, 2)]


@pytest.mark.parametrize(
    ("weight", "sigma", "want"),
    [(0.5, 0.1, 0.5), ({"value": 2, "noise_power": 2}, 0.1, 0.02),
     ({"balances": "Z"}, 0.1, 0.23), ({"value": 3, "balances": "Z"}, 0.05, 0.69)],
)  # fmt: skip
def test_weights_are_what_they_say(photo, weight, sigma, want):
    """At the last stage the level of Z is that of the noise."""
    history = unfold.core.History()
    model = unfold.create_model(config(stages=2, noise=sigma, penalties={"w": weight}))
    restored(model, photo, history=history)
    assert float(history.penalties[-1]["w"]) == pytest.approx(want, rel=1e-5)


def changed(path=TV, change=lambda declared: None):
    declared = config(path)
    change(declared)
    return declared


def put(*path):
    """Set what a path leads to: ``put("terms", 0, "weight", 3)``."""
    *way, last, value = path

    def change(declared):
        for key in way:
            declared = declared.setdefault(key, {}) if isinstance(declared, dict) else declared[key]
        declared[last] = value

    return change


def append(*path):
    *way, value = path

    def change(declared):
        for key in way:
            declared = declared[key]
        declared.append(value)

    return change


def drop(*path):
    *way, last = path

    def change(declared):
        for key in way:
            declared = declared[key]
        del declared[last]

    return change


def bound_by_w1(declared):
    """A bound of P that is no penalty of a split of P."""
    put("penalties", "w1", {"bounds": "P"})(declared)
    put("penalties", "w3", 1)(declared)
    put("terms", 0, "weight", "w1")(declared)


EQUAL = {"kind": "equal", "left": "I", "right": "Z"}
CONVOLUTION = {"kind": "convolution", "block": "I", "kernel": "H", "observed": "X"}


def convolution(**changes):
    """The data term as a table, with other values."""
    kept = {key: value for key, value in (CONVOLUTION | changes).items() if value is not None}
    return put("terms", 0, "quadratic", kept)


FAULTS = [
    # One option by itself.
    (TV, drop("order"), "order", "required"),
    (TV, put("K", 3), "K", "there is no such option; options are terms"),
    (TV, convolution(kind="convolutoin"), "terms.0.quadratic", "convolution"),
    (TV, convolution(kind="os:system"), "terms.0.quadratic", "no term named"),
    (TV, put("terms", 0, "quadratic", 3), "terms.0.quadratic", "its kind and its blocks"),
    (TV, put("terms", 0, "quadratic", "conv(H, I"), "terms.0.quadratic", "not an expression"),
    (TV, put("terms", 0, "quadratic", "I * I - X"), "terms.0.quadratic", "uses 'I' twice"),
    (TV, put("terms", 0, "quadratic", "conv(H, I) - Y"), "terms.0", "'Y' has no value"),
    (TV, convolution(kernel=3), "terms.0.quadratic.kernel", "string"),
    (TV, convolution(block=None), "terms.0.quadratic.block", "required"),
    (TV, put("terms", 2, "prior", "unfold.priors:Box"), "terms.2.prior", "no prior named"),
    (TV, put("terms", 2, "prior", "totl-variation"), "terms.2.prior", "total-variation"),
    (TV, put("terms", 2, "prior", "iterations", "few"), "terms.2.prior.iterations", "integer"),
    (TV, put("terms", 2, "level", 0.3), "terms.2.level.first", "0.25"),
    (TV, put("terms", 2, "constraint", EQUAL), "terms.2", "exactly one of"),
    (TV, put("terms", 1, {"weight": 1}), "terms.1", "exactly one of"),
    (TV, put("terms", 1, "weight", -1), "terms.1.weight", "number >= 0"),
    (JUDE, put("terms", 2, "penalty", 0), "terms.2.penalty", "positive"),
    (JUDE, drop("terms", 2, "dual"), "terms.2.dual", "required"),
    (TV, put("start", "Z", "foto"), "start.Z.value", "'photo'"),
    (TV, put("data", "X", "foto"), "data.X", "'photo'"),
    (TV, put("output", 3), "output", "must be a block"),
    # Several together.
    (TV, put("terms", []), "terms", "at least one quadratic"),
    (TV, convolution(kernel="I"), "terms.0.quadratic", "cannot be built"),
    (TV, drop("start", "Z"), "terms.1", "'Z' has no value"),
    (TV, drop("data", "H"), "terms.0", "'H' has no value"),
    (TV, put("start", "Y", "photo"), "start.Y", "no term contains 'Y'"),
    (TV, put("data", "Y", "photo"), "data.Y", "no term contains 'Y'"),
    (TV, put("start", "noise", "photo"), "start.noise", "reserved"),
    (TV, put("start", "X", "photo"), "start.X", "also in [data]"),
    (TV, put("start", "H", "photo"), "start.H", "also in [data]"),
    (TV, put("start", "Z", {"value": "photo", "channels": 1}), "start.Z.channels", "3 channels"),
    (JUDE, put("terms", 2, "dual", "D"), "terms.4.dual", "dual of terms.2"),
    (JUDE, put("terms", 2, "dual", "I"), "terms.2.dual", "another entry has"),
    (TV, put("terms", 2, "block", "I"), "terms.2.block", "Fourier-diagonal"),
    (TV, put("terms", 2, "block", "Q"), "terms.2.block", "no block; blocks are I, Z"),
    (TV, append("terms", {"prior": "box", "block": "Z"}), "terms.3.block", "is also a prior"),
    (TV, put("terms", 2, "weight", 1), "terms.2", "either a level or") ,
    (JUDE, drop("penalties", "w3", "bounds"), "terms.5.block", "varies from pixel to pixel"),
    (TV, put("order", ["I"]), "order", "Z would never be updated"),
    (JUDE, drop("order", 8), "order", "D would never be updated"),
    (TV, append("order", "Y"), "order.2", "neither a block nor a dual; choose from I, Z"),
    (TV, append("order", "X"), "order.2", "fixed"),
    (TV, put("penalties", {}), "terms.1.weight", "has no 'w'"),
    (TV, put("penalties", "v", 1), "penalties.v", "no term uses the weight 'v'"),
    (TV, put("penalties", "w", {"value": 0, "balances": "Z"}), "penalties.w.value", "positive"),
    (TV, put("penalties", "w", {"balances": "I"}), "penalties.w.balances", "no prior on 'I'"),
    (TV, put("penalties", "w", {"bounds": "Z"}), "penalties.w.bounds", "not a factor"),
    (JUDE, put("penalties", "w3", "balances", "Z"), "penalties.w3", "either balances or"),
    (JUDE, put("penalties", "w3", 0), "terms.2.penalty", "positive"),
    (JUDE, put("penalties", "w5", {"bounds": "P"}), "penalties.w5.bounds", "w3"),
    (JUDE, put("penalties", "w2", {"bounds": "P"}), "penalties.w2.bounds", "'w3' also bounds 'P'"),
    (JUDE, bound_by_w1, "penalties.w1.bounds", "must be the penalty"),
    (TV, put("output", "X"), "output", "'X' is no block"),
    (JUDE, put("output", "reflectance", "Z/Y"), "output.reflectance", "'Y' is no block"),
    (TV, put("enhancer", "power-curve"), "enhancer", "single block"),
    (TV, put("num_kernels", 2), "num_kernels", "need maps"),
    (ERA, put("data", "T", "trust"), "data", "either maps or trust"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "change", "place", "told"), FAULTS)
def test_every_fault_is_told_with_its_path(path, change, place, told):
    with pytest.raises(ValidationError) as caught:
        resolve("models", changed(path, change))
    found = {".".join(map(str, e["loc"])): e["msg"] for e in caught.value.errors()}
    assert place in found, found
    assert told in found[place]


def test_all_faults_are_told_at_once():
    declared = changed(TV, put("penalties", "v", 1))
    append("order", "Y")(declared)
    put("output", "Q")(declared)
    with pytest.raises(ValidationError) as caught:
        resolve("models", declared)
    assert [e["loc"] for e in caught.value.errors()] == [
        ("order", 2),
        ("penalties", "v"),
        ("output",),
    ]


def test_a_component_is_named_so_that_it_can_be_written_down():
    declared = changed(TV, put("terms", 2, "prior", Recorder))
    with pytest.raises(ValidationError, match="must give its components by name"):
        resolve("models", declared)


def test_explain_says_what_the_lagrangian_leaves_open():
    text = unfold.create_model(str(JUDE)).explain()
    assert "w1" not in text
    assert "|F(H)|² + w5" in text
    assert "image = enhancer(L) ⊙ denoiser(Z/L)" in text
    assert "weight w2: 0.03·0.23 σ²/s², s the level of Z" in text
    assert "noise level of the prior on P, λ_P/d: 0.05 to that of the noise" in text


def test_a_weight_is_plain_or_not():
    assert Weight(value=3).plain
    assert not Weight(value=3, learned=True).plain
    assert str(Weight(value=3, noise_power=2, learned=True)) == "3·σ^2, learned"


def test_a_quotient_by_a_light_that_is_zero_is_finite(photo):
    declared = config(JUDE, stages=1, **SHARP)
    declared["terms"].pop()  # the bound on L
    declared["start"]["L"] = {"value": "zero", "channels": 1}
    image = restored(unfold.create_model(declared), torch.zeros_like(photo)).image
    assert image.isfinite().all()
    assert math.isclose(image.max().item(), 0, abs_tol=1e-3)
