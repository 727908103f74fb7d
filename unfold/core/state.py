"""The state of an optimization: named tensors, and what was derived from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from unfold.errors import UnfoldError


class MissingEntryError(UnfoldError, KeyError):
    """A step or residual needs an entry that the state lacks.

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

    Blocks, observations, kernels and duals are entries of it. A step never changes a state, it
    returns another one::

        state = State({"X": observed, "H": kernel})
        state = state.replace("I", observed)

    A state also caches what was computed from its entries (a kernel's transfer function, say),
    so that K stages compute it once. Such a value is dropped as soon as an entry that it depends
    on is replaced or changed in place, and by a conversion to ``dict``. (With gradients it belongs
    to the graph of its first use: start a second backward pass from a new state.)

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
            # A copy: what a step remembers belongs to the state that it returns. (Were the
            # caller's state to learn of it, a recomputed stage would differ from its first run.)
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
        """The same state with one entry set; values derived from the old entry are dropped."""
        state = State.__new__(State)
        state._entries = {**self._entries, name: value}
        state._derived = {key: t for key, t in self._derived.items() if name not in key[1]}
        return state

    def derive(self, name: str, sources: tuple[str, ...], compute: Callable[[], Tensor]) -> Tensor:
        """``compute()``, remembered under ``name`` for as long as the ``sources`` stay the same.

        Remembered apart with and without gradients, so that a value computed under ``no_grad``
        never cuts a later graph.
        """
        key = (name, sources, torch.is_grad_enabled())
        versions = tuple(_version(self._entries[source]) for source in sources)
        known = self._derived.get(key)
        if known is None or known[0] != versions:
            known = self._derived[key] = (versions, compute())
        return known[1]


def _version(tensor: Tensor) -> int:
    """Counts changes in place; not of tensors made in inference mode, nor of those in a graph that
    is compiled, where nothing changes in place."""
    uncounted = torch.compiler.is_compiling() or tensor.is_inference()
    return -1 if uncounted else tensor._version
