"""A limit on the size of a component, which bounds the time and memory for building it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from unfold.core.size import check_size

_building = threading.local()  # `busy`: whether this thread builds a component


@contextlib.contextmanager
def limited() -> Generator[None]:
    """A context in which a component is built. Nested components count as parts of it.

    It counts the modules and the values of all new tensors, parameters or not, before their memory
    is allocated.

    Raises:
        ValueError: if there are more than `check_size` allows. (Components that know their size
            call `check_size` themselves.)

    Example:
        >>> import torch
        >>> from unfold.registry.limit import limited
        >>> with limited():
        ...     torch.nn.Linear(10**6, 10**6)  # 4 TB
        Traceback (most recent call last):
            ...
        unfold.errors.InputError: it would have 1,000,000 million parameters or more; the most ...
    """
    if getattr(_building, "busy", False):
        yield
        return
    count = _Count()
    hook = register_module_module_registration_hook(count.add_module)
    _building.busy = True
    try:
        with count:
            yield
    finally:
        _building.busy = False
        hook.remove()


class _Count(TorchDispatchMode):
    """Counts the values and modules that this thread creates."""

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore (torch does not type it)
        self._thread, self._values, self._modules = threading.get_ident(), 0, 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: otherwise torch imports its compiler, which takes seconds."""
        return False

    def add_module(self, parent: nn.Module, name: str, module: nn.Module | None) -> None:
        if threading.get_ident() == self._thread:
            self._add(modules=1)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        self._add(values=_new_values(func, args, kwargs))
        return func(*args, **kwargs)

    def _add(self, *, values: int = 0, modules: int = 0) -> None:
        self._values += values
        self._modules += modules
        check_size(self._values, "it", modules=self._modules)


def _new_values(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """The number of values that an operation allocates: those of its result on the device ``meta``,
    which only computes shapes. Views and in-place updates allocate none."""
    if func.is_view or func._schema.is_mutable:
        return 0
    options: dict[str, Any] = tree_map_only(Tensor, _on_meta, dict(kwargs))
    options |= {"generator": None} if "generator" in options else {}
    options |= {"device": "meta"} if any(a.name == "device" for a in func._schema.arguments) else {}
    try:
        made = func(*tree_map_only(Tensor, _on_meta, args), **options)
    except RuntimeError:  # the shape depends on values; the result is not larger than the inputs
        return 0
    return sum(leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, Tensor))


def _on_meta(x: Tensor) -> Tensor:
    return x.to("meta")
