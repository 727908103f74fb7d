"""For each check a component that is wrong in that way only: the check must see it."""

import contextlib
import math
import os
import threading
from typing import Annotated, Literal
from unittest import SkipTest

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn

from unfold.core import MatrixFree, PixelDiagonal, Prior, Residual, Structure
from unfold.models.checks import check_image
from unfold.priors import Box, SoftThreshold
from unfold.registry.catalog import GROUPS, Component
from unfold.restorer import Restoration, Restorer
from unfold.testing import ConformanceError, check_prior, checks


class Good(Prior):
    """Shrinks: the prox of ‖x‖²/2, with one parameter that scales it."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def prox(self, v, step):
        return v / (1 + self.scale.to(v.dtype) * step)


class Crops(Good):
    def prox(self, v, step):
        return super().prox(v, step)[..., :-1]


class Single(Good):
    def prox(self, v, step):
        return super().prox(v, step).float()


class MixesImages(Good):
    def prox(self, v, step):
        return super().prox(v, step) + 0.1 * v.mean(0, keepdim=True)


class InPlace(Good):
    def prox(self, v, step):
        v *= 0.5
        return super().prox(v, step)


class Remembers(Good):
    calls = 0

    def prox(self, v, step):
        self.calls += 1
        return super().prox(v, step) * self.calls


class OneStep(Good):
    def prox(self, v, step):
        return super().prox(v, torch.as_tensor(step.mean().item()).to(v))


class RefusesNothing(Good):
    accepts_map = False


class Cuts(Good):
    def prox(self, v, step):
        return super().prox(v.detach(), step)


class Idle(Good):
    def __init__(self):
        super().__init__()
        self.idle = nn.Parameter(torch.tensor(1.0))


class CutsSilently(Good):
    differentiable = False


class _Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sin()

    @staticmethod
    def backward(ctx, grad):
        return grad


class WrongGradient(Good):
    def prox(self, v, step):
        return _Wrong.apply(super().prox(v, step))


class LosesState(Good):
    def __init__(self):
        super().__init__()
        self.hidden = torch.rand(())

    def prox(self, v, step):
        return super().prox(v, step) + self.hidden.to(v)


class WrongThreshold(SoftThreshold):
    """Seen in the wild: a prox that forgets a factor because no oracle tested it."""

    def prox(self, v, step):
        return super().prox(v, 2 * step)


class Flips(Box):
    def prox(self, v, step):
        return 1 - super().prox(v, step)


class Amplifies(Good):
    def prox(self, v, step):
        return 1.5 * v


class Branches(Good):
    """Looks at values, which neither a compiled nor an exported graph can."""

    def prox(self, v, step):
        return super().prox(v, step) if v.mean().item() > 0 else v


class ChecksNothing(Good):
    def forward(self, v, step=None):
        return self.prox(v, step)


class HidesNaN(Good):
    def prox(self, v, step):
        return super().prox(v, step).nan_to_num()


class ReadsMemory(Good):
    def prox(self, v, step):
        return super().prox(in_memory(v), step)


class KnowsItself(Good):
    """Another result from a copy."""

    def __init__(self):
        super().__init__()
        self.key = id(self)

    def prox(self, v, step):
        return super().prox(v, step) / (1 + (self.key != id(self)))


class KnowsItsThread(Good):
    def prox(self, v, step):
        return super().prox(v, step) / (1 + in_another_thread())


class KnowsItsProcess(Good):
    def prox(self, v, step):
        return super().prox(v, step) / (1 + in_another_process())


def in_memory(x):
    """The numbers in the order in which they lie in memory, as C code without care reads them."""
    return x.as_strided(x.shape, torch.empty(x.shape).stride())


def in_another_thread():
    return threading.current_thread() is not threading.main_thread()


def in_another_process(here=os.getpid()):  # noqa: B008
    return os.getpid() != here


PRIORS = [
    ("type", nn.Identity, {}),
    ("shape-dtype-device", Crops, {}),
    ("shape-dtype-device", Single, {}),
    ("batch-independence", MixesImages, {}),
    ("no-mutation", InPlace, {}),
    ("determinism", Remembers, {}),
    ("steps", RefusesNothing, {}),
    ("batch-independence", OneStep, {}),
    ("bad-input", ChecksNothing, {}),
    ("odd-input", HidesNaN, {}),
    ("layout", ReadsMemory, {}),
    ("copies", KnowsItself, {}),
    ("threads", KnowsItsThread, {}),
    ("fork", KnowsItsProcess, {}),
    ("gradients-flow", Cuts, {}),
    ("gradients-flow", Idle, {}),
    ("gradients-flow", CutsSilently, {}),
    ("gradcheck", WrongGradient, {}),
    ("state-dict", LosesState, {}),
    ("prox-optimality", WrongThreshold, {}),
    ("lagrangian", Flips, {}),
    ("nonexpansive", Amplifies, {"claims": ("nonexpansive",)}),
    ("bfloat16", type("Floats", (Good,), {"prox": lambda self, v, s: v.float()}),
     {"claims": ("bfloat16",)}),
    ("compile", Branches, {"claims": ("compile",)}),
    ("export", Branches, {"claims": ("export",)}),
]  # fmt: skip


class GoodTerm(Residual):
    """``r = m ⊙ x − y``."""

    def __init__(self, structure=Structure.PIXEL):
        super().__init__({"x": structure}, ["m", "y"])

    def forward(self, state):
        return state["m"] * state["x"] - state["y"]

    def operator(self, block, state):
        return PixelDiagonal(state["m"], state["x"].shape)

    def offset(self, block, state):
        return -state["y"]


def term(**methods):
    return type("Wrong", (GoodTerm,), methods)


def matrix_free(adjoint=lambda m, y: m * y, gram=None):
    def operator(self, block, state):
        m = state["m"]
        made = MatrixFree(lambda x: m * x, lambda y: adjoint(m, y), state["x"].shape)
        if gram:
            made.gram = lambda x: gram(m, x)
        return made

    return type("Wrong", (GoodTerm,), {"operator": operator})


def declares_no_mask(self):
    Residual.__init__(self, {"x": Structure.PIXEL}, ["y"])


def masks_if_it_can(self, state):
    """Reads what it can do without: no entry is missed, the residual is another."""
    return state.get("m", 1) * state["x"] - state["y"]


def mutates(self, state):
    state["y"] *= 1.5
    return state["m"] * state["x"] - state["y"]


TERMS = [
    ("type", type("Empty", (GoodTerm,), {"__init__": lambda self: Residual.__init__(self, {})})),
    ("reads", term(__init__=declares_no_mask)),
    ("reads", term(__init__=declares_no_mask, forward=masks_if_it_can)),
    ("affine", term(forward=lambda self, s: s["m"] * s["x"] ** 2 - s["y"])),
    ("structure", lambda: GoodTerm(Structure.FOURIER)),
    ("structure", lambda: GoodTerm(Structure.SCALAR)),
    ("derivative", term(operator=lambda self, b, s: PixelDiagonal(-s["m"], s["x"].shape))),
    ("offset", term(offset=lambda self, b, s: s["y"])),
    ("adjoint", matrix_free(adjoint=lambda m, y: 2 * m * y)),
    ("gram", matrix_free(gram=lambda m, x: m * x)),
    ("data", term(rhs_quadratic=lambda self, b, s, o: o.adjoint(2 * s["y"]))),
    ("lagrangian", term(rhs_quadratic=lambda self, b, s, o: o.adjoint(2 * s["y"]))),
    ("no-mutation", term(forward=mutates)),
    ("batch-independence", term(forward=lambda self, s: s["m"] * s["x"] - s["y"].mean(0, True))),
    ("float32", term(forward=lambda self, s: (s["m"] * s["x"] - s["y"]).double())),
    ("gradients", term(forward=lambda self, s: s["m"].detach() * s["x"] - s["y"])),
    ("explain", term(formula=lambda self: "")),
]


def term_state():
    return {name: torch.rand(2, 3, 5, 6, dtype=torch.float64) + 0.5 for name in "mxy"}


class GoodModel(Restorer):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.9))

    def forward(self, image, *, kernel=None, history=None):
        check_image(image)
        image = (self.scale * image).clamp(0, 1)
        return Restoration(image, {"scaled": image})

    def explain(self):
        return "image = scale · input"


def model(change):
    def forward(self, image, *, kernel=None, history=None):
        check_image(image)
        return change(self, image)

    return type("Wrong", (GoodModel,), {"forward": forward})


def no_kernel(self, image):
    return Restoration((self.scale * image).clamp(0, 1))


def counting(self, image):
    self.calls = getattr(self, "calls", 0) + 1
    return Restoration((self.scale * image / self.calls).clamp(0, 1))


def in_place(self, image):
    image *= 0.5
    return Restoration(image)


class ModelThatLosesState(GoodModel):
    def __init__(self):
        super().__init__()
        self.hidden = torch.rand(())

    def forward(self, image, **options):
        check_image(image)
        return Restoration((self.hidden * self.scale * image).clamp(0, 1))


class ModelThatKnowsItself(GoodModel):
    def __init__(self):
        super().__init__()
        self.key = id(self)

    def forward(self, image, **options):
        return Restoration(super().forward(image).image / (1 + (self.key != id(self))))


class BlursByAnything(GoodModel):
    def forward(self, image, *, kernel=None, history=None):
        gain = 1 if kernel is None else torch.as_tensor(kernel).flatten()[0].abs()
        return Restoration((super().forward(image).image * gain).nan_to_num().clamp(0, 1))


class ModelThatTells(GoodModel):
    """Its prior is given a step, whatever the noise is."""

    def __init__(self, step):
        super().__init__()
        self.prior, self.step = SoftThreshold(), step

    def forward(self, image, *, kernel=None, history=None):
        check_image(image)
        image = self.prior(self.scale * image, image.new_full((1, 1, 1, 1), self.step))
        noise = image.new_full((len(image), 1, 1, 1), 0.01)
        return Restoration(image.clamp(0, 1), {"noise": noise})


MODELS = [
    ("type", nn.Identity, {}),
    ("any-size", model(lambda self, x: Restoration(x[..., ::2])), {}),
    ("any-size", model(lambda self, x: Restoration(2 * x)), {}),
    ("parts", model(lambda self, x: Restoration(x, {"log": (0 * x).log() * 0})), {}),
    ("batch-independence", model(lambda self, x: Restoration((x + x.flip(0)) / 2)), {}),
    ("no-mutation", model(in_place), {}),
    ("determinism", model(counting), {}),
    ("bad-input", type("Takes", (GoodModel,), {"forward": lambda s, x, **k: Restoration(x)}), {}),
    ("odd-images", model(lambda self, x: Restoration(x)), {}),
    ("precision", model(lambda self, x: Restoration(x.float().clamp(0, 1))), {}),
    ("layout", model(lambda self, x: Restoration(in_memory(x))), {}),
    ("copies", ModelThatKnowsItself, {}),
    ("threads", model(lambda self, x: Restoration(x / (1 + in_another_thread()))), {}),
    ("fork", model(lambda self, x: Restoration(x / (1 + in_another_process()))), {}),
    ("odd-kernels", BlursByAnything, {}),
    ("kernel", type("None", (GoodModel,), {"forward": no_kernel}), {}),
    ("gradients-flow", model(lambda self, x: Restoration(x.detach().clamp(0, 1))), {}),
    ("channels", type("Any", (GoodModel,), {"channels": None}), {}),
    ("tiles", model(lambda self, x: Restoration((x - x.mean() + 0.5).clamp(0, 1))), {}),
    ("noise-levels", lambda: ModelThatTells(0.26**2), {}),
    ("noise-levels", lambda: ModelThatTells(0.009**2), {}),
    ("noise-levels", lambda: ModelThatTells(-1e-4), {}),
    ("state-dict", ModelThatLosesState, {}),
    ("explain", type("Mute", (GoodModel,), {"explain": lambda self: " "}), {}),
    ("compile", model(lambda self, x: Restoration(torch.rand_like(x))), {"claims": ("compile",)}),
    ("export", model(lambda s, x: Restoration(x if x.mean().item() > 0 else -x)),
     {"claims": ("export",)}),
]  # fmt: skip


def of_channels(number, shown=None):
    """A model of photos with so many channels, which returns so many."""

    def forward(self, image, *, kernel=None, history=None):
        check_image(image, self)
        return Restoration((self.scale * image).clamp(0, 1)[:, :shown])

    return type("Channels", (GoodModel,), {"channels": number, "forward": forward})


@pytest.mark.parametrize("number", [1, 4, 16])
def test_photos_have_the_channels_that_a_model_declares(number):
    every = by_name("models", of_channels(number))
    for name in set(every) - {
        "tiles",
        "fork",
        "threads",
        "gpu",
        "copies",
    }:  # (slow, or need a class of the module)
        with contextlib.suppress(SkipTest):
            every[name]()
    with pytest.raises(ConformanceError, match="^any-size: "):
        by_name("models", of_channels(number + 1, number))["any-size"]()


def by_name(group, make, **options):
    return {str(check): check for check in checks(group, make, **options)}


@pytest.mark.parametrize(("name", "make", "options"), PRIORS)
def test_of_a_prior(name, make, options):
    with pytest.raises(ConformanceError, match=f"^{name}: "):
        by_name("priors", make, **options)[name]()


@pytest.mark.parametrize(("name", "make"), TERMS)
def test_of_a_term(name, make):
    with pytest.raises(ConformanceError, match=f"^{name}: "):
        by_name("terms", make, state=term_state)[name]()


@pytest.mark.parametrize(("name", "make", "options"), MODELS)
def test_of_a_model(name, make, options):
    with pytest.raises(ConformanceError, match=f"^{name}: "):
        by_name("models", make, **options)[name]()


class Unborn(Good):
    """At its start a layer of zeros lets no gradient through to the one before it."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))

    def prox(self, v, step):
        return super().prox(v, step) + self.last * self.first * v


