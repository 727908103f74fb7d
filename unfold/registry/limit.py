"""A limit of a component's size, so that a huge one does not fill the memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from unfold.core.size import check_size

_building = threading.local()  # `busy`: whether this thread builds a component


@contextlib.contextmanager
def limited() -> Generator[None]:
    """Within, a component is built; one inside another counts as part of it.

    Raises:
        ValueError: it has registered more than 2²⁸ parameters. Those that know their size before
            say so by themselves, see `check_size`.
    """
    if getattr(_building, "busy", False):
        yield
        return
    thread, registered = threading.get_ident(), 0

    def add(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal registered
        if parameter is not None and threading.get_ident() == thread:
            registered += parameter.numel()
            check_size(registered, "it")

    hook = register_module_parameter_registration_hook(add)
    _building.busy = True
    try:
        yield
    finally:
        _building.busy = False
        hook.remove()
