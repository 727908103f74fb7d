"""Helpers of the checks."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from unfold.registry.spec import Spec


@dataclass(frozen=True)
class Subject:
    """A component under test: the function that builds it, and the state of a term."""

    make: Callable[[], Any]
    state: Callable[[], Mapping[str, Tensor]] | None
    name: str | None
    group: str

    def component(self, dtype: torch.dtype = torch.float32) -> Any:
        return self.make().to(dtype).eval()

    def entries(self) -> dict[str, Tensor]:
        assert self.state is not None
        return dict(self.state())


@dataclass(frozen=True)
class Rule:
    """A check, and when it applies: always, if it is claimed, or if the component is registered."""

    run: Callable[[Subject], None]
    claim: str = ""
    named: bool = False


def need(condition: bool | Tensor, message: str) -> None:
    """Raise an error with the message unless the condition is true."""
    if not bool(condition):
        raise AssertionError(message)


def close(got: Tensor, want: Tensor, what: str, tolerance: float) -> None:
    """Raise an error unless two tensors agree, relative to the size of the larger one."""
    need(got.shape == want.shape, f"{what}: shape {tuple(got.shape)}, not {tuple(want.shape)}")
    scale = max(1.0, want.abs().max().item()) if want.numel() else 1.0
    error = (got.to(want.dtype) - want).abs().max().item() if want.numel() else 0.0
    need(
        error <= tolerance * scale, f"{what}: off by {error:.3g} (allowed {tolerance * scale:.3g})"
    )


def leave_start(module: nn.Module) -> None:
    """Perturb all parameters: layers that start at zero block gradients and influence."""
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=noise).to(parameter))


def state_dict_round_trip(subject: Subject, run: Callable[[Any], Tensor]) -> None:
    """Perturbed parameters, saved and loaded into another instance, give the same output."""
    one, other = subject.component(), subject.component()
    leave_start(one)
    with torch.no_grad():
        other.load_state_dict(copy.deepcopy(one.state_dict()))
        need(torch.equal(run(one), run(other)), "a loaded state_dict gives another output")


def spec_round_trip(subject: Subject) -> Spec:
    """The registered spec as it was saved as JSON and loaded."""
    from unfold.registry.spec import resolve, spec_type

    assert subject.name is not None
    spec = spec_type(subject.group, subject.name)
    example = resolve(subject.group, {"kind": subject.name})
    again = spec.model_validate(json.loads(example.model_dump_json()))
    need(again == example, "the spec changes if it is saved as JSON and loaded")
    return again


def builds_from_spec(subject: Subject) -> None:
    """The registered spec can be saved as JSON and loaded, and builds the component."""
    need(
        isinstance(spec_round_trip(subject).build(3), nn.Module), "the spec does not build a module"
    )


def export(module: nn.Module, inputs: tuple[Tensor, ...], want: Tensor) -> None:
    """``torch.export`` captures the module, and the captured graph computes the same result."""
    exported = torch.export.export(module, inputs)
    close(exported.module()(*inputs), want, "the exported graph", 1e-5)
