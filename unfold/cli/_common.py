"""What commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from unfold.models.restorer import Restorer

DEFAULT_MODEL = "jude-classic"


class CommandError(Exception):
    """A command cannot do what it was asked to; one line says why."""


def ready_model(name: str) -> Restorer:
    """A model that can restore photos as it is installed."""
    import unfold

    model = unfold.create_model(name)
    if model.learned:
        raise CommandError(
            f"{name} is a learned model and no trained weights are installed for it: what it "
            f"made would be noise; use {DEFAULT_MODEL}"
        )
    return model


def find_device(name: str) -> torch.device:
    """``auto`` is a GPU where there is one."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CommandError(f"device {name!r} cannot be used ({reason}); try auto or cpu") from error
    return device
