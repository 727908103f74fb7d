"""The state of an optimization: named tensors, and a cache of values derived from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from unfold.errors import UnfoldError


class MissingEntryError(UnfoldError, KeyError):
    """An entry that a step or residual needs is missing from the state.

    Example:
        >>> import torch
        >>> from unfold.core import State
        >>> State({"X": torch.rand(1, 3, 4, 4)})["H"]
        Traceback (most recent call last):
            ...
        unfold.core.state.MissingEntryError: the state has no entry 'H'; it has X: add it ...
    """

    def __str__(self) -> str:  # KeyError would show the repr of its message
        return str(self.args[0])


# (name, sources, whether with gradients) -> the sources' versions, and what was computed.
_Derived = dict[tuple[str, tuple[str, ...], bool], tuple[tuple[int, ...], Tensor]]


class State(Mapping[str, Tensor]):
    """A read-only mapping from names to tensors ``(B, C, H, W)``.

    Its entries are blocks, observations, kernels and duals. A step never changes a state, it
    returns another one::

        state = State({"X": observed, "H": kernel})
        state = state.replace("I", observed)

    A state also caches values that were computed from its entries, such as a kernel's transfer
    function, so that K stages compute them once. A cached value is dropped when an entry that it
    depends on is replaced or changed in place, and by a conversion to ``dict``. (With gradients it
    belongs to the graph of its first use: start a second backward pass from a new state.)

    Example:
        >>> import torch
        >>> from unfold.core import State
        >>> state = State({"X": torch.ones(1, 3, 4, 4)})
        >>> state.replace("I", 2 * state["X"])
        State(X: (1, 3, 4, 4), I: (1, 3, 4, 4))
        >>> state
        State(X: (1, 3, 4, 4))
    """

    __slots__ = ("_derived", "_entries")

    def __init__(self, entries: Mapping[str, Tensor]) -> None:
        if isinstance(entries, State):
            self._entries: dict[str, Tensor] = entries._entries
            # A copy: the cache of a step belongs to the state that it returns. (If the caller's
            # state shared it, a recomputed stage would differ from its first run.)
            self._derived: _Derived = dict(entries._derived)
        else:
            self._entries = dict(entries)
            self._derived = {}

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self._entries[name]
        except KeyError:
            have = ", ".join(sorted(self._entries)) or "nothing"
            raise MissingEntryError(
                f"the state has no entry {name!r}; it has {have}: add it (duals may start at "
                "zero, Lagrangian.start does that)"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{k}: {tuple(v.shape)}" for k, v in self._entries.items())
        return f"State({shapes})"

    def replace(self, name: str, value: Tensor) -> State:
        """The same state with one entry set; cached values of the old entry are dropped."""
        state = State.__new__(State)
        state._entries = {**self._entries, name: value}
        state._derived = {key: t for key, t in self._derived.items() if name not in key[1]}
        return state

    def derive(self, name: str, sources: tuple[str, ...], compute: Callable[[], Tensor]) -> Tensor:
        """``compute()``, cached under ``name`` until one of the ``sources`` changes.

        Values with and without gradients are cached separately, so that a value computed under
        ``no_grad`` never interrupts a later graph.
        """
        key = (name, sources, torch.is_grad_enabled())
        versions = tuple(_version(self._entries[source]) for source in sources)
        known = self._derived.get(key)
        if known is None or known[0] != versions:
            known = self._derived[key] = (versions, compute())
        return known[1]


def _version(tensor: Tensor) -> int:
    """The number of in-place changes; 0 for tensors made in inference mode, and in a compiled
    graph, in which nothing changes in place."""
    uncounted = torch.compiler.is_compiling() or tensor.is_inference()
    return -1 if uncounted else tensor._version
