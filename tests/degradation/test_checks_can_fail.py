"""For each check a degradation that is wrong in that way only: the check must see it."""

from typing import ClassVar

import pytest
import torch

from unfold.degradation import Degradation
from unfold.degradation.rng import normal, seeds, uniform
from unfold.registry.catalog import Component
from unfold.testing import ConformanceError, checks


class Good(Degradation):
    """Dims by a random factor, adds noise and, where it has one, a map."""

    color_space = "linear"
    inputs = ("glow",)

    def sample(self, batch, generator):
        return {"factor": uniform(batch, (0.2, 0.8), generator), "seed": seeds(batch, generator)}

    def apply(self, image, parameters, **inputs):
        noise = normal(parameters["seed"], *image.shape[1:]).to(image)
        dim = image * parameters["factor"].to(image)[:, None, None, None]
        glow = inputs.get("glow")
        return dim + 0.1 * noise + (0 if glow is None else glow)


def wrong(**methods):
    return type("Wrong", (Good,), methods)


def drawn(change):
    """Good, its parameters changed."""
    return wrong(
        sample=lambda self, batch, generator: change(Good.sample(self, batch, generator), generator)
    )


def made(change):
    """Good, its photos changed."""

    def apply(self, image, parameters, **inputs):
        return change(Good.apply(self, image, parameters, **inputs), image, parameters, inputs)

    return wrong(apply=apply)


def with_factor(make):
    return drawn(lambda found, generator: found | {"factor": make(found["factor"], generator)})


class FromTheGlobalGenerator(Good):
    def sample(self, batch, generator):
        return super().sample(batch, generator) | {"factor": torch.rand(batch).double()}


class Remembers(Good):
    calls = 0

    def apply(self, image, parameters, **inputs):
        self.calls += 1
        return super().apply(image, parameters, **inputs) / self.calls


class DependsOnWhoMadeIt(Good):
    made: ClassVar[list[int]] = []

    def __init__(self):
        self.made.append(1)
        self.number = len(self.made)

    def apply(self, image, parameters, **inputs):
        return super().apply(image, parameters, **inputs) + self.number


def in_place(self, image, parameters, **inputs):
    image *= 0.5
    return Good.apply(self, image, parameters, **inputs)


def parameters_in_place(self, image, parameters, **inputs):
    parameters["factor"].mul_(0.5)
    return Good.apply(self, image, parameters, **inputs)


def glow_in_place(self, image, parameters, **inputs):
    if inputs["glow"] is not None:
        inputs["glow"] *= 0.5
    return Good.apply(self, image, parameters, **inputs)


def noise_by_dtype(result, image, parameters, inputs):
    return result + normal(parameters["seed"], *image.shape[1:], dtype=image.dtype)


DEGRADATIONS = [
    ("type", torch.nn.Identity),
    ("type", wrong(color_space="raw")),
    ("type", wrong(inputs="glow")),
    ("parameters", with_factor(lambda x, g: x.tolist())),
    ("parameters", with_factor(lambda x, g: x[:1])),
    ("parameters", with_factor(lambda x, g: x.float())),
    ("parameters", with_factor(lambda x, g: x / 0)),
    ("parameters", with_factor(lambda x, g: x[:, None].expand(-1, 961))),
    ("seed", FromTheGlobalGenerator),
    ("seed", with_factor(lambda x, g: torch.linspace(0, 1, len(x)).double())),
    ("seed", with_factor(lambda x, g: x[:1].expand(len(x)))),
    ("shape-dtype-device", made(lambda y, *_: y[..., 1:])),
    ("shape-dtype-device", made(lambda y, *_: y.double())),
    ("shape-dtype-device", made(lambda y, *_: y.log())),
    ("shape-dtype-device", made(lambda y, *_: torch.nn.functional.pad(
        y, (1, 1, 1, 1), mode="reflect")[..., 1:-1, 1:-1])),
    ("shape-dtype-device", made(lambda y, x, p, inputs: y + inputs["glow"])),
    ("determinism", made(lambda y, *_: y + torch.rand_like(y))),
    ("determinism", Remembers),
    ("determinism", DependsOnWhoMadeIt),
    ("no-mutation", wrong(apply=in_place)),
    ("no-mutation", wrong(apply=parameters_in_place)),
    ("no-mutation", wrong(apply=glow_in_place)),
    ("batch-independence", made(lambda y, *_: y + y.mean(0, keepdim=True))),
    ("batch-independence", made(lambda y, x, p, i: y * p["factor"].max())),
    ("precision", made(noise_by_dtype)),
]  # fmt: skip


def by_name(make, **options):
    return {str(check): check for check in checks("degradations", make, **options)}


@pytest.mark.parametrize(("name", "make"), DEGRADATIONS)
def test_of_a_degradation(name, make):
    with pytest.raises(ConformanceError, match=f"^{name}: "):
        by_name(make)[name]()


def test_the_good_one_passes_everything():
    for name, check in by_name(Good).items():
        if name != "gpu":
            check()


def test_one_of_fixed_parameters_passes():
    fixed = with_factor(lambda x, g: torch.full_like(x, 0.5))
    by_name(fixed)["seed"]()


def test_clips_are_made_for_one_that_takes_frames():
    class Average(Good):
        frames = True

        def apply(self, image, parameters, **inputs):
            return super().apply(image.mean(1), parameters, **inputs)

    for name, check in by_name(Average).items():
        if name != "gpu":
            check()


class WithAnOption(Good):
    def __init__(self, *, strength: float = 1.0) -> None:
        self.strength = strength

    def apply(self, image, parameters, **inputs):
        return self.strength * super().apply(image, parameters, **inputs)


class WithAnOptionThatJsonCannotHold(Good):
    def __init__(self, *, strength: object = object()) -> None:
        pass


@pytest.mark.parametrize(
    ("registered", "make"),
    [
        (WithAnOptionThatJsonCannotHold, WithAnOptionThatJsonCannotHold),
        (WithAnOption, lambda: WithAnOption(strength=2.0)),
    ],
)
def test_of_a_spec(monkeypatch, registered, make):
    entry = Component("degradations", "acme", "acme", "1", "acme:Acme")
    monkeypatch.setattr("unfold.registry.spec.find", lambda group, name: entry)
    monkeypatch.setattr("unfold.registry.spec.load", lambda found: registered)
    with pytest.raises(ConformanceError, match="^spec: "):
        by_name(make, name="acme")["spec"]()


def test_every_check_has_a_wrong_degradation():
    # (What differs on a GPU cannot be shown without one.)
    assert set(by_name(Good)) - {"gpu"} == {name for name, _ in DEGRADATIONS}