def test_gradients_are_looked_at_beside_the_start():
    by_name("priors", Unborn)["gradients-flow"]()


def test_the_good_ones_pass_everything():
    every = ("nonexpansive", "bfloat16", "compile", "export")
    for check in (
        *checks("priors", Good, claims=every),
        *checks("terms", GoodTerm, state=term_state),
        *checks("models", GoodModel, claims=("compile", "export")),
        *checks("models", lambda: ModelThatTells(0.02**2)),
    ):
        if str(check) != "gpu":
            check()


@pytest.mark.parametrize("default", [object(), (1, 2)], ids=["no JSON", "a list in JSON"])
def test_of_a_spec(monkeypatch, default):
    class Vague(Good):
        def __init__(self, channels=3, *, rate: object = default):
            super().__init__()

    entry = Component("priors", "vague", "acme", "1", f"acme:Vague{default}")
    monkeypatch.setattr("unfold.registry.spec.find", lambda group, name: entry)
    monkeypatch.setattr("unfold.registry.spec.load", lambda found: Vague)
    with pytest.raises(ConformanceError, match="^spec: "):
        by_name("priors", Vague, name="vague")["spec"]()


Rate = Annotated[float, Field(ge=0, le=1)]
ANNOTATIONS = [
    (int, 1, "no bounds on rate"),
    (Annotated[int, Field(ge=1)], 1, "no bounds on rate"),
    (Annotated[float, Field(le=1)], 1, "no bounds on rate"),
    (Annotated[float, Field(ge=0, le=math.inf)], 1, "no bounds on rate"),
    (Annotated[int, Field(ge=1)] | None, None, "no bounds on rate"),
    (tuple[Rate, float], (0, 1), "no bounds on rate"),
    (tuple[Rate, ...], (0, 1), "no bounds on rate"),
    (dict[str, float], {}, "no bounds on rate"),
    (Rate | None, None, ""),
    (Annotated[float, Field(gt=0, lt=1)], 0.5, ""),
    (tuple[Rate, Rate], (0, 1), ""),
    (Annotated[tuple[Rate, ...], Field(max_length=8)], (0, 1), ""),
    (Literal[1, 3], 1, ""),
    (bool, False, ""),
    (str, "", ""),
]


