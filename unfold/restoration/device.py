"""The device of a computation, by name."""

from __future__ import annotations

import torch

from unfold.errors import InputError


def find_device(name: torch.device | str) -> torch.device:
    """The device with this name; ``"auto"`` is a GPU if there is one.

    Raises:
        InputError: if there is no such device, or it cannot be used.

    Example:
        >>> from unfold.restoration.device import find_device
        >>> find_device("cpu")
        device(type='cpu')
        >>> find_device("abacus")
        Traceback (most recent call last):
            ...
        unfold.errors.InputError: device 'abacus' cannot be used (torch knows no such device); ...
    """
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise _refused(name, "torch knows no such device", gpus) from error
    try:
        torch.empty(0, device=device).cpu()  # (fails for the device meta)
    except (RuntimeError, AssertionError) as error:
        raise _refused(name, str(error).splitlines()[0][:120], gpus) from error
    return device


def _refused(name: object, reason: str, gpus: list[str]) -> InputError:
    usable = ", ".join(["auto", "cpu", *gpus])
    return InputError(f"device {str(name)!r} cannot be used ({reason}); give one of {usable}")
