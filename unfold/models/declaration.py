"""A Lagrangian as data: the schema of a declared model's file."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    SerializeAsAny,
    WithJsonSchema,
    create_model,
    field_validator,
)

from unfold.core import Affine, Residual
from unfold.errors import InputError
from unfold.formula.text import expression
from unfold.registry.spec import Spec, resolve, spec_type

FIRST_DEVIATION = 0.1
CHANNELS = {"photo": 3, "reflectance": 3, "light": 1, "zero": 3, "one": 3}

Name = Annotated[str, Field(min_length=1, pattern=r"^[^.]+$")]
Deviation = Annotated[float, Field(gt=0, le=0.25)]
Source = Literal["photo", "kernel", "maps", "trust"]


class Declaration(BaseModel):
    """A part of a declaration: immutable, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Level(Declaration):
    """The noise level that a prior removes: a standard deviation in the unit of the image.

    The levels of the stages are spaced evenly in the logarithm. Every level is at least that of the
    photo's noise and at most 0.25.

    Attributes:
        first: level at the first stage.
        last: level at the last stage; None: that of the photo's noise.
        learned: whether the hyper-parameter estimator learns the level, starting from this value.
    """

    first: Deviation = FIRST_DEVIATION
    last: Deviation | None = None
    learned: bool = False

    def logarithm(self, place: float) -> tuple[float, float]:
        """``(a, b)`` such that the log-variance at a place in [0, 1] is ``a + b log σ``."""
        if self.last is None:
            return 2 * (1 - place) * math.log(self.first), 2 * place
        if self.last == self.first:
            return 2 * math.log(self.first), 0.0
        return 2 * ((1 - place) * math.log(self.first) + place * math.log(self.last)), 0.0

    def __str__(self) -> str:
        last = "that of the noise" if self.last is None else f"{self.last:g}"
        course = f"{last}" if self.first == self.last else f"{self.first:g} to {last}"
        return course + ", learned" * self.learned


class Weight(Declaration):
    """A weight or penalty: ``value · σ^noise_power``, σ the standard deviation of the noise.

    Attributes:
        value: a positive number (zero is allowed for a plain number).
        noise_power: exponent of σ.
        balances: a block whose prior has the level s. The weight is also multiplied by
            ``0.23 σ²/s²`` (the plug-and-play schedule of `unfold.models.schedule`).
        bounds: a block that is a factor of a product, so that its normal matrix varies from pixel
            to pixel. The weight is then at least ``value · σ^noise_power`` times the weight of the
            product, and larger if the level of the prior on that block would exceed 0.25.
        learned: whether the hyper-parameter estimator learns the weight, starting from this value.
    """

    value: Annotated[float, Field(ge=0, le=1e12)] = 1.0
    noise_power: Annotated[float, Field(ge=-8, le=8)] = 0.0
    balances: Name | None = None
    bounds: Name | None = None
    learned: bool = False

    @property
    def plain(self) -> bool:
        """Whether the weight is one number for all stages and photos."""
        return self == Weight(value=self.value)

    def __str__(self) -> str:
        power = f"·σ^{self.noise_power:g}" if self.noise_power else ""
        text = f"{self.value:g}{power}"
        if self.balances:
            text += f"·0.23 σ²/s², s the level of {self.balances}"
        if self.bounds:
            text = f"at least {text} × the product's; more if {self.bounds} needs it"
        return text + ", learned" * self.learned


class Start(Declaration):
    """The initial value of a block.

    Attributes:
        value: the photo; a factor of its Retinex split, ``photo = reflectance ⊙ light``; zeros; or
            ones.
        channels: 1 or 3; None: one for the light, three otherwise.
    """

    value: Literal["photo", "reflectance", "light", "zero", "one"]
    channels: Literal[1, 3] | None = None

    @property
    def size(self) -> int:
        """Number of channels of the block."""
        return self.channels or CHANNELS[self.value]


class ProductOutput(Declaration):
    """The output ``enhancer(light) ⊙ denoiser(reflectance)``.

    Attributes:
        light: a block.
        reflectance: a block, or the quotient of two, ``"Z/L"``.
    """

    light: Name
    reflectance: Annotated[str, Field(pattern=r"^[^./]+(/[^./]+)?$")]

    @property
    def names(self) -> tuple[str, ...]:
        """Blocks of the reflectance: one, or the numerator and the denominator."""
        return tuple(self.reflectance.split("/"))


def _named(group: str, value: Any) -> Spec:
    spec = resolve(group, value)
    if isinstance(spec, Spec):
        return spec
    raise InputError("a declaration must give its components by name, so that it can be saved")


def term_type(kind: str) -> type[Spec]:
    """The options of an installed term, including the names of its blocks.

    A term's constructor takes its blocks by position; a declaration gives them under the names of
    the constructor's parameters.
    """
    return _term_type(spec_type("terms", kind))


@functools.cache
def _term_type(spec: type[Spec]) -> type[Spec]:
    parameters = inspect.signature(spec.component).parameters.values()
    blocks: dict[str, Any] = {
        p.name: (Name, ... if p.default is p.empty else p.default)
        for p in parameters
        if p.kind is p.POSITIONAL_OR_KEYWORD
    }
    return create_model(spec.__name__, __base__=spec, __doc__=spec.__doc__, **blocks)