@pytest.mark.parametrize("group", ["priors", "terms", "models"])
@pytest.mark.parametrize(("annotation", "default", "error"), ANNOTATIONS, ids=str)
def test_of_the_bounds_of_options(monkeypatch, group, annotation, default, error):
    base = {"priors": Good, "terms": GoodTerm, "models": GoodModel}[group]

    class Made(base):
        def __init__(self, *, rate=default):
            super().__init__()

    Made.__init__.__annotations__["rate"] = annotation
    entry = Component(group, "vague", "acme", "1", f"acme:{error}{annotation}")
    monkeypatch.setattr("unfold.registry.spec.find", lambda group, name: entry)
    monkeypatch.setattr("unfold.registry.spec.load", lambda found: Made)
    check = by_name(group, Made, name="vague", state=term_state)["bounds"]
    if not error:
        check()
        return
    with pytest.raises(ConformanceError, match=f"^bounds: {error}"):
        check()


class Loops(Good):
    def __init__(self, *, rounds: Annotated[int, Field(ge=1, le=10**7)] = 1):
        super().__init__()
        self.sum = sum(range(rounds))


class LoopsWhereBoth(Good):
    """Each number alone does little."""

    def __init__(
        self,
        *,
        rows: Annotated[int, Field(ge=1, le=3000)] = 1,
        span: tuple[Rate, Rate] = (0, 1),
        columns: Annotated[int, Field(ge=1, le=3000)] = 1,
        doubled: bool = True,
    ):
        super().__init__()
        self.sum = sum(i * j for i in range(rows) for j in range(columns * (not doubled)))

    @staticmethod
    def option_errors(spec):
        low, high = spec.span
        return [(("rows",), "must be odd")] * (spec.rows % 2 == 0) + [(("span",), "must rise")] * (
            low >= high
        )


