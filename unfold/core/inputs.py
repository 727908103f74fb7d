"""Checks of the tensors given to models and priors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from unfold.errors import InputError

__all__ = ["check_tensor", "check_values"]

if TYPE_CHECKING:
    from .prior import Prior

_TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def shown(value: Any) -> str:
    """A value as text for a message: a tensor or array by its shape, others in one line."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if hasattr(value, "__array_interface__"):
        return f"an array of shape {value.shape}"
    return f"{' '.join(repr(value).split()):.40}"


def check_tensor(what: str, x: Any, module: nn.Module | None = None) -> None:
    """Check that an argument is a dense floating-point tensor.

    Args:
        what: name of the argument, for the message: ``"an image"``.
        x: the argument.
        module: module that uses it, whose parameters must have the same type and device. (A module
            with a true ``casts_inputs`` converts its inputs: it accepts any type.)

    Raises:
        InputError: if the check fails.

    Example:
        >>> import torch
        >>> from unfold.core.inputs import check_tensor
        >>> check_tensor("an image", torch.zeros(1, dtype=torch.uint8))
        Traceback (most recent call last):
        unfold.errors.InputError: an image must be floating point, got torch.uint8: convert it ...
    """
    if not isinstance(x, Tensor):
        raise InputError(
            f"{what} must be a torch.Tensor, got {type(x).__name__}: convert it with "
            "torch.as_tensor"
        )
    if x.dtype not in _TYPES:
        raise InputError(
            f"{what} must be floating point, got {x.dtype}: convert it with .float(), and divide "
            "8-bit values by 255"
        )
    if x.layout != torch.strided:
        raise InputError(f"{what} must be dense, got {x.layout}: convert it with .to_dense()")
    if module is not None:
        _check_match(what, x, module)


def check_image(what: str, x: Any) -> Tensor:
    """Return an argument after a check that it is a floating-point tensor with four axes.

    Args:
        what: name of the argument, for the message: ``"an image"``.
        x: the argument.

    Raises:
        InputError: if the check fails.
    """
    check_tensor(what, x)
    if x.ndim != 4 or 0 in x.shape:
        remedy = f": add the missing axes with [{', '.join(['None'] * (4 - x.ndim))}]"
        raise InputError(
            f"{what} must have shape (batch, channels, height, width), none of them 0, got "
            f"{tuple(x.shape)}{remedy * (x.ndim in (2, 3))}"
        )
    return x


def _check_match(what: str, x: Tensor, module: nn.Module) -> None:
    """Check that the device and floating-point type are those of a module's parameters."""
    for own in itertools.chain(module.parameters(), module.buffers()):
        if own.device != x.device:
            raise InputError(
                f"{what} must be on the device of {type(module).__name__}, {own.device}, got one "
                f"on {x.device}: move one of them with .to(...)"
            )
    if getattr(module, "casts_inputs", False):
        return
    dtype = None
    for parameter in module.parameters():
        # Layers of a smaller type convert their inputs.
        dtype = torch.promote_types(dtype or parameter.dtype, parameter.dtype)
    if dtype is not None and dtype != x.dtype:
        raise InputError(
            f"{what} must be {dtype}, the type of the parameters of {type(module).__name__}, got "
            f"{x.dtype}: convert one of them with .to(...)"
        )


def check_values(what: str, x: Tensor) -> None:
    """Refuse a tensor on the meta device, which has no values.

    Raises:
        InputError: if the tensor is on that device. (A subclass of `torch.Tensor` may be on it and
            have values.)

    Example:
        >>> import torch
        >>> from unfold.core.inputs import check_values
        >>> check_values("a photo", torch.rand(1, 3, 8, 8, device="meta"))
        Traceback (most recent call last):
            ...
        unfold.errors.InputError: a photo must have values, got a tensor on the meta device: ...
    """
    if x.is_meta and type(x) is Tensor:
        raise InputError(
            f"{what} must have values, got a tensor on the meta device: give real data"
        )


def check_prox(prior: Prior, v: Tensor, step: Tensor) -> None:
    """Check the arguments of a proximal operator (see `unfold.core.Prior.prox`).

    ``v`` may contain infinities and NaN. They are passed on, because their cause is earlier.

    Args:
        prior: prior with ``accepts_map`` and ``channels``.
        v: the point.
        step: the step.

    Raises:
        InputError: if a type, device or shape is wrong; on the CPU also if a step is negative or
            not finite. (On a GPU this check would wait for the device.)
    """
    name = type(prior).__name__
    check_tensor(f"v, the input of {name},", v, prior)
    if v.ndim != 4 or 0 in v.shape:
        raise InputError(
            f"v, the input of {name}, must have shape (batch, channels, height, width), none of "
            f"them 0, got {tuple(v.shape)}: add missing axes with v[None]"
        )
    if prior.channels not in (None, v.shape[1]):
        raise InputError(
            f"{name} was made for {prior.channels} channels, got {v.shape[1]}, {tuple(v.shape)}: "
            f"make one for {v.shape[1]}"
        )
    check_tensor(f"the step of {name}", step)
    if (step.dtype, step.device) != (v.dtype, v.device):
        raise InputError(
            f"the step of {name} must be {v.dtype} on {v.device}, as v is, got {step.dtype} on "
            f"{step.device}: convert it with step.to(v)"
        )
    if not _fits(step, v, bool(prior.accepts_map)):
        maps = ", or a map (1 or batch, 1 or channels, height, width)" * bool(prior.accepts_map)
        remedy = "" if prior.accepts_map else (
            "; for one that varies, split the block with a constraint z = x and put the prior on "
            "z, or choose a prior with accepts_map"
        )  # fmt: skip
        raise InputError(
            f"the step of {name} must have shape (1 or {v.shape[0]}, 1, 1, 1){maps}, got "
            f"{tuple(step.shape)} for v {tuple(v.shape)}: reshape it with step.view(-1, 1, 1, 1)"
            f"{remedy}"
        )
    if step.device.type == "cpu":
        low, high = (bound.item() for bound in step.detach().aminmax())
        if not (low >= 0 and high < torch.inf) and v.isfinite().all():
            raise InputError(
                f"the step of {name} must be finite and at least 0, got values from {low:g} to "
                f"{high:g}: it is a variance; check the weight of the prior and the penalties"
            )


def _fits(step: Tensor, v: Tensor, accepts_map: bool) -> bool:
    if step.ndim != 4 or step.shape[0] not in (1, v.shape[0]):
        return False
    if not accepts_map:
        return step.shape[1:].numel() == 1
    return step.shape[1] in (1, v.shape[1]) and step.shape[2:] in ((1, 1), v.shape[2:])