class Formula(RootModel[str]):
    """A residual as a formula: ``"conv(H, I) - X"`` (see `unfold.formula.text.expression`)."""

    model_config = ConfigDict(frozen=True)

    @field_validator("root")
    @classmethod
    def _readable(cls, text: str) -> str:
        expression(text)
        return text

    def build(self) -> Residual:
        """The residual."""
        return Affine(expression(self.root))


def _term(value: Any) -> Spec | Formula:
    if isinstance(value, (Spec, Formula)):
        return value
    if isinstance(value, str):
        return Formula(value)
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(kind, str):
        raise InputError(
            'a term must be a formula, such as "conv(H, I) - X", or a table with its kind and its '
            f'blocks, such as {{kind = "equal", left = "I", right = "Z"}}, got {value!r:.60}'
        )
    return term_type(kind).model_validate(dict(value))


def _weight_name(value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if (number and math.isfinite(value) and value >= 0) or (isinstance(value, str) and value):
        return value
    raise InputError(
        f"must be a number >= 0 or the name of an entry in [penalties], got {value!r:.60}"
    )


def _penalty(value: Any) -> Any:
    if _weight_name(value) == 0:
        raise InputError("a penalty must be positive, got 0")
    return value


def _table(kind: type[Declaration], *keys: str) -> BeforeValidator:
    """Accept a plain value as short for a table that has this value under each of the keys."""

    def table(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        short = not isinstance(value, Mapping)
        return kind.model_validate(dict.fromkeys(keys, value) if short else value)

    return BeforeValidator(table)


TermSpec = Annotated[
    SerializeAsAny[Any], BeforeValidator(_term),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "required": ["kind"]}]}),
]  # fmt: skip
PriorSpec = Annotated[
    SerializeAsAny[Any], BeforeValidator(functools.partial(_named, "priors")),
    WithJsonSchema({"group": "priors"}),
]  # fmt: skip
_WEIGHT = WithJsonSchema({"type": ["number", "string"]})
WeightName = Annotated[Any, BeforeValidator(_weight_name), _WEIGHT]
PenaltyName = Annotated[Any, BeforeValidator(_penalty), _WEIGHT]
AnyLevel = Annotated[
    Level, _table(Level, "first", "last"),
    WithJsonSchema({"anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "maximum": 0.25}, {"type": "object"},
    ]}),
]  # fmt: skip


class QuadraticTerm(Declaration):
    """``weight/2 ‖r‖²``."""

    quadratic: TermSpec
    weight: WeightName = 1.0


class ConstraintTerm(Declaration):
    """``r = 0``, with a penalty and a dual variable."""

    constraint: TermSpec
    penalty: PenaltyName
    dual: Name


class PriorTerm(Declaration):
    """A prior on a block.

    Attributes:
        prior: name or options of the prior.
        block: block of the prior.
        level: noise level that the prior removes; by default it falls from 0.1 to the photo's.
        weight: number or name, in place of a level, which is then not bounded.
    """

    prior: PriorSpec
    block: Name
    level: AnyLevel | None = None
    weight: WeightName | None = None

    @property
    def noise_level(self) -> Level | None:
        """The level; None if the prior has a weight."""
        return None if self.weight is not None else self.level or Level()


_KINDS: Mapping[str, type[Declaration]] = {
    "quadratic": QuadraticTerm, "constraint": ConstraintTerm, "prior": PriorTerm,
}  # fmt: skip


def _any_term(value: Any) -> Declaration:
    if isinstance(value, tuple(_KINDS.values())):
        return value
    kinds = [kind for kind in _KINDS if isinstance(value, Mapping) and kind in value]
    if len(kinds) != 1:
        found = ", ".join(value) if isinstance(value, Mapping) else repr(value)
        raise InputError(f"must have exactly one of {', '.join(_KINDS)}, got {found or 'nothing'}")
    return _KINDS[kinds[0]].model_validate(value)


def _output(value: Any) -> Any:
    if isinstance(value, ProductOutput) or (isinstance(value, str) and value):
        return value
    if isinstance(value, Mapping):
        return ProductOutput.model_validate(value)
    raise InputError(f'must be a block or {{light = "L", reflectance = "R"}}, got {value!r:.60}')


AnyTerm = Annotated[QuadraticTerm | ConstraintTerm | PriorTerm, BeforeValidator(_any_term)]
AnyStart = Annotated[
    Start, _table(Start, "value"),
    WithJsonSchema({"anyOf": [{"enum": list(CHANNELS)}, {"type": "object"}]}),
]  # fmt: skip
AnyPenalty = Annotated[
    Weight, _table(Weight, "value"),
    WithJsonSchema({"anyOf": [
        {"type": "number", "minimum": 0, "maximum": 1e12}, {"type": "object"},
    ]}),
]  # fmt: skip
Output = Annotated[str | ProductOutput, BeforeValidator(_output)]