class FillsTheMemory(Good):
    def __init__(self, *, size: Annotated[int, Field(ge=1, le=20_000)] = 1):
        super().__init__()
        self.table = np.zeros((size, size, size))


class RefusesALot(Good):
    def __init__(self, *, size: Annotated[int, Field(ge=1, le=10**8)] = 1):
        super().__init__()
        if size > 1000:
            raise ValueError(f"size={size}: 1000 is the most")


class LargeButCounted(Good):
    def __init__(self, *, size: Annotated[int, Field(ge=1, le=10**8)] = 1):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(size, size))


@pytest.mark.parametrize(
    ("prior", "error"),
    [
        (Loops, "rounds=10000000: it takes"),
        (LoopsWhereBoth, "its numbers at their largest, its switches turned: it takes"),
        (FillsTheMemory, "size=20000: .*MemoryError, no UnfoldError"),
        (RefusesALot, ""),
        (LargeButCounted, ""),
    ],
)
def test_of_building(monkeypatch, prior, error):
    entry = Component("priors", "vague", "acme", "1", f"acme:{prior.__name__}")
    monkeypatch.setattr("unfold.registry.spec.find", lambda group, name: entry)
    monkeypatch.setattr("unfold.registry.spec.load", lambda found: prior)
    monkeypatch.setattr("unfold.testing.options._SECONDS", 0.1)  # so that the loops are short
    check = by_name("priors", prior, name="vague")["building"]
    if not error:
        check()
        return
    with pytest.raises(ConformanceError, match=f"^building: {error}"):
        check()


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_with_checks_asks_for_bounds(group):
    try:
        asked = by_name(group, Good, name="vague", state=term_state)
    except ValueError:
        assert group in ("estimators", "losses")
    else:
        assert "bounds" in asked
        assert ("building" in asked) == (group != "datasets")


