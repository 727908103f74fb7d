"""Parts of a model that are chosen by name: data terms and estimators, checked for their role."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny, WithJsonSchema
from torch import Tensor, nn

from unfold.core import Residual
from unfold.estimators.noise import PhotoNoise, estimate_noise, with_beyond
from unfold.estimators.reblur import noise_beyond
from unfold.estimators.roles import (
    Estimator,
    HyperParameters,
    KernelEstimator,
    NoiseEstimator,
)
from unfold.registry.catalog import ComponentError
from unfold.registry.spec import PriorLike, Spec, factory, resolve, spec_type

__all__ = ["NoiseLike", "make_noise", "measure_noise"]

Role = TypeVar("Role", bound=Estimator)

# Parameter of a term's constructor -> name in the state of the entry that a blur reads there.
SLOTS = {"kernel": "H", "kernels": "H", "maps": "W", "mask": "T", "observed": "X"}


def _estimator(value: Any) -> Any:
    return value if isinstance(value, Estimator) else resolve("estimators", value)


# The type of an option that may hold any installed estimator.
EstimatorLike = Annotated[
    SerializeAsAny[Any], BeforeValidator(_estimator), WithJsonSchema({"group": "estimators"})
]


# The type of an option that holds the standard deviation of the noise, or its estimator.
NoiseLike = Annotated[float, Field(gt=0, lt=0.25)] | EstimatorLike


def _none_if_false(value: Any) -> Any:
    return None if value is False else value


# An optional estimator or prior: None or, as TOML has no null, false.
OptionalEstimator = Annotated[EstimatorLike | None, BeforeValidator(_none_if_false)]
OptionalPrior = Annotated[PriorLike | None, BeforeValidator(_none_if_false)]


def make_part(role: type[Role], value: Any, *inputs: Any) -> Role:
    """Build the part that an option describes, with as many of the inputs as it accepts.

    Args:
        role: required role.
        value: a spec, a function that builds the part, or the part itself.

    Raises:
        ComponentError: if the part has another role; the message says what the role offers.
    """
    if not isinstance(value, nn.Module):
        value = resolve("estimators", value)
        made_by = type(value).component if isinstance(value, Spec) else value
        # Checked before it is built, because parts of other roles have other inputs.
        if inspect.isclass(made_by) and not issubclass(made_by, role):
            raise _misfit(role, value, made_by)
    part = value if isinstance(value, nn.Module) else factory("estimators", value)(*inputs)
    if not isinstance(part, role):
        raise _misfit(role, value, type(part))
    return part


def make_noise(value: Any) -> float | NoiseEstimator:
    """The standard deviation that an option gives, or the estimator that it describes.

    Example:
        >>> from unfold.models.parts import make_noise
        >>> make_noise(0.01), make_noise("noise")
        (0.01, PhotoNoise())
    """
    return value if isinstance(value, float) else make_part(NoiseEstimator, value)


def measure_noise(noise: float | NoiseEstimator, image: Tensor) -> dict[str, Tensor]:
    """Standard deviations of a photo's noise, ``(B, 1, 1, 1)``: ``noise``, given or estimated, and
    ``grain``, the estimate without the errors of JPEG.

    Example:
        >>> import torch
        >>> from unfold.models.parts import make_noise, measure_noise
        >>> noisy = (0.5 + 0.05 * torch.randn(1, 3, 64, 64)).clamp(0, 1)
        >>> found = measure_noise(make_noise("noise"), noisy)
        >>> found["noise"].shape, bool((found["grain"] - 0.05).abs() < 0.01)
        (torch.Size([1, 1, 1, 1]), True)
    """
    grain = estimate_noise(image)
    if isinstance(noise, PhotoNoise):
        total = noise.with_jpeg(grain, image)
    elif isinstance(noise, NoiseEstimator):
        total = noise(image)
    else:
        total = torch.full_like(grain, noise)
    return {"noise": total, "grain": grain}


def with_kernel(
    noise: float | NoiseEstimator, found: Mapping[str, Tensor], photo: Tensor, kernel: Tensor
) -> dict[str, Tensor]:
    """The measurements of a photo, with the noise level corrected by its kernel (`with_beyond`).

    Args:
        noise: a model's option. The kernel changes only the level of `PhotoNoise`.
        found: measurements, including ``noise`` and ``grain``.
        photo: the blurred photo, ``(B, C, H, W)``.
        kernel: ``(1 or B, M, h, w)``; several kernels do not change the noise level.
    """
    level = expected = found["noise"]
    if isinstance(noise, PhotoNoise) and kernel.shape[1] == 1:
        with torch.no_grad():
            beyond = noise_beyond(photo, kernel.to(photo))
            level, expected = with_beyond(level, found["grain"], beyond)
    return {**found, "noise": level, "residue": expected}


def make_kernel_estimator(
    value: Any, num_kernels: int, num_maps: int, *, trust: bool = False
) -> KernelEstimator:
    """Build the kernel estimator that an option describes.

    Args:
        value: see `make_part`.
        num_kernels: number of estimated kernels.
        num_maps: number of estimated maps.
        trust: whether the map is a trust map, which is initialized to nearly 1.
    """
    estimator = make_part(KernelEstimator, value, num_kernels, num_maps)
    logits = getattr(estimator, "to_logits", None)
    if trust and logits is not None:
        nn.init.constant_(logits.bias, 4.0)  # (its sigmoid is 0.98)
    return estimator


def _misfit(role: type[Role], value: Any, given: type) -> ComponentError:
    name = value.kind if isinstance(value, Spec) else given.__name__
    return ComponentError(
        f"{name!r} cannot serve as {role.role}: {given.__name__} is not an "
        f"unfold.estimators.{role.__name__}, which offers {role.offers}"
    )


def resolve_blur(value: Any) -> Any:
    """A term by name or options, with the names of its entries filled in."""
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping):  # a spec, or a function
        return resolve("terms", value)
    kind = value.get("kind")
    fields = spec_type("terms", kind).model_fields if isinstance(kind, str) else {}
    return resolve("terms", {**{s: n for s, n in SLOTS.items() if s in fields}, **value})


# The type of an option that may hold any installed term that describes a blur.
BlurLike = Annotated[
    SerializeAsAny[Any], BeforeValidator(resolve_blur), WithJsonSchema({"group": "terms"})
]


def make_blur(value: Any, model: str, block: str, observed: str, entries: str) -> Residual:
    """Build the blur ``B block − observed`` that an option describes.

    Args:
        value: a spec of a term, or a function called as ``value(block, kernel="H", ...)`` with
            the names in `SLOTS` that it accepts.
        model: name of the model, for messages.
        block, observed: names of the sharp and the blurred image in the state.
        entries: those of the entries H, W and T that the state has, one letter each.

    Raises:
        ComponentError: if the term lacks one of these blocks, or reads an entry that the state
            does not have.
    """
    value, names = resolve_blur(value), {**SLOTS, "observed": observed}
    if isinstance(value, Spec):
        own = {s: n for s, n in names.items() if s in type(value).model_fields}
        term = value.model_copy(update=own).build(block)
        kind = value.kind
    else:
        taken = _keywords(value)
        term = value(block, **{s: n for s, n in names.items() if s in taken})
        kind = type(term).__name__
    lacking = [name for name in term.reads if name not in entries] if _is_term(term) else []
    if not _is_term(term) or block not in term.blocks or observed not in term.blocks or lacking:
        reads = f"; it reads {', '.join(lacking)}" if lacking else ""
        raise ComponentError(
            f"{kind!r} cannot serve as the blur of {model}: it must be affine in the sharp image "
            f"{block!r} and the blurred image {observed!r}, and read no other entry than "
            f"{', '.join(entries)}{reads}"
        )
    return term


def _is_term(term: Any) -> bool:
    return isinstance(term, Residual)


def _keywords(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters)


def has_slot(value: Any, slot: str) -> bool:
    """Whether the blur that an option describes has that parameter (see `SLOTS`)."""
    value = resolve_blur(value)
    if isinstance(value, Spec):
        return slot in type(value).model_fields
    return slot in _keywords(value)


class StagePenalties(nn.Module):
    """The penalties of one stage, computed from the hyper-parameters in the state.

    Args:
        index: index of the stage.
        names: names of the hyper-parameters.
        weigh: function that computes the penalties: ``(values by name, state) -> penalties``.
    """

    def __init__(
        self,
        index: int,
        names: tuple[str, ...],
        weigh: Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Mapping[str, Any]],
    ) -> None:
        super().__init__()
        self.index, self.names, self._penalties_of = index, names, weigh

    def forward(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        stage = state[HYPER][:, self.index]
        values = stage.split(1, 1) if self.names else ()  # each (1 or B, 1, 1, 1)
        return dict(self._penalties_of(dict(zip(self.names, values, strict=True)), state))


HYPER = "hyper-parameters"


def with_hyper_parameters(hyper: HyperParameters, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with the added hyper-parameters ``(1 or B, stages, count, 1, 1)``."""
    return {**state, HYPER: hyper(state)[..., None, None]}