def test_every_check_has_a_wrong_component():
    table = {"priors": {n for n, *_ in PRIORS}, "terms": {n for n, *_ in TERMS},
             "models": {n for n, *_ in MODELS}}  # fmt: skip
    for group, make, options in (
        ("priors", Good, {"claims": ("nonexpansive", "bfloat16", "compile", "export")}),
        ("terms", GoodTerm, {"state": term_state}),
        ("models", GoodModel, {"claims": ("compile", "export")}),
    ):
        # (What differs on a GPU cannot be shown without one.)
        assert set(by_name(group, make, **options)) - {"gpu"} == table[group]


def test_an_expected_failure_must_fail():
    declared = by_name("priors", Crops, expected_failures={"shape-dtype-device": "it crops"})
    declared["shape-dtype-device"]()
    kept = by_name("priors", Good, expected_failures={"determinism": "none"})
    with pytest.raises(ConformanceError, match=r"passes, though expected to fail \(none\)"):
        kept["determinism"]()


def test_all_at_once_lists_what_failed():
    with pytest.raises(ConformanceError) as caught:
        check_prior(InPlace)
    assert "- no-mutation: v was changed in place" in str(caught.value)
    assert "checks failed" in str(caught.value)


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no checks for 'recipes'"):
        checks("recipes", Good)
    with pytest.raises(ValueError, match="no expected failure shape; there are bad-input"):
        checks("priors", Good, expected_failures={"shape": "typo"})
    with pytest.raises(ValueError, match="no claim fast; there are bfloat16, compile"):
        checks("priors", Good, claims=("fast",))
    with pytest.raises(ValueError, match="need state="):
        checks("terms", GoodTerm)
